"""Data sets of dives: lists, labels, checks and decoded clips. Torch-free."""
