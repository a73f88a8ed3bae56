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

inline uint32_t to_byte(int32_t fixed) { return static_cast<uint32_t>(std::clamp(fixed >> 16, 0, 255)); }

inline void yuv_row_loop(const uint8_t* y, const uint8_t* u, const uint8_t* v, int chroma_step,
                         const YuvCoefficients& c, int begin, int end, uint8_t* rgbx) {
    for (int x = begin; x < end; ++x) {
        const ptrdiff_t at = static_cast<ptrdiff_t>(x / 2) * chroma_step;
        const int32_t du = u[at] - 128, dv = v[at] - 128, luma = (y[x] - c.black) * c.luma + (1 << 15);
        const uint32_t red = to_byte(luma + c.v_to_r * dv), blue = to_byte(luma + c.u_to_b * du);
        const uint32_t pixel = red | to_byte(luma - c.u_to_g * du - c.v_to_g * dv) << 8 | blue << 16;
        std::memcpy(rgbx + static_cast<ptrdiff_t>(x) * 4, &pixel, 4);
    }
}

}  // namespace
}  // namespace mcore
