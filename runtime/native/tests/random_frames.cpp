// Thousands of random geometries. Arguments: how many, and the seed of the first; a failure prints its seed.
#include <random>
#include <stdexcept>

#include "geometry.hpp"

int main(int count, char** values) {
    const int rounds = count > 1 ? std::atoi(values[1]) : 2000, first = count > 2 ? std::atoi(values[2]) : 0;
    std::vector<uint8_t> bytes(2000);
    for (int round = 0; round < rounds; ++round) {
        mcore::seed() = first + round;
        std::mt19937 random(mcore::seed());
        for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(random());
        mcore::check_one(bytes.data(), bytes.size());
    }
    const int impossible[][8] = {{0, 1, 1, 1, 0, 0, 1, 1}, {1, 1, 1, 1, 0, 0, 2, 1}, {4, 4, 4, 4, -1, 0, 1, 1},
                                 {4, 4, 4, 4, 3, 0, 2, 1}, {1, 40000, 1, 1, 0, 0, 1, 1}};
    for (const auto& s : impossible) {
        bool refused = false;
        try {
            mcore::Plan(s[0], s[1], s[2], s[3], s[4], s[5], s[6], s[7]);
        } catch (const std::invalid_argument&) {
            refused = true;
        }
        MCORE_REQUIRE(refused);
    }
    std::printf("%d geometries, %zu instruction sets\n", rounds, mcore::usable_kernels().size());
}
