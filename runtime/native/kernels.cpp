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
    const int room = width - groups * kGroup;
    if (room < 0) return taps;
    taps.groups = groups;
    taps.in_digits = *std::max_element(axis.weights.begin(), axis.weights.end()) < (1 << 21);
    const size_t outputs = axis.first.size();
    taps.first.resize(outputs);
    taps.whole.assign(outputs * groups * kGroup, 0);
    taps.pairs.assign(outputs * groups * 2 * kGroup, 0);
    taps.digits.assign(taps.in_digits ? outputs * groups * 4 * kGroup : 0, 0);
    for (size_t i = 0; i < outputs; ++i) {
        taps.first[i] = std::min(axis.first[i], room);
        for (int k = 0; k < axis.count[i]; ++k) {
            const int at = axis.first[i] - taps.first[i] + k;
            const int32_t weight = axis.weights_of(static_cast<int>(i))[k];
            const int in_group = at % kGroup, half = in_group / 4, in_half = in_group % 4;
            const size_t group = i * groups + at / kGroup;
            taps.whole[group * kGroup + in_group] = weight;
            // Each half of a vector holds four pixels: their low parts, then their high parts.
            int16_t* pair = taps.pairs.data() + group * 2 * kGroup + half * 8 + in_half;
            pair[0] = static_cast<int16_t>(weight & 2047);
            pair[4] = static_cast<int16_t>(weight >> 11);
            if (!taps.in_digits) continue;
            int8_t* digit = taps.digits.data() + group * 4 * kGroup + half * 16 + in_half;
            for (int d = 0; d < 3; ++d) digit[4 * d] = static_cast<int8_t>((weight >> (7 * d)) & 127);
        }
    }
    return taps;
}

}  // namespace mcore
