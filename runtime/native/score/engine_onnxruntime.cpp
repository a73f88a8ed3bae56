// ONNX Runtime on the CPU, through its C++ API.
#include <onnxruntime_cxx_api.h>

#include <filesystem>

#include "engine.hpp"
#include "mistake.hpp"

namespace mcore {
namespace {

const std::string kName = "ONNX Runtime";

Ort::Value wrap(const Ort::MemoryInfo& memory, const TensorSpec& spec, void* data, int64_t num_exemplars) {
    const std::vector<int64_t> shape = filled(spec, num_exemplars);
    const auto count = static_cast<size_t>(count_of(spec, num_exemplars));
    if (spec.integers)
        return Ort::Value::CreateTensor<int64_t>(memory, static_cast<int64_t*>(data), count, shape.data(), shape.size());
    return Ort::Value::CreateTensor<float>(memory, static_cast<float*>(data), count, shape.data(), shape.size());
}

class OrtGraph : public LoadedGraph {
public:
    OrtGraph(Ort::Env& env, const Ort::SessionOptions& options, const Graph& graph)
        : graph_(graph), session_(env, std::filesystem::path(graph.path).c_str(), options) {
        check(graph_.inputs, session_.GetInputNames(), [&](size_t i) { return session_.GetInputTypeInfo(i); });
        check(graph_.outputs, session_.GetOutputNames(), [&](size_t i) { return session_.GetOutputTypeInfo(i); });
    }

    void run(const std::vector<const float*>& inputs, const std::vector<void*>& outputs, int64_t num_exemplars) override {
        std::vector<const char*> input_names, output_names;
        std::vector<Ort::Value> input_values, output_values;
        for (size_t i = 0; i < inputs.size(); ++i) {
            input_names.push_back(graph_.inputs[i].name.c_str());
            // The API takes no pointers to const, but it does not write to inputs.
            input_values.push_back(wrap(memory_, graph_.inputs[i], const_cast<float*>(inputs[i]), num_exemplars));
        }
        for (size_t i = 0; i < outputs.size(); ++i) {
            output_names.push_back(graph_.outputs[i].name.c_str());
            output_values.push_back(wrap(memory_, graph_.outputs[i], outputs[i], num_exemplars));
        }
        session_.Run(Ort::RunOptions(), input_names.data(), input_values.data(), input_values.size(),
                     output_names.data(), output_values.data(), output_values.size());
    }

private:
    template <class TypeAt>
    void check(const std::vector<TensorSpec>& expected, const std::vector<std::string>& names, const TypeAt& type_at) {
        for (const TensorSpec& spec : expected) {
            size_t at = 0;
            while (at < names.size() && names[at] != spec.name) ++at;
            demand(at < names.size(), graph_.path + " has no tensor " + spec.name + "; export the bundle again");
            const Ort::TypeInfo type = type_at(at);
            demand(type.GetONNXType() == ONNX_TYPE_TENSOR, graph_.path + ": " + spec.name + " is not a tensor");
            const auto tensor = type.GetTensorTypeAndShapeInfo();
            const auto kind = tensor.GetElementType();
            demand(kind == ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT || kind == ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64,
                   graph_.path + ": " + spec.name + " is neither float32 nor int64; export the bundle again");
            check_tensor(graph_, spec, kind == ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64, tensor.GetShape());
        }
    }

    Graph graph_;
    Ort::Session session_;
    Ort::MemoryInfo memory_ = Ort::MemoryInfo::CreateCpu(OrtArenaAllocator, OrtMemTypeDefault);
};

class OnnxRuntime : public Engine {
public:
    explicit OnnxRuntime(int threads) : env_(ORT_LOGGING_LEVEL_ERROR, "mcore") {
        options_.SetInterOpNumThreads(1);
        if (threads > 0) options_.SetIntraOpNumThreads(threads);
        // As in mcore_runtime: threads that spin when their graph is done take cores from the next one.
        options_.AddConfigEntry("session.force_spinning_stop", "1");
    }

    std::string name() const override { return "onnxruntime"; }
    std::string provider() const override { return "CPUExecutionProvider"; }

    std::unique_ptr<LoadedGraph> load(const Graph& graph) override {
        try {
            return std::make_unique<OrtGraph>(env_, options_, graph);
        } catch (const Ort::Exception& error) {
            cannot_load(kName + " " + Ort::GetVersionString(), graph, error.what());
        }
    }

private:
    Ort::Env env_;
    Ort::SessionOptions options_;
};

}  // namespace

std::unique_ptr<Engine> open_onnxruntime(int threads) { return std::make_unique<OnnxRuntime>(threads); }

}  // namespace mcore
