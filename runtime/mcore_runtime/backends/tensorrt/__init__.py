"""TensorRT and TensorRT-RTX: engines that ``mcore-bundle engine`` built from a bundle's graphs.

``backend`` runs them; ``flavours`` knows the libraries and where they differ; ``devices`` is the part of CUDA that is
needed. Neither a library nor a driver is imported before it is asked for.
"""
