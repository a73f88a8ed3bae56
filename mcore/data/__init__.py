"""Dives as data: manifests (torch-free) and datasets (torch)."""
