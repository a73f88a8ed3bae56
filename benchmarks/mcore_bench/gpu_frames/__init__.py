"""How a video frame becomes network input on an NVIDIA GPU: native CUDA code, and NVDEC in place of the processor."""
