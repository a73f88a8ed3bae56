// The same operation as mcore::Plan on an NVIDIA GPU, bit for bit: device pointers in, network input out.
#pragma once
#include <memory>

#include "../plan.hpp"

namespace mcore {

// A clip's slot on the device: element (c, y, x) lies at c * channel + y * row + x * column, in elements.
struct DeviceSlot {
    void* data;
    bool half;  // float16 instead of float32
    ptrdiff_t channel, row, column;
};

// Weights and scratch memory on the current device. Frames, tables and slots are pointers that its kernels can reach:
// device memory, or on a Jetson pinned or managed memory without a copy. Work is queued on the caller's stream, and
// the frames of one plan must be queued on one stream. Errors of CUDA are thrown as std::runtime_error.
class CudaPlan {
public:
    CudaPlan(int width, int height, int out_width, int out_height, int left, int top, int crop_width, int crop_height);
    ~CudaPlan();
    // table: (3, 256) values of the slot's type, on the device. stream: a cudaStream_t.
    void write(const Packed& frame, const void* table, const DeviceSlot& slot, void* stream);
    void write(const Yuv& frame, const void* table, const DeviceSlot& slot, void* stream);
    const int width, height, crop_width, crop_height;

private:
    struct Memory;
    std::unique_ptr<Memory> memory_;
};

}  // namespace mcore
