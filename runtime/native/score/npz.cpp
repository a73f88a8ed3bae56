#include "npz.hpp"

#include <cstring>
#include <limits>

#include "mistake.hpp"

namespace mcore {
namespace {

constexpr size_t kMostAxes = 8;
constexpr uint32_t kLocal = 0x04034b50, kCentral = 0x02014b50, kEnd = 0x06054b50;  // signatures in a ZIP archive
constexpr size_t kEndBytes = 22, kCentralBytes = 46, kLocalBytes = 30, kMostComment = 65535;

// The value behind a key of the header, a Python dictionary such as {'descr': '<f4', 'fortran_order': False, ...}.
std::string value_of(const std::string& header, const std::string& key, char end) {
    const size_t at = header.find("'" + key + "':");
    demand(at != std::string::npos, "an array's header has no " + key);
    const size_t from = header.find_first_not_of(' ', at + key.size() + 3);
    const size_t to = from == std::string::npos ? from : header.find(end, from + 1);
    demand(to != std::string::npos, "the " + key + " in an array's header does not end");
    return header.substr(from, to - from);
}

std::vector<size_t> parse_shape(const std::string& text) {
    demand(!text.empty() && text[0] == '(', "an array's shape is '" + text + "', not a tuple");
    std::vector<size_t> shape;
    for (size_t at = 1; at < text.size();) {
        size_t extent = 0, digits = 0;
        for (; at < text.size() && text[at] >= '0' && text[at] <= '9'; ++at, ++digits) extent = extent * 10 + (text[at] - '0');
        if (digits > 0) shape.push_back(extent);
        demand(digits <= 12 && shape.size() <= kMostAxes && (at == text.size() || text[at] == ',' || text[at] == ' '),
               "an array's shape is '" + text + ")', which cannot be read");
        ++at;
    }
    return shape;
}

// Bytes of one element, of the types that bundles hold.
size_t element_bytes(const std::string& type) {
    if (type == "|u1") return 1;
    if (type == "<f4") return 4;
    if (type == "<f8") return 8;
    size_t letters = 0;
    if (type.size() > 2 && type.size() < 9 && type.compare(0, 2, "<U") == 0)
        for (size_t i = 2; i < type.size(); ++i) {
            demand(type[i] >= '0' && type[i] <= '9', "an array has elements of type " + type);
            letters = letters * 10 + (type[i] - '0');
        }
    demand(type.compare(0, 2, "<U") == 0,
           "an array has elements of type " + type + "; this reader knows |u1, <f4, <f8 and <U, little-endian");
    return 4 * letters;
}

void append_utf8(std::string& text, uint32_t letter) {
    demand(letter < 0x110000 && !(letter >= 0xd800 && letter < 0xe000), "a text holds a letter that does not exist");
    const int more = letter < 0x80 ? 0 : letter < 0x800 ? 1 : letter < 0x10000 ? 2 : 3;
    constexpr uint8_t kLead[] = {0, 0xc0, 0xe0, 0xf0};
    text += static_cast<char>(kLead[more] | letter >> (6 * more));
    for (int i = more - 1; i >= 0; --i) text += static_cast<char>(0x80 | (letter >> (6 * i) & 0x3f));
}

size_t find_end_record(View file) {
    demand(file.size >= kEndBytes, "it is too short for a ZIP archive");
    const size_t last = file.size - kEndBytes;
    for (size_t back = 0; back <= last && back <= kMostComment; ++back)
        if (file.number(last - back, 4) == kEnd) return last - back;
    throw Mistake("it is no ZIP archive, or its end is missing");
}

}  // namespace

View View::part(size_t offset, size_t length) const {
    demand(offset <= size && length <= size - offset, "it ends too early");
    return {data + offset, length};
}

uint64_t View::number(size_t offset, int bytes) const {
    const View digits = part(offset, bytes);
    uint64_t value = 0;
    for (int i = bytes - 1; i >= 0; --i) value = value << 8 | digits.data[i];
    return value;
}

size_t Array::count() const {
    size_t count = 1;
    for (const size_t extent : shape) count *= extent;  // parse_npy made sure that it fits
    return count;
}

std::vector<double> Array::numbers() const {
    demand(type == "<f4" || type == "<f8", "an array has elements of type " + type + ", expected <f4 or <f8");
    std::vector<double> values(count());
    for (size_t i = 0; i < values.size(); ++i) {
        float single;
        if (type == "<f8") {
            std::memcpy(&values[i], bytes.data + 8 * i, 8);
        } else {
            std::memcpy(&single, bytes.data + 4 * i, 4);
            values[i] = single;
        }
    }
    return values;
}

std::vector<std::string> Array::texts() const {
    demand(type.compare(0, 2, "<U") == 0, "an array has elements of type " + type + ", expected texts (<U)");
    const size_t letters = element_bytes(type) / 4;
    std::vector<std::string> values(count());
    for (size_t i = 0; i < values.size(); ++i)
        for (size_t k = 0; k < letters; ++k) {
            const auto letter = static_cast<uint32_t>(bytes.number(4 * (i * letters + k), 4));
            if (letter == 0) break;  // NumPy fills with zeros
            append_utf8(values[i], letter);
        }
    return values;
}

Array parse_npy(View file) {
    demand(file.size >= 10 && std::memcmp(file.data, "\x93NUMPY", 6) == 0, "it does not begin as an .npy file does");
    const int length_bytes = file.data[6] == 1 ? 2 : 4;
    const auto length = static_cast<size_t>(file.number(8, length_bytes));
    const View text = file.part(8 + length_bytes, length);
    const std::string header(reinterpret_cast<const char*>(text.data), text.size);
    demand(value_of(header, "fortran_order", ',') == "False", "an array is in Fortran order; expected C order");
    Array array;
    array.type = value_of(header, "descr", '\'');
    demand(array.type.size() > 1 && array.type[0] == '\'', "an array holds records; expected plain elements");
    array.type.erase(0, 1);
    array.shape = parse_shape(value_of(header, "shape", ')'));
    size_t size = element_bytes(array.type);
    for (const size_t extent : array.shape) {
        demand(extent == 0 || size <= std::numeric_limits<size_t>::max() / extent, "an array is too large");
        size *= extent;
    }
    const size_t begin = 8 + length_bytes + length;
    demand(file.size - begin == size, "an array should have " + std::to_string(size) + " bytes and has " +
                                          std::to_string(file.size - begin));
    // Elements of no bytes would need no file, however many are claimed.
    demand(size > 0 || array.count() <= file.size, "an array is too large");
    array.bytes = file.part(begin, size);
    return array;
}

std::map<std::string, Array> parse_npz(View file) {
    const size_t end = find_end_record(file);
    const auto count = static_cast<size_t>(file.number(end + 10, 2));
    auto at = static_cast<size_t>(file.number(end + 16, 4));
    std::map<std::string, Array> arrays;
    for (size_t i = 0; i < count; ++i) {
        demand(file.number(at, 4) == kCentral, "its table of contents is damaged");
        demand(file.number(at + 10, 2) == 0, "it is compressed; expected what numpy.savez writes");
        const auto size = static_cast<size_t>(file.number(at + 24, 4));
        const auto name_bytes = static_cast<size_t>(file.number(at + 28, 2));
        const auto local = static_cast<size_t>(file.number(at + 42, 4));
        const View name = file.part(at + kCentralBytes, name_bytes);
        demand(file.number(local, 4) == kLocal, "an entry of it is damaged");
        const auto skip = static_cast<size_t>(file.number(local + 26, 2) + file.number(local + 28, 2));
        std::string key(reinterpret_cast<const char*>(name.data), name.size);
        if (key.size() > 4 && key.compare(key.size() - 4, 4, ".npy") == 0) key.resize(key.size() - 4);
        arrays[key] = parse_npy(file.part(local + kLocalBytes + skip, size));
        at += kCentralBytes + name_bytes + static_cast<size_t>(file.number(at + 30, 2) + file.number(at + 32, 2));
    }
    return arrays;
}

}  // namespace mcore
