"""MCoRe at the edge: opens an exported bundle and scores dives with it; never imports torch.

Importing this package is light: video decoder and backend load when they are used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mcore_runtime.bundle.folder import Bundle
    from mcore_runtime.scoring.finding import cut_dives, find_dives
    from mcore_runtime.scoring.result import DiveScore
    from mcore_runtime.scoring.scorer import Scorer

__all__ = ["Bundle", "DiveScore", "Scorer", "cut_dives", "find_dives"]

_HOMES = {
    "Bundle": "mcore_runtime.bundle.folder",
    "DiveScore": "mcore_runtime.scoring.result",
    "Scorer": "mcore_runtime.scoring.scorer",
    "cut_dives": "mcore_runtime.scoring.finding",
    "find_dives": "mcore_runtime.scoring.finding",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'mcore_runtime' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
