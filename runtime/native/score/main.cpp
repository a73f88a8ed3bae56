// mcore-native-score: scores one dive with a bundle, without Python.
#include <cctype>
#include <chrono>
#include <cstdio>
#include <ctime>
#include <fstream>
#include <iostream>
#include <iterator>
#include <map>
#include <nlohmann/json.hpp>

#include "mistake.hpp"
#include "scorer.hpp"

namespace {

using mcore::demand;
using mcore::Mistake;
using nlohmann::ordered_json;

constexpr const char* kUsage = R"(usage: mcore-native-score BUNDLE CLIP --dive NUMBER [options]

Scores the dive in CLIP with a bundle made by mcore-export. CLIP is a Y4M file, raw pixels (--raw), or an .npy array
(T, c, c, 3) of frames that were sampled, resized and cropped already; - is a Y4M or raw stream on standard input:

    ffmpeg -v error -i dive.mp4 -pix_fmt yuv420p -f yuv4mpegpipe - | mcore-native-score bundle - --dive 407C

    --dive NUMBER      dive number, such as 407C
    --any-exemplar     where the bundle has no exemplars of that number, or none is given, compare with all
    --json             print a JSON document, as mcore-score --json does, instead of a line
    --raw FORMAT       pixels of raw frames: rgb24, bgr24, rgba, bgra, i420, nv12
    --size WxH         of raw frames
    --rate R           frames a second, of raw frames and of .npy arrays
    --matrix NAME      of YUV: bt601 (default, as FFmpeg takes untagged video) or bt709
    --range NAME       of raw YUV: limited (default) or full
    --engine NAME      inference engine; default: the first of those this program has:)";

struct Arguments {
    std::vector<std::string> positional;
    std::map<std::string, std::string> values;  // by flag
    bool help = false;

    bool has(const std::string& flag) const { return values.count(flag) > 0; }
    std::string get(const std::string& flag, const std::string& otherwise = "") const {
        const auto found = values.find(flag);
        return found == values.end() ? otherwise : found->second;
    }
};

Arguments parse(int count, char** words) {
    static const std::map<std::string, bool> flags = {  // whether a value follows
        {"--dive", true},   {"--any-exemplar", false}, {"--json", false},    {"--raw", true},    {"--size", true},
        {"--rate", true},   {"--matrix", true},        {"--range", true},    {"--engine", true}, {"--threads", true},
        {"--precision", true}};
    Arguments arguments;
    for (int i = 1; i < count; ++i) {
        const std::string word = words[i];
        if (word == "--help" || word == "-h") arguments.help = true;
        const auto known = flags.find(word);
        if (word.rfind("--", 0) != 0) {
            arguments.positional.push_back(word);
        } else if (known != flags.end()) {
            demand(!known->second || i + 1 < count, word + " needs a value; see --help");
            arguments.values[word] = known->second ? words[++i] : "";
        } else {
            demand(arguments.help, "no option " + word + "; see mcore-native-score --help");
        }
    }
    demand(arguments.help || arguments.positional.size() == 2,
           "give a bundle and a clip, got " + std::to_string(arguments.positional.size()) +
               " names; see mcore-native-score --help");
    demand(arguments.help || arguments.has("--dive") || arguments.has("--any-exemplar"),
           "give the dive number with --dive, such as --dive 407C, or --any-exemplar if unknown");
    return arguments;
}

double number(const Arguments& arguments, const std::string& flag) {
    const std::string text = arguments.get(flag);
    size_t used = 0;
    double value = 0;
    try {
        value = std::stod(text, &used);
    } catch (const std::exception&) {
    }
    demand(used > 0 && used == text.size() && value > 0, flag + " is '" + text + "'; give a number above 0");
    return value;
}

mcore::Matrix matrix_of(const Arguments& arguments) {
    const std::string name = arguments.get("--matrix", "bt601");
    demand(name == "bt601" || name == "bt709", "--matrix is '" + name + "'; allowed: bt601, bt709");
    return name == "bt709" ? mcore::Matrix::bt709 : mcore::Matrix::bt601;
}

mcore::FrameFormat raw_format(const Arguments& arguments) {
    demand(arguments.has("--size") && arguments.has("--rate"),
           "raw pixels do not say what they are: give --size WxH and --rate R too");
    mcore::FrameFormat format;
    format.pixels = mcore::pixels_named(arguments.get("--raw"));
    const std::string size = arguments.get("--size"), range = arguments.get("--range", "limited");
    int used = 0;
    demand(std::sscanf(size.c_str(), "%5dx%5d%n", &format.width, &format.height, &used) == 2 &&
               static_cast<size_t>(used) == size.size(),
           "--size is '" + size + "'; expected width x height, such as 1920x1080");
    demand(range == "limited" || range == "full", "--range is '" + range + "'; allowed: limited, full");
    format.rate = number(arguments, "--rate");
    format.matrix = matrix_of(arguments);
    format.full_range = range == "full";
    return format;
}

bool ends_with(const std::string& text, const std::string& end) {
    return text.size() >= end.size() && text.compare(text.size() - end.size(), end.size(), end) == 0;
}

mcore::Clip read_clip(const Arguments& arguments, const mcore::Contract& contract) {
    const std::string& source = arguments.positional[1];
    std::ifstream file;
    if (source != "-") {
        file.open(source, std::ios::binary);
        demand(file.is_open() && file.peek() != std::ifstream::traits_type::eof(),
               source + " cannot be read, or is empty; expected a file, or - for standard input");
    }
    std::istream& stream = source == "-" ? std::cin : file;
    mcore::Clip clip;
    try {
        if (ends_with(source, ".npy")) {
            demand(arguments.has("--rate"), "an array does not say how fast its frames follow each other: give --rate R");
            const std::string bytes((std::istreambuf_iterator<char>(stream)), std::istreambuf_iterator<char>());
            clip = mcore::read_array({reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()},
                                     number(arguments, "--rate"), contract);
        } else if (arguments.has("--raw")) {
            clip = mcore::read_stream(stream, raw_format(arguments), false, contract);
        } else {
            const mcore::FrameFormat format = mcore::parse_y4m_header(stream, matrix_of(arguments));
            clip = mcore::read_stream(stream, format, true, contract);
        }
    } catch (const Mistake& mistake) {
        throw Mistake(source + ": " + mistake.what());
    }
    clip.source = source;
    return clip;
}

std::string now() {
    const std::time_t seconds = std::time(nullptr);
    char text[32];
    std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S+00:00", std::gmtime(&seconds));
    return text;
}

template <class T> ordered_json or_null(const std::optional<T>& value) {
    return value ? ordered_json(*value) : ordered_json(nullptr);
}

std::string arithmetic(const mcore::Bundle& bundle) {
    std::string mixed;
    bool same = true;
    for (size_t i = 0; i < bundle.graphs.size(); ++i) {
        same = same && bundle.graphs[i].arithmetic == bundle.graphs[0].arithmetic;
        mixed += std::string(i == 0 ? "" : ", ") + mcore::kParts[i] + " " + bundle.graphs[i].arithmetic;
    }
    return same ? bundle.graphs[0].arithmetic : mixed;
}

// What mcore_runtime.scoring.batch.scores_document describes, of one dive.
ordered_json document(const mcore::Scorer& scorer, const mcore::Clip& clip, const mcore::DiveScore& dive,
                      double read_ms) {
    const mcore::Bundle& bundle = scorer.bundle();
    ordered_json stages, exemplars = ordered_json::array();
    for (size_t i = 0; i < 3; ++i) stages[mcore::kStages[i]] = dive.stage_deltas[i];
    for (const mcore::Comparison& one : dive.comparisons)
        exemplars.push_back({{"name", one.exemplar.name},
                             {"dive_number", one.exemplar.dive_number},
                             {"score", one.exemplar.score},
                             {"delta", one.delta},
                             {"predicted_score", one.predicted_score}});
    const double preprocess_ms = read_ms + dive.preprocess_ms;
    const double total_ms = preprocess_ms + dive.backbone_ms + dive.segmenter_ms + dive.regressor_ms;
    const auto& [flight, entry] = dive.transitions;
    const ordered_json scored = {
        {"status", "scored"},
        {"error", nullptr},
        {"true_score", nullptr},
        {"score", dive.score},
        {"low", or_null(dive.low)},
        {"high", or_null(dive.high)},
        {"dive_number", or_null(dive.dive_number)},
        {"description", nullptr},  // needs the diving rules, which are in Python
        {"difficulty", or_null(dive.difficulty)},
        {"same_dive_number", dive.same_dive_number},
        {"transitions", dive.transitions},
        {"transitions_s", {clip.seconds(clip.indices[flight]), clip.seconds(clip.indices[entry])}},
        {"stage_deltas", stages},
        {"exemplars", exemplars},
        {"timing_ms",
         {{"decode_preprocess", preprocess_ms},
          {"backbone", dive.backbone_ms},
          {"segmenter", dive.segmenter_ms},
          {"regressor", dive.regressor_ms},
          {"total", total_ms}}},
        {"video",
         {{"source", clip.source},
          {"reader", clip.reader},
          {"width", clip.width},
          {"height", clip.height},
          {"num_source_frames", clip.num_source_frames},
          {"duration_s", clip.seconds(clip.num_source_frames)},
          {"start_s", nullptr},
          {"end_s", nullptr}}},
        {"backend",
         {{"name", scorer.engine().name()},
          {"provider", scorer.engine().provider()},
          {"precision", arithmetic(bundle)},
          {"bundle_sha256", bundle.sha256}}},
        {"notes", dive.notes},
        {"interval_level", or_null(dive.interval_level)},
    };
    return {{"format", "mcore-scores"},
            {"format_version", 1},
            {"created", now()},
            {"bundle",
             {{"path", bundle.path},
              {"sha256", bundle.sha256},
              {"created", bundle.created},
              {"checkpoint", bundle.checkpoint}}},
            {"dives", ordered_json::array({scored})}};
}

void print_line(const mcore::Clip& clip, const mcore::DiveScore& dive, const std::string& engine) {
    std::printf("%s: %.2f points", clip.source.c_str(), dive.score);
    if (dive.interval_level) std::printf(", %.0f %% interval %.2f to %.2f", 100 * *dive.interval_level, *dive.low, *dive.high);
    else if (dive.low) std::printf(", exemplars say %.2f to %.2f", *dive.low, *dive.high);
    std::printf("; flight from %.2f s, entry from %.2f s; take-off %+.2f, flight %+.2f, entry %+.2f; %s\n",
                clip.seconds(clip.indices[dive.transitions[0]]), clip.seconds(clip.indices[dive.transitions[1]]),
                dive.stage_deltas[0], dive.stage_deltas[1], dive.stage_deltas[2], engine.c_str());
    for (const std::string& note : dive.notes) std::printf("note: %s\n", note.c_str());
}

int run(const Arguments& arguments) {
    if (arguments.help) {
        std::cout << kUsage;
        for (const std::string& name : mcore::engine_names()) std::cout << " " << name;
        std::cout << "\n    --precision NAME   of the bundle's graphs: fp32 (default), or fp16 or int8 where it has them\n"
                     "    --threads N        CPU threads of the engine; default: its own choice\n";
        return 0;
    }
    const std::string wanted = arguments.get("--engine", mcore::engine_names().front());
    const int threads = arguments.has("--threads") ? static_cast<int>(std::min(number(arguments, "--threads"), 1024.0)) : 0;
    auto engine = mcore::open_engine(wanted, threads);
    mcore::Scorer scorer(mcore::open_bundle(arguments.positional[0], arguments.get("--precision", "fp32")), std::move(engine));
    const bool has_number = arguments.has("--dive");
    scorer.select(has_number ? std::optional(arguments.get("--dive")) : std::nullopt, arguments.has("--any-exemplar"));
    const auto began = std::chrono::steady_clock::now();
    const mcore::Clip clip = read_clip(arguments, scorer.bundle().contract);
    const std::chrono::duration<double, std::milli> read = std::chrono::steady_clock::now() - began;
    const mcore::DiveScore dive = scorer.score(clip);
    if (!arguments.has("--json")) {
        print_line(clip, dive, wanted);
        return 0;
    }
    // A name that is not UTF-8 is written with replacement characters.
    std::cout << document(scorer, clip, dive, read.count()).dump(2, ' ', false, ordered_json::error_handler_t::replace)
              << "\n";
    return 0;
}

}  // namespace

int main(int count, char** words) {
    std::ios::sync_with_stdio(false);
    try {
        return run(parse(count, words));
    } catch (const Mistake& mistake) {
        std::fprintf(stderr, "error: %s\n", mistake.what());
        return 2;
    } catch (const std::exception& error) {
        std::fprintf(stderr, "failed: %s\n", error.what());
        return 1;
    }
}
