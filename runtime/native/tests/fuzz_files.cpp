// For libFuzzer, as fuzz_frames.cpp: the first byte chooses the kind of file.
#include "files.hpp"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    if (size > 0) mcore::read_one(static_cast<mcore::Kind>(data[0] % mcore::kKinds), data + 1, size - 1);
    return 0;
}
