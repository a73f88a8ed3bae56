// What the kernels for 64-bit ARM share.
#pragma once
#include <arm_neon.h>

#include "portable.hpp"

namespace mcore {
namespace neon {

void level_bytes(const uint8_t* from, const Levels& levels, int count, uint8_t* to);
void level_words(const uint8_t* from, const Level& level, int count, uint8_t* to);
void yuv_row(const uint8_t* luma, const ChromaSums& sums, const Colours& c, int begin, int end, uint8_t* rgb);

}  // namespace neon
}  // namespace mcore
