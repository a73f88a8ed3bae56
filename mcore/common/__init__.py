"""Small things that every package needs: errors, files, signals, optional imports. Torch-free."""
