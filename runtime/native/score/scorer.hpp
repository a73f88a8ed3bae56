// Scores dives with one bundle on one engine: one pass over the clip, then a comparison with each stored exemplar.
#pragma once
#include <array>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "bundle.hpp"
#include "clip.hpp"
#include "engine.hpp"

namespace mcore {

struct Comparison {
    Exemplar exemplar;
    double delta, predicted_score;  // points
};

// mcore_runtime.scoring.result.DiveScore, without what needs no network to know.
struct DiveScore {
    double score;
    std::optional<double> low, high;  // the calibrated interval; else the exemplars' spread, which a single one lacks
    std::optional<double> interval_level;  // share of true scores that low to high holds; none: it is the spread
    std::optional<std::string> dive_number;
    std::optional<double> difficulty;
    bool same_dive_number;
    std::array<int, 2> transitions;  // first sampled frame of the flight and of the entry
    std::array<double, 3> stage_deltas;
    std::vector<Comparison> comparisons;  // the closest first
    double preprocess_ms, backbone_ms, segmenter_ms, regressor_ms;
    std::vector<std::string> notes;
};

class Scorer {
public:
    // Throws Mistake: the engine cannot load the bundle's graphs.
    Scorer(Bundle bundle, std::unique_ptr<Engine> engine);

    // Find what a dive is compared with, before its frames are read; see Bank::select. The number in any case.
    void select(const std::optional<std::string>& dive_number, bool any_exemplar);
    // Throws std::runtime_error: the engine computed something that is not a number.
    DiveScore score(const Clip& clip);

    const Bundle& bundle() const { return bundle_; }
    const Engine& engine() const { return *engine_; }

private:
    std::vector<std::string> notes(const Clip& clip, bool same_number, bool calibrated) const;

    Bundle bundle_;
    std::unique_ptr<Engine> engine_;
    std::array<std::unique_ptr<LoadedGraph>, 3> graphs_;  // by Part
    Bank chosen_;
    std::optional<std::string> dive_number_;
};

}  // namespace mcore
