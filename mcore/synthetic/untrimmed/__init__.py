"""Untrimmed clips of random pools, with and without dives, for detectors of dives."""

from mcore.synthetic.untrimmed.clip import STREAM, ClipForm, SpottedDive, UntrimmedClip, render_clip

__all__ = ["STREAM", "ClipForm", "SpottedDive", "UntrimmedClip", "render_clip"]
