#include "plan.hpp"

#include <algorithm>
#include <stdexcept>

namespace mcore {
namespace {

constexpr int kMostSide = 32767;

void check_pointer(const uint8_t* data) {
    if (data == nullptr) throw std::invalid_argument("a pointer to the frame is null");
}

}  // namespace

void check_geometry(int w, int h, int out_w, int out_h, int left, int top, int crop_w, int crop_h) {
    if (std::min({w, h, out_w, out_h, crop_w, crop_h}) < 1 || std::max({w, h, out_w, out_h}) > kMostSide)
        throw std::invalid_argument("a side is out of range; allowed: 1 to 32767");
    if (left < 0 || top < 0 || left > out_w - crop_w || top > out_h - crop_h)
        throw std::invalid_argument("the crop does not lie in the resized frame");
}

Plan::Plan(int w, int h, int out_w, int out_h, int left, int top, int crop_w, int crop_h)
    : width(w), height(h), crop_width(crop_w), crop_height(crop_h),
      yuv_rows_((check_geometry(w, h, out_w, out_h, left, top, crop_w, crop_h), w)) {
    x_ = make_axis(w, out_w, left, crop_w);
    y_ = make_axis(h, out_h, top, crop_h);
    taps_ = make_taps(x_, w);
    scratch_.resize(static_cast<size_t>(kRows) * w * 4);
    rows_.resize(static_cast<size_t>(crop_w) * 4 * (y_.end() - y_.begin()));
    out_.resize(static_cast<size_t>(crop_w) * 4 * crop_h);
}

template <class RowsAt> const uint8_t* Plan::run(const RowsAt& rows_at, const Layout& layout, const Kernels& kernels) {
    const size_t stride = static_cast<size_t>(crop_width) * 4;
    for (int y = y_.begin(); y < y_.end(); y += kRows) {
        const uint8_t* rows[kRows];
        uint8_t* outs[kRows];
        const int count = std::min(kRows, y_.end() - y);
        for (int n = 0; n < kRows; ++n) {
            const int m = std::min(n, count - 1);  // the last one again, where there are no four
            rows[n] = n < count ? rows_at(y + n, n) : rows[m];
            outs[n] = rows_.data() + stride * (y + m - y_.begin());
        }
        kernels.horizontal(x_, taps_, layout, rows, outs);
    }
    for (int y = 0; y < crop_height; ++y) {
        const uint8_t* first = rows_.data() + stride * (y_.first[y] - y_.begin());
        kernels.vertical(first, stride, y_.weights_of(y), y_.count[y], stride, out_.data() + stride * y);
    }
    return out_.data();
}

const uint8_t* Plan::resize(const Packed& f, const Kernels& kernels) {
    check_pointer(f.data);
    const bool near = std::min({f.r, f.g, f.b}) >= 0 && std::max({f.r, f.g, f.b}) < f.pixel_stride;
    if (near && (f.pixel_stride == 3 || f.pixel_stride == 4)) {
        const Layout layout{static_cast<int>(f.pixel_stride), static_cast<int>(f.r), static_cast<int>(f.g),
                            static_cast<int>(f.b)};
        return run([&](int y, int) { return f.data + y * f.row_stride; }, layout, kernels);
    }
    const auto gather = [&](int y, int n) {
        const uint8_t* pixel = f.data + y * f.row_stride + x_.begin() * f.pixel_stride;
        uint8_t* to = scratch_row(n) + static_cast<ptrdiff_t>(x_.begin()) * 4;
        for (int x = x_.begin(); x < x_.end(); ++x, pixel += f.pixel_stride, to += 4) {
            to[0] = pixel[f.r];
            to[1] = pixel[f.g];
            to[2] = pixel[f.b];
        }
        return static_cast<const uint8_t*>(scratch_row(n));
    };
    return run(gather, {4, 0, 1, 2}, kernels);
}

const uint8_t* Plan::resize(const Yuv& f, const Kernels& kernels) {
    check_pointer(f.y.data);
    if (f.u.data != nullptr) check_pointer(f.v.data);
    yuv_rows_.start(f);
    const auto convert = [&](int y, int n) {
        yuv_rows_.write(y, x_.begin(), x_.end(), kernels, scratch_row(n));
        return static_cast<const uint8_t*>(scratch_row(n));
    };
    return run(convert, {3, 0, 1, 2}, kernels);
}

}  // namespace mcore
