// What one thread of the CUDA kernels computes; host code too, so that a machine without a GPU can check the numbers.
#pragma once
#include "../plan.hpp"

#ifdef __CUDACC__
#define MCORE_BOTH __host__ __device__
#else
#define MCORE_BOTH
#endif

namespace mcore {

struct Rgbx {
    uint8_t r, g, b, x;
};

MCORE_BOTH inline uint8_t clamp_byte(int32_t value) { return static_cast<uint8_t>(value < 0 ? 0 : value > 255 ? 255 : value); }

MCORE_BOTH inline Rgbx pixel_at(const Packed& frame, int x, int y) {
    const uint8_t* pixel = frame.data + y * frame.row_stride + x * frame.pixel_stride;
    return {pixel[frame.r], pixel[frame.g], pixel[frame.b], 0};
}

MCORE_BOTH inline Rgbx pixel_at(const Yuv& frame, int x, int y) {
    const YuvCoefficients& c = frame.coefficients;
    const ptrdiff_t at = (y / 2) * frame.chroma_stride + static_cast<ptrdiff_t>(x / 2) * frame.chroma_step;
    const int32_t du = frame.u[at] - 128, dv = frame.v[at] - 128;
    const int32_t luma = (frame.y[y * frame.y_stride + x] - c.black) * c.luma + (1 << 15);
    return {clamp_byte((luma + c.v_to_r * dv) >> 16), clamp_byte((luma - c.u_to_g * du - c.v_to_g * dv) >> 16),
            clamp_byte((luma + c.u_to_b * du) >> 16), 0};
}

// The axis on the device: pointers instead of vectors.
struct AxisView {
    int taps;
    const int *first, *count;
    const int32_t* weights;
};

struct Sums {
    int32_t r = kHalf, g = kHalf, b = kHalf;
    MCORE_BOTH void add(const Rgbx& pixel, int32_t weight) {
        r += pixel.r * weight;
        g += pixel.g * weight;
        b += pixel.b * weight;
    }
    MCORE_BOTH Rgbx rounded() const { return {clamp_byte(r >> kBits), clamp_byte(g >> kBits), clamp_byte(b >> kBits), 0}; }
};

// Pixel i of the narrowed row y.
template <class Frame> MCORE_BOTH Rgbx horizontal_pixel(const Frame& frame, const AxisView& x, int i, int y) {
    Sums sums;
    for (int k = 0; k < x.count[i]; ++k) sums.add(pixel_at(frame, x.first[i] + k, y), x.weights[i * x.taps + k]);
    return sums.rounded();
}

// Pixel (i, j) of the crop, from rows that begin with input row `begin`.
MCORE_BOTH inline Rgbx vertical_pixel(const Rgbx* rows, int width, const AxisView& y, int begin, int i, int j) {
    Sums sums;
    for (int k = 0; k < y.count[j]; ++k)
        sums.add(rows[static_cast<size_t>(y.first[j] - begin + k) * width + i], y.weights[j * y.taps + k]);
    return sums.rounded();
}

}  // namespace mcore
