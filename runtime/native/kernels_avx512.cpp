// AVX-512 with VBMI and VNNI: weights in three digits of 7 bits. One permutation puts 16 pixels of a row into reds,
// greens and blues; one instruction multiplies 64 bytes with a digit of their weights and adds them by fours.
#include "vectors.hpp"

namespace mcore {
namespace {

constexpr int kRowsAtOnce = 4;  // sums of four rows fill a vector, once they are added up

// 16 pixels to 16 reds, 16 greens, 16 blues, and 16 bytes that nobody looks at.
__m512i by_channel(const Layout& layout) {
    const int channels[4] = {layout.r, layout.g, layout.b, layout.b};
    alignas(64) int8_t bytes[64];
    for (int i = 0; i < 64; ++i) bytes[i] = static_cast<int8_t>(i % kBlock * layout.pixel + channels[i / kBlock]);
    return _mm512_load_si512(bytes);
}

// Four rows' sums by channel and by fours of pixels, added up: by channel, and in it one sum for each row.
__m512i add_up(const __m512i* rows) {
    const auto two = [](__m512i a, __m512i b) {
        return _mm512_add_epi32(_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
    };
    const __m512i first = two(rows[0], rows[1]), last = two(rows[2], rows[3]);
    return _mm512_add_epi32(_mm512_unpacklo_epi64(first, last), _mm512_unpackhi_epi64(first, last));
}

// One output of four rows, before it is rounded.
template <int kBlocks>
inline __attribute__((always_inline)) __m512i four_rows(const uint8_t* const* rows, ptrdiff_t offset, ptrdiff_t step,
                                                        const int8_t* digits, __mmask64 bytes, __m512i order) {
    __m512i pixels[kRowsAtOnce][kBlocks], sums[kRowsAtOnce] = {};
    for (int n = 0; n < kRowsAtOnce; ++n)
        for (int block = 0; block < kBlocks; ++block) {
            const __m512i read = _mm512_maskz_loadu_epi8(bytes, rows[n] + offset + block * step);
            pixels[n][block] = _mm512_permutexvar_epi8(order, read);
        }
    for (int digit = 0; digit < 3; ++digit) {
        if (digit > 0)
            for (int n = 0; n < kRowsAtOnce; ++n) sums[n] = _mm512_slli_epi32(sums[n], 7);
        for (int block = 0; block < kBlocks; ++block, digits += kBlock) {
            const __m512i weights = _mm512_broadcast_i32x4(_mm_loadu_si128(reinterpret_cast<const __m128i*>(digits)));
            for (int n = 0; n < kRowsAtOnce; ++n) sums[n] = _mm512_dpbusd_epi32(sums[n], pixels[n][block], weights);
        }
    }
    return add_up(sums);
}

template <int kBlocks>
void horizontal_blocks(const Taps& taps, const Layout& layout, const uint8_t* const* rows, uint8_t* const* outs) {
    const __m512i order = by_channel(layout), half = _mm512_set1_epi32(kHalf);
    const __mmask64 bytes = ~__mmask64(0) >> (64 - kBlock * layout.pixel);  // no row is read past its end
    const __m256i by_row = _mm256_setr_epi8(0, 16, 32, 0, 1, 17, 33, 0, 2, 18, 34, 0, 3, 19, 35, 0,  //
                                            4, 20, 36, 0, 5, 21, 37, 0, 6, 22, 38, 0, 7, 23, 39, 0);
    const int8_t* digits = taps.digits.data();
    for (size_t i = 0; i < taps.block_first.size(); ++i, digits += 3 * kBlocks * kBlock) {
        const ptrdiff_t offset = static_cast<ptrdiff_t>(taps.block_first[i]) * layout.pixel, step = kBlock * layout.pixel;
        fetch_ahead(rows, offset);
        const __m512i upper = four_rows<kBlocks>(rows, offset, step, digits, bytes, order);
        const __m512i lower = four_rows<kBlocks>(rows + kRowsAtOnce, offset, step, digits, bytes, order);
        const __m512i words = _mm512_packs_epi32(_mm512_srai_epi32(_mm512_add_epi32(upper, half), kBits),
                                                 _mm512_srai_epi32(_mm512_add_epi32(lower, half), kBits));
        const __m512i packed = _mm512_packus_epi16(words, words);  // of each channel eight rows, twice
        const __m512i by_rows = _mm512_maskz_permutexvar_epi8(0x77777777u, _mm512_castsi256_si512(by_row), packed);
        alignas(32) uint32_t pixels[kRows];
        _mm256_store_si256(reinterpret_cast<__m256i*>(pixels), _mm512_castsi512_si256(by_rows));
        for (int n = 0; n < kRows; ++n) {
            // Volatile, or GCC would gather the eight into a vector again, and take it apart.
            const uint32_t pixel = const_cast<const volatile uint32_t*>(pixels)[n];
            std::memcpy(outs[n] + 4 * i, &pixel, sizeof pixel);
        }
    }
}

void horizontal(const Axis& axis, const Taps& taps, const Layout& layout, const uint8_t* const* rows,
                uint8_t* const* outs) {
    static_assert(kRows == 2 * kRowsAtOnce, "two calls take all rows");
    switch (taps.blocks) {
        case 1: return horizontal_blocks<1>(taps, layout, rows, outs);
        case 2: return horizontal_blocks<2>(taps, layout, rows, outs);
        case 3: return horizontal_blocks<3>(taps, layout, rows, outs);
        case 4: return horizontal_blocks<4>(taps, layout, rows, outs);
        case 5: return horizontal_blocks<5>(taps, layout, rows, outs);
        default: return avx2::horizontal(axis, taps, layout, rows, outs);
    }
}

}  // namespace

extern const Kernels kAvx512;
const Kernels kAvx512 = {"avx512-vbmi", horizontal, vertical_loop, avx512::level_bytes, avx2::level_words,
                         avx2::sum_rows, avx512::yuv_row};

}  // namespace mcore
