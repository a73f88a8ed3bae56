// One axis of Pillow's antialiased bilinear resize, in its fixed-point arithmetic.
#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

namespace mcore {

constexpr int kBits = 22;  // Pillow: 32 bits, less 8 of a pixel, less 2 of headroom
constexpr int32_t kHalf = 1 << (kBits - 1);

// For every wanted output position: the input positions that it is a mean of, and their weights (they sum to 2^22).
struct Axis {
    int taps = 0;  // weights stored for each position; those from count[i] on are 0
    std::vector<int> first, count;
    std::vector<int32_t> weights;

    int begin() const { return first.front(); }
    int end() const { return first.back() + count.back(); }  // both grow with the position
    const int32_t* weights_of(int i) const { return weights.data() + static_cast<size_t>(i) * taps; }
};

// in, out: sizes of the whole axis; begin, length: the part of the output that is wanted.
Axis make_axis(int in, int out, int begin, int length);

}  // namespace mcore
