"""Training: losses, loop, trainer, and the configuration that they follow."""
