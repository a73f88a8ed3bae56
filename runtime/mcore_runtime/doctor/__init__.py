"""``mcore-doctor``: what this machine has, what a bundle needs, and what to do about the difference."""
