// Whole files are taken, and thousands of damaged ones taken or refused. Argument: how many.
#include <cstdio>
#include <cstdlib>
#include <random>

#include "files.hpp"
#include "sha256.hpp"

namespace {

using mcore::Kind;

#define MCORE_REQUIRE(condition)                                                             \
    do {                                                                                     \
        if (!(condition)) {                                                                  \
            std::fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition);     \
            std::abort();                                                                    \
        }                                                                                    \
    } while (false)

std::string number(uint64_t value, int bytes) {
    std::string text;
    for (int i = 0; i < bytes; ++i) text += static_cast<char>(value >> (8 * i));
    return text;
}

std::string npy(const std::string& type, const std::string& shape, const std::string& elements) {
    const std::string header = "{'descr': '" + type + "', 'fortran_order': False, 'shape': (" + shape + "), }\n";
    return "\x93NUMPY" + std::string("\x01\x00", 2) + number(header.size(), 2) + header + elements;
}

std::string letters(const std::string& text, size_t width) {
    std::string wide;
    for (size_t i = 0; i < width; ++i) wide += number(i < text.size() ? static_cast<uint8_t>(text[i]) : 0, 4);
    return wide;
}

std::string doubles(const std::vector<double>& values) {
    return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(double)};
}

std::string zip(const std::vector<std::pair<std::string, std::string>>& files) {
    std::string archive, contents;
    for (const auto& [name, data] : files) {
        // Method, time, date, checksum, both sizes, length of the name, and no extra field.
        const std::string common = std::string(10, '\0') + number(data.size(), 4) + number(data.size(), 4) +
                                   number(name.size(), 2) + number(0, 2);
        contents += "PK\x01\x02" + number(20, 2) + number(20, 2) + number(0, 2) + common + std::string(10, '\0') +
                    number(archive.size(), 4) + name;
        archive += "PK\x03\x04" + number(20, 2) + number(0, 2) + common + name + data;
    }
    const std::string counts = number(files.size(), 2) + number(files.size(), 2);
    return archive + contents + "PK\x05\x06" + number(0, 4) + counts + number(contents.size(), 4) +
           number(archive.size(), 4) + number(0, 2);
}

std::string whole(Kind kind) {
    switch (kind) {
        case Kind::bank:
            return zip({{"tokens.npy", npy("<f4", "2, 6, 4", std::string(2 * 24 * 4, '\0'))},
                        {"scores.npy", npy("<f8", "2,", doubles({50, 60}))},
                        {"dive_numbers.npy", npy("<U4", "2,", letters("407C", 4) + letters("107B", 4))},
                        {"difficulties.npy", npy("<f8", "2,", doubles({3.2, 3.0}))},
                        {"names.npy", npy("<U2", "2,", letters("a", 2) + letters("\xe9", 2))},
                        {"graphs_sha256.npy", npy("<U3", "", letters("abc", 3))}});
        case Kind::y4m: {
            std::string stream = "YUV4MPEG2 W5 H3 F30000:1001 Ip A1:1 C420jpeg XCOLORRANGE=FULL\n";
            for (int i = 0; i < 7; ++i) stream += "FRAME\n" + std::string(5 * 3 + 2 * 3 * 2, static_cast<char>(i));
            return stream;
        }
        case Kind::raw: return std::string("\x05\x07\x03\x19", 4) + std::string(2 * (7 * 3 + 2 * 4 * 2) - 4, 'x');
        case Kind::array: return npy("|u1", "4, 3, 3, 3", std::string(4 * 27, '\x40'));
        default:
            return R"({"format": "mcore-bundle", "format_version": 2, "created": "now",
                "sampling": "linspace-truncated, by presentation time", "checkpoint": {"name": "best.pt"},
                "model": {"clip": {"num_frames": 8, "resize_width": 12, "resize_height": 20, "crop_size": 12,
                                   "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]},
                          "backbone": {"widths": [8]}, "tokens_per_stage": 2},
                "variants": {"fp32": {"exemplars": {}, "precision": {"backbone": "a", "segmenter": "b", "regressor": "c"},
                    "graphs": {"backbone": {"file": "b"}, "segmenter": {"file": "s"}, "regressor": {"file": "r"}}}},
                "files": {"b": {"sha256": "0"}, "s": {"sha256": "1"}, "r": {"sha256": "2"},
                          "exemplars.npz": {"sha256": "3"}}})";
    }
}

// One to four changes: bytes replaced, removed, doubled, or the end cut off.
void damage(std::string& bytes, std::mt19937& random) {
    const auto below = [&](size_t limit) { return limit == 0 ? 0 : random() % limit; };
    for (size_t changes = 1 + below(4); changes > 0 && !bytes.empty(); --changes) {
        const size_t at = below(bytes.size());
        switch (below(5)) {
            case 0: bytes[at] = static_cast<char>(random()); break;
            case 1: bytes[at] = static_cast<char>(below(2) == 0 ? 0xff : bytes[at] ^ 1 << below(8)); break;
            case 2: bytes.erase(at, 1 + below(8)); break;
            case 3: bytes.insert(at, bytes.substr(below(bytes.size()), 1 + below(8))); break;
            default: bytes.resize(below(4) == 0 ? at : bytes.size()); break;
        }
    }
}

}  // namespace

int main(int count, char** values) {
    const int rounds = count > 1 ? std::atoi(values[1]) : 1000;
    const auto read = [](Kind kind, const std::string& bytes) {
        return mcore::read_one(kind, reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size());
    };
    int taken = 0;
    for (int kind = 0; kind < mcore::kKinds; ++kind) MCORE_REQUIRE(read(Kind(kind), whole(Kind(kind))));
    std::mt19937 random(1);
    for (int round = 0; round < rounds; ++round) {
        const Kind kind = Kind(round % mcore::kKinds);
        std::string bytes = whole(kind);
        damage(bytes, random);
        taken += read(kind, bytes);
    }
    // The standard's own examples.
    MCORE_REQUIRE(mcore::sha256("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    MCORE_REQUIRE(mcore::sha256("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq") ==
                  "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
    std::printf("%d damaged files, %d taken all the same\n", rounds, taken);
}
