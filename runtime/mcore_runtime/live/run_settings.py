"""Settings of a run: from the command line, and where a session goes on, from what it did before."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from mcore.common.errors import UserError
from mcore.data.trained_on import describe_training
from mcore.diving import NEWEST_YEAR, EditionYear
from mcore_runtime.bundle.records import Precision
from mcore_runtime.live.pipeline import LiveSettings, Mode
from mcore_runtime.scoring.scorer import Scorer
from mcore_runtime.sources import parse_source
from mcore_runtime.sources.options import Decoder

_SECRETIVE = ("rtsp", "http", "gst")
"""Kinds of sources whose addresses may hold passwords: they are never written to a session."""


@dataclass(frozen=True)
class RunSettings:
    """Source, bundle and settings of a run."""

    address: str
    """Address of the source. May hold credentials: never log it."""
    bundle: Path
    mode: Mode = "auto"
    backend: str = "auto"
    precision: Precision | None = None
    threads: int | None = None
    num_exemplars: int | None = None
    clips: bool = True
    """Keep the video of every dive."""
    exact: bool = False
    """Compute every dive from its whole clip, bit for bit as from a file, and begin none before it is over."""
    accept_unlike: bool = False
    """Count scores also of dives that are unlike those that the bundle knows."""
    decoder: Decoder | None = None
    """What decodes the source; None: what its address says, or software."""
    edition: EditionYear = NEWEST_YEAR
    """Year of the diving rules with which difficulties are compared and said."""
    meet: str | None = None
    """Address of the meet's software; None: nobody listens to one."""
    show_at_once: bool = False
    """Show each score before the judges' awards are in."""

    @property
    def live(self) -> LiveSettings:
        """Settings by which dives are cut."""
        return LiveSettings(
            mode=self.mode,
            record=self.clips,
            edition=self.edition,
            accept_unlike=self.accept_unlike,
            hold_back=self.meet is not None and not self.show_at_once,
        )

    def open_scorer(self) -> Scorer:
        """Open the scorer."""
        return Scorer(
            self.bundle,
            self.backend,
            precision=self.precision,
            threads=self.threads,
            num_exemplars=self.num_exemplars,
            streaming=not self.exact,
        )

    def facts(self, scorer: Scorer) -> dict[str, Any]:
        """Return what a session records of its run, and what it goes on with."""
        uri = parse_source(self.address)
        settings = {field.name: getattr(self, field.name) for field in fields(self)}
        return {
            "source": uri.public,
            "bundle": str(self.bundle.resolve()),
            "bundle_sha256": scorer.bundle.sha256,
            "training": describe_training(scorer.bundle.manifest.trained_on),
            "backend": scorer.backend.name,
            "provider": scorer.backend.provider,
            "precision": scorer.precision,
            "mode": self.mode,
            "settings": settings
            | {
                "address": None if uri.kind in _SECRETIVE else self.address,
                "bundle": str(self.bundle.resolve()),
                "any_exemplar": True,  # dives of unknown numbers are compared with all, also when scored again
            },
        }


def settle_settings(given: Mapping[str, Any], facts: Mapping[str, Any] | None, where: Path | None) -> RunSettings:
    """Put the settings of a run together.

    Args:
        given: fields of ``RunSettings`` from the command line; None: not given.
        facts: of the session that goes on; None: a new one begins.
        where: its folder.

    Raises:
        UserError: source or bundle are given nowhere.
    """
    before = {} if facts is None else facts.get("settings", {})
    values = {name: before.get(name) if value is None else value for name, value in given.items()}
    if values["address"] is None:
        raise UserError(_no_address(facts, where))
    if values["bundle"] is None:
        raise UserError("give the bundle that scores, a folder made by mcore-export: --bundle FOLDER")
    values["bundle"] = Path(values["bundle"])
    return RunSettings(**{name: value for name, value in values.items() if value is not None})


def source_identity(address: str) -> str | None:
    """Return a digest that stays the same for as long as a file is the same; None: it is no file."""
    uri = parse_source(address)
    if uri.kind != "file":
        return None
    path = Path(uri.target).resolve()
    try:
        found = path.stat()
    except OSError:
        return None
    return hashlib.sha256(f"{path}\0{found.st_size}\0{found.st_mtime_ns}".encode("utf-8", "replace")).hexdigest()


def _no_address(facts: Mapping[str, Any] | None, where: Path | None) -> str:
    if facts is None:
        return "give a source, such as camera://0, or rtsp://HOST/PATH, or a path; see mcore-run --help"
    return (
        f"give the source again: the session in {where} was of {facts.get('source')}, whose address may hold a "
        "password, and is kept nowhere"
    )
