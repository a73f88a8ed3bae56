#include "scorer.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <numeric>
#include <stdexcept>

namespace mcore {
namespace {

class Stopwatch {
public:
    // Milliseconds since the last lap.
    double lap_ms() {
        const auto now = std::chrono::steady_clock::now();
        const double ms = std::chrono::duration<double, std::milli>(now - since_).count();
        since_ = now;
        return ms;
    }

private:
    std::chrono::steady_clock::time_point since_ = std::chrono::steady_clock::now();
};

// numpy.percentile: linear between the neighbours in order.
double percentile(std::vector<double> values, double percent) {
    std::sort(values.begin(), values.end());
    const double at = percent / 100 * static_cast<double>(values.size() - 1);
    const auto below = static_cast<size_t>(at);
    const double low = values[below], high = values[std::min(below + 1, values.size() - 1)];
    return low + (high - low) * (at - static_cast<double>(below));
}

std::optional<double> common_difficulty(const std::vector<Exemplar>& exemplars) {
    const double first = exemplars.front().difficulty;  // NaN equals nothing, itself included
    for (const Exemplar& exemplar : exemplars)
        if (exemplar.difficulty != first) return std::nullopt;
    return first;
}

}  // namespace

Scorer::Scorer(Bundle bundle, std::unique_ptr<Engine> engine) : bundle_(std::move(bundle)), engine_(std::move(engine)) {
    for (size_t part = 0; part < graphs_.size(); ++part) graphs_[part] = engine_->load(bundle_.graphs[part]);
}

void Scorer::select(const std::optional<std::string>& dive_number, bool any_exemplar) {
    dive_number_ = dive_number;
    if (dive_number_)
        for (char& letter : *dive_number_) letter = static_cast<char>(std::toupper(static_cast<unsigned char>(letter)));
    chosen_ = bundle_.bank.select(dive_number_, any_exemplar);
}

DiveScore Scorer::score(const Clip& clip) {
    const Contract& contract = bundle_.contract;
    const auto count = static_cast<int64_t>(chosen_.exemplars.size());
    const auto room = [&](Part part, size_t output) {
        return std::vector<float>(count_of(bundle_.graphs[part].outputs[output], count));
    };
    DiveScore result;
    Stopwatch watch;
    const std::vector<float> input = normalise(clip, contract);  // (1, 3, T, c, c)
    result.preprocess_ms = watch.lap_ms();
    std::vector<float> features = room(backbone, 0), logits = room(segmenter, 0), tokens = room(segmenter, 2);
    std::array<int64_t, 2> transitions{};
    graphs_[backbone]->run({input.data()}, {features.data()}, count);
    result.backbone_ms = watch.lap_ms();
    graphs_[segmenter]->run({features.data()}, {logits.data(), transitions.data(), tokens.data()}, count);
    result.segmenter_ms = watch.lap_ms();
    std::vector<float> deltas = room(regressor, 0), shares = room(regressor, 1);  // (E,), (E, 3)
    graphs_[regressor]->run({tokens.data(), chosen_.tokens.data()}, {deltas.data(), shares.data()}, count);
    result.regressor_ms = watch.lap_ms();

    std::vector<double> predicted;
    result.stage_deltas = {};
    bool finite = transitions[0] >= 0 && transitions[0] <= transitions[1] && transitions[1] < contract.num_frames;
    for (int64_t i = 0; i < count; ++i) {
        const Exemplar& exemplar = chosen_.exemplars[i];
        predicted.push_back(exemplar.score + deltas[i]);
        result.comparisons.push_back({exemplar, deltas[i], predicted.back()});
        finite = finite && std::isfinite(predicted.back());
        for (size_t stage = 0; stage < 3; ++stage) {
            result.stage_deltas[stage] += shares[3 * i + stage] / static_cast<double>(count);
            finite = finite && std::isfinite(shares[3 * i + stage]);
        }
    }
    if (!finite)
        throw std::runtime_error(engine_->name() + " computed scores or transitions of " + clip.source +
                                 " that cannot be. Find the graph that does with: mcore-export " + bundle_.path +
                                 " --verify --backend " + engine_->name());
    std::stable_sort(result.comparisons.begin(), result.comparisons.end(),
                     [](const Comparison& a, const Comparison& b) { return std::fabs(a.delta) < std::fabs(b.delta); });
    result.score = std::accumulate(predicted.begin(), predicted.end(), 0.0) / static_cast<double>(count);
    result.dive_number = dive_number_;
    result.same_dive_number = dive_number_ && chosen_.exemplars.front().dive_number == *dive_number_;
    const Calibrations& measured = bundle_.calibrations;
    if (const auto& calibration = result.same_dive_number ? measured.same_number : measured.other_numbers) {
        result.low = result.score - calibration->half_width_points;
        result.high = result.score + calibration->half_width_points;
        result.interval_level = calibration->level;
    } else if (count > 1) {
        result.low = percentile(predicted, 10);
        result.high = percentile(predicted, 90);
    }
    if (result.same_dive_number) result.difficulty = common_difficulty(chosen_.exemplars);
    result.transitions = {static_cast<int>(transitions[0]), static_cast<int>(transitions[1])};
    result.notes = notes(clip, result.same_dive_number, result.interval_level.has_value());
    return result;
}

std::vector<std::string> Scorer::notes(const Clip& clip, bool same_number, bool calibrated) const {
    std::vector<std::string> notes;
    const int wanted = bundle_.contract.num_frames;
    if (!same_number)
        notes.push_back(std::string("compared with exemplars of other dive numbers: the score is less certain") +
                        (calibrated ? "" : " than its spread says"));
    if (chosen_.exemplars.size() == 1 && !calibrated) notes.push_back("compared with a single exemplar: the spread is unknown");
    if (clip.num_source_frames < wanted)
        notes.push_back("the clip has " + std::to_string(clip.num_source_frames) + " frames, the network looks at " +
                        std::to_string(wanted) + ": frames were repeated");
    return notes;
}

}  // namespace mcore
