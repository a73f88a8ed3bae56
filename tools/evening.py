"""An evening rehearsed: three drawn meets are run and judged, and their dives teach the network that scored them.

    python -m tools.evening demo/run/best.pt --bundle demo/bundle --out evening

Every step is a command that a user would type, printed before it runs: mcore-run watches a film in another pool with
stricter judges, mcore-meet sends what the meet's software would, mcore-label takes the dives that need no eyes and the
others by keys on its page, mcore-adapt learns from them, and mcore-rescore scores the last meet with the new bundle.
A headless browser looks whether scores and awards stand on the live page. The first meet is learned from, the second
chooses, and the third measures.

Needs the extras of all these commands, Python's playwright, and Chromium. Exit code: 0; 1 where a step failed, which
the last line says; 2 for a mistake in the command.
"""

from __future__ import annotations

import json
import socket
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tyro
from rich.console import Console

from mcore.common.command_line import run_command_line
from mcore.common.errors import UserError
from mcore.common.optional import require
from mcore.common.splits import Split
from mcore.data.manifest import read_manifest
from mcore.evaluation.tables import rich_table
from mcore.metrics import MetricError, srcc
from mcore.synthetic.meet import TrueDive, plan_meet
from mcore.synthetic.meet.settings import MeetWorld
from mcore_runtime.bundle.folder import Bundle
from mcore_runtime.labelling.clips import SessionClip, read_sessions
from mcore_runtime.session import DiveStatus, read_session
from mcore_runtime.session.overview import Overview, overview
from mcore_runtime.sources import parse_source
from mcore_runtime.sources.rendered import settings_of
from tools.evening_pages import label_by_keys, read_live_page, wait_until_scored
from tools.user_commands import NOT_ALL_SCORED, StepFailedError, do, running_browser, serving

MEETS: dict[str, Split] = {"heat": "train", "semi-final": "val", "final": "test"}
"""Meets of the evening, and the split of each: no network is tested on a meet that it learned from."""
_SAME_S = 0.001
"""Two clocks say the same time, to rounding."""
_TABLE_WIDTH = 150
"""Columns, also where the output is a file."""


@dataclass(frozen=True)
class Options:
    """Options of the evening."""

    checkpoint: tyro.conf.Positional[Path]
    """Network that learns: the checkpoint of the bundle."""
    bundle: Path
    """Bundle that scores the meets."""
    out: Path
    """Folder for everything; it must not be there."""
    dives: tuple[int, int, int] = (40, 20, 20)
    """Dives of heat, semi-final and final; mcore-adapt wants at least 20 from the heat, and 2 from the semi-final."""
    world: MeetWorld = "other"
    """Pool and judges: other ones than the network knows, or the standard ones."""
    epochs: int | None = None
    """Passes over the heat's dives; default: as mcore-adapt chooses."""
    seed: int = 1
    """Decides the meets, which have this seed and the next two."""
    real_time: bool = False
    """Show the films as fast as they were filmed; default: as fast as they can be drawn."""
    threads: int = 1
    """CPU threads of mcore-run."""
    chromium: str = "chromium"
    """The browser's command."""

    def __post_init__(self) -> None:
        if min(self.dives) < 1:
            raise UserError(f"--dives {' '.join(map(str, self.dives))}; each meet has at least one")


@dataclass(frozen=True)
class Step:
    """A step that went well."""

    name: str
    seconds: float
    found: str
    """Its figures, in words."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    return run_command_line(Options, _run, prog="python -m tools.evening", doc=__doc__, argv=argv)


def _run(options: Options) -> int:
    if options.out.exists():
        raise UserError(f"{options.out} is there already; choose another --out, or delete it")
    if not options.checkpoint.is_file():
        raise UserError(f"there is no checkpoint {options.checkpoint}; give the one that the bundle was exported from")
    numbers = sorted(Bundle.open(options.bundle).load_exemplars().counts())
    steps: list[Step] = []
    failure: StepFailedError | None = None
    with running_browser(options.chromium) as browser:
        options.out.mkdir(parents=True)
        try:
            for step in evening(options, browser, numbers):
                print(f"{step.name}: {step.seconds:.0f} s: {step.found}", flush=True)
                steps.append(step)
        except StepFailedError as error:
            failure = error
    _print(steps)
    if failure is not None:
        print(f"error: {failure}", file=sys.stderr)
    return 0 if failure is None else 1


def evening(options: Options, browser: Any, numbers: Sequence[str]) -> Iterator[Step]:
    """Run the meets and learn from them; yields each step when it is over.

    Raises:
        StepFailedError: a step went wrong.
    """
    playwright = require("playwright.sync_api", "test", "Driving the page")
    films = {name: film_of(options, place, numbers) for place, name in enumerate(MEETS)}
    try:
        for name, film in films.items():
            yield run_meet(options, name, film, browser)
        for name, film in films.items():
            yield label(options, name, film, browser)
    except playwright.Error as error:
        raise StepFailedError(f"a page does not show what it should: {error}") from error
    yield from learn(options)


def film_of(options: Options, place: int, numbers: Sequence[str]) -> str:
    """Address of a meet's film, with the dive numbers that the bundle knows."""
    pace = "" if options.real_time else "&pace=fast"
    return (
        f"synthetic://meet?seed={options.seed + place}&dives={options.dives[place]}&world={options.world}"
        f"&numbers={','.join(numbers)}&size=240x240&pause=0{pace}"
    )


def run_meet(options: Options, name: str, film: str, browser: Any) -> Step:
    """Run a meet to its end, with its judges, and look at its page."""
    began, session = time.perf_counter(), _session(options, name)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        meet = f"127.0.0.1:{free.getsockname()[1]}"
    run = [film, "--bundle", options.bundle, "--session", session, "--threads", options.threads, "--quiet"]
    run += ["--meet", f"diverecorder://{meet}?event=A"]
    with serving("mcore-run", *run, allowed=(0, NOT_ALL_SCORED)) as page:
        tab = browser.new_page(viewport={"width": 1440, "height": 900})
        tab.goto(page)
        do("mcore-meet", "simulate", "--film", film, "--page", page, "--to", meet, quiet=True)
        wait_until_scored(page)
        seen = read_live_page(tab, page)
        tab.screenshot(path=str(options.out / f"{name}.png"))
        tab.close()
    return Step(f"{name}: run, meet and page", time.perf_counter() - began, f"{_counted(_overview(session))}; {seen}")


def label(options: Options, name: str, film: str, browser: Any) -> Step:
    """Label a meet: what can be trusted without looking, then the others on the page.

    There nobody looks either: the film's truth says which clip shows a dive, and where take-off and entry are.
    """
    began, own = time.perf_counter(), _own(options)
    command = [_session(options, name), "--split", MEETS[name], "--out", own]
    do("mcore-label", *command, "--no-page", allowed=(0, 1))
    trusted = _count(own, MEETS[name])
    truth = plan_meet(settings_of(parse_source(film))).truth
    (session,) = read_sessions(_session(options, name))
    moments = {clip.name: true_frames(clip, truth) for clip in session.clips}
    with serving("mcore-label", *command) as page:
        tab = browser.new_page(viewport={"width": 1280, "height": 960})
        tab.goto(page)
        by_keys = label_by_keys(tab, moments)
        tab.close()
    found = f"{len(moments)} clips: {trusted} dives without looking, {by_keys} by keys, {MEETS[name]}"
    return Step(f"{name}: label", time.perf_counter() - began, found)


def true_frames(clip: SessionClip, truth: Sequence[TrueDive]) -> tuple[int, int] | None:
    """Frames of take-off and entry in a clip of a drawn meet; None: it shows no whole dive."""
    start_s, end_s = clip.view.dive.start_s, clip.view.dive.end_s
    for dive in truth:
        if start_s < dive.takeoff_s and dive.entry_s < end_s:
            times_s = clip.frames(pictures=False).times_s
            takeoff, entry = (
                int(np.searchsorted(times_s, moment_s - start_s - _SAME_S))
                for moment_s in (dive.takeoff_s, dive.entry_s)
            )
            return takeoff, entry
    return None


def learn(options: Options) -> Iterator[Step]:
    """Learn from the list of dives, and score the last meet anew; yields the steps."""
    own, bundle = _own(options), options.out / "bundle"
    epochs = [] if options.epochs is None else ["--epochs", options.epochs]
    seconds = do("mcore-adapt", options.checkpoint, "--data", own, "--out", bundle, *epochs)
    yield Step("learn, compare, export", seconds, _compared(options.out / "bundle-comparison.json"))
    final = _session(options, "final")
    before = _agreement(_overview(final))
    accept = "--accept-unlike"  # what the old bundle had refused is compared too
    seconds = do("mcore-rescore", final, "--bundle", bundle, "--all", accept, "--threads", options.threads)
    yield Step("final: score with the new bundle", seconds, f"{before}; then {_agreement(_overview(final))}")
    seconds = do("mcore-report", final, "--html", options.out / "final.html")
    yield Step("final: report", seconds, str(options.out / "final.html"))


def _session(options: Options, name: str) -> Path:
    return options.out / "sessions" / name


def _own(options: Options) -> Path:
    return options.out / "own" / "dives.jsonl"


def _count(own: Path, split: Split) -> int:
    return sum(record.split == split for record in read_manifest(own)) if own.exists() else 0


def _overview(session: Path) -> Overview:
    return overview(read_session(session))


def _counted(seen: Overview) -> str:
    counts = {
        "found": len(seen.dives),
        "scored": seen.count(DiveStatus.SCORED),
        "unlike": seen.count(DiveStatus.UNLIKE),
        "with the judges' result": sum(dive.judges is not None for dive in seen.dives),
        "results of nobody": len(seen.open_questions),
    }
    return ", ".join(f"{count} {name}" for name, count in counts.items())


def _agreement(seen: Overview) -> str:
    """How network and judges agree, over all dives that both have scored."""
    pairs = [
        (dive.result.score, dive.judges.points)
        for dive in seen.dives
        if dive.result is not None and dive.judges is not None and dive.judges.is_comparable
    ]
    if not pairs:
        return "no dive with both scores"
    error = sum(abs(ours - theirs) for ours, theirs in pairs) / len(pairs)
    try:
        rank = f"SRCC {srcc(*zip(*pairs, strict=True)):.2f}"
    except MetricError:
        rank = "no SRCC"
    return f"{rank}, mean error {error:.1f} points ({len(pairs)} dives)"


def _compared(path: Path) -> str:
    """What mcore-adapt found on the final's dives, and which network it kept."""
    found = json.loads(path.read_bytes())
    kept = "adapted network kept" if found["adapted_is_kept"] else "given network kept"
    figures = [f"{way} {_figures(each['figures'])}" for way, each in found["test"].items()]
    return "; ".join([kept, *figures])


def _figures(figures: dict[str, Any]) -> str:
    words = []
    for name, title in (("srcc", "SRCC"), ("mae_points", "error")):
        value, low, high = (figures[name][key] for key in ("value", "low", "high"))
        interval = "" if low is None else f" [{low:.2f}, {high:.2f}]"
        words.append(f"{title} undefined" if value is None else f"{title} {value:.2f}{interval}")
    return ", ".join(words)


def _print(steps: Sequence[Step]) -> None:
    """Print the table; also where a step failed."""
    rows = [[step.name, f"{step.seconds:.0f}", step.found] for step in steps]
    total = sum(step.seconds for step in steps)
    table = rich_table("Evening", ["step", "seconds", "what came out"], [*rows, ["all", f"{total:.0f}", ""]])
    table.columns[-1].justify = "left"
    Console(width=max(Console().width, _TABLE_WIDTH)).print(table)


if __name__ == "__main__":
    raise SystemExit(main())
