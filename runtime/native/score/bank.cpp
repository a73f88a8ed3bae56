#include "bank.hpp"

#include <cmath>
#include <map>

#include "mistake.hpp"

namespace mcore {
namespace {

const Array& entry(const std::map<std::string, Array>& arrays, const char* name, size_t axes) {
    const auto found = arrays.find(name);
    demand(found != arrays.end(), std::string("it has no ") + name);
    demand(found->second.shape.size() == axes, std::string(name) + " has " + std::to_string(found->second.shape.size()) +
                                                   " axes, expected " + std::to_string(axes));
    return found->second;
}

}  // namespace

Bank Bank::select(const std::optional<std::string>& dive_number, bool any_exemplar) const {
    Bank chosen;
    chosen.graphs_sha256 = graphs_sha256;
    const size_t each = tokens.size() / exemplars.size();
    std::map<std::string, int> counts;
    for (size_t i = 0; i < exemplars.size(); ++i) {
        ++counts[exemplars[i].dive_number];
        if (exemplars[i].dive_number != dive_number) continue;
        chosen.exemplars.push_back(exemplars[i]);
        chosen.tokens.insert(chosen.tokens.end(), tokens.begin() + i * each, tokens.begin() + (i + 1) * each);
    }
    if (!chosen.exemplars.empty()) return chosen;
    if (any_exemplar) return *this;
    std::string there;
    for (const auto& [number, count] : counts)
        there += (there.empty() ? "" : ", ") + number + " (" + std::to_string(count) + ")";
    throw Mistake((dive_number ? "no exemplars of dive number " + *dive_number : std::string("no dive number given")) +
                  "; the bundle has these (with how many exemplars): " + there +
                  ". Give one of these with --dive, or score against all exemplars, which is less certain: "
                  "--any-exemplar");
}

Bank parse_bank(View file, size_t tokens_per_dive, size_t feature_dim) {
    const std::map<std::string, Array> arrays = parse_npz(file);
    const Array& tokens = entry(arrays, "tokens", 3);
    const auto scores = entry(arrays, "scores", 1).numbers();
    const auto difficulties = entry(arrays, "difficulties", 1).numbers();
    const auto numbers = entry(arrays, "dive_numbers", 1).texts(), names = entry(arrays, "names", 1).texts();
    const size_t count = scores.size();
    demand(count > 0, "it is empty; a dive needs at least one exemplar to be compared with");
    demand(tokens.shape[0] == count && difficulties.size() == count && numbers.size() == count && names.size() == count,
           "its arrays have different lengths");
    demand(tokens.shape[1] == tokens_per_dive && tokens.shape[2] == feature_dim,
           "its tokens are " + std::to_string(tokens.shape[1]) + " x " + std::to_string(tokens.shape[2]) +
               ", the network makes " + std::to_string(tokens_per_dive) + " x " + std::to_string(feature_dim));
    Bank bank;
    bank.graphs_sha256 = entry(arrays, "graphs_sha256", 0).texts()[0];
    for (const double value : tokens.numbers()) {
        demand(std::isfinite(value), "a token is not a finite number");
        bank.tokens.push_back(static_cast<float>(value));
    }
    for (size_t i = 0; i < count; ++i) {
        demand(std::isfinite(scores[i]), "a score is not a finite number");
        bank.exemplars.push_back({names[i], numbers[i], scores[i], difficulties[i]});
    }
    return bank;
}

}  // namespace mcore
