// YUV to RGB with AVX-512 and VBMI: as yuv_avx2.cpp, 64 pixels at once, and bytes in any order by one instruction.
#include "vectors.hpp"

namespace mcore {
namespace avx512 {
namespace {

constexpr int kAtOnce = 64;  // pixels

__m512i load(const void* from) { return _mm512_loadu_si512(from); }

struct Spread {
    __m512i first, second;  // in the order of `unpack`: of every 16 pixels the first eight, then the others
};

template <bool kHalved> Spread spread(const int16_t* sums, int x, const Biases& bias) {
    constexpr int kMiddle = 128 << 4;
    if constexpr (kHalved) {
        const int16_t* at = sums + x / 2;
        const __m512i here = load(at), thrice = _mm512_add_epi16(_mm512_add_epi16(here, here), here);
        const auto mean = [&](const int16_t* other, int b) {
            const __m512i rounding = _mm512_set1_epi16(static_cast<int16_t>(b - kMiddle));
            return _mm512_srai_epi16(_mm512_add_epi16(_mm512_add_epi16(thrice, load(other)), rounding), 4);
        };
        const __m512i even = mean(at - 1, bias.even), odd = mean(at + 1, bias.odd);
        return {_mm512_unpacklo_epi16(even, odd), _mm512_unpackhi_epi16(even, odd)};
    } else {
        const __m512i rounding = _mm512_set1_epi16(static_cast<int16_t>(bias.even - kMiddle));
        const auto mean = [&](const int16_t* at) {
            return _mm512_srai_epi16(_mm512_add_epi16(_mm512_slli_epi16(load(at), 2), rounding), 4);
        };
        const __m512i left = mean(sums + x), right = mean(sums + x + 32);
        const __m512i evens = _mm512_setr_epi64(0, 1, 4, 5, 8, 9, 12, 13), odds = _mm512_setr_epi64(2, 3, 6, 7, 10, 11, 14, 15);
        return {_mm512_permutex2var_epi64(left, evens, right), _mm512_permutex2var_epi64(left, odds, right)};
    }
}

// For 64 bytes of pixels, vector n of three: where red and green come from, and where blue.
struct Order {
    alignas(64) int8_t red_green[3][64], blue[3][64];
    uint64_t is_blue[3];
};
constexpr Order interleaved() {
    Order order{};
    for (int n = 0; n < 3; ++n)
        for (int i = 0; i < 64; ++i) {
            const int channel = (64 * n + i) % 3, pixel = (64 * n + i) / 3;
            order.red_green[n][i] = static_cast<int8_t>(channel == 1 ? 64 + pixel : pixel);
            order.blue[n][i] = static_cast<int8_t>(pixel);
            if (channel == 2) order.is_blue[n] |= uint64_t(1) << i;
        }
    return order;
}
constexpr Order kOrder = interleaved();

struct Factors {
    __m512i red, blue, green;
    explicit Factors(const Colours& c)
        : red(_mm512_set1_epi16(static_cast<int16_t>(c.v_to_r - (1 << kFraction)))),
          blue(_mm512_set1_epi16(static_cast<int16_t>(c.u_to_b - (2 << kFraction)))),
          green(_mm512_set1_epi32(static_cast<int32_t>(static_cast<uint32_t>(-c.v_to_g) << 16 | (-c.u_to_g & 0xffff)))) {}
};

struct Wide {
    __m512i r, g, b;
};

inline Wide to_colours(__m512i luma, __m512i u, __m512i v, const Factors& f) {
    const auto green = [&](__m512i pairs) {
        const __m512i sum = _mm512_add_epi32(_mm512_madd_epi16(pairs, f.green), _mm512_set1_epi32(kFractionHalf));
        return _mm512_srai_epi32(sum, kFraction);
    };
    const __m512i g = _mm512_packs_epi32(green(_mm512_unpacklo_epi16(u, v)), green(_mm512_unpackhi_epi16(u, v)));
    const __m512i r = _mm512_add_epi16(_mm512_add_epi16(luma, v), _mm512_mulhrs_epi16(v, f.red));
    const __m512i b = _mm512_add_epi16(_mm512_add_epi16(luma, _mm512_add_epi16(u, u)), _mm512_mulhrs_epi16(u, f.blue));
    return {r, _mm512_add_epi16(luma, g), b};
}

template <bool kHalved>
int vectors_of_row(const uint8_t* luma, const ChromaSums& s, const Colours& c, int begin, int end, uint8_t* rgb) {
    const int last = (end - kAtOnce) & ~1;
    if (last < begin) return begin;
    const Factors factors(c);
    const __m512i zero = _mm512_setzero_si512();
    for (int x = begin; x <= last; x = x < last && x + kAtOnce > last ? last : x + kAtOnce) {
        const Spread u = spread<kHalved>(s.u, x, s.bias), v = spread<kHalved>(s.v, x, s.bias);
        const __m512i bytes = load(luma + x);
        fetch_rows_ahead<kHalved>(s, x, kAtOnce);
        const Wide first = to_colours(_mm512_unpacklo_epi8(bytes, zero), u.first, v.first, factors);
        const Wide second = to_colours(_mm512_unpackhi_epi8(bytes, zero), u.second, v.second, factors);
        const __m512i r = _mm512_packus_epi16(first.r, second.r), g = _mm512_packus_epi16(first.g, second.g);
        const __m512i b = _mm512_packus_epi16(first.b, second.b);
        uint8_t* to = rgb + 3 * static_cast<ptrdiff_t>(x);
        for (int n = 0; n < 3; ++n) {
            const __m512i two = _mm512_permutex2var_epi8(r, load(kOrder.red_green[n]), g);
            _mm512_storeu_si512(to + 64 * n, _mm512_mask_permutexvar_epi8(two, kOrder.is_blue[n], load(kOrder.blue[n]), b));
        }
    }
    return last + kAtOnce;
}

}  // namespace

// Two instructions look up 128 entries each, and the highest bit chooses.
void level_bytes(const uint8_t* from, const Levels& levels, int count, uint8_t* to) {
    const __m512i a = load(levels.table), b = load(levels.table + 64), c = load(levels.table + 128), d = load(levels.table + 192);
    for (int x = 0; x < count; x += kAtOnce) {
        const __mmask64 wanted = count - x >= kAtOnce ? ~__mmask64(0) : ~__mmask64(0) >> (kAtOnce - (count - x));
        const __m512i bytes = _mm512_maskz_loadu_epi8(wanted, from + x);
        const __m512i low = _mm512_permutex2var_epi8(a, bytes, b), high = _mm512_permutex2var_epi8(c, bytes, d);
        _mm512_mask_storeu_epi8(to + x, wanted, _mm512_mask_blend_epi8(_mm512_movepi8_mask(bytes), low, high));
    }
}

void yuv_row(const uint8_t* luma, const ChromaSums& s, const Colours& c, int begin, int end, uint8_t* rgb) {
    const int done = s.halved ? vectors_of_row<true>(luma, s, c, begin, end, rgb) : vectors_of_row<false>(luma, s, c, begin, end, rgb);
    avx2::yuv_row(luma, s, c, done, end, rgb);
}

}  // namespace avx512
}  // namespace mcore
