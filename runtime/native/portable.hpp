// What every instruction set shares; included once by each, so that the compiler may use that set for the loops.
#pragma once
#include <algorithm>
#include <cstring>

#include "kernels.hpp"

namespace mcore {
namespace {

inline uint8_t narrow(int32_t sum) { return static_cast<uint8_t>(std::clamp(sum >> kBits, 0, 255)); }

inline void horizontal_scalar(const Axis& axis, const Layout& layout, const uint8_t* row, uint8_t* out) {
    for (size_t i = 0; i < axis.first.size(); ++i) {
        const int32_t* weights = axis.weights_of(static_cast<int>(i));
        const uint8_t* pixel = row + static_cast<ptrdiff_t>(axis.first[i]) * layout.pixel;
        int32_t r = kHalf, g = kHalf, b = kHalf;
        for (int k = 0; k < axis.count[i]; ++k, pixel += layout.pixel) {
            r += pixel[layout.r] * weights[k];
            g += pixel[layout.g] * weights[k];
            b += pixel[layout.b] * weights[k];
        }
        out[4 * i] = narrow(r);
        out[4 * i + 1] = narrow(g);
        out[4 * i + 2] = narrow(b);
        out[4 * i + 3] = 0;
    }
}

inline void horizontal_rows_scalar(const Axis& axis, const Taps&, const Layout& layout, const uint8_t* const* rows,
                                   uint8_t* const* outs) {
    for (int n = 0; n < kRows; ++n) horizontal_scalar(axis, layout, rows[n], outs[n]);
}

inline void vertical_loop(const uint8_t* rows, size_t stride, const int32_t* weights, int count, size_t length,
                          uint8_t* out) {
    constexpr size_t kBlock = 64;
    for (size_t begin = 0; begin < length; begin += kBlock) {
        const size_t n = std::min(kBlock, length - begin);
        int32_t sums[kBlock];
        std::fill(sums, sums + kBlock, kHalf);
        for (int k = 0; k < count; ++k) {
            const uint8_t* row = rows + k * stride + begin;
            const int32_t weight = weights[k];
            if (n == kBlock)
                for (size_t i = 0; i < kBlock; ++i) sums[i] += row[i] * weight;
            else
                for (size_t i = 0; i < n; ++i) sums[i] += row[i] * weight;
        }
        for (size_t i = 0; i < n; ++i) out[begin + i] = narrow(sums[i]);
    }
}

// For `count` pixels from x on; addresses past a plane are only hints.
template <bool kHalved> inline void fetch_rows_ahead(const ChromaSums& s, int x, int count) {
    constexpr int kLine = 64;
    for (int n = 0; n < 3; ++n) {
        const int half = kHalved && n > 0 ? 2 : 1;
        const ptrdiff_t length = count / half * s.ahead[n].step;
        const uintptr_t from = reinterpret_cast<uintptr_t>(s.ahead[n].data) + x / half * s.ahead[n].step;
        for (ptrdiff_t at = 0; at < length; at += kLine) __builtin_prefetch(reinterpret_cast<const void*>(from + at));
    }
}

inline void level_bytes_loop(const uint8_t* from, const Levels& levels, int count, uint8_t* to) {
    for (int i = 0; i < count; ++i) to[i] = levels.table[from[i]];
}

inline void level_words_loop(const uint8_t* from, const Level& l, int count, uint8_t* to) {
    for (int i = 0; i < count; ++i) to[i] = level(l, from[2 * i] | from[2 * i + 1] << 8);
}

inline void sum_rows_loop(const uint8_t* near, const uint8_t* far, int count, int16_t* to) {
    for (int i = 0; i < count; ++i) to[i] = static_cast<int16_t>(3 * near[i] + far[i]);
}

// Chroma of `count` pixels from x on, around 0.
inline void spread_loop(const int16_t* sums, const ChromaSums& s, int x, int count, int16_t* to) {
    constexpr int kMiddle = 128 << 4;
    if (!s.halved) {
        for (int i = 0; i < count; ++i) to[i] = static_cast<int16_t>((4 * sums[x + i] + s.bias.even - kMiddle) >> 4);
        return;
    }
    const int16_t* at = sums + x / 2;
    for (int i = 0; 2 * i < count; ++i) {
        to[2 * i] = static_cast<int16_t>((3 * at[i] + at[i - 1] + s.bias.even - kMiddle) >> 4);
        to[2 * i + 1] = static_cast<int16_t>((3 * at[i] + at[i + 1] + s.bias.odd - kMiddle) >> 4);
    }
}

// In blocks, whose loops compilers turn into vectors where there are any.
inline void yuv_row_loop(const uint8_t* luma, const ChromaSums& s, const Colours& c, int begin, int end, uint8_t* rgb) {
    constexpr int kBlock = 64;
    const auto v_to_r = static_cast<int16_t>(c.v_to_r - (1 << kFraction)), u_to_b = static_cast<int16_t>(c.u_to_b - (2 << kFraction));
    const auto u_to_g = static_cast<int16_t>(c.u_to_g), v_to_g = static_cast<int16_t>(c.v_to_g);
    for (int x = begin; x < end; x += kBlock) {
        const int count = std::min(kBlock, end - x);
        int16_t u[kBlock], v[kBlock], r[kBlock], g[kBlock], b[kBlock];
        spread_loop(s.u, s, x, count, u);
        spread_loop(s.v, s, x, count, v);
        for (int i = 0; i < count; ++i) {
            const int y = luma[x + i];
            const int red = y + v[i] + ((v[i] * v_to_r + kFractionHalf) >> kFraction);
            const int green = y + ((kFractionHalf - u[i] * u_to_g - v[i] * v_to_g) >> kFraction);
            const int blue = y + 2 * u[i] + ((u[i] * u_to_b + kFractionHalf) >> kFraction);
            r[i] = static_cast<int16_t>(std::clamp(red, 0, 255));
            g[i] = static_cast<int16_t>(std::clamp(green, 0, 255));
            b[i] = static_cast<int16_t>(std::clamp(blue, 0, 255));
        }
        uint8_t* to = rgb + 3 * static_cast<ptrdiff_t>(x);
        for (int i = 0; i < count; ++i) {
            to[3 * i] = static_cast<uint8_t>(r[i]);
            to[3 * i + 1] = static_cast<uint8_t>(g[i]);
            to[3 * i + 2] = static_cast<uint8_t>(b[i]);
        }
    }
}

}  // namespace
}  // namespace mcore
