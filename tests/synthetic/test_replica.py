"""Replicas of real dives: the label's frames, steps and score, and nothing else that tells the score."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mcore.common.errors import UserError
from mcore.data.finediving_labels import read_finediving_labels
from mcore.data.replica_labels import replica_labels
from mcore.diving import DiveNumber, dive_score
from mcore.diving.judging import PANELS, ROUNDING_POINTS, fits_awards
from mcore.synthetic.body import INDEX
from mcore.synthetic.choreography import FlightStep, flight_steps
from mcore.synthetic.faults import FAULT_STAGES
from mcore.synthetic.panel import PanelKind, panel_of, verdict_for
from mcore.synthetic.replica import (
    Replica,
    ReplicaLabel,
    plan_replica,
    render_replica,
    replica_nuisance,
    replica_verdict,
)
from mcore.synthetic.venue import VENUES, Nuisance, venue_colors
from tests.synthetic.physics import assert_physical

SIZE: dict[str, Any] = {"width": 64, "height": 48}
LABEL = ReplicaLabel(
    clip="01/1",
    split="train",
    dive_number="5253B",
    difficulty=3.2,
    score=75.2,
    num_frames=88,
    step_frames=(10, 26, 45),
    step_names=("1.5 Twists", "2.5 Soms.Pike"),
    height_m=10,
    synchronised=False,
)
MAX_CORRELATION = 4.0
"""In standard errors: one of some 250 independent coefficients passes this in 1 of 60 draws."""


@pytest.fixture(scope="module")
def labels(labels_file: Path) -> list[ReplicaLabel]:
    found, left_out = replica_labels(read_finediving_labels(labels_file))
    assert not left_out
    return found


# --- The panel ---------------------------------------------------------------------------------------------------


@settings(max_examples=60)
@given(st.integers(0, 60), st.sampled_from([1.6, 2.0, 3.0, 3.3, 4.1]), st.integers(0, 10_000))
def test_awards_give_every_score_that_the_rules_can_give(halves: int, factor: float, seed: int) -> None:
    score = round(halves / 2 * factor, 2)
    verdict = verdict_for(score, factor, "individual", np.random.default_rng(seed))
    assert verdict.score == dive_score(verdict.awards, factor) == score
    assert len(verdict.awards) == 7


@pytest.mark.parametrize("kind", ["individual", "synchronised"])
def test_faults_are_worth_their_awards(kind: PanelKind) -> None:
    rng = np.random.default_rng(0)
    verdicts = [verdict_for(3.0 * share, 3.0, kind, rng) for share in np.linspace(6, 29, 200)]
    fair = np.array([verdict.faults.fair_award for verdict in verdicts])
    panel = np.array([np.mean(sorted(verdict.awards)[2:-2]) for verdict in verdicts])
    assert 0.2 < np.abs(fair - panel).mean() < 0.32  # panel and judges err by 0.3 each, and round to halves
    cues = np.array([dataclasses.astuple(verdict.faults) for verdict in verdicts], float)
    single = [abs(np.corrcoef(cues[:, i], fair)[0, 1]) for i in (0, 2)]
    assert 0.6 < min(single) <= max(single) < 0.98  # every cue tells something, none everything


def test_which_panel_gave_a_score() -> None:
    assert panel_of(3.2 * 0.6 * 39.5, 3.2, synchronised=False) == "synchronised"  # only five awards can give it
    assert panel_of(3.2 * 24, 3.2, synchronised=False) == "individual"
    assert panel_of(3.2 * 24, 3.2, synchronised=True) == "synchronised"


@pytest.mark.parametrize(("score", "sum_of_awards"), [(0.0, 0.0), (90.0, 30.0), (91.0, 30.0)])
def test_faults_reach_their_ends_at_failed_and_perfect_dives(score: float, sum_of_awards: float) -> None:
    verdict = verdict_for(score, 3.0, "individual", np.random.default_rng(1))
    assert verdict.score == 3.0 * sum_of_awards
    assert verdict.faults.splash == (0.0 if score else 1.0)


# --- One replica ----------------------------------------------------------------------------------------------------


def test_the_same_label_and_seed_give_the_same_replica() -> None:
    one, two, other = plan_replica(LABEL, 3), plan_replica(LABEL, 3), plan_replica(LABEL, 4)
    assert (one.plan.faults, one.plan.awards, one.nuisance) == (two.plan.faults, two.plan.awards, two.nuisance)
    np.testing.assert_array_equal(one.plan.motion.joints_m, two.plan.motion.joints_m)
    assert other.plan.faults != one.plan.faults
    assert other.nuisance != one.nuisance
    assert other.plan.score == LABEL.score


def test_pixels_have_the_labels_frames_and_repeat() -> None:
    replica = plan_replica(LABEL, 0)
    frames = render_replica(replica, **SIZE).frames
    assert frames.shape == (LABEL.num_frames, SIZE["height"], SIZE["width"], 3)
    np.testing.assert_array_equal(frames, render_replica(plan_replica(LABEL, 0), **SIZE).frames)
    with pytest.raises(UserError, match="even sizes"):
        render_replica(replica, width=63, height=48)


def test_before_take_off_only_faults_of_the_take_off_can_be_seen() -> None:
    late = dataclasses.replace(LABEL, num_frames=120, step_frames=(42, 58, 77))
    clean = dict.fromkeys(FAULT_STAGES, 0.0)
    later = {fault: 1.0 for fault, stage in FAULT_STAGES.items() if stage != "take-off"}
    none, others, all_of_them = (
        render_replica(plan_replica(late, 0, clean | gross), **SIZE)
        for gross in ({}, later, dict.fromkeys(FAULT_STAGES, 1.0))
    )
    before = 42 - 16  # the operator's smooth hand knows half a second of what comes
    np.testing.assert_array_equal(none.frames[:before], others.frames[:before])
    assert (none.frames[:before] != all_of_them.frames[:before]).any()
    splash = slice(80, 92)
    assert others.frames[splash].mean() > none.frames[splash].mean() + 0.5


def test_only_the_score_decides_the_faults_and_only_the_rest_decides_the_rest() -> None:
    good, bad = (plan_replica(dataclasses.replace(LABEL, score=3.2 * s), 0) for s in (28, 10))
    assert good.plan.faults.fair_award > bad.plan.faults.fair_award + 4
    assert good.nuisance == bad.nuisance
    assert good.playback_speed == bad.playback_speed
    assert good.plan.transition_frames == bad.plan.transition_frames


def shoulder_depth(replica: Replica) -> np.ndarray:
    """How far one shoulder is nearer to the camera in each frame: somersaults leave it, twists change it."""
    joints = replica.plan.motion.joints_m
    return np.asarray(np.abs(joints[:, INDEX["shoulder_l"], 2] - joints[:, INDEX["shoulder_r"], 2]))


@pytest.mark.parametrize(
    ("number", "names", "twists"),
    [
        ("5253B", ("1.5 Twists", "2.5 Soms.Pike"), 0),
        ("5154B", ("2.5 Soms.Pike", "2 Twists", "2.5 Soms.Pike"), 1),
        ("5152B", ("2.5 Soms.Pike", "1 Twist"), 1),
        ("5154B", None, 1),
        ("5253B", None, 0),
    ],
)
def test_twists_are_turned_in_the_step_that_is_labelled_twists(
    number: str, names: tuple[str, ...] | None, twists: int
) -> None:
    frames = (12, 26, 38, 50) if number == "5154B" else (12, 30, 50)
    label = dataclasses.replace(LABEL, dive_number=number, step_names=names, step_frames=frames, score=80.0)
    depth = shoulder_depth(plan_replica(label, 1))
    begin, end = frames[twists], frames[twists + 1]
    assert np.allclose(depth[: begin + 1], depth[0], atol=0.03)
    assert np.allclose(depth[end:], depth[0], atol=0.03)
    assert depth[begin:end].min() < 0.5 * depth[0]


def test_steps_are_held_as_number_and_name_say() -> None:
    assert flight_steps(DiveNumber.parse("407C"), ("3.5 Soms.Tuck",), 1) == (FlightStep("somersaults", "C"),)
    free = flight_steps(DiveNumber.parse("5337D"), ("3.5 Twists", "1.5 Soms.Pike"), 2)
    assert free == (FlightStep("twists", "D"), FlightStep("somersaults", "B"))
    assert [step.kind for step in flight_steps(DiveNumber.parse("107B"), ("2 Twists", "1 Som.Pike"), 2)] == [
        "somersaults",
        "somersaults",
    ]


@pytest.mark.parametrize(
    "change",
    [{"step_frames": (45,)}, {"step_frames": (30, 20)}, {"step_frames": (0, 20)}, {"step_frames": (5, 88)}],
)
def test_steps_that_cannot_be_are_refused(change: dict[str, tuple[int, ...]]) -> None:
    with pytest.raises(UserError, match="ascending"):
        dataclasses.replace(LABEL, step_names=None, **change)  # type: ignore[arg-type]


# --- All labels --------------------------------------------------------------------------------------------------


def test_all_labels_have_a_replica_with_the_official_split(labels: list[ReplicaLabel]) -> None:
    assert len(labels) == 3000
    assert sum(label.split == "test" for label in labels) == 749
    assert sum(label.split in ("train", "val") for label in labels) == 2251
    assert sum(label.completed for label in labels) == 4  # take-offs that nobody labelled
    springboard = {label.clip for label in labels if label.height_m == 3}
    assert all("10m" not in clip for clip in springboard)
    assert all("3m" not in label.clip.lower() for label in labels if label.height_m == 10)
    assert all(label.height_m == 10 for label in labels if label.dive_number.startswith("6"))


def test_what_labels_alone_tell_of_the_score_is_what_the_real_ones_tell(
    labels: list[ReplicaLabel], labels_file: Path
) -> None:
    """Dive number, difficulty, frames and steps are the real dives', so no shortcut through them pays more."""
    real = [json.loads(line) for line in labels_file.read_text().splitlines()]
    for label, row in zip(labels, real, strict=True):
        assert (label.clip, label.dive_number, label.difficulty) == (row["clip"], row["dive_number"], row["difficulty"])
        assert (label.score, label.num_frames) == (row["score"], row["frames"])
        assert (label.split == "test") == (row["split"] == "test")
        frames = tuple(sorted(frame + 1 for frame, _ in row["events"]))
        assert label.step_frames[int(label.completed) :] == frames


def test_physics_hold_for_the_frames_of_real_labels(labels: list[ReplicaLabel]) -> None:
    speeds = []
    for label in labels[::40]:
        replica = plan_replica(label, 0)
        assert replica.plan.transition_frames == (label.step_frames[0], label.step_frames[-1])
        assert replica.plan.num_frames == label.num_frames
        assert_physical(replica.plan)
        speeds.append(replica.playback_speed)
    assert np.percentile(speeds, 10) == np.percentile(speeds, 50) == 1  # most flights last as long as real ones
    assert 0.3 < min(speeds) <= max(speeds) < 2


def figures(nuisance: Nuisance) -> list[float]:
    """Every nuisance as numbers: colours as three."""
    found: list[float] = [nuisance.venue, nuisance.crf]
    for value in dataclasses.asdict(nuisance.look).values():
        found += value if isinstance(value, tuple) else [float(value)]
    return found


@pytest.fixture(scope="module")
def facts(labels: list[ReplicaLabel]) -> dict[str, np.ndarray]:
    """Every nuisance of every replica, beside the awards, the score and each fault."""
    verdicts = [replica_verdict(label, 0) for label in labels]
    quality = {
        "score": [label.score for label in labels],
        "award": [label.score / label.difficulty for label in labels],
        "judged": [verdict.score for verdict in verdicts],
        "angle": [verdict.faults.angle for verdict in verdicts],
        "splash": [verdict.faults.splash for verdict in verdicts],
    }
    nuisance = np.array([figures(replica_nuisance(label, 0)) for label in labels])
    return {
        "nuisance": nuisance[:, np.ptp(nuisance, axis=0) > 0],  # what replicas have at all
        "quality": np.array(list(quality.values())).T,
        "split": np.array([label.split for label in labels]),
    }


def test_awards_give_the_real_scores(labels: list[ReplicaLabel], facts: dict[str, np.ndarray]) -> None:
    residual = np.abs(facts["quality"][:, 0] - facts["quality"][:, 2])
    assert (residual < ROUNDING_POINTS).sum() == 2915
    assert residual.max() < 0.86  # 85 scores that no awards give at the labelled difficulty
    unexplained = [label for label, r in zip(labels, residual, strict=True) if r >= ROUNDING_POINTS]
    for label in unexplained:
        assert not fits_awards(label.score, label.difficulty, PANELS[7])
    assert sum(label.synchronised for label in unexplained) == 1


def test_nothing_that_can_be_seen_besides_the_dive_tells_the_score(facts: dict[str, np.ndarray]) -> None:
    nuisance, quality = facts["nuisance"], facts["quality"]
    bound = MAX_CORRELATION / np.sqrt(len(nuisance))
    correlation = np.corrcoef(nuisance.T, quality.T)[: nuisance.shape[1], nuisance.shape[1] :]
    assert nuisance.shape[1] > 30
    assert np.abs(correlation).max() < bound
    # Nor do all of them together: fitted on the training dives, they explain nothing of the test dives.
    test = facts["split"] == "test"
    features = np.concatenate([nuisance, nuisance**2, np.ones((len(nuisance), 1))], 1)
    features[:, :-1] = (features[:, :-1] - features[~test, :-1].mean(0)) / features[~test, :-1].std(0)
    for column in (0, 1):
        target = quality[:, column]
        weights = np.linalg.lstsq(features[~test], target[~test], rcond=None)[0]
        left = np.square(features[test] @ weights - target[test]).sum()
        assert 1 - left / np.square(target[test] - target[~test].mean()).sum() < 0.01


def test_test_dives_happen_in_venues_of_their_own(labels: list[ReplicaLabel]) -> None:
    seen = {split: {replica_nuisance(label, 0).venue for label in labels if label.split == split} for split in VENUES}
    assert not seen["train"] & seen["test"]
    assert not seen["train"] & seen["val"]
    assert {split: len(venues) for split, venues in seen.items()} == {"train": 40, "val": 10, "test": 20}
    colors = {venue_colors(venue) for venues in VENUES.values() for venue in venues}
    assert len(colors) == 70
