// The two passes over pixels, in several instruction sets that compute the same numbers.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "axis.hpp"
#include "yuv.hpp"

namespace mcore {

constexpr int kRows = 8;  // rows that the horizontal pass takes at once: they share the weights
#if defined(MCORE_NEON_KERNELS)
constexpr int kGroup = 8;  // pixels that one step of it reads
#else
constexpr int kGroup = 4;
#endif
constexpr int kBlock = 16;  // pixels that one step of AVX-512 reads
constexpr int kMostBlocks = 5;
constexpr int kMargin = 2;  // pixels beside a group that a load of 16 bytes may touch, on one side

// The weights of the horizontal pass as vectors want them.
struct Taps {
    int groups = 0;  // steps for each output; 0: rows are too narrow for vectors
    int blocks = 0;  // steps of AVX-512; 0: rows are too narrow for it, or outputs too wide
    std::vector<int> first;      // first pixel of the first group, moved left where it would pass the row's end
    std::vector<int32_t> whole;  // the weights as they are
    std::vector<int16_t> pairs;  // 8 per group: the low 11 bits of each weight, then the rest of each
    std::vector<int> block_first;  // as `first`, for blocks
    std::vector<int8_t> digits;    // of each output: the highest 7 bits of all its weights, the next, the lowest
};
Taps make_taps(const Axis& axis, int width);

// A row as the horizontal pass reads it: `pixel` bytes (3 or 4) from one pixel to the next, channels at r, g, b.
struct Layout {
    int pixel, r, g, b;
};

// A row of chroma before it is spread over the pixels: sums of four samples, with one more on each side.
struct ChromaSums {
    const int16_t *u, *v;
    bool halved;  // half as many as there are pixels
    Biases bias;
    // Rows that will be read next. They are fetched while pixels are computed: at a row's begin all of it would be
    // missing at once, which costs a third of the time on frames that no cache holds.
    Plane ahead[3];
};

struct Kernels {
    const char* name;
    // Turns kRows rows into rows of 4 bytes for each output position: red, green, blue, nothing.
    void (*horizontal)(const Axis&, const Taps&, const Layout&, const uint8_t* const* rows, uint8_t* const* outs);
    // out[i] = weighted mean of rows[k * stride + i] over k, for `length` bytes.
    void (*vertical)(const uint8_t* rows, size_t stride, const int32_t* weights, int count, size_t length, uint8_t* out);
    // Samples of one byte, through the level's table, and of two bytes, to 8 bits and full range.
    void (*level_bytes)(const uint8_t* from, const Levels&, int count, uint8_t* to);
    void (*level_words)(const uint8_t* from, const Level&, int count, uint8_t* to);
    // to[i] = 3 * near[i] + far[i].
    void (*sum_rows)(const uint8_t* near, const uint8_t* far, int count, int16_t* to);
    // Pixels begin..end of a row, from an even one on, to 3 bytes each.
    void (*yuv_row)(const uint8_t* luma, const ChromaSums&, const Colours&, int begin, int end, uint8_t* rgb);
};

const std::vector<const Kernels*>& usable_kernels();  // on this processor, the fastest first

}  // namespace mcore
