"""What a clip looks like is said wherever its score is: a name where there is none, a doubt where there is one."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mcore.common.conformal import ConformalInterval
from mcore.common.errors import BundleError
from mcore.video import SampledClip
from mcore_runtime import Scorer, run, score
from mcore_runtime.bundle.folder import RECOGNISER_FILE, Bundle, write_manifest
from mcore_runtime.bundle.records import ConformalIntervals
from mcore_runtime.competition import Competition
from mcore_runtime.doctor.bundles import bundle as check_bundle
from mcore_runtime.live.session_state import SessionState
from mcore_runtime.live.snapshot import state_part
from mcore_runtime.live.terminal import dive_line
from mcore_runtime.scoring.result import DiveScore
from mcore_runtime.session import LiveDive, SessionStore, report_command
from tests.known_dives import knowing, with_known, with_recogniser
from tests.runtime.session.made import make_session, noise, scored_record

NO_RECORD = "this bundle cannot say which dive a clip shows"
NUM_EACH = 60
INTERVALS = ConformalIntervals(
    ConformalInterval(0.8, 5.0, 50),
    ConformalInterval(0.8, 20.0, 50),
    "heats.jsonl",
    "val",
    ConformalInterval(0.8, 7.0, 50),
)


def shown(number: int, level: float) -> SampledClip:
    """Noise around a brightness: dark (0.2) is what 407C looks like here, bright (1.0) is 5253B."""
    clip = noise(number)
    return replace(clip, frames=(clip.frames * level).astype(np.uint8))


DARK, BRIGHT = 0.2, 1.0


@pytest.fixture(scope="module")
def bundle(tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle that tells two dive numbers by their brightness."""
    copy = Path(shutil.copytree(tiny_bundle, tmp_path_factory.mktemp("numbers") / "bundle"))
    clips = [shown(1000 + i, level) for i in range(NUM_EACH) for level in (DARK, BRIGHT)]
    return with_recogniser(copy, clips, ["407C", "5253B"] * NUM_EACH, INTERVALS)


@pytest.fixture(scope="module")
def results(bundle: Path) -> dict[str, DiveScore]:
    with Scorer(bundle, "onnxruntime", threads=1) as scorer:
        return {
            "right": scorer.score_clip(shown(1, DARK), scorer.select("407C")),
            "wrong": scorer.score_clip(shown(2, BRIGHT), scorer.select("407C")),
            "unknown": scorer.score_clip(shown(3, BRIGHT), scorer.select(None, any_exemplar=True)),
            "not learned": scorer.score_clip(shown(4, BRIGHT), scorer.select("205B", any_exemplar=True)),
        }


def test_an_announced_number_is_doubted_where_it_is_wrong(results: dict[str, DiveScore]) -> None:
    right, wrong = results["right"], results["wrong"]
    assert right.recognition is not None
    assert wrong.recognition is not None
    assert (right.recognition.numbers, right.recognition.is_doubted, right.looks_like) == (("407C",), False, None)
    assert (wrong.recognition.numbers, wrong.recognition.is_doubted, wrong.looks_like) == (("5253B",), True, "5253B")
    assert wrong.recognition.announced_p_value == pytest.approx(1 / (2 * NUM_EACH + 1))
    assert wrong.notes[0] == "looks like 5253B, not 407C (p 0.0083)"
    assert not [note for note in right.notes if "looks like" in note]
    # It is only a notice: exemplars, difficulty and interval are those of what was announced.
    assert {exemplar.dive_number for exemplar in wrong.exemplars} == {"407C"}
    assert wrong.difficulty == 3.2
    assert DiveScore.from_json(json.loads(json.dumps(wrong.to_json()))) == wrong


def test_an_unknown_number_is_compared_with_what_it_looks_like(results: dict[str, DiveScore], bundle: Path) -> None:
    unknown = results["unknown"]
    assert {exemplar.dive_number for exemplar in unknown.exemplars} == {"5253B"}
    assert (unknown.dive_number, unknown.dive_text, unknown.same_dive_number) == (None, "5253B?", False)
    assert unknown.difficulty is None  # nobody said the number
    assert unknown.low is not None
    assert unknown.score - unknown.low == pytest.approx(7.0)
    assert unknown.interval_level == 0.8
    assert "compared with exemplars of what it looks like: 5253B" in unknown.notes
    # A number that is known, but not to the bundle, is neither doubted nor replaced.
    other = results["not learned"]
    assert {exemplar.dive_number for exemplar in other.exemplars} == {"407C", "5253B"}
    assert other.recognition is not None
    assert (other.recognition.announced_p_value, other.looks_like, other.dive_text) == (None, None, "205B")
    with Scorer(bundle, "onnxruntime", threads=1, num_exemplars=2) as scorer:
        dark = scorer.score_clip(shown(5, DARK), scorer.select(None, any_exemplar=True))
        assert [exemplar.dive_number for exemplar in dark.exemplars] == ["407C"] * 2
        assert dark.interval_level is None  # the interval was measured with all of them


def test_a_clip_that_is_no_dive_looks_like_none(bundle: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(bundle, tmp_path / "bundle"))
    with Scorer(copy, "onnxruntime", threads=1) as scorer:
        known = knowing(scorer, (shown(i, DARK) for i in range(24)))
    with_known(copy, known)
    still = replace(shown(1, BRIGHT), frames=np.full_like(shown(1, BRIGHT).frames, 255))
    with Scorer(copy, "onnxruntime", threads=1) as scorer:
        result = scorer.score_clip(still, scorer.select("407C"))
    assert result.why_unlike
    assert result.looks_like is None
    assert not [note for note in result.notes if note.startswith("looks like")]


def test_tables_files_and_reports(
    bundle: Path, dive_video: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    outputs = ["--json", str(tmp_path / "s.json"), "--report", str(tmp_path / "r.html")]
    assert score.main([str(bundle), str(dive_video), "--any-exemplar", "--whole-clip", *outputs]) == 0
    said = capsys.readouterr().out
    document = json.loads((tmp_path / "s.json").read_text())
    assert document["bundle"]["recogniser"] == {
        "numbers": 2,
        "dives": 120,
        "source": "heats.jsonl",
        "calibrated_on": 120,
    }
    named = [each["dive_number"] for each in document["dives"][0]["recognition"]["possible"]]
    assert f"{named[0]}?" in said
    assert "compared with exemplars of what it looks like" in " ".join(said.split())
    assert f"<h2>Looks like {named[0]}</h2>" in (tmp_path / "r.html").read_text()
    assert NO_RECORD not in said
    assert any("tells 2 dive numbers apart" in finding.text for finding in check_bundle(bundle))


def test_a_bundle_without_a_recogniser_says_so(
    tiny_bundle: Path, dive_video: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = [str(tiny_bundle), str(dive_video), "--any-exemplar", "--whole-clip", "--json", str(tmp_path / "s.json")]
    assert score.main(argv) == 0
    assert NO_RECORD in " ".join(capsys.readouterr().out.split())
    document = json.loads((tmp_path / "s.json").read_text())
    assert (document["bundle"]["recogniser"], document["dives"][0]["recognition"]) == (None, None)
    assert len({each["dive_number"] for each in document["dives"][0]["exemplars"]}) == 2  # all, as ever
    finding = next(finding for finding in check_bundle(tiny_bundle) if NO_RECORD in finding.text)
    assert finding.remedy.startswith("Let it with: mcore-bundle exemplars")


def test_poolside(results: dict[str, DiveScore], bundle: Path, dive_video: Path, tmp_path: Path, capsys: Any) -> None:
    flags = ["--mode", "whole-file", "--no-clips", "--headless", "--bundle", str(bundle)]
    assert run.main([str(dive_video), *flags, "--session", str(tmp_path / "s")]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "tells 2 dive numbers apart" in said
    assert "note: compared with exemplars of what it looks like" in said
    with Scorer(bundle, "onnxruntime", threads=1) as scorer:
        dive = replace(scored_record(scorer, 1), result=results["wrong"])
        unknown = replace(scored_record(scorer, 2), dive_number=None, result=results["unknown"])
    assert "looks like 5253B, not 407C (p 0.0083)" in dive_line(dive)
    rows = state_part(SessionState(Competition.begin([]), None, {1: dive, 2: unknown}))["dives"]
    assert [row["looks_like"] for row in rows] == ["5253B", "5253B"]
    assert rows[0]["score"] is not None  # a notice takes nothing away
    assert LiveDive.from_text(dive.to_text(), "it") == dive
    session = make_session(tmp_path / "session", bundle)
    with SessionStore.open(session) as store:
        store.save_dive(replace(dive, number=6))
    assert report_command.main([str(session), "--html", str(tmp_path / "r.html")]) == 0
    assert "Looks like 5253B, not 407C (p 0.0083)." in (tmp_path / "r.html").read_text()


def test_results_of_older_versions_say_nothing(results: dict[str, DiveScore]) -> None:
    values = results["wrong"].to_json()
    del values["recognition"]
    assert DiveScore.from_json(values) == replace(results["wrong"], recognition=None)


def test_a_recogniser_of_other_graphs_is_refused(bundle: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(bundle, tmp_path / "bundle"))
    manifest = Bundle.open(copy).manifest
    arrays = dict(np.load(copy / RECOGNISER_FILE))
    for changed, said in (
        ({"graphs_sha256": np.array("0" * 64)}, "what other graphs than those"),
        ({"weights": arrays["weights"][:-1]}, "what other graphs than those"),
        ({"biases": np.array([np.nan, 0.0])}, "not a finite number"),
        ({"numbers": arrays["numbers"][:1]}, "1 dive numbers with weights"),
    ):
        np.savez(copy / RECOGNISER_FILE, **(arrays | changed))
        write_manifest(copy, manifest)
        with pytest.raises(BundleError, match=said):
            Scorer(copy, "onnxruntime", threads=1)
    (copy / RECOGNISER_FILE).unlink()
    with pytest.raises(BundleError, match=r"the manifest lists no recogniser\.npz"):
        write_manifest(copy, manifest)
