"""How well a bundle names the dive number of a clip, measured."""
