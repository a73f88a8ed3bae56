#include "plan.hpp"

#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include <stdexcept>
#include <string>
#include <vector>

#include "pixels.hpp"

namespace mcore {
namespace {

constexpr int kThreadsX = 32, kThreadsY = 8;

void check(cudaError_t error, const char* what) {
    if (error != cudaSuccess) throw std::runtime_error(std::string("CUDA cannot ") + what + ": " + cudaGetErrorString(error));
}

dim3 blocks(int width, int height) {
    return dim3((width + kThreadsX - 1) / kThreadsX, (height + kThreadsY - 1) / kThreadsY);
}

template <class Frame>
__global__ void narrow_rows(Frame frame, AxisView x, int width, int begin, int count, Rgbx* rows) {
    const int i = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y * blockDim.y + threadIdx.y;
    if (i < width && y < count) rows[static_cast<size_t>(y) * width + i] = horizontal_pixel(frame, x, i, begin + y);
}

template <class Value>
__global__ void write_crop(const Rgbx* rows, AxisView y, int begin, int width, int height, const Value* table, Value* out,
                           ptrdiff_t channel, ptrdiff_t row, ptrdiff_t column) {
    const int i = blockIdx.x * blockDim.x + threadIdx.x, j = blockIdx.y * blockDim.y + threadIdx.y;
    if (i >= width || j >= height) return;
    const Rgbx pixel = vertical_pixel(rows, width, y, begin, i, j);
    Value* to = out + j * row + i * column;
    to[0] = table[pixel.r];
    to[channel] = table[256 + pixel.g];
    to[2 * channel] = table[512 + pixel.b];
}

// Memory on the device that is freed with its owner.
class DeviceMemory {
public:
    explicit DeviceMemory(size_t bytes) { check(cudaMalloc(&data_, bytes), "allocate memory"); }
    ~DeviceMemory() { cudaFree(data_); }
    DeviceMemory(const DeviceMemory&) = delete;
    DeviceMemory& operator=(const DeviceMemory&) = delete;
    void* data() const { return data_; }

private:
    void* data_ = nullptr;
};

class DeviceAxis {
public:
    explicit DeviceAxis(const Axis& axis)
        : first_(axis.first.size() * sizeof(int)), count_(axis.count.size() * sizeof(int)),
          weights_(axis.weights.size() * sizeof(int32_t)), begin(axis.begin()), end(axis.end()), taps_(axis.taps) {
        copy(first_, axis.first);
        copy(count_, axis.count);
        copy(weights_, axis.weights);
    }
    AxisView view() const {
        return {taps_, static_cast<const int*>(first_.data()), static_cast<const int*>(count_.data()),
                static_cast<const int32_t*>(weights_.data())};
    }

private:
    static void copy(const DeviceMemory& to, const std::vector<int>& from) {
        check(cudaMemcpy(to.data(), from.data(), from.size() * sizeof(int), cudaMemcpyHostToDevice), "copy weights");
    }
    DeviceMemory first_, count_, weights_;

public:
    const int begin, end;

private:
    int taps_;
};

}  // namespace

struct CudaPlan::Memory {
    DeviceAxis x, y;
    DeviceMemory rows;

    Memory(const Axis& x_axis, const Axis& y_axis)
        : x(x_axis), y(y_axis), rows(x_axis.first.size() * (y_axis.end() - y_axis.begin()) * sizeof(Rgbx)) {}

    template <class Frame>
    void write(const Frame& frame, int width, int height, const void* table, const DeviceSlot& slot, cudaStream_t stream) {
        const dim3 threads(kThreadsX, kThreadsY);
        Rgbx* narrowed = static_cast<Rgbx*>(rows.data());
        narrow_rows<<<blocks(width, y.end - y.begin), threads, 0, stream>>>(frame, x.view(), width, y.begin,
                                                                            y.end - y.begin, narrowed);
        if (slot.half)
            write_crop<<<blocks(width, height), threads, 0, stream>>>(
                narrowed, y.view(), y.begin, width, height, static_cast<const __half*>(table),
                static_cast<__half*>(slot.data), slot.channel, slot.row, slot.column);
        else
            write_crop<<<blocks(width, height), threads, 0, stream>>>(
                narrowed, y.view(), y.begin, width, height, static_cast<const float*>(table),
                static_cast<float*>(slot.data), slot.channel, slot.row, slot.column);
        check(cudaGetLastError(), "start the kernels");
    }
};

CudaPlan::CudaPlan(int w, int h, int out_w, int out_h, int left, int top, int crop_w, int crop_h)
    : width(w), height(h), crop_width(crop_w), crop_height(crop_h) {
    check_geometry(w, h, out_w, out_h, left, top, crop_w, crop_h);
    memory_ = std::make_unique<Memory>(make_axis(w, out_w, left, crop_w), make_axis(h, out_h, top, crop_h));
}

CudaPlan::~CudaPlan() = default;

void CudaPlan::write(const Packed& frame, const void* table, const DeviceSlot& slot, void* stream) {
    memory_->write(frame, crop_width, crop_height, table, slot, static_cast<cudaStream_t>(stream));
}

void CudaPlan::write(const Yuv& frame, const void* table, const DeviceSlot& slot, void* stream) {
    memory_->write(frame, crop_width, crop_height, table, slot, static_cast<cudaStream_t>(stream));
}

}  // namespace mcore
