"""The command as a process of its own: kill -9 costs nothing, signals and keys are obeyed, passwords stay away."""

from __future__ import annotations

import json
import os
import re
import select
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from mcore.common.optional import install_command
from mcore_runtime.session import SessionStore, read_session
from tests.numbered_video import write_numbered
from tests.runtime.waiting import wait_until

START_LIST = "athlete,dive_number\nAda,407C\nBo,5253B\nCy,107B\nDi,407C\n"
PATIENCE_S = 60.0
SEES_DIVES = """
from tests.runtime.live.at import At
from mcore_runtime.live import pipeline
pipeline.JointDetector = lambda aspect, spotter: At(*((s, s + 1.0) for s in range(2, 48, 3)))
"""
"""Makes a process see a dive every three seconds, from 2 s on."""


@pytest.fixture(scope="module")
def meet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Fifty seconds at 5 frames a second."""
    ticks = range(0, 6 * 256, 6)
    return write_numbered(tmp_path_factory.mktemp("video") / "meet.mp4", 256, ticks=ticks)


def command(*arguments: object, prelude: str = "") -> list[str]:
    code = f"import sys\n{prelude}\nfrom mcore_runtime.run import main\nsys.exit(main(sys.argv[1:]))"
    return [sys.executable, "-c", code, *map(str, arguments)]


def read_lines(process: subprocess.Popen[str], count: int) -> list[dict[str, Any]]:
    assert process.stdout is not None
    return [json.loads(process.stdout.readline()) for _ in range(count)]


def read_until(process: subprocess.Popen[str], words: str) -> str:
    """What a process prints up to a line with these words."""
    assert process.stdout is not None
    printed = ""
    while words not in printed:
        printed += (line := process.stdout.readline())
        assert line, printed
    return printed


def in_terminal(terminal: int, bundle: Path, *arguments: object) -> subprocess.Popen[bytes]:
    """A run over a rendered meet whose terminal is this one; closes our copy of it."""
    meet = ("synthetic://meet?dives=3&distractors=none", "--bundle", bundle, "--session", "s", "--mode", "manual")
    takes_it = "import fcntl, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0)"
    process = subprocess.Popen(
        command(*meet, *arguments, prelude=takes_it),
        stdin=terminal, stdout=terminal, stderr=terminal, start_new_session=True,
    )  # fmt: skip
    os.close(terminal)
    return process


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="needs a terminal of its own: no openpty here")
def test_a_closed_terminal_does_not_end_a_run(tiny_bundle: Path, here: Path) -> None:
    ours, theirs = os.openpty()
    process = in_terminal(theirs, tiny_bundle)
    screen = ""
    while ": streaming " not in screen:
        screen += os.read(ours, 4096).decode()
    os.close(ours)  # the system sends SIGHUP
    closed = ("terminal", "was closed; the run goes on")
    wait_until(lambda: closed in [(event.kind, event.text) for event in read_session(Path("s")).events])
    time.sleep(1.0)
    assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    assert process.wait(PATIENCE_S) == 3  # it has no dive
    assert read_session(Path("s")).state["seen"]


def test_passwords_are_not_kept(tiny_bundle: Path, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    process = subprocess.Popen(
        command("rtsp://u:hush@127.0.0.1:1/x", "--bundle", tiny_bundle, "--session", "s"),
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    printed = read_until(process, "retrying")
    kept = b"".join(path.read_bytes() for path in (here / "s").rglob("*") if path.is_file())
    process.send_signal(signal.SIGINT)
    printed += process.communicate(timeout=PATIENCE_S)[0]
    assert process.returncode == 3
    assert kept
    assert "hush" not in printed
    assert not (here / "s").exists(), "the next try, with the right address, may have the same name"
    assert b"hush" not in kept


def test_kill_9_loses_no_finished_dive_and_the_list_goes_on(meet: Path, tiny_bundle: Path, here: Path) -> None:
    """Whoever saw a score finds it again, and the next dive is the next athlete's, time after time."""
    Path("list.csv").write_text("athlete,dive_number\n" + "".join(f"A{i},407C\n" for i in range(1, 40)))
    common = ("--bundle", tiny_bundle, "--json", "--threads", "1", "--no-clips", "--quiet")
    begin = [f"file:{meet}?pace=fast", "--session", "s", "--start-list", "list.csv", *common]
    seen: list[dict[str, Any]] = []
    for turn, wanted in enumerate((2, 1, 3)):
        process = subprocess.Popen(
            command(*(begin if turn == 0 else ["--resume", "s", *common]), prelude=SEES_DIVES),
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip
        seen += read_lines(process, wanted)
        time.sleep(0.02 * turn)
        process.send_signal(signal.SIGKILL)
        # What it had printed when it was killed, somebody may have seen.
        assert process.stdout is not None
        seen += [json.loads(line) for line in process.stdout if line.endswith("\n")]
        process.wait()
        process.stdout.close()
        data = read_session(Path("s"))
        kept = {dive.number: dive.to_json() for dive in data.dives}
        assert all(kept[dive["number"]] == dive for dive in seen)
        entries = data.state["competition"]["entries"]
        done = [entry["order"] for entry in entries if entry["state"] == "done"]
        assert done == list(range(1, len(done) + 1))
        assert set(kept) <= set(done), "whose dive is known has dived"
    assert len(seen) >= 6
    assert all(dive["athlete"] == f"A{number}" for number, dive in kept.items())


def test_whoever_reads_the_lines_may_go_away(meet: Path, tiny_bundle: Path, here: Path) -> None:
    process = subprocess.Popen(
        command(
            meet, "--bundle", tiny_bundle, "--json", "--session", "s", "--no-clips", "--quiet", prelude=SEES_DIVES
        ),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    read_lines(process, 1)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    error = process.stderr.read()
    assert process.wait(PATIENCE_S) == 0, error
    process.stderr.close()
    assert "Traceback" not in error
    assert len(read_session(Path("s")).dives) == 16


def test_the_page_stays_when_the_source_has_ended(meet: Path, tiny_bundle: Path, here: Path) -> None:
    pytest.importorskip("starlette", reason="the page needs starlette: pip install '.[web]'")
    process = subprocess.Popen(
        command(
            meet, "--bundle", tiny_bundle, "--web", "127.0.0.1:0", "--session", "s", "--no-clips", prelude=SEES_DIVES
        ),
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    printed = read_until(process, "the page stays")
    (address,) = re.findall(r"^page: (http://127.0.0.1:\d+/?)$", printed, re.M)
    with urllib.request.urlopen(address, timeout=PATIENCE_S) as answer:
        assert answer.status == 200
    process.send_signal(signal.SIGINT)
    rest, _ = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, rest
    assert "16 dives: 16 scored" in rest


def test_a_page_without_its_packages_says_what_installs_them_before_anything_is_begun(
    tiny_bundle: Path, here: Path
) -> None:
    process = subprocess.run(
        command("camera://0", "--bundle", tiny_bundle, "--web", prelude="sys.modules['starlette'] = None"),
        capture_output=True, text=True, timeout=PATIENCE_S, check=False,
    )  # fmt: skip
    assert process.returncode == 2
    assert install_command("web") in process.stderr
    assert not (here / "sessions").exists()


def test_a_second_ctrl_c_does_not_wait_for_a_scorer_that_hangs(meet: Path, tiny_bundle: Path, here: Path) -> None:
    hangs = (
        SEES_DIVES
        + """
import time
from mcore_runtime.scoring.scorer import Scorer
def hang(*arguments, **others):
    print("hanging", file=sys.stderr, flush=True)
    time.sleep(600)
Scorer.score_clip = hang
"""
    )
    process = subprocess.Popen(
        command(meet, "--bundle", tiny_bundle, "--session", "s", "--no-clips", "--quiet", prelude=hangs),
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stderr is not None
    assert process.stderr.readline() == "hanging\n"
    process.send_signal(signal.SIGINT)
    time.sleep(0.5)
    assert process.poll() is None, "the first one waits for the last score"
    process.send_signal(signal.SIGINT)
    error = process.communicate(timeout=20)[1]
    assert process.returncode == 130, error
    assert "Traceback" not in error
    with SessionStore.open(here / "s") as store:
        assert store.load_state("competition")["scoring"]


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="needs a terminal of its own: no openpty here")
def test_keys_in_a_terminal(tiny_bundle: Path, here: Path) -> None:
    """Enter makes a dive, v voids it, s skips, b goes back, q stops; and the terminal is left as it was."""
    import termios

    Path("list.csv").write_text(START_LIST)
    ours, theirs = os.openpty()
    before = termios.tcgetattr(ours)
    process = in_terminal(theirs, tiny_bundle, "--start-list", "list.csv", "--no-clips")
    screen = ""

    def until(words: str) -> None:
        nonlocal screen
        deadline = time.monotonic() + PATIENCE_S
        while words not in screen and time.monotonic() < deadline:
            if select.select([ours], [], [], 0.2)[0]:
                screen += os.read(ours, 4096).decode()
        assert words in screen
        screen = screen.partition(words)[2]

    until(": streaming ")
    time.sleep(0.3)
    os.write(ours, b"b\x1b[A")  # an arrow key means nothing
    until("this is the first")
    os.write(ours, b"s")
    os.write(ours, b"\n")
    until("#1 Bo 5253B: invalid: its first")
    os.write(ours, b"v")
    until("#1 Bo 5253B: void")
    os.write(ours, b"q")
    until("1 dives: 0 scored, 0 invalid, 0 failed, 1 void")
    assert process.wait(PATIENCE_S) == 0
    assert termios.tcgetattr(ours) == before
    os.close(ours)
    events = [event.text for event in read_session(Path("s")).events if event.kind == "operator"]
    assert events == [
        "skipped 1, Ada",
        "said that a dive has just ended",
        "voided dive 1; 2, Bo dives again",
        "stopped the session",
    ]
