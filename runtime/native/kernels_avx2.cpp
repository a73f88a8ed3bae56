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

struct Chroma {
    __m256i u, v;  // eight samples each, around 0
};

Chroma planar_chroma(const uint8_t* u, const uint8_t* v) {
    const auto wide = [](const uint8_t* from) {
        return _mm256_sub_epi32(_mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(from))),
                                _mm256_set1_epi32(128));
    };
    return {wide(u), wide(v)};
}

Chroma interleaved_chroma(const uint8_t* pairs) {
    const __m256i both = _mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(pairs)));
    const __m256i middle = _mm256_set1_epi32(128);
    return {_mm256_sub_epi32(_mm256_and_si256(both, _mm256_set1_epi32(255)), middle),
            _mm256_sub_epi32(_mm256_srli_epi32(both, 8), middle)};
}

// Sixteen pixels to red, green, blue, nothing.
void yuv_sixteen(const uint8_t* y, const Chroma& chroma, const YuvCoefficients& c, uint8_t* rgbx) {
    const auto times = [](__m256i x, int32_t factor) { return _mm256_mullo_epi32(x, _mm256_set1_epi32(factor)); };
    const __m256i red = times(chroma.v, c.v_to_r), blue = times(chroma.u, c.u_to_b);
    const __m256i green = _mm256_add_epi32(times(chroma.u, -c.u_to_g), times(chroma.v, -c.v_to_g));
    const __m256i twice[2] = {_mm256_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3), _mm256_setr_epi32(4, 4, 5, 5, 6, 6, 7, 7)};
    const __m256i black = _mm256_set1_epi32(c.black), rounding = _mm256_set1_epi32(1 << 15);
    __m256i r[2], g[2], b[2];
    for (int n = 0; n < 2; ++n) {
        const __m256i bytes = _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(y + 8 * n)));
        const __m256i luma = _mm256_add_epi32(times(_mm256_sub_epi32(bytes, black), c.luma), rounding);
        const auto sum = [&](__m256i colour) {
            return _mm256_srai_epi32(_mm256_add_epi32(luma, _mm256_permutevar8x32_epi32(colour, twice[n])), 16);
        };
        r[n] = sum(red);
        g[n] = sum(green);
        b[n] = sum(blue);
    }
    // Packing clamps to 0..255. It works within halves: pixels 0-3 and 8-11 in the first, 4-7 and 12-15 in the second.
    const __m256i rg = _mm256_packus_epi16(_mm256_packs_epi32(r[0], r[1]), _mm256_packs_epi32(g[0], g[1]));
    const __m256i bx = _mm256_packus_epi16(_mm256_packs_epi32(b[0], b[1]), _mm256_setzero_si256());
    const __m256i alternate = _mm256_broadcastsi128_si256(
        _mm_setr_epi8(0, 8, 1, 9, 2, 10, 3, 11, 4, 12, 5, 13, 6, 14, 7, 15));
    const __m256i rgs = _mm256_shuffle_epi8(rg, alternate), bxs = _mm256_shuffle_epi8(bx, alternate);
    const __m256i first = _mm256_unpacklo_epi16(rgs, bxs), second = _mm256_unpackhi_epi16(rgs, bxs);
    __m256i* to = reinterpret_cast<__m256i*>(rgbx);
    _mm256_storeu_si256(to, first);
    _mm256_storeu_si256(to + 1, second);
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

void yuv_row(const uint8_t* y, const uint8_t* u, const uint8_t* v, int chroma_step, const YuvCoefficients& c, int begin,
             int end, uint8_t* rgbx) {
    const bool interleaved = chroma_step == 2 && v == u + 1;
    int x = begin & ~1;
    const int last = (end - 16) & ~1;  // where the last sixteen begin, overlapping those before
    if ((interleaved || chroma_step == 1) && last >= x)
        for (bool done = false; !done; x += 16) {
            done = x + 16 > last;
            x = std::min(x, last);
            const Chroma chroma = interleaved ? interleaved_chroma(u + x) : planar_chroma(u + x / 2, v + x / 2);
            yuv_sixteen(y + x, chroma, c, rgbx + static_cast<ptrdiff_t>(x) * 4);
        }
    yuv_row_loop(y, u, v, chroma_step, c, x, end, rgbx);
}

}  // namespace avx2

extern const Kernels kAvx2;
const Kernels kAvx2 = {"avx2", avx2::horizontal, vertical_loop, avx2::yuv_row};

}  // namespace mcore
