"""``mcore-doctor``: checks of what this machine has and a bundle needs, and what to do about the difference."""
