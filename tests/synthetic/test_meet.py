"""Rendered meets: repeatable, true to their ground truth, and as their options say."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from itertools import islice
from typing import get_args

import numpy as np
import pytest

from mcore.common.errors import UserError
from mcore.synthetic.meet import DISTRACTORS, MeetSettings, Scene, plan_meet
from mcore.synthetic.meet.settings import CameraKind, Distractor
from mcore.synthetic.plan import plan_dive
from mcore_runtime.sources import SourceError, open_source, parse_source
from mcore_runtime.sources.rendered import settings_of

QUIET = MeetSettings(seed=3, dives=2, pause_s=1.0, distractors=frozenset(), width=96, height=64)


def digest(settings: MeetSettings, frames: int = 60) -> str:
    hashed = hashlib.sha256()
    for frame in islice(Scene(plan_meet(settings)).frames(), frames):
        hashed.update(frame.tobytes())
    return hashed.hexdigest()


def test_options_make_the_settings() -> None:
    uri = parse_source(
        "synthetic://session?seed=5&dives=3&pause=2.5&height=10&camera=fixed&distractors=shake,towels&numbers=107B"
        "&size=160x90&rate=30&world=other"
    )
    assert settings_of(uri) == MeetSettings(
        5, 3, 2.5, 10, "fixed", frozenset({"shake", "towels"}), ("107B",), "other", 160, 90, 30
    )
    assert settings_of(parse_source("synthetic://x")).distractors == frozenset(DISTRACTORS)
    assert settings_of(parse_source("synthetic://x?distractors=none")).distractors == frozenset()


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("sed=1", "no option 'sed'"),
        ("camera=drone", "follow, fixed"),
        ("world=mine", "standard, other"),
        ("height=5", "a board of 5 m; the renderer draws only boards of 3, 10 m"),
        ("height=7.5", "3, 10"),
        ("height=high", "from 1 to 10"),
        ("distractors=wind", "walkers"),
        ("rate=59.94", "whole"),
        ("rate=5", "10 to 120"),
        ("size=63x65", "even"),
        ("numbers=999Z", "999Z"),
        ("numbers=107B,&dives=1", "dive number"),
    ],
)
def test_errors_come_from_reading(query: str, words: str) -> None:
    with open_source(f"synthetic://meet?{query}") as source, pytest.raises(UserError, match=words):
        source.read(10.0)


def test_an_unknown_option_is_a_source_error() -> None:
    with pytest.raises(SourceError, match="seed"):
        settings_of(parse_source("synthetic://meet?x=1"))


@pytest.mark.parametrize("camera", get_args(CameraKind))
def test_the_same_settings_give_the_same_pixels(camera: CameraKind) -> None:
    settings = replace(QUIET, camera=camera, distractors=frozenset(DISTRACTORS))
    assert digest(settings) == digest(settings)
    assert digest(settings) != digest(replace(settings, seed=4))


def test_distractors_do_not_change_the_dives() -> None:
    assert plan_meet(QUIET).truth == plan_meet(replace(QUIET, distractors=frozenset(DISTRACTORS))).truth


@pytest.mark.parametrize("name", DISTRACTORS)
def test_each_distractor_is_visible(name: Distractor) -> None:
    camera: CameraKind = "follow" if name == "pans" else "fixed"
    pause_s = 10.0 if name == "pans" else 1.0
    still = replace(QUIET, dives=8, pause_s=pause_s, camera=camera, rate=10, width=64)
    moving = replace(still, distractors=frozenset({name}))
    pairs = zip(Scene(plan_meet(still)).frames(), Scene(plan_meet(moving)).frames(), strict=True)
    assert any(not np.array_equal(without, with_it) for without, with_it in pairs)


def test_the_truth_is_when_the_diver_moves() -> None:
    """From take-off to entry every frame changes by more than noise; before the approach none does."""
    meet = plan_meet(replace(QUIET, dives=1, camera="fixed"))
    frames = np.stack(list(Scene(meet).frames())).astype(np.float32)
    change = np.abs(np.diff(frames, axis=0)).max(axis=(1, 2, 3))
    (dive,), rate = meet.truth, meet.settings.rate
    takeoff, entry = round(dive.takeoff_s * rate), round(dive.entry_s * rate)
    standing = change[takeoff - round(1.9 * rate) : takeoff - round(1.65 * rate)]
    assert change[takeoff:entry].min() > 2 * standing.max()


@pytest.mark.parametrize("rate", [25, 30, 60])
def test_dives_last_as_long_at_any_rate(rate: int) -> None:
    truths = plan_meet(replace(QUIET, rate=rate)).truth
    for truth, reference in zip(truths, plan_meet(QUIET).truth, strict=True):
        assert truth.dive_number == reference.dive_number
        assert truth.entry_s - truth.takeoff_s == pytest.approx(reference.entry_s - reference.takeoff_s, abs=0.05)


def test_more_time_around_a_dive_does_not_change_the_dive() -> None:
    loose, tight = plan_dive("407C", 5, before_s=3.0, after_s=2.0), plan_dive("407C", 5)
    shift = loose.transition_frames[0] - tight.transition_frames[0]
    assert shift == 75 - tight.transition_frames[0]
    assert (loose.faults, loose.awards) == (tight.faults, tight.awards)
    flight = slice(*tight.transition_frames)
    moved = slice(*loose.transition_frames)
    np.testing.assert_allclose(loose.motion.joints_m[moved], tight.motion.joints_m[flight], atol=1e-9)


def test_a_meet_is_a_source_and_ends() -> None:
    with open_source("synthetic://meet?seed=3&dives=1&size=96x64&pace=fast&rate=10&pause=0") as source:
        frames = list(source)
    assert len(frames) == plan_meet(settings_of(source.uri)).num_frames
    np.testing.assert_allclose(np.diff([frame.time_s for frame in frames]), 0.1, atol=1e-9)
    assert source.status().dropped == 0
