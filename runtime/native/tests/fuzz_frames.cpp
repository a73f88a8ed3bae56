// For libFuzzer: clang++ -std=c++17 -fsanitize=fuzzer,address,undefined, with the sources of mcore_frames.
#include "geometry.hpp"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    mcore::check_one(data, size);
    return 0;
}
