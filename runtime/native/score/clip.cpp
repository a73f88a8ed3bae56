#include "clip.hpp"

#include <cmath>
#include <cstring>

#include "mistake.hpp"

namespace mcore {
namespace {

constexpr int kMostSide = 16384, kMostFrames = 3600;  // a minute at 60 frames a second; a dive lasts seconds
constexpr double kMostRate = 10000;
constexpr size_t kMostHeader = 512, kMostFrameLine = 256;

struct PixelNames {
    const char* name;
    Pixels pixels;
};
constexpr PixelNames kPixels[] = {{"rgb24", Pixels::rgb24}, {"bgr24", Pixels::bgr24}, {"rgba", Pixels::rgba},
                                  {"bgra", Pixels::bgra},   {"i420", Pixels::i420},   {"nv12", Pixels::nv12}};

std::string name_of(Pixels pixels) {
    for (const PixelNames& known : kPixels)
        if (known.pixels == pixels) return known.name;
    return "";
}

void check(const FrameFormat& format) {
    demand(format.width >= 1 && format.height >= 1 && format.width <= kMostSide && format.height <= kMostSide,
           "frames are " + std::to_string(format.width) + " x " + std::to_string(format.height) + "; allowed: 1 to " +
               std::to_string(kMostSide) + " pixels on each side");
    demand(format.rate > 0 && format.rate <= kMostRate,
           "the rate is " + std::to_string(format.rate) + " frames a second; allowed: above 0, up to " +
               std::to_string(static_cast<int>(kMostRate)));
}

// A line without its end; false where the stream is over before it begins.
bool read_line(std::istream& stream, std::string& line, size_t most) {
    line.clear();
    for (int letter = stream.get(); letter != '\n'; letter = stream.get()) {
        if (letter == std::istream::traits_type::eof()) {
            demand(line.empty(), "the stream ends inside a header; give the whole file");
            return false;
        }
        demand(line.size() < most, "the stream's header does not end; is it Y4M? Give --raw FORMAT for raw pixels");
        line += static_cast<char>(letter);
    }
    return true;
}

int64_t whole_number(const std::string& text, const std::string& field) {
    demand(!text.empty() && text.size() <= 9 && text.find_first_not_of("0123456789") == std::string::npos,
           "the Y4M header's field " + field + " is not a number");
    return std::stoll(text);
}

double frame_rate(const std::string& text) {
    const size_t colon = text.find(':');
    demand(colon != std::string::npos, "the Y4M header's rate is F" + text + ", expected such as F25:1");
    const int64_t frames = whole_number(text.substr(0, colon), "F"), seconds = whole_number(text.substr(colon + 1), "F");
    demand(frames > 0 && seconds > 0, "the Y4M header's rate is F" + text + "; this program needs a constant rate");
    return static_cast<double>(frames) / static_cast<double>(seconds);
}

const uint8_t* resize(Plan& plan, const FrameFormat& format, const uint8_t* data) {
    const Kernels& kernels = *usable_kernels().front();
    const ptrdiff_t width = format.width, columns = (width + 1) / 2, rows = (format.height + 1) / 2;
    const bool bgr = format.pixels == Pixels::bgr24 || format.pixels == Pixels::bgra;
    if (format.pixels == Pixels::i420 || format.pixels == Pixels::nv12) {
        const uint8_t* u = data + width * format.height;
        const bool planar = format.pixels == Pixels::i420;
        const YuvCoefficients coefficients = yuv_coefficients(format.matrix, format.full_range);
        if (planar) return plan.resize(Yuv{data, u, u + columns * rows, width, columns, 1, coefficients}, kernels);
        return plan.resize(Yuv{data, u, u + 1, width, 2 * columns, 2, coefficients}, kernels);
    }
    const ptrdiff_t step = format.pixels == Pixels::rgb24 || format.pixels == Pixels::bgr24 ? 3 : 4;
    return plan.resize(Packed{data, width * step, step, bgr ? 2 : 0, 1, bgr ? 0 : 2}, kernels);
}

}  // namespace

Pixels pixels_named(const std::string& name) {
    std::string allowed;
    for (const PixelNames& known : kPixels) {
        if (name == known.name) return known.pixels;
        allowed += (allowed.empty() ? "" : ", ") + std::string(known.name);
    }
    throw Mistake("no raw format '" + name + "'; allowed: " + allowed);
}

size_t FrameFormat::frame_bytes() const {
    const size_t luma = static_cast<size_t>(width) * height;
    switch (pixels) {
        case Pixels::rgb24:
        case Pixels::bgr24: return 3 * luma;
        case Pixels::rgba:
        case Pixels::bgra: return 4 * luma;
        default: return luma + 2 * (static_cast<size_t>(width + 1) / 2) * (static_cast<size_t>(height + 1) / 2);
    }
}

std::vector<int> sample_indices(int num_source_frames, int num_frames) {
    const double step = static_cast<double>(num_source_frames - 1) / (num_frames - 1);
    std::vector<int> indices(num_frames);
    for (int i = 0; i < num_frames; ++i) indices[i] = static_cast<int>(i * step);
    indices.back() = num_source_frames - 1;  // whatever rounding says
    return indices;
}

FrameFormat parse_y4m_header(std::istream& stream, Matrix matrix) {
    std::string line;
    demand(read_line(stream, line, kMostHeader) && line.compare(0, 9, "YUV4MPEG2") == 0,
           "this is no Y4M stream. Make one with: ffmpeg -i VIDEO -pix_fmt yuv420p -f yuv4mpegpipe -, or describe raw "
           "pixels with --raw FORMAT --size WxH --rate R");
    FrameFormat format;
    format.pixels = Pixels::i420;
    format.matrix = matrix;
    for (size_t at = line.find(' '); at != std::string::npos;) {
        const size_t next = line.find(' ', at + 1);
        const std::string field = line.substr(at + 1, next == std::string::npos ? next : next - at - 1);
        const std::string value = field.empty() ? "" : field.substr(1);
        switch (field.empty() ? ' ' : field[0]) {
            case 'W': format.width = static_cast<int>(whole_number(value, "W")); break;
            case 'H': format.height = static_cast<int>(whole_number(value, "H")); break;
            case 'F': format.rate = frame_rate(value); break;
            case 'C':
                demand(value == "420" || value == "420jpeg" || value == "420mpeg2" || value == "420paldv",
                       "the Y4M stream's pixels are " + value + "; allowed: 8-bit 4:2:0. Ask FFmpeg for: -pix_fmt yuv420p");
                break;
            case 'I':
                demand(value == "p" || value == "?", "the Y4M stream is interlaced (I" + value +
                                                         "), which is not handled. Ask FFmpeg for: -vf yadif");
                break;
            case 'X': format.full_range = format.full_range || value == "COLORRANGE=FULL"; break;
            default: break;  // the shape of a pixel, and comments
        }
        at = next;
    }
    check(format);
    return format;
}

Clip read_stream(std::istream& stream, const FrameFormat& format, bool y4m, const Contract& contract) {
    check(format);
    const int side = contract.crop_size;
    Plan plan(format.width, format.height, contract.resize_width, contract.resize_height,
              (contract.resize_width - side) / 2, (contract.resize_height - side) / 2, side, side);
    const size_t kept_bytes = static_cast<size_t>(side) * side * 4;
    std::vector<uint8_t> frame(format.frame_bytes()), all;
    std::string line;
    int count = 0;
    for (;; ++count) {
        if (y4m && !read_line(stream, line, kMostFrameLine)) break;
        demand(!y4m || line.compare(0, 5, "FRAME") == 0, "frame " + std::to_string(count) + " does not begin with FRAME");
        stream.read(reinterpret_cast<char*>(frame.data()), static_cast<std::streamsize>(frame.size()));
        const auto got = static_cast<size_t>(stream.gcount());
        if (!y4m && got == 0) break;
        demand(got == frame.size(), "frame " + std::to_string(count) + " is cut off: it has " + std::to_string(got) +
                                        " of " + std::to_string(frame.size()) + " bytes. Give whole frames, and check --size");
        demand(count < kMostFrames, "the clip has more than " + std::to_string(kMostFrames) +
                                        " frames; cut the dive out of it, as with: ffmpeg -ss START -to END -i VIDEO");
        const uint8_t* picture = resize(plan, format, frame.data());
        all.insert(all.end(), picture, picture + kept_bytes);
    }
    demand(count >= 2, "the clip has " + std::to_string(count) + " frames; a dive has at least two");
    Clip clip;
    clip.indices = sample_indices(count, contract.num_frames);
    clip.num_source_frames = count;
    clip.width = format.width;
    clip.height = format.height;
    clip.rate = format.rate;
    clip.reader = y4m ? "y4m" : "raw " + name_of(format.pixels);
    clip.frames.reserve(kept_bytes * contract.num_frames);
    for (const int index : clip.indices) {
        const auto first = all.begin() + static_cast<ptrdiff_t>(kept_bytes * index);
        clip.frames.insert(clip.frames.end(), first, first + static_cast<ptrdiff_t>(kept_bytes));
    }
    return clip;
}

Clip read_array(View file, double rate, const Contract& contract) {
    const Array array = parse_npy(file);
    const auto frames = static_cast<size_t>(contract.num_frames), side = static_cast<size_t>(contract.crop_size);
    demand(array.type == "|u1" && array.shape == std::vector<size_t>{frames, side, side, 3},
           "the array must hold bytes, " + std::to_string(frames) + " x " + std::to_string(side) + " x " +
               std::to_string(side) + " x 3: the sampled, resized and cropped frames of a clip");
    Clip clip;
    clip.num_source_frames = contract.num_frames;
    clip.width = clip.height = contract.crop_size;
    clip.rate = rate;
    clip.reader = "npy";
    clip.indices = sample_indices(contract.num_frames, contract.num_frames);
    clip.frames.resize(frames * side * side * 4);
    for (size_t i = 0; i < frames * side * side; ++i) std::memcpy(&clip.frames[4 * i], array.bytes.data + 3 * i, 3);
    return clip;
}

std::vector<float> normalise(const Clip& clip, const Contract& contract) {
    const size_t pixels = clip.frames.size() / 4;
    std::vector<float> input(3 * pixels);
    for (size_t c = 0; c < 3; ++c) {
        float table[256];  // in the order of operations of training
        for (int i = 0; i < 256; ++i)
            table[i] = (static_cast<float>(i) / 255.0f - contract.mean[c]) / contract.deviation[c];
        for (size_t i = 0; i < pixels; ++i) input[c * pixels + i] = table[clip.frames[4 * i + c]];
    }
    return input;
}

}  // namespace mcore
