// One geometry: frames of one size, resized, of which only a crop is computed.
#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

#include "axis.hpp"
#include "kernels.hpp"
#include "yuv.hpp"

namespace mcore {

// Interleaved or planar RGB; strides and channel offsets in bytes, of any sign.
struct Packed {
    const uint8_t* data;
    ptrdiff_t row_stride, pixel_stride, r, g, b;
};

// Throws std::invalid_argument for sizes below 1 or above 32767, or a crop outside the resized frame.
void check_geometry(int width, int height, int out_width, int out_height, int left, int top, int crop_width,
                    int crop_height);

// Weights and scratch memory, reused for every frame; for one thread at a time.
class Plan {
public:
    // Throws as check_geometry.
    Plan(int width, int height, int out_width, int out_height, int left, int top, int crop_width, int crop_height);
    // Each returns (crop_height, crop_width, 4) bytes: red, green, blue, nothing; valid until the next call. They
    // allocate nothing, and throw std::invalid_argument for a null pointer.
    const uint8_t* resize(const Packed& frame, const Kernels& kernels);
    const uint8_t* resize(const Yuv& frame, const Kernels& kernels);
    const int width, height, crop_width, crop_height;

private:
    template <class RowsAt> const uint8_t* run(const RowsAt& rows_at, const Layout& layout, const Kernels& kernels);
    uint8_t* scratch_row(int n) { return scratch_.data() + static_cast<size_t>(n) * width * 4; }

    Axis x_, y_;
    Taps taps_;
    YuvRows yuv_rows_;
    std::vector<uint8_t> scratch_;  // kRows rows of RGB, for frames that are not packed
    std::vector<uint8_t> rows_;     // the input rows that the crop touches, resized horizontally
    std::vector<uint8_t> out_;
};

}  // namespace mcore
