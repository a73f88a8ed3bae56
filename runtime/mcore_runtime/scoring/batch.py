"""Scores of several dives in a row: a dive that cannot be scored is reported, and the rest still are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Literal

from mcore.common.errors import UserError
from mcore.common.printable import printable_message
from mcore.data.manifest import Split, read_manifest, select_split
from mcore_runtime.scoring.result import DiveScore
from mcore_runtime.scoring.scorer import Scorer

JSON_FORMAT = "mcore-scores"
JSON_VERSION = 1


@dataclass(frozen=True)
class DiveRequest:
    """A dive to be scored."""

    video: Path
    """File, or folder of images."""
    dive_number: str | None = None
    """As the user wrote it; None: unknown."""
    start_s: float | None = None
    """Clip start in the file, seconds; None: its first frame."""
    end_s: float | None = None
    """Clip end in the file, seconds; None: its end."""
    difficulty: float | None = None
    """Degree of difficulty; None: that of the exemplars, where they agree on one."""
    true_score: float | None = None
    """Score of the judges, points, where the list of dives says."""
    problem: str | None = None
    """Why it cannot be read from its list; None: it could."""


@dataclass(frozen=True)
class DiveOutcome:
    """Outcome of a request: exactly one of result and error is set."""

    request: DiveRequest
    result: DiveScore | None = None
    error: str | None = None
    """Reason why it could not be scored, as a message for a person."""
    accept_unlike: bool = False
    """Count its score also where the clip is unlike the dives that the bundle knows."""

    @property
    def why_not_scored(self) -> str:
        """A line for a person; only where there is an error."""
        video, error = str(self.request.video), str(self.error)
        return printable_message(f"not scored: {error if video in error else f'{video}: {error}'}")

    @property
    def status(self) -> Literal["scored", "unlike", "failed"]:
        """``unlike``: there is a score, which does not count."""
        if self.result is None:
            return "failed"
        return "unlike" if self.result.why_unlike and not self.accept_unlike else "scored"

    def to_json(self) -> dict[str, Any]:
        """Return plain containers; see ``scores_document``."""
        head = {"status": self.status, "error": self.error}
        request = self.request
        if self.result is None:
            video = {"source": str(request.video), "start_s": request.start_s, "end_s": request.end_s}
            body: dict[str, Any] = {"dive_number": request.dive_number, "video": video}
        else:
            body = self.result.to_json()
        return {**head, "true_score": request.true_score, **body}


def requests_from_list(path: str | Path, split: Split | None = None) -> list[DiveRequest]:
    """Read a list of dives (``mcore.data.manifest``), each with its own number.

    Args:
        path: ``.csv`` or ``.jsonl`` file.
        split: only this part of it; None: all.

    Returns:
        The dives, and behind them a request with a ``problem`` for each line that is none, whatever its split.

    Raises:
        UserError: no such list, or no dive in it, or none of the split.
    """
    bad_lines: list[UserError] = []
    records = read_manifest(path, bad_lines.append)
    if split is not None:
        records = select_split(records, split)
    requests = [DiveRequest(r.path, r.dive_number, r.start_s, r.end_s, r.difficulty, r.score) for r in records]
    return requests + [DiveRequest(Path(path), problem=str(error)) for error in bad_lines]


def score_all(
    scorer: Scorer, requests: Iterable[DiveRequest], *, any_exemplar: bool = False, accept_unlike: bool = False
) -> Iterator[DiveOutcome]:
    """Score dives one after the other; one that cannot be scored does not stop the rest."""
    for request in requests:
        yield replace(_score_one(scorer, request, any_exemplar), accept_unlike=accept_unlike)


def scores_document(scorer: Scorer, outcomes: Sequence[DiveOutcome]) -> dict[str, Any]:
    """Return what ``mcore-score --json`` writes.

    Keys: ``format``, ``format_version``, ``created`` (ISO 8601, UTC), ``bundle`` (``path``, ``sha256``,
    ``created``, ``checkpoint``, ``trained_on`` or null, ``known_dives``: null where the bundle cannot say whether a
    clip is like the dives that it knows, else ``num_dives`` and ``refused``, the share of good dives that is
    refused at most) and ``dives``, in the order asked. Every dive has ``status`` (``scored``; ``unlike``: its score
    does not count; or ``failed``), ``error`` (a text, or null), ``true_score`` (or null), ``dive_number`` and
    ``video`` (its ``source`` at least). One with a score also has every field of
    ``mcore_runtime.scoring.result.DiveScore`` under its name, and ``award`` (``value``, ``low`` and ``high``, 0 to 10,
    and ``text``; null where the difficulty is not known, or the
    dive is unlike). Scores, deltas and shares are
    points; names that end in ``_s`` are seconds, in ``_ms`` milliseconds.
    Version 1 only ever gains keys.
    """
    return {**document_head(scorer, JSON_FORMAT), "dives": [outcome.to_json() for outcome in outcomes]}


def document_head(scorer: Scorer, kind: str) -> dict[str, Any]:
    """Return what stands before the dives in a document: its format, its time and the bundle."""
    manifest, known = scorer.bundle.manifest, scorer.known_dives
    return {
        "format": kind,
        "format_version": JSON_VERSION,
        "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "bundle": {
            "path": str(scorer.bundle.path),
            "sha256": scorer.bundle.sha256,
            "created": manifest.created,
            "checkpoint": manifest.checkpoint.name,
            "trained_on": None if manifest.trained_on is None else asdict(manifest.trained_on),
            "known_dives": None if known is None else {"num_dives": known.num_dives, "refused": known.refused},
        },
    }


def _score_one(scorer: Scorer, request: DiveRequest, any_exemplar: bool) -> DiveOutcome:
    if request.problem is not None:
        return DiveOutcome(request, error=request.problem)
    try:
        result = scorer.score(
            request.video,
            request.dive_number,
            any_exemplar=any_exemplar,
            difficulty=request.difficulty,
            start_s=request.start_s,
            end_s=request.end_s,
        )
    except (UserError, OSError) as error:
        return DiveOutcome(request, error=str(error))
    return DiveOutcome(request, result=result)
