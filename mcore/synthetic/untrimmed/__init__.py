"""Untrimmed clips of random pools, with and without dives, that the spotter of dives learns from."""

from mcore.synthetic.untrimmed.clip import SpottedDive, UntrimmedClip, render_clip

__all__ = ["SpottedDive", "UntrimmedClip", "render_clip"]
