// A frame of any layout, drawn from bytes, checked against the plainest implementation of the same arithmetic.
#pragma once
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <stdexcept>
#include <vector>

#include "plan.hpp"

namespace mcore {

// Numbers from a string of bytes; zeros when it is used up.
class Bytes {
public:
    Bytes(const uint8_t* data, size_t size) : data_(data), size_(size) {}
    int below(int limit) { return limit <= 1 ? 0 : (next() << 8 | next()) % limit; }
    uint8_t next() { return at_ < size_ ? data_[at_++] : 0; }

private:
    const uint8_t* data_;
    size_t size_, at_ = 0;
};

inline uint8_t weighted(const std::vector<uint8_t>& values, const Axis& axis, int i) {
    int64_t sum = kHalf;
    for (int k = 0; k < axis.count[i]; ++k) sum += int64_t(values[axis.first[i] + k]) * axis.weights_of(i)[k];
    return static_cast<uint8_t>(std::clamp<int64_t>(sum >> kBits, 0, 255));
}

// One channel (height x width) to (out_height x out_width): all columns, then all rows.
inline std::vector<uint8_t> plain_resize(const std::vector<uint8_t>& from, int w, int h, int out_w, int out_h) {
    const Axis x = make_axis(w, out_w, 0, out_w), y = make_axis(h, out_h, 0, out_h);
    std::vector<uint8_t> narrow(size_t(h) * out_w), out(size_t(out_h) * out_w), line(w), column(h);
    for (int r = 0; r < h; ++r) {
        std::copy_n(from.begin() + size_t(r) * w, w, line.begin());
        for (int c = 0; c < out_w; ++c) narrow[size_t(r) * out_w + c] = weighted(line, x, c);
    }
    for (int c = 0; c < out_w; ++c) {
        for (int r = 0; r < h; ++r) column[r] = narrow[size_t(r) * out_w + c];
        for (int r = 0; r < out_h; ++r) out[size_t(r) * out_w + c] = weighted(column, y, r);
    }
    return out;
}

struct Rgb {
    uint8_t r, g, b;
};

inline int32_t sample_at(const Plane& plane, int bytes, int x, int y) {
    const uint8_t* at = plane.data + y * plane.row + x * plane.step;
    return bytes == 1 ? at[0] : at[0] | at[1] << 8;
}

inline Rgb colour(const Colours& c, int32_t luma, int32_t u, int32_t v) {
    return {static_cast<uint8_t>(clamp_byte(luma + ((c.v_to_r * v + kFractionHalf) >> kFraction))),
            static_cast<uint8_t>(clamp_byte(luma + ((kFractionHalf - c.u_to_g * u - c.v_to_g * v) >> kFraction))),
            static_cast<uint8_t>(clamp_byte(luma + ((c.u_to_b * u + kFractionHalf) >> kFraction)))};
}

// One pixel on its own: what every vector must compute.
inline Rgb pixel_at(const Yuv& f, int x, int y) {
    const int32_t luma = level(f.luma, sample_at(f.y, f.bytes, x, y));
    if (f.u.data == nullptr) return {static_cast<uint8_t>(luma), static_cast<uint8_t>(luma), static_cast<uint8_t>(luma)};
    const int i = f.halved_x ? x / 2 : x, j = f.halved_y ? y / 2 : y;
    const int beside_i = beside(x, i, f.chroma_width, f.halved_x), beside_j = beside(y, j, f.chroma_height, f.halved_y);
    const Biases bias = biases(f.halved_x, f.halved_y, y);
    int32_t chroma[2];
    const Plane* planes[2] = {&f.u, &f.v};
    for (int n = 0; n < 2; ++n) {
        const auto at = [&](int column, int row) {
            return static_cast<int32_t>(level(f.chroma, sample_at(*planes[n], f.bytes, column, row)));
        };
        const int32_t near = 3 * at(i, j) + at(i, beside_j), far = 3 * at(beside_i, j) + at(beside_i, beside_j);
        chroma[n] = ((3 * near + far + (x % 2 == 0 ? bias.even : bias.odd)) >> 4) - 128;
    }
    return colour(f.colours, luma, chroma[0], chroma[1]);
}

// Of the geometry that is being checked, for the message of a failure.
inline int& seed() {
    static int value = 0;
    return value;
}

#define MCORE_REQUIRE(condition)                                                            \
    do {                                                                                    \
        if (!(condition)) {                                                                 \
            std::fprintf(stderr, "%s:%d: not so: %s; seed %d\n", __FILE__, __LINE__, #condition, mcore::seed()); \
            std::abort();                                                                   \
        }                                                                                   \
    } while (false)

template <class Frame> bool refuses(Plan& plan, const Frame& frame) {
    try {
        plan.resize(frame, *usable_kernels().front());
    } catch (const std::invalid_argument&) {
        return true;
    }
    return false;
}

// Draw sizes, a crop, strides and pixels; resize with every instruction set; compare. The frame lies in memory of
// exactly its own size, so that a sanitizer sees any byte read outside it.
inline void check_one(const uint8_t* data, size_t size) {
    Bytes bytes(data, size);
    const int most = bytes.below(8) == 0 ? 300 : 40;
    const int w = 1 + bytes.below(most), h = 1 + bytes.below(most);
    const int out_w = 1 + bytes.below(most), out_h = 1 + bytes.below(most);
    const int crop_w = 1 + bytes.below(out_w), crop_h = 1 + bytes.below(out_h);
    const int left = bytes.below(out_w - crop_w + 1), top = bytes.below(out_h - crop_h + 1);
    Plan plan(w, h, out_w, out_h, left, top, crop_w, crop_h);
    const auto compare = [&](const uint8_t* got, const std::vector<uint8_t>* channels) {
        for (int c = 0; c < 3; ++c) {
            const auto expected = plain_resize(channels[c], w, h, out_w, out_h);
            for (int y = 0; y < crop_h; ++y)
                for (int x = 0; x < crop_w; ++x)
                    MCORE_REQUIRE(got[(size_t(y) * crop_w + x) * 4 + c] == expected[size_t(y + top) * out_w + x + left]);
        }
    };
    std::vector<uint8_t> channels[3];
    const auto compare_all = [&](const auto& frame) {
        for (const Kernels* kernels : usable_kernels()) compare(plan.resize(frame, *kernels), channels);
    };
    if (bytes.below(3) > 0) {
        const int step = 3 + bytes.below(3), gap = bytes.below(5), shift = bytes.below(4);
        const bool upside_down = bytes.below(2), mirrored = bytes.below(2), bgr = bytes.below(2);
        const size_t row = size_t(w) * step + gap, used = row * (h - 1) + size_t(w) * step;
        const std::unique_ptr<uint8_t[]> memory(new uint8_t[shift + used]);  // `shift` spoils the alignment
        for (size_t i = 0; i < shift + used; ++i) memory[i] = bytes.next() ^ uint8_t(i * 37 >> 2);
        const uint8_t* first = memory.get() + shift + (upside_down ? row * (h - 1) : 0) + (mirrored ? size_t(step) * (w - 1) : 0);
        const Packed frame{first, upside_down ? -ptrdiff_t(row) : ptrdiff_t(row), mirrored ? -step : step,
                           bgr ? 2 : 0, 1, bgr ? 0 : 2};
        for (int y = 0; y < h; ++y)
            for (int x = 0; x < w; ++x) {
                const uint8_t* pixel = first + y * frame.row_stride + x * frame.pixel_stride;
                const ptrdiff_t at[3] = {frame.r, frame.g, frame.b};
                for (int c = 0; c < 3; ++c) channels[c].push_back(pixel[at[c]]);
            }
        compare_all(frame);
        MCORE_REQUIRE(refuses(plan, Packed{nullptr, frame.row_stride, frame.pixel_stride, frame.r, frame.g, frame.b}));
        return;
    }
    Yuv frame{};
    frame.bytes = 1 + bytes.below(2);
    frame.halved_x = w > 1 && bytes.below(2);
    frame.halved_y = h > 1 && bytes.below(2);
    frame.chroma_width = frame.halved_x ? (w + 1) / 2 : w;
    frame.chroma_height = frame.halved_y ? (h + 1) / 2 : h;
    const bool narrow = frame.bytes == 2 && bytes.below(2), full = bytes.below(2);
    const int32_t one = 1 << kFraction, luma = frame.bytes == 2 ? 9539 : 38155, chroma = frame.bytes == 2 ? 9326 : 37303;
    const int32_t black = frame.bytes == 2 ? 64 : 16, grey = frame.bytes == 2 ? 512 : 128, whole = frame.bytes == 2 ? 8168 : one;
    set_conversion(frame, {narrow ? 6 : 0, frame.bytes == 2 ? 1023 : 255, full ? 0 : black, full ? whole : luma, grey,
                           full ? whole : chroma, one + bytes.below(one), bytes.below(one), bytes.below(one),
                           2 * one - bytes.below(one)});
    std::unique_ptr<uint8_t[]> memory[3];
    Plane* planes[3] = {&frame.y, &frame.u, &frame.v};
    const int absent = bytes.below(10) == 0 ? 2 : 0;  // a grey frame
    for (int n = 0; n < 3 - absent; ++n) {
        const int width = n == 0 ? w : frame.chroma_width, height = n == 0 ? h : frame.chroma_height;
        const ptrdiff_t step = frame.bytes * (1 + bytes.below(4)), row = step * width + bytes.below(3);
        const size_t used = row * (height - 1) + step * (width - 1) + frame.bytes;
        memory[n].reset(new uint8_t[used]);
        for (size_t i = 0; i < used; ++i) memory[n][i] = bytes.next() ^ uint8_t(i * 29 >> 1);
        const bool upside_down = bytes.below(2);
        *planes[n] = {memory[n].get() + (upside_down ? row * (height - 1) : 0), upside_down ? -row : row, step};
    }
    for (int y = 0; y < h; ++y)
        for (int x = 0; x < w; ++x) {
            const Rgb pixel = pixel_at(frame, x, y);
            for (int n = 0; n < 3; ++n) channels[n].push_back(n == 0 ? pixel.r : n == 1 ? pixel.g : pixel.b);
        }
    compare_all(frame);
    Yuv without = frame;
    if (absent || bytes.below(2))
        without.y.data = nullptr;
    else
        without.v.data = nullptr;
    MCORE_REQUIRE(refuses(plan, without));
}

}  // namespace mcore
