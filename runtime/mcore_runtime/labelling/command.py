"""Label the dives of recorded sessions on a page, and write the list of dives that training, check and export read.

    mcore-label sessions/final                                   # sessions/final/dives.jsonl
    mcore-label sessions --out own/dives.jsonl --web 0.0.0.0:8000
    mcore-label sessions/final --no-page --out own/dives.jsonl
    mcore-label sessions/final --second-view sessions/final-side # two cameras, side by side

Each clip is shown with what the session knows of it: Enter accepts that. Every change is on the disk before the page
says so, beside the list in a file that ends in .labels.sqlite; Ctrl-C ends the page, and the same command goes on.
A session is in one split as a whole.

With --no-page, a dive is taken if it was scored and is like the known ones; if its number was announced and is not
doubted; if the meet's awards came without a penalty and give the meet's points by the rules; and if network and
detector place take-off and entry within 0.5 s of each other. The page shows the others.

Exit code: 0; 1 where --no-page could take no dive; 2 for a mistake in the command.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import tyro
from rich.console import Console

from mcore.common.command_line import run_command_line
from mcore.common.errors import UserError
from mcore.common.signals import stop_on_signal
from mcore.common.splits import Split
from mcore.data.manifest import Origin
from mcore_runtime.labelling.clips import LabelSession, SessionClip, read_sessions
from mcore_runtime.labelling.pairs import pair_views
from mcore_runtime.labelling.store import LabelStore
from mcore_runtime.labelling.trusted import label_trusted
from mcore_runtime.web import DEFAULT_ADDRESS, check_page, read_token, serve_app

_LIST = "dives.jsonl"
_TICK_S = 0.2


@dataclass(frozen=True)
class LabelArguments:
    """Label the dives of recorded sessions."""

    folder: tyro.conf.Positional[Path]
    """A session's folder, or one with several of them."""
    out: Path | None = None
    """The list of dives, a .jsonl file; a list that was begun goes on. Default: dives.jsonl in the folder."""
    split: Split | None = None
    """Split of these sessions; default: as before, and each new session goes to the split that lacks most of 70, 15 and
    15 % of the clips."""
    origin: Origin | None = None
    """Whether the videos show persons; default: rendered where the source was a drawn meet, else real."""
    second_view: Path | None = None
    """Session of a second camera at the same meet: its clips are shown beside those of the same athlete, round and dive
    number, and labelled together. It goes to the first one's split."""
    no_page: bool = False
    """Take the dives that the session alone can be trusted with, and end."""
    web: str = DEFAULT_ADDRESS
    """HOST:PORT of the page."""
    token_file: Path | None = None
    """File with the token that the page asks for; default: none on this machine, a new one for others."""

    def __post_init__(self) -> None:
        if self.out is not None and self.out.suffix != ".jsonl":
            raise UserError(f"--out writes a list that ends in .jsonl, got {str(self.out)!r}")
        if not self.no_page:
            check_page(self.web)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    return run_command_line(LabelArguments, _run, prog="mcore-label", doc=__doc__, argv=argv)


def _run(arguments: LabelArguments) -> int:
    console = Console(highlight=False, soft_wrap=True)
    sessions = read_sessions(arguments.folder, arguments.origin)
    if not any(session.clips for session in sessions):
        raise UserError(f"{arguments.folder} has no dive with a video; mcore-run keeps them unless --no-clips is given")
    second_views = {} if arguments.second_view is None else _add_second(arguments, sessions)
    store = LabelStore(arguments.out or arguments.folder / _LIST)
    split = arguments.split
    for session in sessions:
        chosen = store.add_session(session.name, session.started, len(session.clips), split)
        if arguments.second_view is not None:
            split = chosen  # two views are of one dive: no network may learn from one and be tested on the other
        console.print(f"{session.name}: {len(session.clips)} clips, {chosen}{_said(session.left_out)}", markup=False)
    if arguments.second_view is not None:
        console.print(f"{len(second_views)} dives are seen by both cameras", markup=False)
    left_out = label_trusted(store, sessions) if arguments.no_page else {}
    if not arguments.no_page:
        _serve(arguments, store, sessions, second_views)
    splits = store.write_list()
    parts = ", ".join(f"{split} {count}" for split, count in sorted(splits.items()))
    console.print(
        f"{store.listing}: {splits.total()} dives{f' ({parts})' if parts else ''}{_said(left_out)}", markup=False
    )
    return 1 if arguments.no_page and not splits else 0


def _add_second(arguments: LabelArguments, sessions: list[LabelSession]) -> Mapping[str, SessionClip]:
    """Add the second camera's session; returns its clips by those beside which they are shown."""
    assert arguments.second_view is not None
    sessions += read_sessions(arguments.second_view, arguments.origin)
    if len(sessions) != 2 or sessions[0].name == sessions[1].name:
        raise UserError(
            f"--second-view goes with one session of each camera, got {', '.join(each.name for each in sessions)}; "
            "give two sessions whose folders have different names"
        )
    return pair_views(*sessions)


def _serve(
    arguments: LabelArguments,
    store: LabelStore,
    sessions: Sequence[LabelSession],
    second_views: Mapping[str, SessionClip],
) -> None:
    from mcore_runtime.labelling.app import make_app

    token = None if arguments.token_file is None else read_token(arguments.token_file)
    app = make_app(store, sessions, second_views)
    with stop_on_signal(say_so=False) as is_over, serve_app(app, arguments.web, token=token):
        while not is_over():
            time.sleep(_TICK_S)


def _said(left_out: Mapping[str, int]) -> str:
    """The dives that are not there, by reason."""
    if not left_out:
        return ""
    reasons = sorted(left_out.items(), key=lambda item: -item[1])
    return f"; left out: {', '.join(f'{count} ({reason})' for reason, count in reasons)}"


if __name__ == "__main__":
    sys.exit(main())
