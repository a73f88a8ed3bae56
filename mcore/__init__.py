"""MCoRe: multi-stage contrastive regression, which judges a dive against exemplar dives, stage by stage.

Importing this package is light; torch loads when a function that needs it is called.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mcore import config, diving, metrics, synthetic, video
    from mcore.network.checkpoint import load_checkpoint
    from mcore.video import read_clip

__version__ = "0.1.0"
__all__ = ["config", "diving", "load_checkpoint", "metrics", "read_clip", "synthetic", "video"]

_HOMES = {"load_checkpoint": "mcore.network.checkpoint", "read_clip": "mcore.video"}


def __getattr__(name: str) -> Any:
    if name == "load_checkpoint":  # else a missing torch is a traceback that names no extra
        import_module("mcore.common.optional").require("torch", "train", "Loading a checkpoint")
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    if name in __all__:
        return import_module(f"mcore.{name}")
    raise AttributeError(f"module 'mcore' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
