// A bundle: the folder that carries a trained network to where it is used, every file hashed.
#pragma once
#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "bank.hpp"

namespace mcore {

enum Part { backbone, segmenter, regressor };
constexpr std::array<const char*, 3> kParts = {"backbone", "segmenter", "regressor"};
constexpr std::array<const char*, 3> kStages = {"take-off", "flight", "entry"};
constexpr int64_t kAnyExtent = -1;  // of the axis of exemplars

// How a clip becomes network input, and how large what the network makes of it is.
struct Contract {
    int num_frames = 0, resize_width = 0, resize_height = 0, crop_size = 0;
    std::array<float, 3> mean{}, deviation{};
    int feature_dim = 0, tokens_per_stage = 0;

    int tokens_per_dive() const { return 3 * tokens_per_stage; }
};

struct TensorSpec {
    std::string name;
    bool integers = false;  // int64; else float32
    std::vector<int64_t> shape;
};

struct Graph {
    std::string path, arithmetic;  // such as "fp32"
    std::vector<TensorSpec> inputs, outputs;
};

// How far scores can be off, measured at the export: mcore/common/conformal.py.
struct Calibration {
    double level = 0;              // share of true scores that the interval holds
    double half_width_points = 0;  // it reaches so far below and above the score
};

// For dives that are compared with exemplars of their number, and for those that are compared with all.
struct Calibrations {
    std::optional<Calibration> same_number, other_numbers;
};

struct Bundle {
    std::string path, sha256, created, checkpoint;
    Contract contract;
    std::array<Graph, 3> graphs;  // by Part
    Bank bank;
    Calibrations calibrations;
};

// What manifest.json says, without the files it speaks of. Throws Mistake: not a manifest that this version reads.
struct Manifest {
    std::string created, checkpoint;
    Contract contract;
    std::map<std::string, std::string> hashes;  // by path below the bundle
    std::array<Graph, 3> graphs;                // paths below the bundle
    Calibrations calibrations;
};
Manifest parse_manifest(const std::string& text, const std::string& precision);

// Reads a bundle and compares every file with its hash. precision: "fp32", or another that it was exported with.
// Throws Mistake.
Bundle open_bundle(const std::string& folder, const std::string& precision);

}  // namespace mcore
