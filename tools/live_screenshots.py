"""Run a rendered meet, open its page and its report in a headless browser, and keep what they look like for the docs.

    python tools/live_screenshots.py demo/bundle --out docs/images

Needs the extras web and runtime, Python's playwright, and Chromium.
"""

from __future__ import annotations

import io
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro
from PIL import Image

from mcore.common.cli_help import description
from mcore.common.errors import UserError, run_command
from mcore.common.files import replacing
from mcore.common.optional import require
from mcore.synthetic.meet.course import plan_meet
from mcore_runtime.bundle.folder import Bundle
from mcore_runtime.competition import Competition, Entry
from mcore_runtime.health import HealthReader
from mcore_runtime.live.plan import RunPlan
from mcore_runtime.live.scorer_thread import EngineThread
from mcore_runtime.live.session import LiveSession
from mcore_runtime.session import SessionStore, read_session
from mcore_runtime.session.overview import overview
from mcore_runtime.session.report import write_session_report
from mcore_runtime.sources import open_source, parse_source
from mcore_runtime.sources.rendered import settings_of
from mcore_runtime.web import serve

ATHLETES = (("Ada Lindqvist", "Northshore DC"), ("Mei Tanaka", "Harbour SC"), ("Rosa Okafor", "City Divers"))
"""Nobody: names for drawn figures."""
MOST_BYTES = 200_000
SHOTS = (
    ("live.jpg", 1440, 900, 1, ""),
    ("live-phone.jpg", 390, 844, 2, ""),
    ("live-big.jpg", 1440, 900, 1, "#big"),
)
"""File, width, height, pixels per point, and what follows the address."""
REPORT_SHOT = ("session_report.jpg", 1100, 1900, 1, "#dive-2")
_PATIENCE_S = 60.0


@dataclass(frozen=True)
class ScreenshotArguments:
    """What is shown, and where the pictures go."""

    bundle: tyro.conf.Positional[Path]
    """Folder made by mcore-export."""
    out: Path = Path("docs/images")
    """Folder for the pictures."""
    dives: int = 7
    """Scored dives on the page."""
    seed: int = 4
    """Of the meet."""
    light: bool = False
    """Light instead of dark."""
    chromium: str = "chromium"
    """The browser's command."""

    def __post_init__(self) -> None:
        if self.dives < 2:
            raise UserError(f"--dives is {self.dives}; give at least 2")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    return run_command(lambda: _run(tyro.cli(ScreenshotArguments, args=argv, description=description(__doc__))))


def _run(arguments: ScreenshotArguments) -> int:
    chromium = shutil.which(arguments.chromium)
    if chromium is None:
        raise UserError(f"there is no browser {arguments.chromium!r}; install Chromium or name it with --chromium")
    playwright = require("playwright.sync_api", "test", "Taking pictures of the page")
    with (
        tempfile.TemporaryDirectory() as folder,
        _running(arguments, Path(folder) / "autumn-cup") as session,
        serve(session, "127.0.0.1:0") as page,
        playwright.sync_playwright() as driver,
    ):
        browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        tabs = [_open(browser, page.url + shot[4], shot, arguments.light) for shot in SHOTS]
        # The moment at which the next dive has just been seen, on the page too.
        _wait(lambda: _scored(session) >= arguments.dives and _sees(tabs[0]), arguments.dives * 30.0)
        for tab, (name, *_) in zip(tabs, SHOTS, strict=True):
            size = _save(tab.screenshot(), arguments.out / name)
            print(f"{arguments.out / name}: {size / 1000:.0f} kB, after {_scored(session)} dives")
        report = Path(folder) / "report.html"
        write_session_report(report, overview(read_session(Path(folder) / "autumn-cup")))
        tab = _open(browser, report.as_uri() + REPORT_SHOT[4], REPORT_SHOT, light=True)
        size = _save(tab.screenshot(), arguments.out / REPORT_SHOT[0])
        print(f"{arguments.out / REPORT_SHOT[0]}: {size / 1000:.0f} kB, the session's report")
        browser.close()
    return 0


@contextmanager
def _running(arguments: ScreenshotArguments, folder: Path) -> Iterator[LiveSession]:
    """Run a rendered meet whose start list says what is really dived."""
    numbers = ",".join(sorted(Bundle.open(arguments.bundle).load_exemplars().counts()))
    options = f"seed={arguments.seed}&dives={arguments.dives + 2}&numbers={numbers}&pause=2&size=640x360"
    plan = RunPlan(address=f"synthetic://meet?{options}", bundle=arguments.bundle, threads=1)
    meet = plan_meet(settings_of(parse_source(plan.address)))
    entries = [
        Entry(i + 1, *ATHLETES[i % len(ATHLETES)], dive.plan.dive_number, dive.plan.difficulty, i // len(ATHLETES) + 1)
        for i, dive in enumerate(meet.dives)
    ]
    with EngineThread(plan.open_scorer) as engine:
        store = SessionStore.create(folder, plan.facts(engine.scorer))
        with (
            store,
            open_source(plan.address) as source,
            LiveSession(
                source,
                engine,
                plan.settings,
                store=store,
                competition=Competition(entries),
                read_health=HealthReader().read,
            ) as session,
        ):
            thread = threading.Thread(target=session.run)
            thread.start()
            try:
                yield session
            finally:
                session.stop()
                thread.join()


def _open(browser: Any, url: str, shot: tuple[str, int, int, int, str], light: bool) -> Any:
    _, width, height, scale, _ = shot
    tab = browser.new_page(
        viewport={"width": width, "height": height},
        device_scale_factor=scale,
        color_scheme="light" if light else "dark",
    )
    tab.goto(url)
    return tab


def _scored(session: LiveSession) -> int:
    return sum(row["status"] == "scored" for row in session.snapshot()["dives"])


def _sees(tab: Any) -> bool:
    return bool(tab.locator("#detector-pill").inner_text() == "Dive seen")


def _wait(condition: Callable[[], bool], most_s: float) -> None:
    deadline = time.monotonic() + most_s + _PATIENCE_S
    while not condition():
        if time.monotonic() > deadline:
            raise UserError("the meet did not come so far in time; is the machine busy? Try fewer --dives")
        time.sleep(0.05)


def _save(png: bytes, path: Path) -> int:
    """Write a picture as JPEG, as good as fits; returns its bytes."""
    image = Image.open(io.BytesIO(png)).convert("RGB")
    for quality in range(92, 40, -4):
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=quality, optimize=True, progressive=True)
        if buffer.tell() <= MOST_BYTES:
            break
    with replacing(path) as temporary:
        temporary.write_bytes(buffer.getvalue())
    return buffer.tell()


if __name__ == "__main__":
    raise SystemExit(main())
