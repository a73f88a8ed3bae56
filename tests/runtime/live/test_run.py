"""The command: what it prints, what it refuses, and that a session goes on."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

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


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four seconds at 30 frames a second."""
    return write_numbered(tmp_path_factory.mktemp("video") / "v.mp4", 120)


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
    assert dive.result.video.reader == "the renderer"
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


def test_the_decoder_is_chosen_recorded_and_printed(
    video: Path, tiny_bundle: Path, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    begin = ["--bundle", str(tiny_bundle), "--mode", "whole-file", "--no-clips", "--session", "s"]
    assert main([str(video), *begin, "--decoder", "hardware", "--edition", "2017"]) == 0
    assert re.search(r": streaming 96x64, read by (pyav \(\w+\)|pyav; decoded by software: )", capsys.readouterr().out)
    data = read_session(Path("s"))
    settings = data.facts["settings"]
    assert (settings["decoder"], settings["edition"]) == ("hardware", "2017")
    assert any(event.kind == "source" and "read by pyav" in event.text for event in data.events)
    (dive,) = data.dives
    assert dive.result is not None
    assert dive.result.video.reader.startswith("pyav")


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
        (["none.mp4", "--token-file", "t"], "give --web or --metrics too"),
        (["none.mp4", "--metrics", "nowhere:port"], "HOST:PORT"),
        (["none.mp4", "--meet", "udp://x"], "no address of meet software"),
        (["none.mp4", "--show-at-once"], "give --meet too"),
        (["camera://0", "--decoder", "hardware"], "no choice of decoders; allowed for: file, rtsp, http"),
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
