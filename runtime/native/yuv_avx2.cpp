// YUV to RGB with AVX2. All factors have 15 bits behind the point, so that the rounded product of 16-bit numbers, one
// instruction, is the definition's.
#include "vectors.hpp"

namespace mcore {
namespace avx2 {
namespace {

constexpr int kAtOnce = 32;  // pixels

__m256i load(const void* from) { return _mm256_loadu_si256(static_cast<const __m256i*>(from)); }

void store(void* to, __m256i value) { _mm256_storeu_si256(static_cast<__m256i*>(to), value); }

// Calls each(x) for every x at which a vector begins; the last one overlaps those before. Returns where loops go on.
template <class Each> int by_vectors(int begin, int end, const Each& each) {
    const int last = (end - kAtOnce) & ~1;
    if (last < begin) return begin;
    for (int x = begin; x < last; x += kAtOnce) each(x);
    each(last);
    return last + kAtOnce;
}

// Where the bytes of channel c come from in vector n of three that hold 16 pixels; -1 makes a zero.
struct Order {
    alignas(16) int8_t from[3][3][16];
};
constexpr Order interleaved() {
    Order order{};
    for (int n = 0; n < 3; ++n)
        for (int c = 0; c < 3; ++c)
            for (int i = 0; i < 16; ++i)
                order.from[n][c][i] = static_cast<int8_t>((16 * n + i) % 3 == c ? (16 * n + i) / 3 : -1);
    return order;
}
constexpr Order kOrder = interleaved();

// Of three channels, 16 pixels in each half, vector n of three in memory's order.
template <int n> __m256i interleave(const __m256i (&channels)[3]) {
    const auto part = [&](int c) {
        const __m128i order = _mm_load_si128(reinterpret_cast<const __m128i*>(kOrder.from[n][c]));
        return _mm256_shuffle_epi8(channels[c], _mm256_broadcastsi128_si256(order));
    };
    return _mm256_or_si256(_mm256_or_si256(part(0), part(1)), part(2));
}

// Chroma of 32 pixels around 0, in the order of `unpack`: pixels 0-7 and 16-23, then the others.
struct Spread {
    __m256i first, second;
};

template <bool kHalved> Spread spread(const int16_t* sums, int x, const Biases& bias) {
    constexpr int kMiddle = 128 << 4;
    if constexpr (kHalved) {
        const int16_t* at = sums + x / 2;
        const __m256i here = load(at), thrice = _mm256_add_epi16(_mm256_add_epi16(here, here), here);
        const auto mean = [&](const int16_t* other, int b) {
            const __m256i rounding = _mm256_set1_epi16(static_cast<int16_t>(b - kMiddle));
            return _mm256_srai_epi16(_mm256_add_epi16(_mm256_add_epi16(thrice, load(other)), rounding), 4);
        };
        const __m256i even = mean(at - 1, bias.even), odd = mean(at + 1, bias.odd);
        return {_mm256_unpacklo_epi16(even, odd), _mm256_unpackhi_epi16(even, odd)};
    } else {
        const __m256i rounding = _mm256_set1_epi16(static_cast<int16_t>(bias.even - kMiddle));
        const auto mean = [&](const int16_t* at) {
            return _mm256_srai_epi16(_mm256_add_epi16(_mm256_slli_epi16(load(at), 2), rounding), 4);
        };
        const __m256i left = mean(sums + x), right = mean(sums + x + 16);
        return {_mm256_permute2x128_si256(left, right, 0x20), _mm256_permute2x128_si256(left, right, 0x31)};
    }
}

struct Factors {
    __m256i red, blue, green;  // beyond 1, beyond 2, of u and v in turn
    explicit Factors(const Colours& c)
        : red(_mm256_set1_epi16(static_cast<int16_t>(c.v_to_r - (1 << kFraction)))),
          blue(_mm256_set1_epi16(static_cast<int16_t>(c.u_to_b - (2 << kFraction)))),
          green(_mm256_set1_epi32(static_cast<int32_t>(static_cast<uint32_t>(-c.v_to_g) << 16 | (-c.u_to_g & 0xffff)))) {}
};

struct Wide {
    __m256i r, g, b;  // 16 pixels each, before they are clamped
};

inline Wide to_colours(__m256i luma, __m256i u, __m256i v, const Factors& f) {
    const auto green = [&](__m256i pairs) {
        const __m256i sum = _mm256_add_epi32(_mm256_madd_epi16(pairs, f.green), _mm256_set1_epi32(kFractionHalf));
        return _mm256_srai_epi32(sum, kFraction);
    };
    const __m256i g = _mm256_packs_epi32(green(_mm256_unpacklo_epi16(u, v)), green(_mm256_unpackhi_epi16(u, v)));
    const __m256i r = _mm256_add_epi16(_mm256_add_epi16(luma, v), _mm256_mulhrs_epi16(v, f.red));
    const __m256i b = _mm256_add_epi16(_mm256_add_epi16(luma, _mm256_add_epi16(u, u)), _mm256_mulhrs_epi16(u, f.blue));
    return {r, _mm256_add_epi16(luma, g), b};
}

template <bool kHalved>
int vectors_of_row(const uint8_t* luma, const ChromaSums& s, const Colours& c, int begin, int end, uint8_t* rgb) {
    const Factors factors(c);
    const __m256i zero = _mm256_setzero_si256();
    return by_vectors(begin, end, [&](int x) {
        const Spread u = spread<kHalved>(s.u, x, s.bias), v = spread<kHalved>(s.v, x, s.bias);
        const __m256i bytes = load(luma + x);
        fetch_rows_ahead<kHalved>(s, x, kAtOnce);
        const Wide first = to_colours(_mm256_unpacklo_epi8(bytes, zero), u.first, v.first, factors);
        const Wide second = to_colours(_mm256_unpackhi_epi8(bytes, zero), u.second, v.second, factors);
        const __m256i channels[3] = {_mm256_packus_epi16(first.r, second.r), _mm256_packus_epi16(first.g, second.g),
                                     _mm256_packus_epi16(first.b, second.b)};
        const __m256i a = interleave<0>(channels), b = interleave<1>(channels), d = interleave<2>(channels);
        uint8_t* to = rgb + 3 * static_cast<ptrdiff_t>(x);
        store(to, _mm256_permute2x128_si256(a, b, 0x20));
        store(to + 32, _mm256_permute2x128_si256(d, a, 0x30));
        store(to + 64, _mm256_permute2x128_si256(b, d, 0x31));
    });
}

}  // namespace

void level_bytes(const uint8_t* from, const Levels& l, int count, uint8_t* to) {
    const __m256i black = _mm256_set1_epi16(static_cast<int16_t>(l.zero)), zero = _mm256_setzero_si256();
    const __m256i factor = _mm256_set1_epi16(static_cast<int16_t>(l.factor - (1 << kFraction)));
    const __m256i offset = _mm256_set1_epi16(static_cast<int16_t>(l.offset));
    const int done = by_vectors(0, count, [&](int x) {
        const __m256i bytes = load(from + x);
        const auto scaled = [&](__m256i samples) {
            const __m256i above = _mm256_sub_epi16(samples, black);
            return _mm256_add_epi16(_mm256_add_epi16(above, offset), _mm256_mulhrs_epi16(above, factor));
        };
        store(to + x, _mm256_packus_epi16(scaled(_mm256_unpacklo_epi8(bytes, zero)), scaled(_mm256_unpackhi_epi8(bytes, zero))));
    });
    level_bytes_loop(from + done, l, count - done, to + done);
}

void level_words(const uint8_t* from, const Level& l, int count, uint8_t* to) {
    const __m256i zero = _mm256_set1_epi16(static_cast<int16_t>(l.zero)), top = _mm256_set1_epi16(static_cast<int16_t>(l.top));
    const __m256i factor = _mm256_set1_epi16(static_cast<int16_t>(l.factor));
    const __m256i offset = _mm256_set1_epi16(static_cast<int16_t>(l.offset));
    const __m128i shift = _mm_cvtsi32_si128(l.shift);
    const int done = by_vectors(0, count, [&](int x) {
        const auto scaled = [&](const uint8_t* at) {
            const __m256i samples = _mm256_min_epu16(_mm256_srl_epi16(load(at), shift), top);
            return _mm256_add_epi16(_mm256_mulhrs_epi16(_mm256_sub_epi16(samples, zero), factor), offset);
        };
        const uint8_t* at = from + 2 * static_cast<ptrdiff_t>(x);
        const __m256i bytes = _mm256_packus_epi16(scaled(at), scaled(at + 32));
        store(to + x, _mm256_permute4x64_epi64(bytes, 0xd8));
    });
    level_words_loop(from + 2 * static_cast<ptrdiff_t>(done), l, count - done, to + done);
}

void sum_rows(const uint8_t* near, const uint8_t* far, int count, int16_t* to) { sum_rows_loop(near, far, count, to); }

void yuv_row(const uint8_t* luma, const ChromaSums& s, const Colours& c, int begin, int end, uint8_t* rgb) {
    const int done = s.halved ? vectors_of_row<true>(luma, s, c, begin, end, rgb) : vectors_of_row<false>(luma, s, c, begin, end, rgb);
    yuv_row_loop(luma, s, c, done, end, rgb);
}

}  // namespace avx2
}  // namespace mcore
