// AVX2: weights in two 11-bit parts, so that the multiply-add of 16-bit pairs computes the 22-bit products exactly.
#include "vectors.hpp"

namespace mcore {
namespace {

// From four pixels in each half, `at` and `at` + 1 as 16-bit pairs: reds, greens, blues, zeros.
__m256i pair_shuffle(const Layout& layout, int at, int skip) {
    const int channels[3] = {layout.r, layout.g, layout.b};
    alignas(32) int8_t bytes[32];
    std::memset(bytes, -1, sizeof bytes);  // -1 makes a zero
    for (int half = 0; half < 2; ++half)
        for (int c = 0; c < 3; ++c)
            for (int k = 0; k < 2; ++k)
                bytes[half * 16 + c * 4 + k * 2] = static_cast<int8_t>(skip + (at + k) * layout.pixel + channels[c]);
    return _mm256_load_si256(reinterpret_cast<const __m256i*>(bytes));
}

}  // namespace

namespace avx2 {

void horizontal(const Axis& axis, const Taps& taps, const Layout& layout, const uint8_t* const* rows,
                uint8_t* const* outs) {
    if (taps.groups == 0) return horizontal_rows_scalar(axis, taps, layout, rows, outs);
    const int16_t* weights = taps.pairs.data();
    __m256i first_two{}, last_two{};
    int skipped = -1;
    for (size_t i = 0; i < taps.first.size(); ++i) {
        const int skip = bytes_before(layout, taps.first[i]);
        if (skip != skipped) {  // after the first outputs of a row it stays the same
            first_two = pair_shuffle(layout, 0, skip);
            last_two = pair_shuffle(layout, 2, skip);
            skipped = skip;
        }
        ptrdiff_t offset = static_cast<ptrdiff_t>(taps.first[i]) * layout.pixel - skip;
        fetch_ahead(rows, offset);
        __m256i low[kPairs] = {}, high[kPairs] = {};
        for (int group = 0; group < taps.groups; ++group, weights += 2 * kGroup, offset += kGroup * layout.pixel) {
            const __m256i low_first = broadcast(weights), low_last = broadcast(weights + 2);
            const __m256i high_first = broadcast(weights + 4), high_last = broadcast(weights + 6);
            for (int n = 0; n < kPairs; ++n) {
                const __m256i pixels = load_pair(rows[2 * n] + offset, rows[2 * n + 1] + offset);
                const __m256i a = _mm256_shuffle_epi8(pixels, first_two), b = _mm256_shuffle_epi8(pixels, last_two);
                low[n] = _mm256_add_epi32(low[n], _mm256_madd_epi16(a, low_first));
                high[n] = _mm256_add_epi32(high[n], _mm256_madd_epi16(a, high_first));
                low[n] = _mm256_add_epi32(low[n], _mm256_madd_epi16(b, low_last));
                high[n] = _mm256_add_epi32(high[n], _mm256_madd_epi16(b, high_last));
            }
        }
        for (int n = 0; n < kPairs; ++n) low[n] = _mm256_add_epi32(_mm256_slli_epi32(high[n], 11), low[n]);
        store_pixels(low, outs, 4 * i);
    }
}

}  // namespace avx2

extern const Kernels kAvx2;
const Kernels kAvx2 = {"avx2", avx2::horizontal, vertical_loop, avx2::level_bytes, avx2::level_words,
                      avx2::sum_rows, avx2::yuv_row};

}  // namespace mcore
