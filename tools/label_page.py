"""Time the page of mcore-label, driven by keys in a headless browser, and take its picture for the docs.

    python -m tools.label_page sessions --dives 100
    python -m tools.label_page sessions --dives 9 --picture docs/images/label.jpg

Of each dive both moments are moved by two frames and marked, then it is accepted; every tenth is no dive. Nobody thinks
here: what is measured is the program's share. The labels go to a temporary folder. The picture is of the next clip.

Needs the extra web, Python's playwright, and Chromium.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tyro

from mcore.common.command_line import run_command_line
from mcore_runtime.labelling.app import make_app
from mcore_runtime.labelling.clips import read_sessions
from mcore_runtime.labelling.store import LabelStore
from mcore_runtime.web import serve_app
from tools.live_screenshots import save_jpeg
from tools.user_commands import running_browser

_KEYS = (*("ArrowRight",) * 2, "t", *("Shift+ArrowRight",) * 4, *("ArrowLeft",) * 2, "e", "Enter")
_KEYS_OF_NO_DIVE = ("x",)
_NO_DIVE_EVERY = 10
_WIDTH, _HEIGHT, _MAX_BYTES = 1280, 960, 150_000
_TIMEOUT_MS = 60_000


@dataclass(frozen=True)
class Arguments:
    """Options: what is labelled, and the picture."""

    folder: tyro.conf.Positional[Path]
    """A session's folder, or one with several of them."""
    dives: int = 100
    """Dives that are labelled; the last one there is stays, for the next clip ends the time of each."""
    picture: Path | None = None
    """Write the page's picture to this .jpg file."""
    chromium: str = "chromium"
    """The browser's command."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    return run_command_line(Arguments, _run, prog="label_page.py", doc=__doc__, argv=argv)


def _run(arguments: Arguments) -> int:
    sessions = read_sessions(arguments.folder)
    count = sum(len(session.clips) for session in sessions)
    with tempfile.TemporaryDirectory() as temporary, running_browser(arguments.chromium) as browser:
        store = LabelStore(Path(temporary) / "dives.jsonl")
        for session in sessions:
            store.add_session(session.name, session.started, len(session.clips))
        with serve_app(make_app(store, sessions), "127.0.0.1:0") as page:
            tab = browser.new_page(viewport={"width": _WIDTH, "height": _HEIGHT}, color_scheme="dark")
            tab.goto(page.url)
            tab.locator("#score").get_by_text("points").wait_for(timeout=_TIMEOUT_MS)
            times_s, keys = _label(tab, min(arguments.dives, count - 1))
            if arguments.picture is not None:
                tab.wait_for_timeout(1000)  # until its frames are drawn
                save_jpeg(tab.screenshot(), arguments.picture, _MAX_BYTES)
        splits = store.write_list()
    print(
        f"{len(times_s)} clips, {keys} keys, {sum(times_s):.1f} s; of a clip {np.median(times_s):.2f} s (median), "
        f"{np.percentile(times_s, 95):.2f} s (p95), {max(times_s):.2f} s (max); {splits.total()} dives in the list"
    )
    return 0


def _label(tab: Any, count: int) -> tuple[list[float], int]:
    """Label clips; returns the seconds of each, from its first key until the next one is shown, and counts keys."""
    times_s, keys = [], 0
    for place in range(1, count + 1):
        began_s = time.perf_counter()
        pressed = _KEYS_OF_NO_DIVE if place % _NO_DIVE_EVERY == 0 else _KEYS
        for key in pressed:
            tab.keyboard.press(key)
        keys += len(pressed)
        following = tab.locator(f'#clips button:nth-child({place + 1})[aria-current="true"]')
        following.wait_for(state="attached", timeout=_TIMEOUT_MS)
        times_s.append(time.perf_counter() - began_s)
    return times_s, keys


if __name__ == "__main__":
    raise SystemExit(main())
