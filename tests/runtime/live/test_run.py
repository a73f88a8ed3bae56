"""The command: what it prints, what it refuses, that kill -9 costs nothing, and that a session goes on."""

from __future__ import annotations

import json
import os
import re
import select
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from mcore.common.optional import install_command
from mcore.video import native
from mcore_runtime.live.terminal import summary_line
from mcore_runtime.run import _with_address, main
from mcore_runtime.session import DiveStatus, FoundBy, SessionStore, read_session
from mcore_runtime.session.summary import RunSummary
from mcore_runtime.web import DEFAULT_ADDRESS
from tests.numbered_video import write_numbered
from tests.runtime.sources.mjpeg_server import MjpegServer

MEET = "synthetic://meet?seed=11&dives=1&pause=0&pace=fast&distractors=none"
START_LIST = "athlete,club,dive_number,difficulty\nAda,North,407C,3.4\nBo,South,5253B,4.4\nCy,East,107B,\nDi,,407C,\n"
PATIENCE_S = 60.0


SEES_DIVES = """
from tests.runtime.live.at import At
from mcore_runtime.live import pipeline
pipeline.BallisticDetector = lambda aspect: At(*((s, s + 1.0) for s in range(2, 48, 3)))
"""
"""Makes a process see a dive every three seconds, from 2 s on."""


@pytest.fixture(scope="module")
def meet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Fifty seconds at 5 frames a second."""
    ticks = range(0, 6 * 256, 6)
    return write_numbered(tmp_path_factory.mktemp("video") / "meet.mp4", 256, ticks=ticks)


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four seconds at 30 frames a second."""
    return write_numbered(tmp_path_factory.mktemp("video") / "v.mp4", 120)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory, from which processes find these tests."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[3]), prepend=os.pathsep)
    return tmp_path


def command(*arguments: object, prelude: str = "") -> list[str]:
    code = f"import sys\n{prelude}\nfrom mcore_runtime.run import main\nsys.exit(main(sys.argv[1:]))"
    return [sys.executable, "-c", code, *map(str, arguments)]


def lines(output: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in output.splitlines()]


def test_a_run_prints_a_line_for_each_dive_and_keeps_all(
    tiny_bundle: Path, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([MEET, "--bundle", str(tiny_bundle), "--dive", "407C"]) == 0
    printed = capsys.readouterr().out
    assert re.search(r"^#1 407C: \d+\.\d \(.*found by camera tracking; \d+ ms after its last frame$", printed, re.M)
    assert "1 dives: 1 scored, 0 invalid, 0 failed; " in printed
    (folder,) = (here / "sessions").iterdir()
    data = read_session(folder)
    (dive,) = data.dives
    assert (dive.status, dive.found_by, dive.number) == (DiveStatus.SCORED, FoundBy.CAMERA_TRACKING, 1)
    assert dive.result is not None
    assert dive.recording is not None
    assert dive.result.video.reader == "rendered"
    assert (folder / dive.recording).is_file()
    assert data.load_clip(1).num_source_frames == dive.result.video.num_source_frames
    assert data.facts["bundle"] == str(tiny_bundle)
    assert data.facts["source"] == "synthetic://meet"


def test_json_is_all_there_is_on_standard_output(
    video: Path, tiny_bundle: Path, here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(native, "warning", lambda: None)
    arguments = [str(video), "--bundle", str(tiny_bundle), "--mode", "whole-file", "--json", "--no-clips", "--quiet"]
    assert main(arguments) == 0
    captured = capsys.readouterr()
    (record,) = lines(captured.out)
    assert (record["status"], record["dive_number"], record["recording"]) == ("scored", None, None)
    assert captured.err == ""


def test_a_run_goes_on_where_it_ended(
    video: Path, tiny_bundle: Path, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("list.csv").write_text(START_LIST)
    first = [str(video), "--bundle", str(tiny_bundle), "--session", "s", "--start-list", "list.csv"]
    assert main([*first, "--mode", "whole-file", "--json", "--threads", "1", "--no-clips"]) == 0
    captured = capsys.readouterr()
    assert "list.csv: line 3: difficulty 4.4 of 5253B is not in the rules" in captured.err
    assert "no exemplars of 107B" in captured.err
    for number, athlete, dive_number in ((2, "Bo", "5253B"), (3, "Cy", "107B")):
        another = shutil.copy(video, here / f"{number}.mp4")
        assert main([str(another), "--resume", "s", "--json"]) == 0
        (record,) = lines(capsys.readouterr().out)
        assert (record["number"], record["athlete"], record["dive_number"]) == (number, athlete, dive_number)
        assert (record["found_by"], record["recording"]) == ("whole-file", None), "settings are as they were"
    events = [event.text for event in read_session(Path("s")).events if event.kind == "resumed"]
    assert [text.partition(" ")[0] for text in events] == ["source", "went"] * 2
    another = shutil.copy(video, here / "4.mp4")
    assert main([str(another), "--resume", "s", "--start-list", "list.csv"]) == 2
    assert "start list already" in capsys.readouterr().err


@pytest.mark.parametrize("again", [["--resume", "s"], ["v.mp4", "--session", "s", "--or-resume"]])
def test_a_finished_file_is_not_scored_again(
    video: Path, tiny_bundle: Path, here: Path, capsys: pytest.CaptureFixture[str], again: list[str]
) -> None:
    shutil.copy(video, "v.mp4")
    bundle = ["--bundle", str(tiny_bundle), "--no-clips"]
    assert main(["v.mp4", "--session", "s", "--mode", "whole-file", *bundle]) == 0
    assert main([*again, *bundle]) == 0
    assert "watched to its end before" in capsys.readouterr().out
    assert [dive.number for dive in read_session(Path("s")).dives] == [1]
    write_numbered(Path("v.mp4"), 90)  # another recording under the same name
    assert main(["v.mp4", "--resume", "s", *bundle]) == 0
    assert [dive.number for dive in read_session(Path("s")).dives] == [1, 2]


def test_a_run_without_dives_says_so(
    video: Path, tiny_bundle: Path, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(video), "--bundle", str(tiny_bundle), "--no-clips", "--session", "s"]) == 3
    assert capsys.readouterr().out.splitlines()[-1] == "if the file shows one dive, cut to it, add --mode whole-file"
    assert main(["--resume", "s", "--mode", "whole-file"]) == 0
    assert (here / "s").is_dir()


@pytest.mark.parametrize(("dropped", "doubts"), [(0, ()), (50, ()), (51, ("most frames were lost (51 of 100)",))])
def test_a_run_that_lost_most_frames_says_so(dropped: int, doubts: tuple[str, ...]) -> None:
    summary = RunSummary(1, 1, 0, 0, 0, 0, {}, 100, dropped, 1)
    assert summary.doubts == doubts
    assert summary_line(summary).endswith(doubts[0] if doubts else "1 connections")


@pytest.mark.parametrize("address", ["camera:///dev/video-none", "http://127.0.0.1:{port}/", "none.mp4"])
def test_what_cannot_be_opened_leaves_no_session_behind(
    video: Path, tiny_bundle: Path, here: Path, capsys: pytest.CaptureFixture[str], address: str
) -> None:
    arguments = ["--bundle", str(tiny_bundle), "--session", "s", "--no-clips", "--mode", "whole-file"]
    with MjpegServer(status=401) as server:
        assert main([address.format(port=server.port), *arguments]) == 2
    assert main([str(video), *arguments]) == 0, "the same session, with the right address"


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="needs a terminal of its own: no openpty here")
def test_a_closed_terminal_does_not_end_a_run(tiny_bundle: Path, here: Path) -> None:
    ours, theirs = os.openpty()
    process = subprocess.Popen(
        command(
            "synthetic://meet?dives=3&distractors=none", "--bundle", tiny_bundle, "--session", "s", "--mode", "manual",
            prelude="import fcntl, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0)",
        ),
        stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True,
    )  # fmt: skip
    os.close(theirs)
    screen = ""
    while ": streaming " not in screen:
        screen += os.read(ours, 4096).decode()
    os.close(ours)  # the system sends SIGHUP
    deadline = time.monotonic() + PATIENCE_S
    while ("terminal", "was closed; the run goes on") not in [(e.kind, e.text) for e in read_session(Path("s")).events]:
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.1)
    time.sleep(1.0)
    assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    assert process.wait(PATIENCE_S) == 3  # it has no dive
    assert read_session(Path("s")).state["seen"]


def test_another_bundle_is_said(video: Path, tiny_bundle: Path, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with SessionStore.create(here / "s", {"source": "x", "bundle_sha256": "0" * 64, "settings": {}}):
        pass
    arguments = [str(video), "--bundle", str(tiny_bundle), "--mode", "whole-file", "--quiet", "--no-clips"]
    assert main([*arguments, "--resume", "s"]) == 0
    printed = capsys.readouterr().out
    assert "warning: bundle sha256 was 0000" in printed
    assert "warning: source was x when the session began" in printed


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["none.mp4"], "no file"),
        (["none.mp4", "--dive", "999Z"], "999Z"),
        (["none.mp4", "--dive", "107B"], "--any-exemplar"),
        (["rtmp://u:hush@h/x"], "rtmp"),
        ([], "give a source"),
        (["none.mp4", "--start-list", "none.csv"], "none.csv"),
        (["none.mp4", "--session", "a", "--resume", "b"], "one of them"),
        (["none.mp4", "--web", "--headless"], "one of them"),
        (["none.mp4", "--token-file", "t"], "--web"),
        (["none.mp4", "--web=a b:c"], "page"),
        (["--resume", "nowhere"], "nowhere"),
        (["none.mp4", "--session", "there"], "there"),
        (["--resume", "there"], "whose address may hold a password"),
        (["none.mp4", "--resume", "there"], "no file"),
    ],
)
def test_mistakes_in_the_command(
    tiny_bundle: Path, here: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    with SessionStore.create(here / "there", {"source": "rtsp://h/…", "settings": {"address": None}}):
        pass
    assert main([*arguments, "--bundle", str(tiny_bundle)]) == 2
    error = capsys.readouterr().err
    assert words in error
    assert "hush" not in error


def test_a_bundle_is_needed(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["none.mp4"]) == 2
    assert "--bundle" in capsys.readouterr().err
    assert not (here / "sessions").exists()


def test_passwords_are_not_kept(tiny_bundle: Path, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    process = subprocess.Popen(
        command("rtsp://u:hush@127.0.0.1:1/x", "--bundle", tiny_bundle, "--session", "s"),
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    printed = ""
    while "retrying" not in printed:
        printed += (line := process.stdout.readline())
        assert line, printed
    kept = b"".join(path.read_bytes() for path in (here / "s").rglob("*") if path.is_file())
    process.send_signal(signal.SIGINT)
    printed += process.communicate(timeout=PATIENCE_S)[0]
    assert process.returncode == 3
    assert kept
    assert "hush" not in printed
    assert not (here / "s").exists(), "the next try, with the right address, may have the same name"
    assert b"hush" not in kept


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        (["--web"], ["--web", DEFAULT_ADDRESS]),
        (["--web", "camera://0"], ["--web", DEFAULT_ADDRESS, "camera://0"]),
        (["--web", "rtsp://h:554/x"], ["--web", DEFAULT_ADDRESS, "rtsp://h:554/x"]),
        (["--web", "--json"], ["--web", DEFAULT_ADDRESS, "--json"]),
        (["--web", "0.0.0.0:80", "x"], ["--web", "0.0.0.0:80", "x"]),
        (["--web", "[::1]:80"], ["--web", "[::1]:80"]),
        (["--web", "80", "x"], ["--web", "80", "x"]),
        (["--web=:80", "x"], ["--web=:80", "x"]),
        (["x", "--json"], ["x", "--json"]),
    ],
)
def test_the_address_of_the_page_can_be_left_out(given: Sequence[str], taken: Sequence[str]) -> None:
    assert _with_address(given) == taken


def read_lines(process: subprocess.Popen[str], count: int) -> list[dict[str, Any]]:
    assert process.stdout is not None
    return [json.loads(process.stdout.readline()) for _ in range(count)]


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
    assert process.stdout is not None
    printed = ""
    while "the page stays" not in printed:
        printed += (line := process.stdout.readline())
        assert line, printed
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
    process = subprocess.Popen(
        command(
            "synthetic://meet?dives=3&distractors=none", "--bundle", tiny_bundle, "--session", "s", "--mode", "manual",
            "--start-list", "list.csv", "--no-clips",
            prelude="import fcntl, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0)",
        ),
        stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True,
    )  # fmt: skip
    os.close(theirs)
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
