"""Bundles: the folder that carries a trained network to where it is used."""
