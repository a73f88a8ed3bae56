"""Scores that can be reckoned by hand, on graphs that can be."""

from __future__ import annotations

import dataclasses
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mcore.common.conformal import ConformalInterval
from mcore.common.errors import BundleError, DiveNumberError, UserError
from mcore.common.recognition import PossibleNumber, Recognition
from mcore.diving.physics import GRAVITY_M_S2, LONGEST_FLIGHT_S, SHORTEST_FLIGHT_S
from mcore.video import sample_clip
from mcore_runtime import Scorer
from mcore_runtime.backends import BackendError
from mcore_runtime.bundle.exemplars import ExemplarBank
from mcore_runtime.bundle.folder import EXEMPLARS_FILE, MANIFEST_FILE, Bundle, write_manifest
from mcore_runtime.bundle.manifest import BundleManifest
from mcore_runtime.bundle.records import ConformalIntervals
from mcore_runtime.scoring.comparison import Comparison
from mcore_runtime.scoring.recognition import likely_numbers
from mcore_runtime.scoring.result import DiveScore
from tests.runtime.conftest import BANK, FPS, MODEL, POINTS_PER_BRIGHTNESS

CODEC = 0.2  # points: what lossy compression of flat grey may change


def brightness(level: int) -> float:
    clip = MODEL.clip
    return float(np.mean((level / 255 - np.array(clip.mean)) / np.array(clip.std)))


# Tokens of dive_video: sampled frames 0, 1, 2, 4, 5, 7 are dark three times, grey, and bright twice.
DIVE = np.mean([brightness(level) for level in (40, 40, 40, 120, 200, 200)])
EXEMPLARS = BANK["tokens"][:3, 0, 0]  # all numbers of a tiny exemplar are the same
PREDICTED = BANK["scores"][:3] + POINTS_PER_BRIGHTNESS * (DIVE - EXEMPLARS)


def test_score_range_stages_and_exemplars(tiny_bundle: Path, dive_video: Path) -> None:
    with Scorer(tiny_bundle, backend="onnxruntime") as scorer:
        result = scorer.score(dive_video, " 407c ")
    assert result.dive_number == "407C"
    assert result.description == "inward 3 1/2 somersaults tuck"
    assert result.difficulty == 3.2
    assert result.score == pytest.approx(PREDICTED.mean(), abs=CODEC)
    assert (result.low, result.high) == pytest.approx(tuple(np.percentile(PREDICTED, [10, 90])), abs=CODEC)
    # Frames 8 and 16 of 24 begin the stages; the first frames sampled from there on are 9 and 16.
    assert result.transitions == (3, 5)
    assert result.transitions_s == pytest.approx((9 / FPS, 16 / FPS))
    assert sum(result.stage_deltas) == pytest.approx(result.score - result.average_score, abs=1e-4)
    # This bank holds no shares of exemplars.
    assert result.average_score == pytest.approx(np.mean([each.score for each in result.exemplars]))
    assert result.stage_deltas[0] < result.stage_deltas[1] < result.stage_deltas[2]  # dark to bright
    deltas = [abs(exemplar.delta) for exemplar in result.exemplars]
    assert deltas == sorted(deltas)
    assert {exemplar.name for exemplar in result.exemplars} == {"heat-1", "heat-2", "heat-3"}
    assert result.exemplars[0].predicted_score == result.exemplars[0].score + result.exemplars[0].delta
    assert result.timing_ms["total"] >= result.timing_ms["backbone"] > 0
    assert (result.backend.name, result.backend.provider) == ("onnxruntime", "CPUExecutionProvider")
    assert result.backend.precision == "fp32"
    assert (result.video.width, result.video.height, result.video.num_source_frames) == (64, 48, 24)
    assert not [note for note in result.notes if "a flight of" not in note]  # one second of video has a short one


def test_one_exemplar_has_no_range(tiny_bundle: Path, dive_video: Path) -> None:
    with Scorer(tiny_bundle) as scorer:
        result = scorer.score(dive_video, "5253B")
    assert (result.low, result.high) == (None, None)
    assert result.difficulty is None
    assert any("exemplar range is unknown" in note for note in result.notes)


INTERVALS = ConformalIntervals(
    same_number=ConformalInterval(0.8, 4.0, 30, half_width_per_difficulty=1.5),
    other_numbers=ConformalInterval(0.8, 9.0, 30),
    source="dives.jsonl",
    split="val",
)


@pytest.mark.parametrize(
    ("dive_number", "num_exemplars", "conformal", "half_width"),
    [
        ("407C", None, INTERVALS, 1.5 * 3.2),
        ("5253B", None, INTERVALS, 4.0),  # one exemplar has no range, but an interval
        ("107B", None, INTERVALS, 9.0),
        (None, None, INTERVALS, 9.0),
        ("407C", 2, INTERVALS, None),
        (None, None, dataclasses.replace(INTERVALS, other_numbers=None), None),
    ],
)
def test_bundles_give_the_interval_of_the_case(
    tiny_bundle: Path,
    dive_video: Path,
    tmp_path: Path,
    dive_number: str | None,
    num_exemplars: int | None,
    conformal: ConformalIntervals,
    half_width: float | None,
) -> None:
    folder = with_intervals(tiny_bundle, tmp_path / "bundle", conformal)
    with Scorer(folder, "onnxruntime", num_exemplars=num_exemplars) as scorer:
        result = scorer.score(dive_video, dive_number, any_exemplar=True)
    if half_width is None:
        assert (result.low, result.high) == result.exemplar_range
        assert result.interval_level is None
        assert result.interval_text.startswith("exemplars say")
    else:
        assert (result.low, result.high) == pytest.approx((result.score - half_width, result.score + half_width))
        assert result.interval_level == 0.8
        assert result.interval_text.startswith("80 %: ")
    assert not any("exemplar range is unknown" in note for note in result.notes)
    assert any("less certain" in note for note in result.notes) == (dive_number not in ("407C", "5253B"))
    assert DiveScore.from_json(json.loads(json.dumps(result.to_json()))) == result


@pytest.mark.parametrize(
    ("delta", "difficulty", "limits"),
    [(-200.0, 3.2, (0.0, 0.0, 4.8)), (200.0, 3.2, (96.0, 91.2, 96.0)), (-200.0, None, (0.0, 0.0, 4.0))],
)
def test_scores_and_intervals_stay_within_what_a_dive_can_get(
    delta: float, difficulty: float | None, limits: tuple[float, float, float]
) -> None:
    bank = ExemplarBank(**{**BANK, "difficulties": np.full(4, np.nan)})
    comparison = Comparison.choose(bank, "407C", conformal=INTERVALS, difficulty=difficulty)
    predicted = comparison.predict(np.full(len(comparison.bank), delta, np.float32))
    low, high, level = comparison.interval(predicted)
    assert (comparison.score(predicted), low, high) == pytest.approx(limits)
    assert level == 0.8


def with_intervals(bundle: Path, folder: Path, conformal: ConformalIntervals) -> Path:
    """A copy of a bundle with conformal intervals."""
    shutil.copytree(bundle, folder)
    manifest = Bundle.open(folder).manifest
    fp32 = manifest.variants["fp32"]
    assert fp32.exemplars is not None
    exemplars = dataclasses.replace(fp32.exemplars, conformal=conformal)
    write_manifest(
        folder, dataclasses.replace(manifest, variants={"fp32": dataclasses.replace(fp32, exemplars=exemplars)})
    )
    return folder


@pytest.mark.parametrize(("detected_s", "words"), [(0.8, ""), (None, ""), (1.3, "0.7 s before"), (0.1, "0.5 s after")])
def test_an_entry_that_a_detector_saw_elsewhere_is_told(
    tiny_bundle: Path, dive_video: Path, detected_s: float | None, words: str
) -> None:
    with Scorer(tiny_bundle) as scorer:
        notes = scorer.score(dive_video, "407C", detected_entry_s=detected_s).notes  # the network's: 0.64 s
        assert [words in note for note in notes if "detector" in note] == [True] * bool(words)


@pytest.mark.parametrize(
    "change", [{"score": "high"}, {"stage_deltas": {"take-off": 1.0}}, {"exemplars": [{}]}, {"transitions": [1]}, None]
)
def test_a_stored_result_that_is_damaged_is_refused(
    tiny_bundle: Path, dive_video: Path, change: dict[str, Any] | None
) -> None:
    with Scorer(tiny_bundle) as scorer:
        stored: Any = json.loads(json.dumps(scorer.score(dive_video, "407C").to_json()))
    with pytest.raises(UserError, match="no result of this version"):
        DiveScore.from_json([] if change is None else {**stored, **change})  # type: ignore[arg-type]


def test_unknown_numbers_use_all_exemplars_only_when_told_to(tiny_bundle: Path, dive_video: Path) -> None:
    with Scorer(tiny_bundle) as scorer:
        with pytest.raises(UserError, match="no dive number given"):
            scorer.score(dive_video)
        with pytest.raises(UserError, match="no exemplars of dive number 107B"):
            scorer.score(dive_video, "107B")
        result = scorer.score(dive_video, "107B", any_exemplar=True)
        assert len(result.exemplars) == 4
        assert not result.same_dive_number
        assert any("other dive numbers" in note for note in result.notes)
        with pytest.raises(DiveNumberError):
            scorer.score(dive_video, "707Z", any_exemplar=True)


def test_fewer_exemplars_on_demand(tiny_bundle: Path, dive_video: Path) -> None:
    with Scorer(tiny_bundle, num_exemplars=2) as scorer:
        assert len(scorer.score(dive_video, "407C").exemplars) == 2
    with pytest.raises(UserError, match="at least 1"):
        Scorer(tiny_bundle, num_exemplars=0)


def test_windows_are_clips_of_their_own(tiny_bundle: Path, tmp_path: Path, step_video: Callable[..., Path]) -> None:
    levels = (40, 40, 120, 120, 200, 200)
    whole = step_video(tmp_path / "whole.mp4", levels)
    within = step_video(tmp_path / "within.mp4", (255, 255, *levels, 0))
    with Scorer(tiny_bundle) as scorer:
        expected = scorer.score(whole, "407C")
        result = scorer.score(within, "407C", start_s=8 / FPS, end_s=32 / FPS)
    assert result.score == pytest.approx(expected.score, abs=2 * CODEC)
    assert result.transitions == expected.transitions
    assert result.transitions_s == pytest.approx(expected.transitions_s)


def test_short_clips_say_that_frames_were_repeated(
    tiny_bundle: Path, tmp_path: Path, step_video: Callable[..., Path]
) -> None:
    video = step_video(tmp_path / "short.mp4", (40, 120, 200), frames_per_level=2)
    with Scorer(tiny_bundle) as scorer:
        assert any("frames were repeated" in note for note in scorer.score(video, "407C").notes)


@pytest.mark.parametrize("clip", [np.zeros((3, 8, 12, 12)), np.zeros((3, 7, 12, 12), np.float32)])
def test_encode_refuses_other_clips(tiny_bundle: Path, clip: Any) -> None:
    with Scorer(tiny_bundle) as scorer, pytest.raises(ValueError, match="expected float32"):
        scorer.encode(clip)


def test_a_score_that_is_not_a_number_is_an_error(
    tiny_bundle: Path, dive_video: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Scorer(tiny_bundle) as scorer:
        compare = scorer.backend.regressor

        def overflow(query: Any, exemplars: Any) -> Any:
            delta, shares = compare(query, exemplars)
            return np.where(np.arange(len(delta)) == 1, np.nan, delta), shares

        monkeypatch.setattr(scorer.backend, "regressor", overflow)
        with pytest.raises(BackendError, match=rf"not numbers.*mcore-bundle verify .* --backend {scorer.backend.name}"):
            scorer.score(dive_video, "407C")


def test_a_bundle_without_exemplars_encodes_and_does_not_score(bundle_copy: Path, dive_video: Path) -> None:
    manifest = Bundle.open(bundle_copy).manifest
    bare = {name: dataclasses.replace(variant, exemplars=None) for name, variant in manifest.variants.items()}
    manifest = dataclasses.replace(manifest, variants=bare)
    (bundle_copy / EXEMPLARS_FILE).unlink()
    write_manifest(bundle_copy, manifest)
    with Scorer(bundle_copy) as scorer:
        assert scorer.encode(np.zeros((3, 8, 12, 12), np.float32)).tokens.shape == (6, 8)
        with pytest.raises(BundleError, match=r"no exemplars.*mcore-bundle exemplars"):
            scorer.score(dive_video, "407C")


def test_backends_that_do_not_exist_are_errors(tiny_bundle: Path) -> None:
    with pytest.raises(UserError, match=r"no backend 'tpu'; allowed: auto, onnxruntime"):
        Scorer(tiny_bundle, backend="tpu")


def test_graphs_of_another_signature_are_refused(bundle_copy: Path) -> None:
    shutil.copy(bundle_copy / "segmenter.onnx", bundle_copy / "backbone.onnx")
    # Consistent again, as a careless exporter would make it.
    write_manifest(bundle_copy, BundleManifest.from_json((bundle_copy / MANIFEST_FILE).read_bytes()))
    with pytest.raises(BackendError, match=r"backbone.onnx has the inputs features"):
        Scorer(bundle_copy)


def test_scoring_never_imports_torch(tiny_bundle: Path, dive_video: Path) -> None:
    program = f"""
import sys
class NoTorch:
    def find_spec(self, name, *rest):
        assert name.partition(".")[0] != "torch", "torch is imported"
sys.meta_path.insert(0, NoTorch())
import mcore, mcore_runtime
assert "onnxruntime" not in sys.modules and "av" not in sys.modules, "importing the packages must be light"
from mcore_runtime.score import main
code = main([{str(tiny_bundle)!r}, {str(dive_video)!r}, "--whole-clip", "--dive", "407C"])
for heavy in ("scipy", "matplotlib", "onnx"):
    assert heavy not in sys.modules, heavy
sys.exit(code)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "407C" in done.stdout


def test_a_flight_shorter_than_any_is_not_scored_in_silence(
    tiny_bundle: Path, tmp_path: Path, step_video: Callable[..., Path]
) -> None:
    video = step_video(tmp_path / "dive.mp4", (40, 40, 120, 120, 200, 200), frames_per_level=4)
    with Scorer(tiny_bundle) as scorer:
        whole = scorer.score(video, "407C", end_s=0.4)
    flight_s, entry_s = whole.transitions_s
    assert entry_s - flight_s < SHORTEST_FLIGHT_S - 0.04
    assert [note for note in whole.notes if "is shorter than any from 1 m (0.70 s)" in note]


def long_flight(result: DiveScore) -> list[str]:
    return [note for note in result.notes if "is longer than any from 10 m (2.1 s)" in note]


@pytest.mark.parametrize(("frames_per_level", "is_long"), [(4, False), (12, False), (120, True), (400, True)])
def test_a_flight_longer_than_any_is_not_scored_in_silence(
    tiny_bundle: Path, tmp_path: Path, step_video: Callable[..., Path], frames_per_level: int, is_long: bool
) -> None:
    video = step_video(tmp_path / "dive.mp4", (40, 40, 120, 120, 200, 200), frames_per_level=frames_per_level)
    with Scorer(tiny_bundle) as scorer:
        result = scorer.score(video, "407C")
    assert bool(long_flight(result)) == is_long
    assert DiveScore.from_json(json.loads(json.dumps(result.to_json()))) == result


def test_the_longest_flight_is_no_dive_of_the_rules() -> None:
    fall_from_10_m_s = (2 * 10 / GRAVITY_M_S2) ** 0.5
    assert fall_from_10_m_s + 0.45 < LONGEST_FLIGHT_S < 2.2  # 0.45 s: the longest rise from a platform


def test_slow_pictures_are_noted_too(tiny_bundle: Path, tmp_path: Path) -> None:
    """Frames taken at 300 a second count as 25: a flight of 0.5 s seems to last 6."""
    for number in range(450):
        level = (40, 120, 200)[number // 150]
        Image.new("L", (64, 48), level).save(tmp_path / f"{number:04d}.png")
    with Scorer(tiny_bundle) as scorer:
        assert long_flight(scorer.score(tmp_path, "407C"))


def test_what_the_reader_knows_is_noted(tiny_bundle: Path, dive_video: Path) -> None:
    with Scorer(tiny_bundle) as scorer:
        clip = dataclasses.replace(
            sample_clip(dive_video, scorer.clip_config), notes=("the file states no frame rate",)
        )
        assert "the file states no frame rate" in scorer.score_clip(clip, scorer.select("407C")).notes


def test_a_dive_of_unknown_number_is_compared_as_its_interval_was_measured(tiny_bundle: Path) -> None:
    possible = Recognition((PossibleNumber("407C", 0.6), PossibleNumber("5253B", 0.3)), 0.9)
    with Scorer(tiny_bundle) as scorer:
        for num_compared, numbers in ((10, ("407C",)), (None, ("407C", "5253B"))):  # None: a bundle of before
            unknown = scorer.select(None, any_exemplar=True)
            chosen = unknown.among(scorer.exemplars, likely_numbers(possible, num_compared), conformal=INTERVALS)
            assert chosen.possible == numbers
            assert set(chosen.bank.dive_numbers) == set(numbers)
            assert scorer.select("407C").among(scorer.exemplars, numbers).possible == ()  # a known number stays
