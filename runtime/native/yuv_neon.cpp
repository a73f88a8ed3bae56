// YUV to RGB with NEON: as yuv_avx2.cpp, 16 pixels at once.
#include "neon.hpp"

namespace mcore {
namespace neon {
namespace {

constexpr int kAtOnce = 16;  // pixels

struct Spread {
    int16x8_t first, second;
};

// Chroma of 16 pixels around 0.
template <bool kHalved> Spread spread(const int16_t* sums, int x, const Biases& bias) {
    constexpr int kMiddle = 128 << 4;
    const int16x8_t even_rounding = vdupq_n_s16(static_cast<int16_t>(bias.even - kMiddle));
    if constexpr (kHalved) {
        const int16_t* at = sums + x / 2;
        const int16x8_t here = vld1q_s16(at), thrice = vaddq_s16(vaddq_s16(here, here), here);
        const int16x8_t odd_rounding = vdupq_n_s16(static_cast<int16_t>(bias.odd - kMiddle));
        const int16x8_t even = vshrq_n_s16(vaddq_s16(vaddq_s16(thrice, vld1q_s16(at - 1)), even_rounding), 4);
        const int16x8_t odd = vshrq_n_s16(vaddq_s16(vaddq_s16(thrice, vld1q_s16(at + 1)), odd_rounding), 4);
        return {vzip1q_s16(even, odd), vzip2q_s16(even, odd)};
    } else {
        const auto mean = [&](const int16_t* at) {
            return vshrq_n_s16(vaddq_s16(vshlq_n_s16(vld1q_s16(at), 2), even_rounding), 4);
        };
        return {mean(sums + x), mean(sums + x + 8)};
    }
}

struct Factors {
    int16_t red, blue, u_to_g, v_to_g;  // beyond 1, beyond 2, subtracted
    explicit Factors(const Colours& c)
        : red(static_cast<int16_t>(c.v_to_r - (1 << kFraction))), blue(static_cast<int16_t>(c.u_to_b - (2 << kFraction))),
          u_to_g(static_cast<int16_t>(-c.u_to_g)), v_to_g(static_cast<int16_t>(-c.v_to_g)) {}
};

struct Bytes {
    uint8x8_t r, g, b;
};

inline Bytes to_colours(uint8x8_t bytes, int16x8_t u, int16x8_t v, const Factors& f) {
    const int16x8_t luma = vreinterpretq_s16_u16(vmovl_u8(bytes));
    const auto green = [&](int16x4_t us, int16x4_t vs) {
        return vrshrn_n_s32(vmlal_n_s16(vmull_n_s16(us, f.u_to_g), vs, f.v_to_g), kFraction);
    };
    const int16x8_t g = vcombine_s16(green(vget_low_s16(u), vget_low_s16(v)), green(vget_high_s16(u), vget_high_s16(v)));
    const int16x8_t r = vaddq_s16(vaddq_s16(luma, v), vqrdmulhq_n_s16(v, f.red));
    const int16x8_t b = vaddq_s16(vaddq_s16(luma, vaddq_s16(u, u)), vqrdmulhq_n_s16(u, f.blue));
    return {vqmovun_s16(r), vqmovun_s16(vaddq_s16(luma, g)), vqmovun_s16(b)};
}

// Calls each(x) for every x at which a vector begins; the last one overlaps those before. Returns where loops go on.
template <class Each> int by_vectors(int begin, int end, const Each& each) {
    const int last = (end - kAtOnce) & ~1;
    if (last < begin) return begin;
    for (int x = begin; x < last; x += kAtOnce) each(x);
    each(last);
    return last + kAtOnce;
}

template <bool kHalved>
int vectors_of_row(const uint8_t* luma, const ChromaSums& s, const Colours& c, int begin, int end, uint8_t* rgb) {
    const Factors factors(c);
    return by_vectors(begin, end, [&](int x) {
        const Spread u = spread<kHalved>(s.u, x, s.bias), v = spread<kHalved>(s.v, x, s.bias);
        const uint8x16_t bytes = vld1q_u8(luma + x);
        fetch_rows_ahead<kHalved>(s, x, kAtOnce);
        const Bytes first = to_colours(vget_low_u8(bytes), u.first, v.first, factors);
        const Bytes second = to_colours(vget_high_u8(bytes), u.second, v.second, factors);
        const uint8x16x3_t pixels = {{vcombine_u8(first.r, second.r), vcombine_u8(first.g, second.g), vcombine_u8(first.b, second.b)}};
        vst3q_u8(rgb + 3 * static_cast<ptrdiff_t>(x), pixels);
    });
}

}  // namespace

void level_bytes(const uint8_t* from, const Levels& l, int count, uint8_t* to) {
    const int16x8_t zero = vdupq_n_s16(static_cast<int16_t>(l.zero)), offset = vdupq_n_s16(static_cast<int16_t>(l.offset));
    const auto factor = static_cast<int16_t>(l.factor - (1 << kFraction));
    const int done = by_vectors(0, count, [&](int x) {
        const uint8x16_t bytes = vld1q_u8(from + x);
        const auto scaled = [&](uint8x8_t samples) {
            const int16x8_t above = vsubq_s16(vreinterpretq_s16_u16(vmovl_u8(samples)), zero);
            return vqmovun_s16(vaddq_s16(vaddq_s16(above, offset), vqrdmulhq_n_s16(above, factor)));
        };
        vst1q_u8(to + x, vcombine_u8(scaled(vget_low_u8(bytes)), scaled(vget_high_u8(bytes))));
    });
    level_bytes_loop(from + done, l, count - done, to + done);
}

void level_words(const uint8_t* from, const Level& l, int count, uint8_t* to) {
    const int16x8_t zero = vdupq_n_s16(static_cast<int16_t>(l.zero)), offset = vdupq_n_s16(static_cast<int16_t>(l.offset));
    const int16x8_t shift = vdupq_n_s16(static_cast<int16_t>(-l.shift));  // to the left, so that it is to the right
    const uint16x8_t top = vdupq_n_u16(static_cast<uint16_t>(l.top));
    const auto factor = static_cast<int16_t>(l.factor);
    const int done = by_vectors(0, count, [&](int x) {
        const auto scaled = [&](const uint8_t* at) {
            const uint16x8_t samples = vminq_u16(vshlq_u16(vreinterpretq_u16_u8(vld1q_u8(at)), shift), top);
            const int16x8_t above = vsubq_s16(vreinterpretq_s16_u16(samples), zero);
            return vqmovun_s16(vaddq_s16(vqrdmulhq_n_s16(above, factor), offset));
        };
        const uint8_t* at = from + 2 * static_cast<ptrdiff_t>(x);
        vst1q_u8(to + x, vcombine_u8(scaled(at), scaled(at + 16)));
    });
    level_words_loop(from + 2 * static_cast<ptrdiff_t>(done), l, count - done, to + done);
}

void yuv_row(const uint8_t* luma, const ChromaSums& s, const Colours& c, int begin, int end, uint8_t* rgb) {
    const int done = s.halved ? vectors_of_row<true>(luma, s, c, begin, end, rgb) : vectors_of_row<false>(luma, s, c, begin, end, rgb);
    yuv_row_loop(luma, s, c, done, end, rgb);
}

}  // namespace neon
}  // namespace mcore
