"""Parity of a bundle's graphs and engines with PyTorch in float32."""
