"""The network as ONNX graphs: folded, in half precision, laid out for CPUs, and in two parts for streams."""
