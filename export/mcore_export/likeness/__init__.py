"""How well a bundle tells dives from other clips, measured."""
