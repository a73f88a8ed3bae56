"""Evaluation of predictions: metrics with intervals, baselines, files and plots. Torch-free but for ``scoring``."""
