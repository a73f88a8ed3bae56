// Files of a bundle and streams of frames, made from bytes: whatever is in them, they are read or refused, never more.
#pragma once
#include <cstdint>
#include <cstring>
#include <sstream>
#include <string>
#include <vector>

#include "bank.hpp"
#include "bundle.hpp"
#include "clip.hpp"
#include "mistake.hpp"

namespace mcore {

constexpr size_t kTokens = 6, kDim = 4;

inline Contract small_contract() {
    Contract contract;
    contract.num_frames = 4;
    contract.resize_width = contract.crop_size = 3;
    contract.resize_height = 5;
    contract.deviation = {1, 1, 1};
    contract.feature_dim = kDim;
    contract.tokens_per_stage = kTokens / 3;
    return contract;
}

// The kinds of file that come from outside.
enum class Kind { bank, y4m, raw, array, manifest };
constexpr int kKinds = 5;

// Read bytes as one kind of file; true: they were taken, false: refused with a message. Copied to memory of exactly
// their size, so that a sanitizer sees any byte read outside it.
inline bool read_one(Kind kind, const uint8_t* data, size_t size) {
    const std::vector<uint8_t> copy(data, data + size);
    const View view{copy.data(), copy.size()};
    std::istringstream stream(std::string(copy.begin(), copy.end()));
    const Contract contract = small_contract();
    try {
        switch (kind) {
            case Kind::bank: parse_bank(view, kTokens, kDim).select("407C", true); break;
            case Kind::array: normalise(read_array(view, 25, contract), contract); break;
            case Kind::manifest: parse_manifest({copy.begin(), copy.end()}, "fp32"); break;
            case Kind::y4m: {
                const FrameFormat format = parse_y4m_header(stream, Matrix::bt709);
                if (format.frame_bytes() > size + 1) return false;  // it will be cut off; spare the memory
                normalise(read_stream(stream, format, true, contract), contract);
                break;
            }
            case Kind::raw: {
                FrameFormat format;
                format.pixels = static_cast<Pixels>(size > 0 ? data[0] % 6 : 0);
                format.width = size > 1 ? data[1] % 20 : 0;
                format.height = size > 2 ? data[2] % 20 : 0;
                format.rate = size > 3 ? data[3] : 0;
                read_stream(stream, format, false, contract);
            }
        }
        return true;
    } catch (const Mistake& mistake) {
        return std::strlen(mistake.what()) == 0;  // a refusal without words would be a fault
    }
}

}  // namespace mcore
