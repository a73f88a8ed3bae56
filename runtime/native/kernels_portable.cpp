#include "portable.hpp"

namespace mcore {

extern const Kernels kPortable;
const Kernels kPortable = {"portable", horizontal_rows_scalar, vertical_loop, level_bytes_loop, level_words_loop,
                           sum_rows_loop, yuv_row_loop};

}  // namespace mcore
