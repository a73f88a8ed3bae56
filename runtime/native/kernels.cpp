#include "kernels.hpp"

#include <algorithm>

namespace mcore {

extern const Kernels kPortable;
#if defined(MCORE_X86_KERNELS)
extern const Kernels kAvx2, kAvx512Vnni;
#elif defined(MCORE_NEON_KERNELS)
extern const Kernels kNeon;
#endif

const std::vector<const Kernels*>& usable_kernels() {
    static const std::vector<const Kernels*> usable = [] {
        std::vector<const Kernels*> found;
#if defined(MCORE_X86_KERNELS)
        const bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                            __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512vnni");
        if (avx512) found.push_back(&kAvx512Vnni);
        if (__builtin_cpu_supports("avx2")) found.push_back(&kAvx2);
#elif defined(MCORE_NEON_KERNELS)
        found.push_back(&kNeon);  // every 64-bit ARM processor has it
#endif
        found.push_back(&kPortable);
        return found;
    }();
    return usable;
}

Taps make_taps(const Axis& axis, int width) {
    Taps taps;
    const int most = *std::max_element(axis.count.begin(), axis.count.end());
    const int groups = (most + kGroup - 1) / kGroup;
    if (width < groups * kGroup + 2 * kMargin) return taps;
    taps.groups = groups;
    taps.in_digits = *std::max_element(axis.weights.begin(), axis.weights.end()) < (1 << 21);
    const size_t outputs = axis.first.size(), slots = outputs * groups * kGroup;
    taps.first.resize(outputs);
    taps.whole.assign(slots, 0);
    taps.pairs.assign(2 * slots, 0);
    taps.digits.assign(3 * slots, 0);
    for (size_t i = 0; i < outputs; ++i) {
        taps.first[i] = std::min(axis.first[i], width - groups * kGroup);
        for (int k = 0; k < axis.count[i]; ++k) {
            const int at = axis.first[i] - taps.first[i] + k;
            const int32_t weight = axis.weights_of(static_cast<int>(i))[k];
            const size_t group = i * groups + at / kGroup, in_group = at % kGroup;
            taps.whole[group * kGroup + in_group] = weight;
            taps.pairs[group * 2 * kGroup + in_group] = static_cast<int16_t>(weight & 2047);
            taps.pairs[(group * 2 + 1) * kGroup + in_group] = static_cast<int16_t>(weight >> 11);
            for (int digit = 0; digit < 3; ++digit)
                taps.digits[(group * 3 + digit) * kGroup + in_group] = static_cast<int8_t>((weight >> (7 * digit)) & 127);
        }
    }
    return taps;
}

}  // namespace mcore
