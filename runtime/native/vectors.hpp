// What the kernels for x86 share. Only for files that are compiled for AVX2 at least.
#pragma once
#include <immintrin.h>

#include "portable.hpp"

namespace mcore {
namespace avx2 {

void horizontal(const Axis& axis, const Taps& taps, const Layout& layout, const uint8_t* const* rows,
                uint8_t* const* outs);
void level_bytes(const uint8_t* from, const Levels& levels, int count, uint8_t* to);
void level_words(const uint8_t* from, const Level& level, int count, uint8_t* to);
void sum_rows(const uint8_t* near, const uint8_t* far, int count, int16_t* to);
void yuv_row(const uint8_t* luma, const ChromaSums& sums, const Colours& c, int begin, int end, uint8_t* rgb);

}  // namespace avx2

namespace avx512 {

void level_bytes(const uint8_t* from, const Levels& levels, int count, uint8_t* to);
void yuv_row(const uint8_t* luma, const ChromaSums& sums, const Colours& c, int begin, int end, uint8_t* rgb);

}  // namespace avx512

namespace {

constexpr int kPairs = kRows / 2;  // of rows, one in each half of a vector

// Loads of 16 bytes for four pixels must not pass the row's end: they begin this many bytes before the pixels, but for
// the row's first outputs, which have room behind them.
inline int bytes_before(const Layout& layout, int first) { return first < kMargin ? 0 : 16 - kGroup * layout.pixel; }

// Eight rows at once are more than processors fetch by themselves in time. The address may be past a row: it is only a hint.
inline void fetch_ahead(const uint8_t* const* rows, ptrdiff_t offset) {
    constexpr ptrdiff_t kAhead = 320;  // bytes; the best of 128 to 2048
    for (int n = 0; n < kRows; ++n)
        _mm_prefetch(reinterpret_cast<const char*>(reinterpret_cast<uintptr_t>(rows[n]) + offset + kAhead), _MM_HINT_T0);
}

inline __m256i load_pair(const uint8_t* upper, const uint8_t* lower) {
    const __m128i first = _mm_loadu_si128(reinterpret_cast<const __m128i*>(upper));
    const __m128i second = _mm_loadu_si128(reinterpret_cast<const __m128i*>(lower));
    return _mm256_inserti128_si256(_mm256_castsi128_si256(first), second, 1);
}

// Four bytes of weights, everywhere.
inline __m256i broadcast(const void* weights) {
    int32_t value;
    std::memcpy(&value, weights, sizeof value);
    return _mm256_set1_epi32(value);
}

// Round and clamp each row's sums (red, green, blue, nothing), and write one pixel to each row.
inline void store_pixels(const __m256i* sums, uint8_t* const* outs, size_t offset) {
    static_assert(kRows == 8, "eight rows fill a vector of pixels");
    const __m256i half = _mm256_setr_epi32(kHalf, kHalf, kHalf, 0, kHalf, kHalf, kHalf, 0);
    __m256i rounded[kPairs];
    for (int n = 0; n < kPairs; ++n) rounded[n] = _mm256_srai_epi32(_mm256_add_epi32(sums[n], half), kBits);
    alignas(32) uint8_t bytes[32];
    _mm256_store_si256(reinterpret_cast<__m256i*>(bytes),
                       _mm256_packus_epi16(_mm256_packs_epi32(rounded[0], rounded[1]),
                                           _mm256_packs_epi32(rounded[2], rounded[3])));
    for (int n = 0; n < kRows; ++n) std::memcpy(outs[n] + offset, bytes + 4 * (n / 2) + 16 * (n % 2), 4);
}

}  // namespace
}  // namespace mcore
