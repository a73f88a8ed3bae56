"""``mcore-score --out``: scores in several processes, into a file with which an interrupted run goes on."""

from __future__ import annotations

import errno
import json
import os
import signal
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from mcore.common.errors import UserError
from mcore.video import SampledClip, sample_clip
from mcore_runtime.score import main
from mcore_runtime.scoring import parallel
from mcore_runtime.scoring.batch import DiveOutcome, DiveRequest
from mcore_runtime.scoring.parallel import WorkerSetup, score_in_parallel
from mcore_runtime.scoring.rows import RowsFile
from mcore_runtime.scoring.scorer import Scorer

HEAD: dict[str, Any] = {
    "format": "mcore-score-rows",
    "format_version": 1,
    "bundle": {"sha256": "b" * 64},
    "list": {"num_dives": 3, "sha256": "c" * 64},
    "options": {"backend": "onnxruntime", "threads": 1, "accept_unlike": False},
}
FAILED = DiveOutcome(DiveRequest(Path("gone.mp4"), "407C"), error="gone")


@dataclass(frozen=True)
class HostileSetup(WorkerSetup):
    """Videos of some names do to their process what a broken decoder does."""

    def open(self) -> Scorer:
        def read_or_fall(video: Path, *arguments: Any, **keywords: Any) -> SampledClip:
            if video.name == "crash.mp4":
                os.kill(os.getpid(), signal.SIGSEGV)
            if video.name == "exit.mp4":
                os._exit(3)
            if video.name == "hang.mp4":
                time.sleep(1000)
            if video.name == "bug.mp4":
                raise IndexError("list index out of range")
            return sample_clip(video, *arguments, **keywords)

        setattr(parallel, "sample_clip", read_or_fall)  # noqa: B010 - this process ends with the test
        return super().open()


def _list_of_dives(tmp_path: Path, step_video: Callable[..., Path], count: int) -> Path:
    videos = [step_video(tmp_path / f"{k}.mp4", (40 + 9 * k, 40, 120, 120, 200 - 9 * k, 200)) for k in range(count)]
    rows = "".join(f"{video},407C,{60 + k}\n" for k, video in enumerate(videos))
    path = tmp_path / "dives.csv"
    path.write_text(f"path,dive_number,score\n{rows}gone.mp4,407C,50\nx.mp4,407X,3\n")
    return path


def _dives(path: Path) -> list[dict[str, Any]]:
    dives: list[dict[str, Any]] = json.loads(path.read_text())["dives"]
    return [{name: value for name, value in dive.items() if name != "timing_ms"} for dive in dives]


def test_a_run_that_was_torn_goes_on_to_the_scores_of_a_single_process(
    tiny_bundle: Path, tmp_path: Path, step_video: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    command = [str(tiny_bundle), "--list", str(_list_of_dives(tmp_path, step_video, 5)), "--backend", "onnxruntime"]
    one, two, out = tmp_path / "one.json", tmp_path / "two.json", tmp_path / "scores.jsonl"
    assert main([*command, "--threads", "1", "--json", str(one)]) == 1
    parallel_command = [*command, "--out", str(out), "--resume", "--json", str(two)]
    assert main([*parallel_command, "--workers", "2"]) == 1
    assert _dives(two) == _dives(one)

    whole = out.read_bytes().splitlines(keepends=True)
    assert sorted(json.loads(line)["index"] for line in whole[1:]) == list(range(7))
    out.write_bytes(b"".join(whole[:3]) + whole[3][:-9])  # a crash within the third dive's line
    two.unlink()
    capsys.readouterr()
    assert main(parallel_command) == 1
    assert "7 of 7 dives: 5 scored, 0 unlike, 2 failed; 5 of them now" in capsys.readouterr().out
    assert out.read_bytes().splitlines(keepends=True)[:3] == whole[:3]
    assert sorted(json.loads(line)["index"] for line in out.read_bytes().splitlines()[1:]) == list(range(7))
    assert _dives(two) == _dives(one)

    assert main([*command, "--out", str(out)]) == 2
    assert "is there already; go on with it with --resume" in capsys.readouterr().err


def test_a_dive_that_ends_its_process_costs_itself_only(tiny_bundle: Path, dive_video: Path) -> None:
    names = ["good", "crash.mp4", "good", "bug.mp4", "exit.mp4", "good"]
    requests = [DiveRequest(dive_video if name == "good" else Path(name), "407C") for name in names]
    setup = HostileSetup(tiny_bundle, "onnxruntime")
    outcomes = list(score_in_parallel(setup, enumerate(requests), workers=2, time_limit_s=600))
    assert sorted(index for index, _ in outcomes) == list(range(len(names)))
    errors = {names[index]: outcome.error for index, outcome in outcomes}
    assert errors["good"] is None
    assert errors["bug.mp4"] == "unexpected IndexError: list index out of range"
    assert errors["crash.mp4"] == "tried twice: the process that scored it was ended by SIGSEGV"
    assert errors["exit.mp4"] == "tried twice: the process that scored it ended with exit code 3"


def test_a_dive_that_takes_too_long_is_given_up(tiny_bundle: Path) -> None:
    setup = HostileSetup(tiny_bundle, "onnxruntime")
    requests = [(7, DiveRequest(Path("hang.mp4"), "407C"))]
    ((index, outcome),) = score_in_parallel(setup, requests, workers=1, time_limit_s=0.2)
    assert (index, outcome.error) == (7, "tried twice: it took more than 0.2 s (--time-limit)")


def test_a_stop_finishes_what_is_in_hand_and_begins_nothing(tiny_bundle: Path, dive_video: Path) -> None:
    requests = [(index, DiveRequest(dive_video, "407C")) for index in range(20)]
    done: list[int] = []
    outcomes = score_in_parallel(
        WorkerSetup(tiny_bundle, "onnxruntime"), requests, workers=1, stopping=lambda: bool(done)
    )
    with closing(outcomes):
        for index, outcome in outcomes:
            assert outcome.error is None
            done.append(index)
    assert done == list(range(len(done)))
    assert 1 <= len(done) < 20


def test_an_engine_that_cannot_be_loaded_ends_the_run(tiny_bundle: Path) -> None:
    with pytest.raises(UserError, match="threads is 0"):
        list(
            score_in_parallel(
                WorkerSetup(tiny_bundle, "onnxruntime", threads=0),
                [(0, DiveRequest(Path("v.mp4"), "407C"))],
                workers=1,
            )
        )


def _row(index: int) -> str:
    return json.dumps({"index": index, "status": "failed", "error": "gone"}) + "\n"


@pytest.mark.parametrize(
    ("content", "head", "reason"),
    [
        (_row(0), {"list": {"num_dives": 3, "sha256": "d"}}, "the list has other dives"),
        (_row(0), {"bundle": {"sha256": "e"}}, "the bundle is another one"),
        (_row(0), {"options": {**HEAD["options"], "threads": 2}}, r"threads is another \(1, now 2\)"),
        (_row(1) + _row(1), {}, "line 3: index is 1"),
        (_row(3), {}, "0 to 2, once"),
        (_row(0) + _row(1)[:-9] + "\n" + _row(2), {}, "line 3 is no row"),
    ],
)
def test_a_file_of_something_else_is_not_gone_on_with(
    tmp_path: Path, content: str, head: dict[str, Any], reason: str
) -> None:
    path = tmp_path / "scores.jsonl"
    path.write_text(json.dumps(HEAD) + "\n" + content)
    before = path.read_bytes()
    with pytest.raises(UserError, match=reason):
        RowsFile(path, HEAD | head, resume=True)
    assert path.read_bytes() == before


@pytest.mark.parametrize("content", ["path,dive_number,score\n", '{"path": "a.mp4", "dive_number": "407C"}\n', "x"])
def test_a_file_that_is_no_file_of_scores_is_left_as_it_is(tmp_path: Path, content: str) -> None:
    path = tmp_path / "dives.jsonl"
    path.write_text(content)
    with pytest.raises(UserError, match="no file of mcore-score --out"):
        RowsFile(path, HEAD, resume=True)
    assert path.read_text() == content


@pytest.mark.parametrize("kept", [0, 1, 12, 40, 1000])
def test_a_first_line_that_was_torn_is_written_again(tmp_path: Path, kept: int) -> None:
    path = tmp_path / "scores.jsonl"
    path.write_text((json.dumps(HEAD) + "\n" + _row(2))[:kept])
    with RowsFile(path, HEAD, resume=True) as rows:
        assert len(rows) == (kept == 1000)
        rows.append(0, FAILED)
        with pytest.raises(UserError, match="another mcore-score writes to"):
            RowsFile(path, HEAD, resume=True)
        with pytest.raises(ValueError, match="there already"):
            rows.append(0, FAILED)
    with RowsFile(path, HEAD, resume=True) as rows:
        assert 0 in rows
        assert rows.counts["failed"] == len(rows)


def test_a_full_disk_leaves_whole_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "scores.jsonl"
    write = os.write

    def write_a_little(file: int, content: bytes) -> int:
        if len(content) < 40:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(file, content[:20])

    with RowsFile(path, HEAD, resume=False) as rows:
        rows.append(0, FAILED)
        with monkeypatch.context() as patched:
            patched.setattr(os, "write", write_a_little)
            with pytest.raises(UserError, match="No space left on device; 1 dives are safe"):
                rows.append(1, FAILED)
        assert 1 not in rows
    assert len(path.read_text().splitlines()) == 2
    with RowsFile(path, HEAD, resume=True) as rows:
        rows.append(1, FAILED)
