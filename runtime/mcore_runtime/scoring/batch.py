"""Scores of several dives in a row: a dive that cannot be scored is reported, and the rest still are."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import Any, Literal

from mcore.common.errors import UserError
from mcore.common.printable import printable_message
from mcore.data.manifest import Split, read_manifest, select_split
from mcore.video.spotting import SPOTTER_WEIGHTS
from mcore_runtime.detector import FINDERS, JointDetector
from mcore_runtime.scoring.finding import CUT_CLIP_S, FileCut, cut_dives, find_dives
from mcore_runtime.scoring.result import DiveScore
from mcore_runtime.scoring.scorer import Scorer

JSON_FORMAT = "mcore-scores"
JSON_VERSION = 1
_WHOLE_CLIP = (
    "If the file is one dive that is cut already, give --whole-clip; if you know where one is, --start and --end"
)


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
    """Why there is nothing to score: its line of the list cannot be read, or no dive was found; None: there is."""
    search: bool = False
    """Look for dives in the file, and score each; else what start and end say is one dive."""
    cut: FileCut | None = None
    """What the search found; None: nothing was searched for, or nothing found."""
    doubt: str | None = None
    """Why it may be no dive: then only a bundle that knows its dives may score it. None: it is one."""
    notes: tuple[str, ...] = ()
    """What a reader of the score should know of the search."""

    @property
    def cut_by(self) -> Literal["detector", "caller"] | None:
        """Who said where the dive is; None: nobody, it is the whole file."""
        if self.start_s is None and self.end_s is None:
            return None
        return "caller" if self.cut is None else "detector"

    @property
    def part(self) -> str:
        """The part of the file, for a person: ``dive from 4.3 to 8.2 s of 8.6 s``; empty: all of it."""
        if self.cut is not None:
            return "" if self.cut.is_whole else str(self.cut)
        if self.cut_by is None:
            return ""
        end = "its end" if self.end_s is None else f"{self.end_s:.1f} s"
        return f"from {self.start_s or 0.0:.1f} s to {end}, as given"


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
        request = self.request
        dive = None if request.cut is None else request.cut.dive
        found = (
            None
            if dive is None
            else {"takeoff_s": dive.takeoff_s, "entry_s": dive.entry_s, "by": FINDERS[dive.found_by]}
        )
        head = {"status": self.status, "error": self.error, "cut_by": request.cut_by, "found": found}
        if self.result is None:
            video = {"source": str(request.video), "start_s": request.start_s, "end_s": request.end_s}
            body: dict[str, Any] = {"dive_number": request.dive_number, "video": video}
        else:
            body = self.result.to_json()
        return {**head, "true_score": request.true_score, **body}


def requests_from_list(path: str | Path, split: Split | None = None) -> list[DiveRequest]:
    """Read a list of dives (``mcore.data.manifest``), each with its own number.

    Nothing is searched for: without start and end a dive is its whole file. Lists describe clips that are cut already,
    as those of the published data sets, and training, evaluation and ``mcore-bundle accuracy`` read the same lists so.

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


def search(
    request: DiveRequest,
    spotter: Path = SPOTTER_WEIGHTS,
    on_progress: Callable[[float, float], None] | None = None,
) -> list[DiveRequest]:
    """Look for the dives of a request's file.

    Args:
        request: of a whole file.
        spotter: weights of the detector's spotter, such as ``Bundle.spotter``.
        on_progress: see ``find_dives``.

    Returns:
        A request for each dive, at least one: with a ``problem`` where no dive was found, or with a ``doubt`` where
        the file is as short as the clip of one dive. There the detector may have seen too little of it.
    """
    try:
        found = find_dives(request.video, make=partial(JointDetector, spotter=spotter), on_progress=on_progress)
    except (UserError, OSError) as error:
        return [replace(request, problem=str(error))]
    slow = tuple(dive.describe_slow_motion() for dive in found.slow_motion)
    if found.dives:
        notes = tuple(f"{each}: it was not scored" for each in slow)
        return [
            replace(request, start_s=cut.start_s, end_s=cut.end_s, cut=cut, notes=(*cut.notes, *notes))
            for cut in cut_dives(found)
        ]
    if slow:
        return [replace(request, problem=f"no dive in real time found; {'; '.join(slow)}. {_WHOLE_CLIP}")]
    none = f"no dive found in its {found.file_s:.1f} s"
    if found.file_s <= CUT_CLIP_S:
        return [replace(request, doubt=none)]
    return [replace(request, problem=f"{none}. {_WHOLE_CLIP}")]


def scores_document(scorer: Scorer, outcomes: Sequence[DiveOutcome]) -> dict[str, Any]:
    """Return what ``mcore-score --json`` writes.

    Keys: ``format``, ``format_version``, ``created`` (ISO 8601, UTC), ``bundle`` (``path``, ``sha256``,
    ``created``, ``checkpoint``, ``trained_on`` or null, ``known_dives``: null where the bundle cannot say whether a
    clip is like the dives that it knows, else ``num_dives`` and ``refused``, the share of good dives that is
    refused at most, and ``recogniser``: null where it cannot say which dive a clip shows, else how many ``numbers`` it
    tells apart, by how many ``dives`` of which ``source``, ``calibrated_on`` how many others) and ``dives``, in the
    order asked. Every dive has ``status`` (``scored``; ``unlike``: its score
    does not count; or ``failed``), ``error`` (a text, or null), ``cut_by`` (who said where in the file the dive is:
    ``detector``, ``caller``, or null for the whole file), ``found`` (null where no dive was searched for or found, else
    ``takeoff_s`` and ``entry_s`` in the file, and ``by``: ``motion``, ``camera-tracking`` or ``spotter``),
    ``true_score`` (or null), ``dive_number`` and ``video`` (its ``source`` at least). One with a score also has every
    field of ``mcore_runtime.scoring.result.DiveScore`` under its name, ``stage_shares`` (``stage_deltas``, null where a
    share means nothing) and ``award`` (``value``, ``low`` and ``high``, 0 to 10, and ``text``; null where the
    difficulty is not known, or the dive is unlike). Scores, deltas and shares are points; names that end in ``_s`` are
    seconds, in ``_ms`` milliseconds.
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
            "recogniser": None if scorer.recogniser_record is None else asdict(scorer.recogniser_record),
            "known_dives": None if known is None else {"num_dives": known.num_dives, "refused": known.refused},
        },
    }


def _score_one(scorer: Scorer, request: DiveRequest, any_exemplar: bool) -> DiveOutcome:
    if (refused := why_not_tried(scorer, request)) is not None:
        return DiveOutcome(request, error=refused)
    try:
        result = scorer.score(
            request.video,
            request.dive_number,
            any_exemplar=any_exemplar,
            difficulty=request.difficulty,
            start_s=request.start_s,
            end_s=request.end_s,
            detected_entry_s=None if request.cut is None else request.cut.dive.entry_s,
        )
    except (UserError, OSError) as error:
        return DiveOutcome(request, error=str(error))
    return with_search_notes(request, result)


def why_not_tried(scorer: Scorer, request: DiveRequest) -> str | None:
    """Say why there is nothing to score; None: there is."""
    if request.problem is None and request.doubt is not None and scorer.known_dives is None:
        return f"{request.doubt}, and this bundle knows no dives to tell. {_WHOLE_CLIP}"
    return request.problem


def with_search_notes(request: DiveRequest, result: DiveScore) -> DiveOutcome:
    """Return the outcome of a scored dive, with what is to be known of the search for it."""
    notes = request.notes if request.doubt is None else (f"{request.doubt}: all of it was taken as one dive",)
    return DiveOutcome(request, result=replace(result, notes=(*result.notes, *notes)))
