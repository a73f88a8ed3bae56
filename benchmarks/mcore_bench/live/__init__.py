"""Benchmarks of the live runtime on rendered meets: the detector, hours of stream, time to score."""
