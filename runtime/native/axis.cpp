#include "axis.hpp"

#include <algorithm>
#include <cmath>

namespace mcore {

Axis make_axis(int in, int out, int begin, int length) {
    const double scale = static_cast<double>(in) / out;
    const double support = std::max(scale, 1.0), inverse = 1.0 / support;
    Axis axis;
    axis.taps = static_cast<int>(std::ceil(support)) * 2 + 1;
    axis.weights.resize(static_cast<size_t>(axis.taps) * length);
    std::vector<double> exact(axis.taps);
    for (int i = 0; i < length; ++i) {
        const double center = (begin + i + 0.5) * scale;
        const int first = std::max(static_cast<int>(center - support + 0.5), 0);
        const int count = std::min(static_cast<int>(center + support + 0.5), in) - first;
        double total = 0;
        for (int k = 0; k < count; ++k)
            total += exact[k] = std::max(0.0, 1.0 - std::fabs((k + first - center + 0.5) * inverse));
        for (int k = 0; k < count; ++k) {
            if (total != 0.0) exact[k] /= total;
            axis.weights[static_cast<size_t>(i) * axis.taps + k] = static_cast<int>(0.5 + exact[k] * (1 << kBits));
        }
        axis.first.push_back(first);
        axis.count.push_back(count);
    }
    return axis;
}

}  // namespace mcore
