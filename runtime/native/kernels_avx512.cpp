// AVX-512 VNNI on 256-bit vectors: weights in three digits of 7 bits, four products of bytes summed by one instruction.
#include "vectors.hpp"

namespace mcore {
namespace {

// Four pixels of each half by channel: reds, greens, blues, zeros.
__m256i channel_shuffle(const Layout& layout) {
    const int channels[3] = {layout.r, layout.g, layout.b};
    alignas(32) int8_t bytes[32];
    std::memset(bytes, -1, sizeof bytes);  // -1 makes a zero
    for (int half = 0; half < 2; ++half)
        for (int c = 0; c < 3; ++c)
            for (int k = 0; k < 4; ++k) bytes[half * 16 + c * 4 + k] = byte_of(layout, half, k, channels[c]);
    return _mm256_load_si256(reinterpret_cast<const __m256i*>(bytes));
}

void horizontal(const Axis& axis, const Taps& taps, const Layout& layout, const uint8_t* const* rows,
                uint8_t* const* outs) {
    if (!taps.in_digits) return avx2::horizontal(axis, taps, layout, rows, outs);
    const __m256i by_channel = channel_shuffle(layout);
    const int8_t* weights = taps.digits.data();
    for (size_t i = 0; i < taps.first.size(); ++i) {
        ptrdiff_t offset = static_cast<ptrdiff_t>(taps.first[i]) * layout.pixel;
        __m256i units[kRows] = {}, middle[kRows] = {}, high[kRows] = {};
        for (int group = 0; group < taps.groups; ++group, weights += 4 * kGroup, offset += kGroup * layout.pixel) {
            const __m256i w = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(weights));
            const __m256i w0 = _mm256_shuffle_epi32(w, 0x00), w1 = _mm256_shuffle_epi32(w, 0x55);
            const __m256i w2 = _mm256_shuffle_epi32(w, 0xAA);
            for (int n = 0; n < kRows; ++n) {
                const __m256i pixels = _mm256_shuffle_epi8(load_group(rows[n] + offset, layout), by_channel);
                units[n] = _mm256_dpbusd_epi32(units[n], pixels, w0);
                middle[n] = _mm256_dpbusd_epi32(middle[n], pixels, w1);
                high[n] = _mm256_dpbusd_epi32(high[n], pixels, w2);
            }
        }
        for (int n = 0; n < kRows; ++n) {
            const __m256i upper = _mm256_add_epi32(_mm256_slli_epi32(high[n], 7), middle[n]);
            units[n] = _mm256_add_epi32(_mm256_slli_epi32(upper, 7), units[n]);
        }
        store_pixels(units, outs, 4 * i);
    }
}

}  // namespace

extern const Kernels kAvx512Vnni;
const Kernels kAvx512Vnni = {"avx512-vnni", horizontal, vertical_loop, avx2::yuv_row};

}  // namespace mcore
