"""TensorRT and TensorRT-RTX: engines that ``mcore-bundle engine`` built from a bundle's graphs.

``backend`` runs them; ``flavours`` knows the libraries and where they differ; ``devices`` is all that is needed of
CUDA. Nothing is imported before it is asked for.
"""
