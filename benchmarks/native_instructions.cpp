// Resizes frames of 1920 x 1080 to network input with one instruction set, so that their instructions can be counted.
// Arguments: name of the instruction set, number of frames. See tests/native/test_instructions.py.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "plan.hpp"

int main(int count, char** values) {
    if (count != 3) return 2;
    const int frames = std::atoi(values[2]);
    std::vector<uint8_t> pixels(size_t(1920) * 1080 * 3, 77);
    mcore::Plan plan(1920, 1080, 112, 200, 0, 44, 112, 112);
    const mcore::Packed frame{pixels.data(), 1920 * 3, 3, 0, 1, 2};
    for (const mcore::Kernels* kernels : mcore::usable_kernels()) {
        if (std::strcmp(kernels->name, values[1]) != 0) continue;
        unsigned sum = 0;
        for (int i = 0; i < frames; ++i) sum += plan.resize(frame, *kernels)[i];
        std::printf("%u\n", sum);
        return 0;
    }
    std::fprintf(stderr, "no instruction set %s here\n", values[1]);
    return 3;
}
