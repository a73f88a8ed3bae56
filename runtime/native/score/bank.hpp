// The exemplar bank: stage tokens and true scores of the dives that a new dive is compared with.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "npz.hpp"

namespace mcore {

struct Exemplar {
    std::string name, dive_number;
    double score;       // true score, points
    double difficulty;  // NaN where unknown
};

// N exemplars; tokens are (N, 3K, D), stage after stage.
struct Bank {
    std::vector<Exemplar> exemplars;
    std::vector<float> tokens;
    std::string graphs_sha256;  // of the graphs that encoded the tokens

    // What a dive is compared with, in the bank's order. Without a number, or without exemplars of it, all of them if
    // `any_exemplar`; else Mistake, which names what the bank has.
    Bank select(const std::optional<std::string>& dive_number, bool any_exemplar) const;
};

// Throws Mistake: not an exemplar bank, or not one of a network with these tokens.
Bank parse_bank(View file, size_t tokens_per_dive, size_t feature_dim);

}  // namespace mcore
