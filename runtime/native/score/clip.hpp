// Frames without a video decoder: from Y4M streams, raw pixels or NumPy arrays to the T pictures that a network sees.
#pragma once
#include <cstdint>
#include <istream>
#include <memory>
#include <string>
#include <vector>

#include "bundle.hpp"
#include "plan.hpp"

namespace mcore {

// How raw frames lie in memory: packed colours, or planes of YUV 4:2:0 with 8 bits.
enum class Pixels { rgb24, bgr24, rgba, bgra, i420, nv12 };
Pixels pixels_named(const std::string& name);  // such as "nv12"; throws Mistake

struct FrameFormat {
    Pixels pixels = Pixels::rgb24;
    int width = 0, height = 0;
    double rate = 0;  // frames a second
    Matrix matrix = Matrix::bt601;
    bool full_range = false;

    size_t frame_bytes() const;
};

// A clip, as the network wants it but for its normalisation.
struct Clip {
    std::vector<uint8_t> frames;  // (T, c, c, 4): red, green, blue, nothing
    std::vector<int> indices;     // frame of the source behind each of the T
    int num_source_frames = 0, width = 0, height = 0;
    double rate = 0;
    std::string source, reader;

    double seconds(int index) const { return index / rate; }
};

// Positions of T sampled frames among N: linspace(0, N - 1, T), truncated.
std::vector<int> sample_indices(int num_source_frames, int num_frames);

// The header of a Y4M stream, "YUV4MPEG2 W1920 H1080 F25:1 C420jpeg". Throws Mistake: not one, or one of other pixels.
FrameFormat parse_y4m_header(std::istream& stream, Matrix matrix);

// All frames of a stream, resized and cropped as they pass; then those that the network samples are kept. Y4M streams
// have a line before every frame. Throws Mistake: no frames, too many, or one that is cut off.
Clip read_stream(std::istream& stream, const FrameFormat& format, bool y4m, const Contract& contract);

// An array (T, c, c, 3) of frames that were sampled, resized and cropped elsewhere. Throws Mistake.
Clip read_array(View file, double rate, const Contract& contract);

// (3, T, c, c) float32: network input.
std::vector<float> normalise(const Clip& clip, const Contract& contract);

}  // namespace mcore
