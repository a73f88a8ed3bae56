// OpenVINO on the CPU, held to float32 and read back.
#include <openvino/openvino.hpp>

#include <sstream>

#include "engine.hpp"
#include "mistake.hpp"

namespace mcore {
namespace {

constexpr const char* kDevice = "CPU";

class OpenVinoGraph : public LoadedGraph {
public:
    OpenVinoGraph(ov::CompiledModel model, const Graph& graph) : graph_(graph), request_(model.create_infer_request()) {
        for (const auto* specs : {&graph_.inputs, &graph_.outputs})
            for (const TensorSpec& spec : *specs) check(spec, specs == &graph_.inputs ? model.inputs() : model.outputs());
    }

    void run(const std::vector<const float*>& inputs, const std::vector<void*>& outputs, int64_t num_exemplars) override {
        for (size_t i = 0; i < inputs.size(); ++i)
            set(graph_.inputs[i], const_cast<float*>(inputs[i]), num_exemplars);
        for (size_t i = 0; i < outputs.size(); ++i) set(graph_.outputs[i], outputs[i], num_exemplars);
        request_.infer();
    }

private:
    void check(const TensorSpec& spec, const std::vector<ov::Output<const ov::Node>>& ports) const {
        for (const auto& port : ports) {
            if (port.get_names().count(spec.name) == 0) continue;
            std::vector<int64_t> shape;
            for (const ov::Dimension& extent : port.get_partial_shape())
                shape.push_back(extent.is_static() ? extent.get_length() : kAnyExtent);
            const ov::element::Type kind = port.get_element_type();
            demand(kind == ov::element::f32 || kind == ov::element::i64,
                   graph_.path + ": " + spec.name + " is neither float32 nor int64; export the bundle again");
            return check_tensor(graph_, spec, kind == ov::element::i64, shape);
        }
        throw Mistake(graph_.path + " has no tensor " + spec.name + "; export the bundle again");
    }

    void set(const TensorSpec& spec, void* data, int64_t num_exemplars) {
        const std::vector<int64_t> shape = filled(spec, num_exemplars);
        const ov::element::Type kind = spec.integers ? ov::element::i64 : ov::element::f32;
        request_.set_tensor(spec.name, ov::Tensor(kind, ov::Shape(shape.begin(), shape.end()), data));
    }

    Graph graph_;
    ov::InferRequest request_;
};

class OpenVino : public Engine {
public:
    explicit OpenVino(int threads) : options_{ov::hint::inference_precision(ov::element::f32),
                                              ov::hint::performance_mode(ov::hint::PerformanceMode::LATENCY),
                                              ov::num_streams(1), ov::hint::enable_cpu_pinning(false)} {
        if (threads > 0) options_.insert(ov::inference_num_threads(threads));
    }

    std::string name() const override { return "openvino"; }
    std::string provider() const override {
        std::string device = core_.get_property(kDevice, ov::device::full_name);
        while (!device.empty() && device.back() == ' ') device.pop_back();
        return device + ", f32";
    }

    std::unique_ptr<LoadedGraph> load(const Graph& graph) override {
        ov::CompiledModel model;
        try {
            model = core_.compile_model(core_.read_model(graph.path), kDevice, options_);
        } catch (const ov::Exception& error) {
            cannot_load("OpenVINO " + std::string(ov::get_openvino_version().buildNumber), graph, reason(error.what()));
        }
        const ov::element::Type got = model.get_property(ov::hint::inference_precision);
        demand(got == ov::element::f32, "asked OpenVINO for f32, got " + got.get_type_name() + " for " + graph.path +
                                            ": scores would not be those that were verified");
        return std::make_unique<OpenVinoGraph>(model, graph);
    }

private:
    // The first lines of OpenVINO's messages name places in its source.
    static std::string reason(const std::string& message) {
        std::istringstream lines(message);
        for (std::string line; std::getline(lines, line);) {
            const auto starts = [&](const char* text) { return line.rfind(text, 0) == 0; };
            if (!line.empty() && !starts("Exception from") && !starts("Check '") && !starts("FrontEnd API failed"))
                return line;
        }
        return message;
    }

    mutable ov::Core core_;
    ov::AnyMap options_;
};

}  // namespace

std::unique_ptr<Engine> open_openvino(int threads) { return std::make_unique<OpenVino>(threads); }

}  // namespace mcore
