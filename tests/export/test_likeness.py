"""A bundle refuses clips that are no dives, keeps its own, and the command that measures it says so."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mcore.data.manifest import read_manifest
from mcore.video import SampledClip, sample_clip
from mcore_export.bundle_command import main
from mcore_export.likeness.measure import area_under_roc
from mcore_export.likeness.spoiled import SPOILED
from mcore_runtime import Scorer
from mcore_runtime.bundle.folder import Bundle
from mcore_runtime.scoring.result import DiveScore

NOTHING_MOVES = "nothing moves in the clip"


@pytest.fixture(scope="module")
def scorer(calibrated: Path) -> Iterator[Scorer]:
    with Scorer(calibrated, "onnxruntime", threads=1) as opened:
        yield opened


@pytest.fixture(scope="module")
def clip(scorer: Scorer, many_dives: Path) -> SampledClip:
    """One of the dives that the bundle knows."""
    dive = next(record for record in read_manifest(many_dives) if record.split == "val")
    return sample_clip(dive.path, scorer.clip_config, central=True)


def score(scorer: Scorer, clip: SampledClip) -> DiveScore:
    return scorer.score_clip(clip, scorer.select(None, any_exemplar=True))


def test_a_dive_that_it_knows_is_like_those_that_it_knows(scorer: Scorer, clip: SampledClip) -> None:
    result = score(scorer, clip)
    assert result.likeness is not None
    assert result.likeness.refused == 1 / 21
    assert result.likeness.p_value > 0.3  # half of its dives are this one
    assert not result.why_unlike
    assert result.low is not None


@pytest.mark.parametrize("kind", ["black", "grey", "frozen", "noise"])
def test_what_is_no_dive_is_refused(scorer: Scorer, clip: SampledClip, kind: str) -> None:
    result = score(scorer, SPOILED[kind](clip))
    assert result.why_unlike
    assert (NOTHING_MOVES in result.why_unlike) == (kind != "noise")
    assert (result.low, result.high, result.interval_level) == (None, None, None)
    assert np.isfinite(result.score)  # it stays to be seen


def test_spoiled_clips_are_clips(clip: SampledClip) -> None:
    for kind, spoil in SPOILED.items():
        spoiled = spoil(clip)
        assert spoiled.frames.shape == clip.frames.shape, kind
        assert spoiled.frames.dtype == np.uint8
        assert (np.diff(spoiled.pts_seconds) >= 0).all()
    assert np.array_equal(SPOILED["reversed"](SPOILED["reversed"](clip)).frames, clip.frames)


def test_slow_motion_is_the_same_pictures_later(scorer: Scorer, clip: SampledClip) -> None:
    usual, slow = score(scorer, clip), score(scorer, SPOILED["slow motion"](clip))
    assert slow.score == usual.score
    assert usual.likeness is not None
    assert slow.likeness is not None
    assert slow.likeness.strangeness > usual.likeness.strangeness


def test_the_command_measures_every_kind(
    calibrated: Path, many_dives: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "clips").mkdir()
    (tmp_path / "clips" / "broken.mp4").write_bytes(b"no video")
    flags = ["--clips", str(tmp_path / "clips"), "--json", str(tmp_path / "u.json")]
    flags += ["--plot", str(tmp_path / "new" / "roc.png")]
    assert main(["unlike", str(calibrated), "--data", str(many_dives), "--split", "test", *flags]) == 0
    found = json.loads((tmp_path / "u.json").read_text())
    rows = {row["kind"]: row for row in found["rows"]}
    assert list(rows) == ["good dives", *SPOILED]
    assert [rows[kind]["refused"] for kind in ("good dives", "black", "grey", "frozen", "noise")] == [0, 2, 2, 2, 2]
    assert rows["black"]["auc"] == 1.0
    good, black = (rows[kind]["strangeness"] for kind in ("good dives", "black"))
    assert (len(good), len(black)) == (rows["good dives"]["clips"], 2)
    assert max(good) < min(black)
    assert (tmp_path / "new" / "roc.png").read_bytes().startswith(b"\x89PNG")
    assert (found["known_dives"], found["left_out"]) == (20, 1)
    assert NOTHING_MOVES in capsys.readouterr().out


def test_the_command_refuses_what_would_measure_nothing(
    bundle: Path, calibrated: Path, many_dives: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = ["--data", str(many_dives)]
    for argv, said in (
        ([str(bundle), *data], "this bundle cannot say whether a clip is like the dives that it knows"),
        ([str(calibrated), *data, "--split", "val"], "the bundle knows the val dives of many.jsonl"),
        ([str(calibrated), *data, "--clips", str(tmp_path / "none")], "is no folder"),
        ([str(calibrated), *data, "--plot", "roc.jpg"], "ends in .png"),
    ):
        assert main(["unlike", *argv]) == 2
        assert said in " ".join(capsys.readouterr().err.split())


def test_area_under_roc() -> None:
    assert area_under_roc([1, 2], [3, 4]) == 1.0
    assert area_under_roc([1, 2], [1, 2]) == 0.5
    assert area_under_roc([3, 4], [1, 2]) == 0.0


def test_other_graphs_know_other_dives(calibrated: Path) -> None:
    """The record belongs to a precision's exemplars, and goes through JSON as it is."""
    exemplars = Bundle.open(calibrated).manifest.variants["fp32"].exemplars
    assert exemplars is not None
    assert exemplars.known_dives is not None
    assert exemplars.known_dives.num_dives == 20
    assert (exemplars.known_dives.source, exemplars.known_dives.split) == ("many.jsonl", "val")
    assert replace(exemplars.known_dives) == exemplars.known_dives
