"""Score dives of a session again from their stored frames, with any bundle; what they had before is kept.

    mcore-rescore sessions/final                                 # what has no score yet, as the session was scored
    mcore-rescore sessions/final --bundle better --all
    mcore-rescore sessions/final --dives 3 5 --dive-number 407C

With the bundle, backend and number of threads of the session the scores are the same bit for bit. Dives that are
invalid or void stay as they are. Exit code: 0 when every chosen dive was scored; 1 when one was not, or is unlike the
dives that the bundle knows and was not accepted by --accept-unlike; 2 for a mistake in the command.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import tyro
from rich.console import Console

from mcore.common.command_line import run_command_line
from mcore.common.errors import UserError
from mcore.diving import DiveNumber
from mcore_runtime.backends import BACKENDS, BackendError, BackendName
from mcore_runtime.bundle.records import PRECISIONS, Precision
from mcore_runtime.competition import Competition
from mcore_runtime.scoring.scorer import Scorer
from mcore_runtime.session.dive import DiveStatus, LiveDive
from mcore_runtime.session.overview import STATE_KEY
from mcore_runtime.session.rescoring import check_scorable, compares_with_any, rescore
from mcore_runtime.session.store import SessionStore

_WITHOUT_SCORE = (DiveStatus.FAILED, DiveStatus.SCORING)
"""``SCORING``: the program ended while it was at it."""


@dataclass(frozen=True)
class RescoreArguments:
    """Score dives of a session again from their stored frames."""

    folder: tyro.conf.Positional[Path]
    """The session's folder."""
    bundle: Path | None = None
    """Folder made by mcore-export; default: the bundle of the session."""
    dives: tuple[int, ...] = ()
    """Numbers of the dives."""
    failed: bool = False
    """All that have no score because the scorer failed; the default."""
    all: bool = False
    """All that have one, and those."""
    dive_number: str | None = None
    """Corrected dive number of the chosen dives, such as 407C; needs --dives."""
    any_exemplar: bool = False
    """Where the bundle has no exemplars of the dive number, or none is known, compare with all exemplars; default: as
    the session did."""
    accept_unlike: bool = False
    """Count scores also of dives that are unlike those that the bundle knows."""
    backend: BackendName | None = None
    """Backend; auto: the best that the bundle and this machine have; default: that of the session."""
    precision: Precision | None = None
    """Precision of the graphs; default: that of the session, unless --backend names another."""
    threads: int | None = None
    """CPU threads; default: as in the session, unless --backend names another."""
    num_exemplars: int | None = None
    """Compare with this many exemplars, which look most like the dive; default: as in the session."""

    def __post_init__(self) -> None:
        if bool(self.dives) + self.failed + self.all > 1:
            raise UserError("give one of --dives, --failed and --all")
        if self.dive_number is not None:
            DiveNumber.parse(self.dive_number)
            if not self.dives:
                raise UserError("--dive-number corrects the number of chosen dives; say which with --dives")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    return run_command_line(RescoreArguments, _run, prog="mcore-rescore", doc=__doc__, argv=argv)


def _run(arguments: RescoreArguments) -> int:
    console = Console(highlight=False, soft_wrap=True)
    with SessionStore.open(arguments.folder) as store:
        dives = _choose(arguments, store.dives())
        if not dives:
            console.print(f"{arguments.folder}: every dive has a score; --all scores them again", markup=False)
            return 0
        with _open_scorer(arguments, store.facts) as scorer:
            facts = f"{scorer.bundle.path}: {scorer.backend.name}, {scorer.backend.provider}, {scorer.precision}"
            console.print(facts, markup=False)
            store.log("rescore", facts)
            problems = [_rescore(arguments, store, scorer, dive, console) for dive in dives]
        unsaved = store.close()
    if unsaved is not None:
        raise UserError(f"the new scores could not be written: {unsaved}; make room and run the command again")
    return 1 if any(problems) else 0


def _choose(arguments: RescoreArguments, dives: Sequence[LiveDive]) -> list[LiveDive]:
    if arguments.dives:
        known = {dive.number: dive for dive in dives}
        if missing := [number for number in arguments.dives if number not in known]:
            allowed = f"1 to {max(known)}" if known else "it has none"
            raise UserError(f"{arguments.folder} has no dive {missing[0]}; allowed: {allowed}")
        return [known[number] for number in dict.fromkeys(arguments.dives)]
    wanted = (*_WITHOUT_SCORE, DiveStatus.SCORED, DiveStatus.UNLIKE) if arguments.all else _WITHOUT_SCORE
    return [dive for dive in dives if dive.status in wanted]


def _open_scorer(arguments: RescoreArguments, facts: Mapping[str, Any]) -> Scorer:
    """Open what the session used, as far as the command names nothing else."""
    settings = facts.get("settings", {})
    bundle = arguments.bundle or facts.get("bundle")
    if not bundle:
        raise UserError("the session does not say which bundle it used; give one with --bundle FOLDER")
    backend, precision, threads = arguments.backend, arguments.precision, arguments.threads
    if backend is None:
        threads = threads or settings.get("threads")
        backend = cast("BackendName", facts.get("backend")) if facts.get("backend") in BACKENDS else "auto"
        if precision is None and facts.get("precision") in PRECISIONS:
            precision = cast("Precision", facts.get("precision"))
    try:
        num_exemplars = arguments.num_exemplars or settings.get("num_exemplars")
        return Scorer(
            bundle, backend, precision=precision, threads=threads, num_exemplars=num_exemplars, streaming=True
        )
    except BackendError as error:
        if arguments.backend is not None:
            raise
        raise UserError(f"{error}. The session used {backend}; --backend auto takes what this machine has") from error


def _rescore(
    arguments: RescoreArguments, store: SessionStore, scorer: Scorer, dive: LiveDive, console: Console
) -> str | None:
    """Score one dive, save and print it; returns why it has no score that counts."""
    any_exemplar = arguments.any_exemplar or compares_with_any(dive, store.facts)
    try:
        check_scorable(dive)
        clip = store.load_clip(dive.number)
        start_list = Competition.from_json(store.load_state(STATE_KEY) or {})
        # It gives the difficulty of the dive that it announces, not of a corrected one.
        difficulty = None if arguments.dive_number is not None else start_list.difficulty_of(dive.number)
        new = rescore(
            scorer,
            dive,
            clip,
            dive_number=arguments.dive_number,
            difficulty=difficulty,
            any_exemplar=any_exemplar,
            accept_unlike=arguments.accept_unlike,
        )
    except Exception as error:  # a backend that fails on one dive may do for the next; the old result stays
        reason = str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
        print(f"not scored: #{dive.number}: {reason}", file=sys.stderr)
        return reason
    problem = store.save(dives=[new])
    console.print(_line(dive, new), markup=False)
    if problem is not None:
        print(f"not written yet, tried again with the next dive: {problem}", file=sys.stderr)
    return "; ".join(new.reasons) or None


def _line(old: LiveDive, new: LiveDive) -> str:
    assert new.result is not None
    before = "no score" if old.result is None else f"{old.result.score:.1f}"
    award = "" if new.result.award is None else f", {new.result.award.text}"
    remark = "" if new.result.caution is None else f"; {new.result.caution}"
    remark = f"; unlike the known dives: {'; '.join(new.reasons)}{remark}" if new.reasons else remark
    return f"#{new.number} {new.dive_number or 'unknown dive'}: {new.result.score:.1f}{award}; before: {before}{remark}"


if __name__ == "__main__":
    sys.exit(main())
