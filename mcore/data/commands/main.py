"""Make, check, convert and decode data sets of dives.

    mcore-data render --out dives --dive-numbers 107B 407C --dives-per-number 80
    mcore-data check FineDiving --json report.json
    mcore-data convert FineDiving --out finediving.jsonl
    mcore-data labels spot/data/finediving --out finediving_labels.jsonl
    mcore-data cache finediving.jsonl --preset paper

Training and evaluation take a list of dives: JSON lines, or CSV with a header, one dive a line. A dive has a path (a
video, or a folder of images; relative to the list), a dive_number such as 407C and a score in points. It may also have
a difficulty, a split (train, val or test), num_frames, transition_frames (the first frame of the flight and of the
entry, counted from 0; in CSV the columns flight_frame and entry_frame), and start_s and end_s, between which the dive
lies in the video, in seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from mcore.common.command_line import run_subcommand
from mcore.data.commands.cache import Cache
from mcore.data.commands.check import Check, Convert, Labels
from mcore.data.commands.render import Render

_COMMANDS: dict[str, tuple[Any, Callable[[Any], int]]] = {
    "render": (Render, Render.run),
    "check": (Check, Check.run),
    "convert": (Convert, Convert.run),
    "labels": (Labels, Labels.run),
    "cache": (Cache, Cache.run),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``mcore-data``; returns 0, 1 where something was found to be wrong with data, or 2 for an error of use."""
    return run_subcommand(_COMMANDS, prog="mcore-data", doc=__doc__, argv=argv)
