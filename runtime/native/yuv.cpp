#include "yuv.hpp"

#include <algorithm>
#include <cstring>
#include <stdexcept>
#include <string>

#include "kernels.hpp"

namespace mcore {
namespace {

constexpr int kPad = 1;  // a sum before a row's first and after its last, so that edges need no case of their own

void require(bool fits, const char* what) {
    if (!fits) throw std::invalid_argument(std::string("a number of the conversion is out of range: ") + what);
}

template <class Sample> void gather(const uint8_t* from, ptrdiff_t step, int count, uint8_t* to) {
    for (int i = 0; i < count; ++i) std::memcpy(to + i * sizeof(Sample), from + i * step, sizeof(Sample));
}

// With the step as a constant, compilers turn the loop into shuffles: NV12 and YUYV.
void gather_bytes(const uint8_t* from, ptrdiff_t step, int count, uint8_t* to) {
    if (step == 2) {
        for (int i = 0; i < count; ++i) to[i] = from[2 * static_cast<ptrdiff_t>(i)];
    } else if (step == 4) {
        for (int i = 0; i < count; ++i) to[i] = from[4 * static_cast<ptrdiff_t>(i)];
    } else {
        gather<uint8_t>(from, step, count, to);
    }
}

void set_levels(Levels& levels, const Level& wanted) {
    static_cast<Level&>(levels) = wanted;
    for (int i = 0; i < 256; ++i) levels.table[i] = level(wanted, i);
}

}  // namespace

void set_conversion(Yuv& yuv, const int32_t (&n)[10]) {
    constexpr int32_t kOne = 1 << kFraction;
    require(n[0] >= 0 && n[0] <= 8 && n[1] >= 0 && n[1] < 1 << 12, "shift or top");
    for (int i : {2, 4}) require(n[i] >= 0 && n[i] < 1 << 12, "a zero");
    for (int i : {3, 5})
        require(yuv.bytes == 1 ? n[i] >= kOne && n[i] < 2 * kOne : n[i] > 0 && n[i] < kOne, "a factor of levels");
    require(n[6] >= 0 && n[6] < 2 * kOne && n[9] >= kOne && n[9] < 3 * kOne, "a factor of red or blue");
    require(n[7] >= 0 && n[7] < kOne && n[8] >= 0 && n[8] < kOne, "a factor of green");
    yuv.luma = {n[0], n[1], n[2], n[3], 0};
    yuv.chroma = {n[0], n[1], n[4], n[5], 128};
    yuv.colours = {n[6], n[7], n[8], n[9]};
}

YuvRows::YuvRows(int width)
    : width_(width), luma_(width), chroma_(static_cast<size_t>(2) * kKept * width),
      gathered_(static_cast<size_t>(2) * width), sums_(2 * (static_cast<size_t>(width) + 2 * kPad)) {}

void YuvRows::start(const Yuv& frame) {
    frame_ = frame;
    set_levels(luma_levels_, frame.luma);
    set_levels(chroma_levels_, frame.chroma);
    for (auto& rows : kept_row_) std::fill(rows, rows + kKept, -1);
}

const uint8_t* YuvRows::levelled(const Plane& plane, const Levels& levels, int row, Span span, const Kernels& kernels,
                                 uint8_t* to) {
    const int count = span.end - span.begin;
    const uint8_t* from = plane.data + row * plane.row + span.begin * plane.step;
    if (plane.step == 1 && !levels.changes()) return from - span.begin;
    if (plane.step != frame_.bytes) {
        if (frame_.bytes == 1)
            gather_bytes(from, plane.step, count, gathered_.data());
        else
            gather<uint16_t>(from, plane.step, count, gathered_.data());
        from = gathered_.data();
    }
    if (frame_.bytes == 2)
        kernels.level_words(from, levels, count, to + span.begin);
    else if (levels.changes())
        kernels.level_bytes(from, levels, count, to + span.begin);
    else
        std::memcpy(to + span.begin, from, count);
    return to;
}

const uint8_t* YuvRows::chroma_row(int plane, int row, Span span, const Kernels& kernels) {
    const int slot = row % kKept;
    if (kept_row_[plane][slot] != row) {
        kept_row_[plane][slot] = row;
        uint8_t* to = chroma_.data() + static_cast<size_t>(plane * kKept + slot) * width_;
        kept_[plane][slot] = levelled(plane == 0 ? frame_.u : frame_.v, chroma_levels_, row, span, kernels, to);
    }
    return kept_[plane][slot];
}

void YuvRows::write(int y, int begin, int end, const Kernels& kernels, uint8_t* rgb) {
    begin &= ~1;
    const uint8_t* luma = levelled(frame_.y, luma_levels_, y, {begin, end}, kernels, luma_.data());
    if (frame_.u.data == nullptr) {
        for (int x = begin; x < end; ++x) std::memset(rgb + 3 * static_cast<ptrdiff_t>(x), luma[x], 3);
        return;
    }
    const int near = frame_.halved_y ? y / 2 : y, far = beside(y, near, frame_.chroma_height, frame_.halved_y);
    const int count = frame_.chroma_width, half = frame_.halved_x ? 2 : 1;
    const Span span{std::max(begin / half - 1, 0), std::min((end - 1) / half + 2, count)};
    int16_t* sums[2] = {sums_.data() + kPad, sums_.data() + width_ + 3 * kPad};
    for (int plane = 0; plane < 2; ++plane) {
        const uint8_t* a = chroma_row(plane, near, span, kernels);
        const uint8_t* b = chroma_row(plane, far, span, kernels);
        kernels.sum_rows(a + span.begin, b + span.begin, span.end - span.begin, sums[plane] + span.begin);
        if (span.begin == 0) sums[plane][-1] = sums[plane][0];
        if (span.end == count) sums[plane][count] = sums[plane][count - 1];
    }
    ChromaSums chroma{sums[0], sums[1], frame_.halved_x, biases(frame_.halved_x, frame_.halved_y, y), {}};
    const Plane* planes[3] = {&frame_.y, &frame_.u, &frame_.v};
    for (int n = 0; n < 3; ++n) {
        chroma.ahead[n] = *planes[n];
        const ptrdiff_t next = n == 0 ? y + 1 : frame_.halved_y ? near + 2 : near + 1;
        chroma.ahead[n].data += next * planes[n]->row;
    }
    kernels.yuv_row(luma, chroma, frame_.colours, begin, end, rgb);
}

}  // namespace mcore
