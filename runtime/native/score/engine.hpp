// What every inference engine offers: graphs as calls on memory that the caller owns.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "bundle.hpp"

namespace mcore {

// One loaded graph; one call at a time.
class LoadedGraph {
public:
    virtual ~LoadedGraph() = default;
    // Inputs and outputs in the order of Graph, each as large as its shape says; num_exemplars is the free extent.
    virtual void run(const std::vector<const float*>& inputs, const std::vector<void*>& outputs, int64_t num_exemplars) = 0;
};

class Engine {
public:
    virtual ~Engine() = default;
    virtual std::string name() const = 0;      // the same as mcore-score's --backend
    virtual std::string provider() const = 0;  // the engine's own name of what runs the graphs
    // Throws Mistake: the engine cannot load the graph, or its inputs and outputs are not those of the record.
    virtual std::unique_ptr<LoadedGraph> load(const Graph& graph) = 0;
};

// The engines that this program was built with, the fastest first.
std::vector<std::string> engine_names();
// threads: of one graph; 0: the engine's own choice. Throws Mistake: no such engine.
std::unique_ptr<Engine> open_engine(const std::string& name, int threads);

// A shape with the free extent filled in, and what it holds.
std::vector<int64_t> filled(const TensorSpec& spec, int64_t num_exemplars);
int64_t count_of(const TensorSpec& spec, int64_t num_exemplars);

// Throws Mistake unless a graph's tensor is the one of its record; extents below 0 are free.
void check_tensor(const Graph& graph, const TensorSpec& expected, bool integers, const std::vector<int64_t>& shape);
[[noreturn]] void cannot_load(const std::string& engine, const Graph& graph, const std::string& reason);

}  // namespace mcore
