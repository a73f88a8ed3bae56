// What one thread of the CUDA kernels computes; host code too, so that a machine without a GPU can check the numbers.
#pragma once
#include "../plan.hpp"

namespace mcore {

struct Rgbx {
    uint8_t r, g, b, x;
};

MCORE_BOTH inline Rgb pixel_at(const Packed& frame, int x, int y) {
    const uint8_t* pixel = frame.data + y * frame.row_stride + x * frame.pixel_stride;
    return {pixel[frame.r], pixel[frame.g], pixel[frame.b]};
}

// The axis on the device: pointers instead of vectors.
struct AxisView {
    int taps;
    const int *first, *count;
    const int32_t* weights;
};

struct Sums {
    int32_t r = kHalf, g = kHalf, b = kHalf;
    template <class Pixel> MCORE_BOTH void add(const Pixel& pixel, int32_t weight) {
        r += pixel.r * weight;
        g += pixel.g * weight;
        b += pixel.b * weight;
    }
    MCORE_BOTH Rgbx rounded() const { return {byte(r), byte(g), byte(b), 0}; }

private:
    MCORE_BOTH static uint8_t byte(int32_t sum) { return static_cast<uint8_t>(clamp_byte(sum >> kBits)); }
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
