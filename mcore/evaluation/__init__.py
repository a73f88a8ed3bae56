"""Evaluation of predictions: metrics with intervals, baselines, files and plots.

Only ``clips``, ``scoring`` and ``run`` need torch.
"""
