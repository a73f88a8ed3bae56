// NEON: one load separates eight pixels into channels, which are multiplied by the whole weights.
#include "neon.hpp"

namespace mcore {
namespace {

struct Channels {
    uint8x8_t r, g, b;
};

template <int kPixel> Channels load_group(const uint8_t* pixels, const Layout& layout) {
    if constexpr (kPixel == 3) {
        const uint8x8x3_t all = vld3_u8(pixels);
        return layout.r == 0 ? Channels{all.val[0], all.val[1], all.val[2]} : Channels{all.val[2], all.val[1], all.val[0]};
    } else {
        const uint8x8x4_t all = vld4_u8(pixels);
        return {all.val[layout.r], all.val[layout.g], all.val[layout.b]};
    }
}

inline int32x4_t add_products(int32x4_t sums, uint8x8_t pixels, int32x4_t first, int32x4_t second) {
    const int16x8_t wide = vreinterpretq_s16_u16(vmovl_u8(pixels));
    sums = vmlaq_s32(sums, vmovl_s16(vget_low_s16(wide)), first);
    return vmlaq_s32(sums, vmovl_s16(vget_high_s16(wide)), second);
}

template <int kPixel>
void horizontal_pixels(const Taps& taps, const Layout& layout, const uint8_t* row, uint8_t* out) {
    const int32_t* weights = taps.whole.data();
    for (size_t i = 0; i < taps.first.size(); ++i) {
        const uint8_t* pixels = row + static_cast<ptrdiff_t>(taps.first[i]) * kPixel;
        int32x4_t r = vdupq_n_s32(0), g = r, b = r;
        for (int group = 0; group < taps.groups; ++group, weights += kGroup, pixels += kGroup * kPixel) {
            const int32x4_t first = vld1q_s32(weights), second = vld1q_s32(weights + 4);
            const Channels channels = load_group<kPixel>(pixels, layout);
            r = add_products(r, channels.r, first, second);
            g = add_products(g, channels.g, first, second);
            b = add_products(b, channels.b, first, second);
        }
        out[4 * i] = narrow(vaddvq_s32(r) + kHalf);
        out[4 * i + 1] = narrow(vaddvq_s32(g) + kHalf);
        out[4 * i + 2] = narrow(vaddvq_s32(b) + kHalf);
        out[4 * i + 3] = 0;
    }
}

void horizontal(const Axis& axis, const Taps& taps, const Layout& layout, const uint8_t* const* rows,
                uint8_t* const* outs) {
    if (taps.groups == 0 || layout.g != 1) return horizontal_rows_scalar(axis, taps, layout, rows, outs);
    for (int n = 0; n < kRows; ++n) {
        if (layout.pixel == 3)
            horizontal_pixels<3>(taps, layout, rows[n], outs[n]);
        else
            horizontal_pixels<4>(taps, layout, rows[n], outs[n]);
    }
}

}  // namespace

extern const Kernels kNeon;
const Kernels kNeon = {"neon", horizontal, vertical_loop, neon::level_bytes, neon::level_words, sum_rows_loop, neon::yuv_row};

}  // namespace mcore
