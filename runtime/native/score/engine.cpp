#include "engine.hpp"

#include <algorithm>

#include "mistake.hpp"

namespace mcore {

#ifdef MCORE_WITH_OPENVINO
std::unique_ptr<Engine> open_openvino(int threads);
#endif
#ifdef MCORE_WITH_ONNXRUNTIME
std::unique_ptr<Engine> open_onnxruntime(int threads);
#endif

namespace {

struct Known {
    const char* name;
    std::unique_ptr<Engine> (*open)(int threads);
};
const Known kKnown[] = {
#ifdef MCORE_WITH_OPENVINO
    {"openvino", open_openvino},
#endif
#ifdef MCORE_WITH_ONNXRUNTIME
    {"onnxruntime", open_onnxruntime},
#endif
};

std::string text_of(bool integers, const std::vector<int64_t>& shape) {
    std::string text = integers ? "int64 (" : "float32 (";
    for (size_t i = 0; i < shape.size(); ++i)
        text += (i == 0 ? "" : ", ") + (shape[i] < 0 ? std::string("E") : std::to_string(shape[i]));
    return text + ")";
}

}  // namespace

std::vector<std::string> engine_names() {
    std::vector<std::string> names;
    for (const Known& known : kKnown) names.emplace_back(known.name);
    return names;
}

std::unique_ptr<Engine> open_engine(const std::string& name, int threads) {
    std::string allowed;
    for (const Known& known : kKnown) {
        if (name == known.name) return known.open(threads);
        allowed += (allowed.empty() ? "" : ", ") + std::string(known.name);
    }
    throw Mistake("this program was built without an engine '" + name + "'; it has: " + allowed);
}

std::vector<int64_t> filled(const TensorSpec& spec, int64_t num_exemplars) {
    std::vector<int64_t> shape = spec.shape;
    std::replace(shape.begin(), shape.end(), kAnyExtent, num_exemplars);
    return shape;
}

int64_t count_of(const TensorSpec& spec, int64_t num_exemplars) {
    int64_t count = 1;
    for (const int64_t extent : filled(spec, num_exemplars)) count *= extent;
    return count;
}

void check_tensor(const Graph& graph, const TensorSpec& expected, bool integers, const std::vector<int64_t>& shape) {
    bool same = integers == expected.integers && shape.size() == expected.shape.size();
    for (size_t i = 0; same && i < shape.size(); ++i) same = std::max(shape[i], kAnyExtent) == expected.shape[i];
    demand(same, graph.path + " has " + expected.name + " " + text_of(integers, shape) + ", the manifest says " +
                     text_of(expected.integers, expected.shape) + "; export the bundle again");
}

void cannot_load(const std::string& engine, const Graph& graph, const std::string& reason) {
    throw Mistake(engine + " cannot load " + graph.path + ": " + reason.substr(0, reason.find('\n')) +
                  ". Use a newer " + engine + ", or export the bundle again");
}

}  // namespace mcore
