"""The page's own files, all read at the start: nothing else can be asked for, whatever a path looks like."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files

_KINDS = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
}
_HIDDEN = "login.html"
"""A template, shown by the login only."""


@dataclass(frozen=True)
class Asset:
    """A file of the page."""

    content: bytes
    kind: str
    """Its media type."""
    etag: str


@lru_cache(maxsize=1)
def assets() -> dict[str, Asset]:
    """Return all files by the path under which they are served; ``index.html`` is ``/``."""
    found = {}
    for file in (files("mcore_runtime.web") / "static").iterdir():
        kind = _KINDS.get("." + file.name.rpartition(".")[2])
        if kind is None or file.name == _HIDDEN:
            continue
        content = file.read_bytes()
        path = "/" if file.name == "index.html" else f"/{file.name}"
        found[path] = Asset(content, kind, f'"{hashlib.sha256(content).hexdigest()[:16]}"')
    return found


def asset_text(name: str) -> str:
    """Return one of the files as text."""
    return (files("mcore_runtime.web") / "static" / name).read_text(encoding="utf-8")
