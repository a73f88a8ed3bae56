"""Exemplars of a bundle, and the conformal intervals that belong to them."""
