"""Label the dives of recorded sessions on a page, and write the list of dives that training, check and export read.

    mcore-label sessions/final                                   # sessions/final/dives.jsonl
    mcore-label sessions --out own/dives.jsonl --web 0.0.0.0:8000
    mcore-label sessions/final --no-page --out own/dives.jsonl

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
from mcore_runtime.labelling.clips import LabelSession, read_sessions
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
    store = LabelStore(arguments.out or arguments.folder / _LIST)
    for session in sessions:
        split = store.add_session(session.name, session.started, len(session.clips), arguments.split)
        console.print(f"{session.name}: {len(session.clips)} clips, {split}{_said(session.left_out)}", markup=False)
    left_out = label_trusted(store, sessions) if arguments.no_page else {}
    if not arguments.no_page:
        _serve(arguments, store, sessions)
    splits = store.write_list()
    parts = ", ".join(f"{split} {count}" for split, count in sorted(splits.items()))
    console.print(
        f"{store.listing}: {splits.total()} dives{f' ({parts})' if parts else ''}{_said(left_out)}", markup=False
    )
    return 1 if arguments.no_page and not splits else 0


def _serve(arguments: LabelArguments, store: LabelStore, sessions: Sequence[LabelSession]) -> None:
    from mcore_runtime.labelling.app import make_app

    token = None if arguments.token_file is None else read_token(arguments.token_file)
    with stop_on_signal(say_so=False) as is_over, serve_app(make_app(store, sessions), arguments.web, token=token):
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
