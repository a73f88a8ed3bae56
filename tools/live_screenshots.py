"""Screenshots for the docs: a rendered meet's page and report, in a headless browser.

    python -m tools.live_screenshots demo/bundle --out docs/images

Needs the extras web and runtime, Python's playwright, and Chromium.
"""

from __future__ import annotations

import csv
import io
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro
from PIL import Image

from mcore.common.command_line import run_command_line
from mcore.common.errors import UserError
from mcore.common.files import replacing
from mcore.synthetic.meet.course import plan_meet
from mcore_runtime.bundle.folder import Bundle
from mcore_runtime.session import read_session
from mcore_runtime.session.overview import overview
from mcore_runtime.session.report import write_session_report
from mcore_runtime.sources import parse_source
from mcore_runtime.sources.rendered import settings_of
from tools.user_commands import NOT_ALL_SCORED, running_browser, serving

ATHLETES = (("Ada Lindqvist", "Northshore DC"), ("Mei Tanaka", "Harbour SC"), ("Rosa Okafor", "City Divers"))
"""Nobody: names for drawn figures."""
MAX_BYTES = 200_000
_TIMEOUT_S = 60.0
_QUIETLY = ("--threads", "1", "--quiet")
_MEET_TIMEOUT_MS = 900_000
"""A film is drawn as fast as the machine can: seconds for each dive, or a minute on a busy one."""


@dataclass(frozen=True)
class Shot:
    """One picture of the docs."""

    file: str
    width: int
    height: int
    pixels_per_point: int = 1
    fragment: str = ""
    """Fragment of the address."""


PAGE_SHOTS = (
    Shot("live.jpg", 1440, 900),
    Shot("live-phone.jpg", 390, 844, 2),
    Shot("live-big.jpg", 1440, 900, 1, "#big"),
)
MEET_SHOT, OVERLAY_SHOT = Shot("meet.jpg", 1440, 900), Shot("overlay.jpg", 960, 540, 1, "overlay")
"""Taken of a second run, at a simulated meet."""
MEET_DIVES = 5
"""Judged dives on the page of the meet."""
REPORT_SHOT = Shot("session_report.jpg", 1100, 1900, 1, "#dive-2")


@dataclass(frozen=True)
class Arguments:
    """Options: the session that is shown, and the folder of the pictures."""

    bundle: tyro.conf.Positional[Path]
    """Folder made by mcore-export."""
    out: Path = Path("docs/images")
    """Folder for the pictures."""
    dives: int = 7
    """Scored dives on the page, from 2."""
    seed: int = 4
    """Seed of the meet."""
    light: bool = False
    """Light instead of dark."""
    chromium: str = "chromium"
    """The browser's command."""

    def __post_init__(self) -> None:
        if self.dives < 2:
            raise UserError(f"--dives is {self.dives}; give at least 2")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    return run_command_line(Arguments, _run, prog="python -m tools.live_screenshots", doc=__doc__, argv=argv)


def _run(arguments: Arguments) -> int:
    with tempfile.TemporaryDirectory() as temporary, running_browser(arguments.chromium) as browser:
        folder = Path(temporary)
        with _running_meet(arguments, folder) as url:
            tabs = [_open(browser, url, shot, arguments.light) for shot in PAGE_SHOTS]
            _wait_for_dive(tabs[0], arguments.dives)
            for tab, shot in zip(tabs, PAGE_SHOTS, strict=True):
                save_jpeg(tab.screenshot(), arguments.out / shot.file)
        _save_meet(arguments, browser, folder)
        write_session_report(folder / "report.html", overview(read_session(folder / "autumn-cup")))
        tab = _open(browser, (folder / "report.html").as_uri(), REPORT_SHOT, light=True)
        save_jpeg(tab.screenshot(), arguments.out / REPORT_SHOT.file)
    return 0


def _save_meet(arguments: Arguments, browser: Any, folder: Path) -> None:
    """Take the pictures of a meet: its messages come from mcore-meet, by the clock of the film."""
    film = f"synthetic://meet?seed={arguments.seed}&size=240x240&dives={MEET_DIVES + 2}&pause=0&pace=fast"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        meet = f"127.0.0.1:{free.getsockname()[1]}"
    command = [film, "--bundle", arguments.bundle, "--session", folder / "winter-cup", *_QUIETLY]
    with serving("mcore-run", *command, "--meet", f"diverecorder://{meet}?event=A", allowed=(0, NOT_ALL_SCORED)) as url:
        tabs = [_open(browser, url, shot, arguments.light) for shot in (MEET_SHOT, OVERLAY_SHOT)]
        simulate = [sys.executable, "-m", "mcore_runtime.meet.command", "simulate", "--film", film, "--page", url]
        with subprocess.Popen([*simulate, "--to", meet], stdout=subprocess.DEVNULL) as meet_software:
            tabs[0].locator("#start-body li .result small").nth(MEET_DIVES - 1).wait_for(timeout=_MEET_TIMEOUT_MS)
            tabs[0].locator("#dive .judges").wait_for()
            tabs[0].locator("#dive-body .strip img").last.wait_for(timeout=_TIMEOUT_S * 1000)
            tabs[0].wait_for_load_state("networkidle")
            for tab, shot in zip(tabs, (MEET_SHOT, OVERLAY_SHOT), strict=True):
                save_jpeg(tab.screenshot(), arguments.out / shot.file)
            meet_software.terminate()


@contextmanager
def _running_meet(arguments: Arguments, folder: Path) -> Iterator[str]:
    """Run mcore-run on a rendered meet with a start list of what is really dived; yields the page's address."""
    numbers = ",".join(sorted(Bundle.open(arguments.bundle).load_exemplars().counts()))
    options = f"seed={arguments.seed}&dives={arguments.dives + 2}&numbers={numbers}&pause=2&size=640x360"
    source = f"synthetic://meet?{options}"
    with (folder / "list.csv").open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["order", "athlete", "club", "dive_number", "difficulty", "round"])
        for index, dive in enumerate(plan_meet(settings_of(parse_source(source))).dives):
            athlete = ATHLETES[index % len(ATHLETES)]
            plan = dive.plan
            rows.writerow([index + 1, *athlete, plan.dive_number, plan.difficulty, index // len(ATHLETES) + 1])
    command = [source, "--bundle", arguments.bundle, "--session", folder / "autumn-cup", *_QUIETLY]
    with serving("mcore-run", *command, "--start-list", folder / "list.csv", allowed=(0, NOT_ALL_SCORED)) as url:
        yield url


def _open(browser: Any, url: str, shot: Shot, light: bool) -> Any:
    tab = browser.new_page(
        viewport={"width": shot.width, "height": shot.height},
        device_scale_factor=shot.pixels_per_point,
        color_scheme="light" if light else "dark",
    )
    tab.goto(url + shot.fragment)
    return tab


def _wait_for_dive(tab: Any, num_scored: int) -> None:
    """Wait until so many dives are scored and the next has just been seen."""
    end_s = time.monotonic() + 30.0 * num_scored + _TIMEOUT_S
    while time.monotonic() < end_s:
        seen = tab.locator("#detector-pill").inner_text() == "Dive seen"
        if seen and tab.locator(".chip.scored").count() >= num_scored:
            return
        time.sleep(0.05)
    raise UserError("the meet did not come so far in time; is the machine busy? Try fewer --dives")


def save_jpeg(png: bytes, path: Path, max_bytes: int = MAX_BYTES) -> None:
    """Write a picture as JPEG, as good as fits."""
    image = Image.open(io.BytesIO(png)).convert("RGB")
    for quality in range(92, 40, -4):
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=quality, optimize=True, progressive=True)
        if buffer.tell() <= max_bytes:
            break
    with replacing(path) as temporary:
        temporary.write_bytes(buffer.getvalue())
    print(f"{path}: {buffer.tell() / 1000:.0f} kB")


if __name__ == "__main__":
    raise SystemExit(main())
