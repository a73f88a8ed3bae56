"""``mcore-score``: table, JSON, report, and what happens to bad files and bad commands."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
from pathlib import Path

import pytest
from rich.console import Console

from mcore.common.conformal import ConformalInterval
from mcore.data.manifest import DiveRecord, write_manifest
from mcore_runtime import Scorer
from mcore_runtime.bundle.records import ConformalIntervals
from mcore_runtime.score import main
from mcore_runtime.scoring.batch import DiveOutcome, DiveRequest
from mcore_runtime.scoring.table import print_scores
from tests.runtime.scoring.test_scorer import with_intervals


def test_table_names_score_range_and_stages(
    tiny_bundle: Path, dive_video: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")  # a narrow terminal breaks rows
    assert main([str(tiny_bundle), str(dive_video), "--whole-clip", "--dive", "407C"]) == 0
    out = capsys.readouterr().out
    row = next(line for line in out.splitlines() if "dive.mp4" in line)
    assert re.search(r"407C .* \d+\.\d .* \d+\.\d to \d+\.\d .* 0\.36 .* 0\.64", row)
    assert len(re.findall(r" [+-]\d+\.\d ", row)) == 2  # shares of take-off and entry
    assert "Not shown: shares of flight" in out
    assert "not a conformal" in out
    assert "1 of 1 scored" in out


@pytest.mark.parametrize(
    ("half_widths", "words", "absent"),
    [
        ((4.0, 9.0), r"80 % interval .* \d+\.\d to \d+\.\d ", "Exemplar range:"),
        (
            (4.0, None),
            r"from, to .* \d+\.\d to \d+\.\d \(80 % interval\).* to \d+\.\d \(exemplar range\)",
            "│ 80 % interval │",
        ),
    ],
)
def test_table_says_of_which_kind_each_interval_is(
    tiny_bundle: Path,
    dive_video: Path,
    tmp_path: Path,
    half_widths: tuple[float, float | None],
    words: str,
    absent: str,
) -> None:
    same, other = (None if width is None else ConformalInterval(0.8, width, 30) for width in half_widths)
    folder = with_intervals(tiny_bundle, tmp_path / "bundle", ConformalIntervals(same, other, "dives.jsonl", "val"))
    text = io.StringIO()
    with Scorer(folder, "onnxruntime") as scorer:
        outcomes = [
            DiveOutcome(DiveRequest(dive_video, number), result=scorer.score(dive_video, number, any_exemplar=True))
            for number in ("407C", None)
        ]
        print_scores(Console(file=text, width=200), scorer, outcomes)
    assert re.search(words, text.getvalue(), re.S)
    assert "80 % interval: it holds" in text.getvalue()
    assert absent not in text.getvalue()


@pytest.mark.parametrize(("given", "difficulty"), [([], 3.2), (["--difficulty", "3.4"], 3.4)])
def test_the_award_is_that_of_the_difficulty(
    tiny_bundle: Path, dive_video: Path, capsys: pytest.CaptureFixture[str], given: list[str], difficulty: float
) -> None:
    assert main([str(tiny_bundle), str(dive_video), "--whole-clip", "--dive", "407C", "--json", *given]) == 0
    captured = capsys.readouterr()
    (dive,) = json.loads(captured.out)["dives"]
    assert dive["difficulty"] == difficulty
    for end, award in (("score", "value"), ("low", "low"), ("high", "high")):
        assert dive["award"][award] == pytest.approx(dive[end] / 3 / difficulty, abs=0.05)
    assert dive["award"]["text"].removeprefix("award ") in captured.err


def test_json_holds_what_the_result_holds(
    tiny_bundle: Path, dive_video: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = [str(tiny_bundle), str(dive_video), "--whole-clip", "--dive", "407C", "--json"]
    assert main(command) == 0
    printed = json.loads(capsys.readouterr().out)
    assert main([*command, str(tmp_path / "s.json")]) == 0
    written = json.loads((tmp_path / "s.json").read_text())
    for document in (printed, written):
        assert (document["format"], document["format_version"]) == ("mcore-scores", 1)
        dive = document["dives"][0]
        assert dive["status"] == "scored"
        assert dive["dive_number"] == "407C"
        assert set(dive["stage_deltas"]) == {"take-off", "flight", "entry"}
        assert dive["low"] < dive["score"] < dive["high"]
        assert len(dive["exemplars"]) == 3
    assert printed["dives"][0]["score"] == written["dives"][0]["score"]


def test_a_bad_file_does_not_stop_the_others(
    tiny_bundle: Path, dive_video: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = tmp_path / "notes <b>.mp4"
    text.write_text("these are not the frames you are looking for\n" * 40)
    report, scores = tmp_path / "report.html", tmp_path / "scores.json"
    videos = [str(tmp_path / "gone.mp4"), str(dive_video), str(text)]
    outputs = ["--report", str(report), "--json", str(scores)]
    assert main([str(tiny_bundle), *videos, "--whole-clip", "--dive", "407C", *outputs]) == 1
    captured = capsys.readouterr()
    assert "1 of 3 scored" in captured.out
    assert captured.err.count("not scored:") == 2
    assert "Traceback" not in captured.err
    assert [dive["status"] for dive in json.loads(scores.read_text())["dives"]] == ["failed", "scored", "failed"]
    page = report.read_text()
    assert "notes &lt;b&gt;.mp4" in page
    assert "notes <b>" not in page


def test_a_name_that_is_not_utf8_is_scored_and_reported(tiny_bundle: Path, dive_video: Path, tmp_path: Path) -> None:
    video = Path(os.fsdecode(os.fsencode(tmp_path) + b"/dive \xff\xfe.mp4"))
    try:
        shutil.copy(dive_video, video)
    except OSError as error:
        pytest.skip(f"this file system takes UTF-8 names only: {error}")
    outputs = ["--report", str(tmp_path / "report.html"), "--json", str(tmp_path / "scores.json")]
    assert main([str(tiny_bundle), str(video), "--whole-clip", "--dive", "407C", *outputs]) == 0
    assert "dive ??.mp4" in (tmp_path / "report.html").read_text(encoding="utf-8")
    assert json.loads((tmp_path / "scores.json").read_text())["dives"][0]["video"]["source"] == str(video)


def test_report_stands_alone_with_pictures(
    tiny_bundle: Path, dive_video: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = tmp_path / "new" / "report.html"
    assert main([str(tiny_bundle), str(dive_video), "--whole-clip", "--dive", "407C", "--report", str(report)]) == 0
    page = report.read_text()
    assert page.count("data:image/jpeg;base64,") == 8  # all of the tiny network's frames
    assert "flight begins" in page
    assert "entry begins" in page
    assert "inward 3 1/2 somersaults tuck" in page
    assert "heat-1" in page
    assert "not a conformal interval" in page
    assert not re.search(r"(src|href)=\"(?!data:|#)", page)  # nothing is fetched
    assert "$" not in re.sub(r"<style>.*?</style>", "", page, flags=re.S)  # no template field is left


def test_lists_give_each_dive_its_number_and_the_judges_score(
    tiny_bundle: Path, dive_video: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    records = [
        DiveRecord(dive_video, "407C", 66.0, split="test"),
        DiveRecord(dive_video, "5253B", 70.0, split="test"),
        DiveRecord(dive_video, "107B", 70.0, split="train"),
    ]
    write_manifest(tmp_path / "dives.jsonl", records)
    assert main([str(tiny_bundle), "--list", str(tmp_path / "dives.jsonl"), "--split", "test", "--json"]) == 0
    dives = json.loads(capsys.readouterr().out)["dives"]
    assert [(dive["dive_number"], dive["true_score"]) for dive in dives] == [("407C", 66.0), ("5253B", 70.0)]
    assert main([str(tiny_bundle), "--list", str(tmp_path / "dives.jsonl")]) == 1  # no exemplars of 107B
    assert "107B" in capsys.readouterr().err


def test_a_bad_line_of_a_list_does_not_stop_the_others(
    tiny_bundle: Path, dive_video: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, report = tmp_path / "dives.csv", tmp_path / "report.html"
    path.write_text(
        f"path;dive_number;score\n{dive_video};407c ;66,5\n{dive_video};407X;70\n{dive_video};5253B;7O\n",
        encoding="utf-16",
    )
    assert main([str(tiny_bundle), "--list", str(path), "--json", "--report", str(report)]) == 1
    captured = capsys.readouterr()
    dives = json.loads(captured.out)["dives"]
    assert [(dive["status"], dive["true_score"]) for dive in dives] == [
        ("scored", 66.5),
        ("failed", None),
        ("failed", None),
    ]
    assert dives[0]["dive_number"] == "407C"
    assert f"not scored: {path}, line 3: '407X' is not a dive number" in captured.err
    assert f"not scored: {path}, line 4: score is '7O'" in captured.err
    assert "Traceback" not in captured.err


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("path,dive_number,score,start,end\nv.mp4,407C,66,1,2\n", "did you mean start_s"),
        ("path,dive_number,score\nv.mp4,407C,66,5\n", "beyond the last column"),
        ("path,dive_number,score\nv\0.mp4,407C,66\n", "NUL"),
        ("path,dive_number,score\nv\\a.mp4,407C,66\n", "backslashes"),
    ],
)
def test_a_list_without_a_line_that_can_be_read_is_a_mistake(
    tiny_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], row: str, reason: str
) -> None:
    (tmp_path / "dives.csv").write_text(row)
    assert main([str(tiny_bundle), "--list", str(tmp_path / "dives.csv")]) == 2
    err = capsys.readouterr().err
    assert reason in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["{bundle}", "{video}", "--dive", "407X"], "is not a dive number"),
        (["{bundle}", "{video}", "--dive", "107B"], "the bundle has these"),
        (["{bundle}", "{video}"], "give the dive number with --dive"),
        (["{bundle}"], "give either video files or --list"),
        (["{bundle}", "{video}", "--list", "dives.csv"], "give either video files or --list"),
        (["nowhere", "{video}", "--dive", "407C"], "expected a bundle's folder"),
        (["{bundle}", "{video}", "--dive", "407C", "--report", "report.pdf"], "ends in .html"),
        (["{bundle}", "{video}", "--dive", "407C", "--threads", "0"], "threads is 0"),
        (["{bundle}", "--list", "missing.csv"], "no list of dives at"),
        (["{bundle}", "--list", "dives.csv", "--whole-clip"], "--whole-clip is for videos"),
        (["{bundle}", "{video}", "--whole-clip", "--end", "3", "--dive", "407C"], "without --list, --start and --end"),
    ],
)
def test_mistakes_exit_with_2_and_no_traceback(
    tiny_bundle: Path, dive_video: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], reason: str
) -> None:
    assert main([a.format(bundle=tiny_bundle, video=dive_video) for a in arguments]) == 2
    err = capsys.readouterr().err
    assert reason in err
    assert "Traceback" not in err
    assert err.count("\n") == 1
