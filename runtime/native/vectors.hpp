// What the kernels for x86 share. Only for files that are compiled for AVX2 at least.
#pragma once
#include <immintrin.h>

#include "portable.hpp"

namespace mcore {
namespace avx2 {

void horizontal(const Axis& axis, const Taps& taps, const Layout& layout, const uint8_t* const* rows,
                uint8_t* const* outs);
void yuv_row(const uint8_t* y, const uint8_t* u, const uint8_t* v, int chroma_step, const YuvCoefficients& c, int begin,
             int end, uint8_t* rgbx);

}  // namespace avx2

namespace {

// Eight pixels, four in each half; the second load ends where the pixels end, so that nothing beyond is touched.
inline __m256i load_group(const uint8_t* pixels, const Layout& layout) {
    const __m128i low = _mm_loadu_si128(reinterpret_cast<const __m128i*>(pixels));
    const __m128i high = _mm_loadu_si128(reinterpret_cast<const __m128i*>(pixels + kGroup * layout.pixel - 16));
    return _mm256_inserti128_si256(_mm256_castsi128_si256(low), high, 1);
}

// Where a byte of the group's pixel 4 * half + k lies within that half.
inline int8_t byte_of(const Layout& layout, int half, int k, int channel) {
    return static_cast<int8_t>(k * layout.pixel + channel + half * (16 - 4 * layout.pixel));
}

// Add the halves of each row's sums (red, green, blue, nothing), round, clamp, and write one pixel to each row.
inline void store_pixels(const __m256i* sums, uint8_t* const* outs, size_t offset) {
    __m128i rounded[kRows];
    for (int n = 0; n < kRows; ++n) {
        const __m128i sum = _mm_add_epi32(_mm256_castsi256_si128(sums[n]), _mm256_extracti128_si256(sums[n], 1));
        rounded[n] = _mm_srai_epi32(_mm_add_epi32(sum, _mm_setr_epi32(kHalf, kHalf, kHalf, 0)), kBits);
    }
    alignas(16) uint8_t bytes[16];
    _mm_store_si128(reinterpret_cast<__m128i*>(bytes), _mm_packus_epi16(_mm_packs_epi32(rounded[0], rounded[1]),
                                                                       _mm_packs_epi32(rounded[2], rounded[3])));
    for (int n = 0; n < kRows; ++n) std::memcpy(outs[n] + offset, bytes + 4 * n, 4);
}

}  // namespace
}  // namespace mcore
