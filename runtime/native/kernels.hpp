// The two passes over pixels, in several instruction sets that compute the same numbers.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "axis.hpp"

namespace mcore {

constexpr int kRows = 8;  // rows that the horizontal pass takes at once: they share the weights
#if defined(MCORE_NEON_KERNELS)
constexpr int kGroup = 8;  // pixels that one step of it reads
#else
constexpr int kGroup = 4;
#endif
constexpr int kBlock = 16;  // pixels that one step of AVX-512 reads
constexpr int kMostBlocks = 5;
constexpr int kMargin = 2;  // pixels beside a group that a load of 16 bytes may touch, on one side

// The weights of the horizontal pass as vectors want them.
struct Taps {
    int groups = 0;  // steps for each output; 0: rows are too narrow for vectors
    int blocks = 0;  // steps of AVX-512; 0: rows are too narrow for it, or outputs too wide
    std::vector<int> first;      // first pixel of the first group, moved left where it would pass the row's end
    std::vector<int32_t> whole;  // the weights as they are
    std::vector<int16_t> pairs;  // 8 per group: the low 11 bits of each weight, then the rest of each
    std::vector<int> block_first;  // as `first`, for blocks
    std::vector<int8_t> digits;    // of each output: the highest 7 bits of all its weights, the next, the lowest
};
Taps make_taps(const Axis& axis, int width);

// A row as the horizontal pass reads it: `pixel` bytes (3 or 4) from one pixel to the next, channels at r, g, b.
struct Layout {
    int pixel, r, g, b;
};

// Coefficients of YUV to RGB in units of 2^-16.
struct YuvCoefficients {
    int32_t black, luma, v_to_r, u_to_g, v_to_g, u_to_b;
};

struct Kernels {
    const char* name;
    // Turns kRows rows into rows of 4 bytes for each output position: red, green, blue, nothing.
    void (*horizontal)(const Axis&, const Taps&, const Layout&, const uint8_t* const* rows, uint8_t* const* outs);
    // out[i] = weighted mean of rows[k * stride + i] over k, for `length` bytes.
    void (*vertical)(const uint8_t* rows, size_t stride, const int32_t* weights, int count, size_t length, uint8_t* out);
    // Pixels begin..end of a row to red, green, blue, nothing (little-endian machines only); chroma of pixel x lies at (x / 2) * chroma_step.
    void (*yuv_row)(const uint8_t* y, const uint8_t* u, const uint8_t* v, int chroma_step, const YuvCoefficients&,
                    int begin, int end, uint8_t* rgbx);
};

const std::vector<const Kernels*>& usable_kernels();  // on this processor, the fastest first

}  // namespace mcore
