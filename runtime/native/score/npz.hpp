// Arrays as NumPy saves them: .npy files, and .npz archives of them that are not compressed (numpy.savez).
#pragma once
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace mcore {

// Bytes that somebody else owns.
struct View {
    const uint8_t* data = nullptr;
    size_t size = 0;

    // Throws Mistake where the part does not lie inside.
    View part(size_t offset, size_t length) const;
    uint64_t number(size_t offset, int bytes) const;  // little-endian
};

struct Array {
    std::string type;  // NumPy's name of the element type, such as "<f4"
    std::vector<size_t> shape;
    View bytes;  // exactly the elements, in C order

    size_t count() const;
    // The elements as numbers ("<f4", "<f8") or as UTF-8 (texts, "<U5"). Each throws Mistake for another type.
    std::vector<double> numbers() const;
    std::vector<std::string> texts() const;
};

// Each throws Mistake: not such a file, damaged, or one whose elements this reader does not know.
Array parse_npy(View file);
std::map<std::string, Array> parse_npz(View file);

}  // namespace mcore
