#include "sha256.hpp"

#include <array>
#include <cstring>

namespace mcore {
namespace {

constexpr int kRounds = 64, kBlock = 64;

// The standard's constants: the first 32 bits of the fractional parts of roots of the first primes.
struct Constants {
    std::array<uint32_t, kRounds> rounds;  // cube roots of 64 primes
    std::array<uint32_t, 8> start;         // square roots of 8 primes

    Constants() {
        int found = 0;
        for (int number = 2; found < kRounds; ++number) {
            bool prime = true;
            for (int divisor = 2; divisor * divisor <= number; ++divisor) prime = prime && number % divisor != 0;
            if (!prime) continue;
            if (found < 8) start[found] = root_bits(number, 2);
            rounds[found++] = root_bits(number, 3);
        }
    }

    // Bit by bit in integers: the largest x with x^power <= number * 2^(32 * power), without its whole part.
    static uint32_t root_bits(uint32_t number, int power) {
        __extension__ using Wide = unsigned __int128;
        uint64_t root = 0;
        for (int bit = 36; bit >= 0; --bit) {
            const Wide x = root | uint64_t(1) << bit;
            const bool fits = power == 2 ? x * x <= Wide(number) << 64 : x * x * x <= Wide(number) << 96;
            if (fits) root = static_cast<uint64_t>(x);
        }
        return static_cast<uint32_t>(root);
    }
};

uint32_t rotate(uint32_t x, int by) { return x >> by | x << (32 - by); }

void add_block(std::array<uint32_t, 8>& state, const uint8_t* block, const Constants& constants) {
    uint32_t words[kRounds];
    for (int i = 0; i < 16; ++i)
        words[i] = uint32_t(block[4 * i]) << 24 | uint32_t(block[4 * i + 1]) << 16 | uint32_t(block[4 * i + 2]) << 8 |
                   block[4 * i + 3];
    for (int i = 16; i < kRounds; ++i) {
        const uint32_t early = words[i - 15], late = words[i - 2];
        words[i] = words[i - 16] + (rotate(early, 7) ^ rotate(early, 18) ^ early >> 3) + words[i - 7] +
                   (rotate(late, 17) ^ rotate(late, 19) ^ late >> 10);
    }
    auto [a, b, c, d, e, f, g, h] = state;
    for (int i = 0; i < kRounds; ++i) {
        const uint32_t first = h + (rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25)) + ((e & f) ^ (~e & g)) +
                               constants.rounds[i] + words[i];
        const uint32_t second = (rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22)) + ((a & b) ^ (a & c) ^ (b & c));
        h = g, g = f, f = e, e = d + first, d = c, c = b, b = a, a = first + second;
    }
    const uint32_t sums[8] = {a, b, c, d, e, f, g, h};
    for (int i = 0; i < 8; ++i) state[i] += sums[i];
}

}  // namespace

std::string sha256(const uint8_t* data, size_t size) {
    static const Constants constants;
    std::array<uint32_t, 8> state = constants.start;
    const size_t whole = size / kBlock * kBlock;
    for (size_t at = 0; at < whole; at += kBlock) add_block(state, data + at, constants);
    uint8_t tail[2 * kBlock] = {};
    if (size > whole) std::memcpy(tail, data + whole, size - whole);
    tail[size - whole] = 0x80;
    const size_t used = size - whole + 9 <= kBlock ? kBlock : 2 * kBlock;
    for (int i = 0; i < 8; ++i) tail[used - 1 - i] = static_cast<uint8_t>(uint64_t(size) * 8 >> (8 * i));
    for (size_t at = 0; at < used; at += kBlock) add_block(state, tail + at, constants);
    std::string digest;
    for (const uint32_t word : state)
        for (int shift = 28; shift >= 0; shift -= 4) digest += "0123456789abcdef"[word >> shift & 15];
    return digest;
}

}  // namespace mcore
