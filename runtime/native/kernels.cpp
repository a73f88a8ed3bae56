#include "kernels.hpp"

#include <algorithm>

namespace mcore {

extern const Kernels kPortable;
#if defined(MCORE_X86_KERNELS)
extern const Kernels kAvx2, kAvx512;
#elif defined(MCORE_NEON_KERNELS)
extern const Kernels kNeon;
#endif

const std::vector<const Kernels*>& usable_kernels() {
    static const std::vector<const Kernels*> usable = [] {
        std::vector<const Kernels*> found;
#if defined(MCORE_X86_KERNELS)
        const bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                            __builtin_cpu_supports("avx512vbmi") && __builtin_cpu_supports("avx512vnni");
        if (avx512) found.push_back(&kAvx512);
        if (__builtin_cpu_supports("avx2")) found.push_back(&kAvx2);
#elif defined(MCORE_NEON_KERNELS)
        found.push_back(&kNeon);  // every 64-bit ARM processor has it
#endif
        found.push_back(&kPortable);
        return found;
    }();
    return usable;
}

// Digits of 7 bits hold weights below 2^21: all but those of the identity.
void add_blocks(Taps& taps, const Axis& axis, int width, int most) {
    const int blocks = (most + kBlock - 1) / kBlock;
    const bool fits = *std::max_element(axis.weights.begin(), axis.weights.end()) < (1 << 21);
    if (!fits || blocks > kMostBlocks || width < blocks * kBlock) return;
    taps.blocks = blocks;
    const size_t outputs = axis.first.size(), pixels = static_cast<size_t>(blocks) * kBlock;
    taps.block_first.resize(outputs);
    taps.digits.assign(3 * outputs * pixels, 0);
    for (size_t i = 0; i < outputs; ++i) {
        taps.block_first[i] = std::min(axis.first[i], width - blocks * kBlock);
        int8_t* digits = taps.digits.data() + 3 * i * pixels + (axis.first[i] - taps.block_first[i]);
        for (int k = 0; k < axis.count[i]; ++k)
            for (int digit = 0; digit < 3; ++digit)
                digits[digit * pixels + k] = static_cast<int8_t>(axis.weights_of(static_cast<int>(i))[k] >> (14 - 7 * digit) & 127);
    }
}

Taps make_taps(const Axis& axis, int width) {
    Taps taps;
    const int most = *std::max_element(axis.count.begin(), axis.count.end());
    const int groups = (most + kGroup - 1) / kGroup;
    add_blocks(taps, axis, width, most);
    if (width < groups * kGroup + 2 * kMargin) return taps;
    taps.groups = groups;
    const size_t outputs = axis.first.size(), slots = outputs * groups * kGroup;
    taps.first.resize(outputs);
    taps.whole.assign(slots, 0);
    taps.pairs.assign(2 * slots, 0);
    for (size_t i = 0; i < outputs; ++i) {
        taps.first[i] = std::min(axis.first[i], width - groups * kGroup);
        for (int k = 0; k < axis.count[i]; ++k) {
            const int at = axis.first[i] - taps.first[i] + k;
            const int32_t weight = axis.weights_of(static_cast<int>(i))[k];
            const size_t group = i * groups + at / kGroup, in_group = at % kGroup;
            taps.whole[group * kGroup + in_group] = weight;
            taps.pairs[group * 2 * kGroup + in_group] = static_cast<int16_t>(weight & 2047);
            taps.pairs[(group * 2 + 1) * kGroup + in_group] = static_cast<int16_t>(weight >> 11);
        }
    }
    return taps;
}

}  // namespace mcore
