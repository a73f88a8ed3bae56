// Decoded video to RGB: levels to 8 bits, chroma to full size, colours; docs/explanation/colour.md defines each number.
#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

namespace mcore {

constexpr int kFraction = 15;  // bits of all factors below
constexpr int32_t kFractionHalf = 1 << (kFraction - 1);

// A sample to 8 bits, full range: clamp(((min(sample >> shift, top) - zero) * factor + half >> 15) + offset).
struct Level {
    int shift;
    int32_t top, zero, factor, offset;
    bool changes() const { return shift != 0 || zero != offset || factor != 1 << kFraction; }
};

// Factors of chroma around 0.
struct Colours {
    int32_t v_to_r, u_to_g, v_to_g, u_to_b;
};

// Samples of one or two bytes (little-endian); strides in bytes, of any sign.
struct Plane {
    const uint8_t* data;
    ptrdiff_t row, step;
};

// Planes of a frame; chroma is whole, or halved in either direction (rounded up), or absent: u and v null.
struct Yuv {
    Plane y, u, v;
    int bytes;  // of a sample
    int chroma_width, chroma_height;
    bool halved_x, halved_y;
    Level luma, chroma;
    Colours colours;
};

// The ten numbers that define a conversion: shift; top; zero and factor of luma, and of chroma; v_to_r, u_to_g, v_to_g,
// u_to_b. Throws std::invalid_argument where vectors of 16-bit numbers could not compute them.
void set_conversion(Yuv& yuv, const int32_t (&numbers)[10]);

inline int32_t clamp_byte(int32_t value) { return value < 0 ? 0 : value > 255 ? 255 : value; }

inline uint8_t level(const Level& l, int32_t sample) {
    sample >>= l.shift;
    if (sample > l.top) sample = l.top;
    return static_cast<uint8_t>(clamp_byte((((sample - l.zero) * l.factor + kFractionHalf) >> kFraction) + l.offset));
}

// Sixteenths that are added before a chroma sample is rounded: libjpeg's, which lets neighbours alternate.
struct Biases {
    int even, odd;  // of columns
};
inline Biases biases(bool halved_x, bool halved_y, int y) {
    if (halved_x) return halved_y ? Biases{8, 7} : Biases{7, 8};
    const int bias = y % 2 == 0 ? 7 : 8;
    return {bias, bias};
}

// The chroma row beside the nearest one, at a distance of three quarters; itself at the edges and where rows are whole.
inline int beside(int at, int i, int size, bool halved) {
    if (!halved) return i;
    const int other = at % 2 == 0 ? i - 1 : i + 1;
    return other < 0 ? 0 : other < size ? other : size - 1;
}

struct Kernels;

// A level, and what it makes of each byte.
struct Levels : Level {
    uint8_t table[256];
};

// Rows of frames of one width, one after the other; scratch memory is reused, and nothing is allocated for a frame.
class YuvRows {
public:
    explicit YuvRows(int width);
    void start(const Yuv& frame);
    // Writes pixels begin..end of row y, 3 bytes each, at their places in a row that begins at `rgb`; an odd `begin`
    // is moved left by one. All rows of a frame take the same columns.
    void write(int y, int begin, int end, const Kernels& kernels, uint8_t* rgb);

private:
    static constexpr int kKept = 4;  // rows of chroma: those beside a row of pixels, and the next
    struct Span {
        int begin, end;  // samples of a row that are wanted
    };
    // Each returns the address of the row's first sample, wanted or not.
    const uint8_t* levelled(const Plane& plane, const Levels& levels, int row, Span span, const Kernels& kernels, uint8_t* to);
    const uint8_t* chroma_row(int plane, int row, Span span, const Kernels& kernels);

    int width_;
    Yuv frame_{};
    Levels luma_levels_{}, chroma_levels_{};
    std::vector<uint8_t> luma_, chroma_, gathered_;
    std::vector<int16_t> sums_;
    const uint8_t* kept_[2][kKept]{};
    int kept_row_[2][kKept]{};
};

}  // namespace mcore
