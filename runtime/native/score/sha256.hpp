// SHA-256 (FIPS 180-4), for the hashes in a bundle's manifest.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>

namespace mcore {

// Lower-case hexadecimal digest.
std::string sha256(const uint8_t* data, size_t size);
inline std::string sha256(const std::string& text) {
    return sha256(reinterpret_cast<const uint8_t*>(text.data()), text.size());
}

}  // namespace mcore
