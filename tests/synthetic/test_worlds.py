"""Worlds: dives, looks and judges of their own, and nothing of them in the standard one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mcore.data.commands.main import main
from mcore.data.manifest import read_manifest
from mcore.data.redrawn import find_drawings
from mcore.synthetic.faults import Faults
from mcore.synthetic.meet import MeetSettings, Scene, plan_meet
from mcore.synthetic.panel import judge
from mcore.synthetic.plan import plan_dive
from mcore.synthetic.render import look_of, render_look, render_plan
from mcore.synthetic.scene import Look
from mcore.synthetic.worlds import JUDGES


def mean_award(faults: Faults, habits: dict[str, float]) -> float:
    return float(np.mean([judge(faults, np.random.default_rng(seed), habits) for seed in range(40)]))


def test_judges_of_the_other_world_have_habits_of_their_own() -> None:
    other = dict(JUDGES["other"])
    splash, knees = Faults(splash=0.6), Faults(knees=0.6)
    assert mean_award(splash, other) < mean_award(splash, {}) - 0.3
    assert mean_award(knees, other) > mean_award(knees, {}) + 0.2
    assert mean_award(Faults(), other) == mean_award(Faults(), {})
    awards = {
        world: np.mean([plan_dive("407C", seed, world=world).awards for seed in range(60)])
        for world in ("standard", "other")
    }
    assert awards["other"] < awards["standard"] - 0.5  # stricter on the whole


def test_the_same_dive_looks_otherwise_there() -> None:
    plans = [plan_dive("407C", 3, world=world) for world in ("standard", "other")]
    assert plans[0].faults == plans[1].faults
    here, there = map(look_of, plans)
    assert there.camera_yaw_deg > 30 > abs(here.camera_yaw_deg)
    assert there.view_height_m > here.view_height_m
    pictures = [render_plan(plan, width=64, height=64).frames for plan in plans]
    assert np.abs(pictures[0].astype(int) - pictures[1]).mean() > 20


def test_each_dive_of_the_random_pools_has_a_pool_and_a_camera_of_its_own() -> None:
    plans = [plan_dive("407C", seed, world="pools") for seed in (3, 4)]
    assert plans[0].awards == plan_dive("407C", 3).awards  # the usual judges
    looks = [look_of(plan) for plan in plans]
    assert all(look.random_pool for look in looks)
    assert abs(looks[0].camera_yaw_deg - looks[1].camera_yaw_deg) > 1
    first, other = (render_plan(plan, width=64, height=64).frames for plan in plans)
    assert np.abs(first[0].astype(int) - other[0]).mean() > 20
    assert np.array_equal(first, render_plan(plans[0], width=64, height=64).frames)


def test_a_blur_softens_the_picture() -> None:
    plan = plan_dive("407C", 3, world="pools")
    look = replace(look_of(plan), noise=0.0, blur=0.0)

    def sharpness(look: Look) -> float:
        rng, venue_rng, splash_rng = (np.random.default_rng(seed) for seed in range(3))
        drawn = render_look(plan, look, width=64, height=64, venue_rng=venue_rng, splash_rng=splash_rng, rng=rng)
        frames = drawn.frames.astype(int)
        return float(np.abs(np.diff(frames, axis=2)).mean())

    assert sharpness(replace(look, blur=0.03)) < 0.7 * sharpness(look)


def test_a_meet_of_the_other_world_has_its_looks_and_judges() -> None:
    settings = MeetSettings(seed=3, dives=12, pause_s=0.0, distractors=frozenset(), width=64, height=64, rate=10)
    here, there = plan_meet(settings), plan_meet(replace(settings, world="other"))
    assert [dive.takeoff_s for dive in here.truth] == [dive.takeoff_s for dive in there.truth]
    assert np.mean([dive.score for dive in there.truth]) < np.mean([dive.score for dive in here.truth]) - 2
    pictures = [next(Scene(meet).frames()).astype(int) for meet in (here, there)]
    assert np.abs(pictures[0] - pictures[1]).mean() > 20


def test_the_command_draws_it_apart_from_the_standard_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    size = ["--dive-numbers", "107B", "--dives-per-number", "3", "--width", "48", "--height", "48", "--workers", "1"]
    for world in ("standard", "other", "pools"):
        assert main(["render", "--out", str(tmp_path / world), "--world", world, *size]) == 0
    worlds = ("standard", "other", "pools")
    here, there, pools = (read_manifest(tmp_path / world / "manifest.jsonl") for world in worlds)
    assert not {r.score for r in (*here, *pools)} & {r.score for r in there}
    assert all(record.stage_points is not None for record in pools)
    assert all(record.stage_points is not None for record in here)
    assert all(record.stage_points is None for record in there)  # what a fault costs is known of fair judges only
    drawn = find_drawings(tmp_path / "other" / "manifest.jsonl", there)
    assert drawn is not None
    assert {drawing.world for drawing, _ in drawn} == {"other"}
    assert '"world"' not in (tmp_path / "standard" / "settings.json").read_text()  # folders of before go on
    assert main(["render", "--out", str(tmp_path / "standard"), "--world", "other", *size]) == 2
    assert "holds a data set of other settings" in capsys.readouterr().err
