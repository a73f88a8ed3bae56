"""Folders of rendered videos: each holds one data set, can be continued, and keeps nothing half-written."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mcore.common.errors import ClipError, UserError
from mcore.common.files import write_text
from mcore.common.typed_json import decode
from mcore.synthetic.render import RENDERER_VERSION
from mcore.video.container import open_video

SETTINGS = "settings.json"
"""Everything that decided the pixels."""
VERSION = "renderer_version"
"""Key of the renderer's version among the settings."""
_ABANDONED_S = 600.0
"""Age from which a hidden file is not somebody's who still writes it: a dive takes seconds."""


def claim(out: Path, settings: Mapping[str, Any]) -> None:
    """Note what a folder's videos are rendered with, or refuse to mix them with others.

    Raises:
        UserError: it holds a data set of other settings, or other files.
    """
    path = out / SETTINGS
    wanted: dict[str, Any] = json.loads(json.dumps({**settings, VERSION: RENDERER_VERSION}))  # tuples are lists there
    if path.exists():
        found = decode(dict[str, Any], path.read_bytes(), str(path))
        if found != wanted:
            different = ", ".join(f"{k} {found.get(k, 'not stated')}" for k in wanted if found.get(k) != wanted[k])
            raise UserError(
                f"{out} holds a data set of other settings ({different}); choose another --out, or delete it"
            )
        return
    if out.exists() and any(out.iterdir()):
        raise UserError(f"{out} holds other files; choose an empty or new folder")
    write_text(path, json.dumps(wanted, indent=2) + "\n")


def is_whole(video: Path, num_frames: int) -> bool:
    """Return whether a video is there with all its frames; reads its index, not its pictures."""
    try:
        with open_video(video) as (_, stream):
            return bool(stream.frames == num_frames)
    except (OSError, ClipError):
        return False


def remove_abandoned(out: Path) -> None:
    """Delete what a killed process had begun to write below a folder."""
    for path in out.glob("*/.*.mp4"):
        if time.time() - path.stat().st_mtime > _ABANDONED_S:
            path.unlink(missing_ok=True)
