// AVX-512 VNNI on 256-bit vectors: weights in three digits of 7 bits, four products of bytes summed by one instruction.
#include "vectors.hpp"

namespace mcore {
namespace {

// Four pixels of each half by channel: reds, greens, blues, zeros.
__m256i channel_shuffle(const Layout& layout, int skip) {
    const int channels[3] = {layout.r, layout.g, layout.b};
    alignas(32) int8_t bytes[32];
    std::memset(bytes, -1, sizeof bytes);  // -1 makes a zero
    for (int half = 0; half < 2; ++half)
        for (int c = 0; c < 3; ++c)
            for (int k = 0; k < kGroup; ++k)
                bytes[half * 16 + c * 4 + k] = static_cast<int8_t>(skip + k * layout.pixel + channels[c]);
    return _mm256_load_si256(reinterpret_cast<const __m256i*>(bytes));
}

void horizontal(const Axis& axis, const Taps& taps, const Layout& layout, const uint8_t* const* rows,
                uint8_t* const* outs) {
    if (taps.groups == 0 || !taps.in_digits) return avx2::horizontal(axis, taps, layout, rows, outs);
    const int8_t* weights = taps.digits.data();
    __m256i by_channel{};
    int skipped = -1;
    for (size_t i = 0; i < taps.first.size(); ++i) {
        const int skip = bytes_before(layout, taps.first[i]);
        if (skip != skipped) by_channel = channel_shuffle(layout, skip);  // once or twice in a row
        skipped = skip;
        ptrdiff_t offset = static_cast<ptrdiff_t>(taps.first[i]) * layout.pixel - skip;
        __m256i low[kPairs] = {}, middle[kPairs] = {}, high[kPairs] = {};
        for (int group = 0; group < taps.groups; ++group, weights += 3 * kGroup, offset += kGroup * layout.pixel) {
            const __m256i w0 = spread(weights), w1 = spread(weights + 4), w2 = spread(weights + 8);
            for (int n = 0; n < kPairs; ++n) {
                const __m256i pixels =
                    _mm256_shuffle_epi8(load_pair(rows[2 * n] + offset, rows[2 * n + 1] + offset), by_channel);
                low[n] = _mm256_dpbusd_epi32(low[n], pixels, w0);
                middle[n] = _mm256_dpbusd_epi32(middle[n], pixels, w1);
                high[n] = _mm256_dpbusd_epi32(high[n], pixels, w2);
            }
        }
        for (int n = 0; n < kPairs; ++n) {
            const __m256i upper = _mm256_add_epi32(_mm256_slli_epi32(high[n], 7), middle[n]);
            low[n] = _mm256_add_epi32(_mm256_slli_epi32(upper, 7), low[n]);
        }
        store_pixels(low, outs, 4 * i);
    }
}

}  // namespace

extern const Kernels kAvx512Vnni;
const Kernels kAvx512Vnni = {"avx512-vnni", horizontal, vertical_loop, avx2::yuv_row};

}  // namespace mcore
