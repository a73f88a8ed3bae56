// Python module mcore_native: every argument is checked here, then the work is done without the GIL.
#include <array>
#include <mutex>
#include <stdexcept>
#include <string>

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/array.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include "plan.hpp"

namespace nb = nanobind;
using mcore::Kernels;
using Frame = nb::ndarray<const uint8_t, nb::ndim<3>, nb::device::cpu>;
using Plane = nb::ndarray<nb::ro, nb::ndim<2>, nb::device::cpu>;  // uint8 or uint16
using Conversion = std::array<int32_t, 10>;
using Picture = nb::ndarray<uint8_t, nb::ndim<3>, nb::c_contig, nb::device::cpu>;
using Out = nb::ndarray<uint8_t, nb::ndim<3>, nb::device::cpu>;
using Frames = nb::ndarray<const uint8_t, nb::ndim<4>, nb::device::cpu>;
using Clip = nb::ndarray<float, nb::ndim<4>, nb::c_contig, nb::device::cpu>;
using Table = nb::ndarray<const float, nb::shape<3, 256>, nb::c_contig, nb::device::cpu>;

namespace {

const Kernels* chosen = mcore::usable_kernels().front();

std::vector<std::string> instruction_sets() {
    std::vector<std::string> names;
    for (const Kernels* kernels : mcore::usable_kernels()) names.emplace_back(kernels->name);
    return names;
}

void use_instruction_set(const std::string& name) {
    for (const Kernels* kernels : mcore::usable_kernels())
        if (name == kernels->name) {
            chosen = kernels;
            return;
        }
    throw std::invalid_argument("this processor has no instruction set '" + name + "'");
}

std::string size_of(size_t rows, size_t columns) { return std::to_string(rows) + " x " + std::to_string(columns); }

void require(bool fits, const std::string& what) {
    if (!fits) throw std::invalid_argument(what);
}

void set_conversion(mcore::Yuv& yuv, const Conversion& conversion) {
    int32_t numbers[10];
    std::copy(conversion.begin(), conversion.end(), numbers);
    mcore::set_conversion(yuv, numbers);
}

mcore::Plane plane_of(const Plane& plane, int bytes) {
    return {static_cast<const uint8_t*>(plane.data()), plane.stride(0) * bytes, plane.stride(1) * bytes};
}

// Chroma is of luma's type, whole or halved (rounded up) in each direction, or invalid: a grey frame. A single column
// or row is whole.
mcore::Yuv checked_yuv(const Plane& y, const Plane& u, const Plane& v, const Conversion& conversion) {
    const bool words = y.dtype() == nb::dtype<uint16_t>();
    require(words || y.dtype() == nb::dtype<uint8_t>(), "samples must be uint8 or uint16");
    mcore::Yuv yuv{};
    yuv.bytes = words ? 2 : 1;
    yuv.y = plane_of(y, yuv.bytes);
    set_conversion(yuv, conversion);
    require(u.is_valid() == v.is_valid(), "chroma needs both its planes, or none");
    if (!u.is_valid()) return yuv;
    require(u.dtype() == y.dtype() && v.dtype() == y.dtype(), "all planes must have one type");
    require(u.shape(0) == v.shape(0) && u.shape(1) == v.shape(1), "both planes of chroma must have one size");
    const auto half = [&](int axis) { return u.shape(axis) == (y.shape(axis) + 1) / 2 && y.shape(axis) > 1; };
    for (int axis = 0; axis < 2; ++axis)
        require(u.shape(axis) == y.shape(axis) || half(axis), "chroma is " + size_of(u.shape(0), u.shape(1)) +
                    ": neither as large as luma, " + size_of(y.shape(0), y.shape(1)) + ", nor half of it, rounded up");
    yuv.u = plane_of(u, yuv.bytes);
    yuv.v = plane_of(v, yuv.bytes);
    yuv.chroma_height = static_cast<int>(u.shape(0));
    yuv.chroma_width = static_cast<int>(u.shape(1));
    yuv.halved_y = half(0);
    yuv.halved_x = half(1);
    return yuv;
}

// Planes to out (H, W, 3), contiguous.
void convert(const Plane& y, const Plane& u, const Plane& v, const Conversion& conversion, const Picture& out) {
    const mcore::Yuv yuv = checked_yuv(y, u, v, conversion);
    constexpr size_t kMostSide = 1 << 20;
    require(y.shape(0) > 0 && y.shape(1) > 0 && y.shape(0) <= kMostSide && y.shape(1) <= kMostSide,
            "a side is out of range; allowed: 1 to " + std::to_string(kMostSide));
    require(out.shape(0) == y.shape(0) && out.shape(1) == y.shape(1) && out.shape(2) == 3,
            "the output must be " + size_of(y.shape(0), y.shape(1)) + " x 3");
    const Kernels& kernels = *chosen;
    nb::gil_scoped_release release;
    const int width = static_cast<int>(y.shape(1)), height = static_cast<int>(y.shape(0));
    mcore::YuvRows rows(width);
    rows.start(yuv);
    for (int row = 0; row < height; ++row)
        rows.write(row, 0, width, kernels, out.data() + static_cast<size_t>(row) * width * 3);
}

// A plan that two Python threads may hold; each frame goes through it alone.
class SharedPlan : public mcore::Plan {
public:
    using Plan::Plan;

    void resize_rgb(const Frame& frame, const Out& out, bool bgr) {
        const mcore::Packed packed = checked(frame, bgr);
        check_picture(out);
        with_result(packed, [&](const uint8_t* pixels) { copy(pixels, out); });
    }

    void resize_yuv(const Plane& y, const Plane& u, const Plane& v, const Conversion& conversion, const Out& out) {
        const mcore::Yuv yuv = checked(y, u, v, conversion);
        check_picture(out);
        with_result(yuv, [&](const uint8_t* pixels) { copy(pixels, out); });
    }

private:
    std::mutex mutex_;

    template <class Source, class Use> void with_result(const Source& source, const Use& use) {
        const Kernels& kernels = *chosen;
        nb::gil_scoped_release release;
        const std::lock_guard<std::mutex> lock(mutex_);
        use(resize(source, kernels));
    }

    mcore::Packed checked(const Frame& frame, bool bgr) const {
        require(frame.shape(0) == size_t(height) && frame.shape(1) == size_t(width),
                "the frame is " + size_of(frame.shape(0), frame.shape(1)) + ", this plan takes " +
                    size_of(height, width) + " (height x width)");
        require(frame.shape(2) == 3 || frame.shape(2) == 4,
                "the frame has " + std::to_string(frame.shape(2)) + " channels; allowed: 3 or 4");
        const ptrdiff_t step = frame.stride(2);
        return {frame.data(), frame.stride(0), frame.stride(1), bgr ? 2 * step : 0, step, bgr ? 0 : 2 * step};
    }

    mcore::Yuv checked(const Plane& y, const Plane& u, const Plane& v, const Conversion& conversion) const {
        require(y.shape(0) == size_t(height) && y.shape(1) == size_t(width),
                "luma is " + size_of(y.shape(0), y.shape(1)) + ", this plan takes " + size_of(height, width) +
                    " (height x width)");
        return checked_yuv(y, u, v, conversion);
    }

    void check_picture(const Out& out) const {
        require(out.shape(0) == size_t(crop_height) && out.shape(1) == size_t(crop_width) && out.shape(2) == 3,
                "the output must be " + size_of(crop_height, crop_width) + " x 3");
    }

    void copy(const uint8_t* pixels, const Out& out) const {
        for (int y = 0; y < crop_height; ++y)
            for (int x = 0; x < crop_width; ++x, pixels += 4)
                for (int c = 0; c < 3; ++c)
                    out.data()[y * out.stride(0) + x * out.stride(1) + c * out.stride(2)] = pixels[c];
    }
};

// frames (T, h, w, 3) through a table of each channel's 256 values to out (3, T, h, w).
void normalise(const Frames& frames, const Table& table, const Clip& out) {
    require(frames.shape(3) == 3, "the frames have " + std::to_string(frames.shape(3)) + " channels; allowed: 3");
    for (int axis = 0; axis < 3; ++axis)
        require(out.shape(0) == 3 && out.shape(axis + 1) == frames.shape(axis), "the output must be 3 x T x h x w");
    nb::gil_scoped_release release;
    const size_t rows = frames.shape(1), columns = frames.shape(2);
    float* to = out.data();
    for (int64_t c = 0; c < 3; ++c)
        for (size_t t = 0; t < frames.shape(0); ++t)
            for (size_t y = 0; y < rows; ++y) {
                const float* values = table.data() + 256 * c;
                const uint8_t* from = frames.data() + int64_t(t) * frames.stride(0) + int64_t(y) * frames.stride(1) +
                                      c * frames.stride(3);
                for (size_t x = 0; x < columns; ++x, from += frames.stride(2)) *to++ = values[*from];
            }
}

}  // namespace

NB_MODULE(mcore_native, m) {
    m.def("instruction_sets", &instruction_sets);
    m.def("instruction_set", [] { return std::string(chosen->name); });
    m.def("use_instruction_set", &use_instruction_set, nb::arg("name"));
    m.def("normalise", &normalise, nb::arg("frames").noconvert(), nb::arg("table").noconvert(),
          nb::arg("out").noconvert());
    m.def("convert", &convert, nb::arg("y").noconvert(), nb::arg("u").noconvert().none(),
          nb::arg("v").noconvert().none(), nb::arg("conversion"), nb::arg("out").noconvert());
    nb::class_<SharedPlan>(m, "Plan")
        .def(nb::init<int, int, int, int, int, int, int, int>(), nb::arg("width"), nb::arg("height"),
             nb::arg("out_width"), nb::arg("out_height"), nb::arg("left"), nb::arg("top"), nb::arg("crop_width"),
             nb::arg("crop_height"))
        .def("resize", &SharedPlan::resize_rgb, nb::arg("frame").noconvert(), nb::arg("out").noconvert(),
             nb::arg("bgr") = false)
        .def("resize_yuv", &SharedPlan::resize_yuv, nb::arg("y").noconvert(), nb::arg("u").noconvert().none(),
             nb::arg("v").noconvert().none(), nb::arg("conversion"), nb::arg("out").noconvert());
}
