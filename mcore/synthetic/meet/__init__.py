"""Rendered meets: a whole session before one camera. Torch-free."""
