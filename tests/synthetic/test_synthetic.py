"""Rendered dives: pure, physical, judged by the rules, and learnable only by looking."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mcore.common.errors import UserError
from mcore.data.commands.main import main
from mcore.data.manifest import read_manifest
from mcore.data.rendered_dives import RenderSettings, render_dataset
from mcore.diving import DiveNumber, difficulty, dive_score
from mcore.synthetic import DEMO_NUMBERS, plan_dive, render_dive, write_video
from mcore.synthetic.body import INDEX
from mcore.synthetic.faults import FAULT_STAGES, Faults
from mcore.synthetic.meet.settings import MeetSettings
from mcore.synthetic.panel import judge
from mcore.synthetic.plan import FPS
from mcore.synthetic.render import render_plan
from tests.synthetic.physics import assert_physical

SIZE = {"width": 64, "height": 48}
ALL_KINDS = (*DEMO_NUMBERS, "101A", "201B", "303C", "401A", "5132D", "5337D", "612B", "626C", "636C", "104C")

numbers = st.sampled_from(ALL_KINDS)
seeds = st.integers(0, 10_000)


def test_same_arguments_give_the_same_pixels_in_any_process() -> None:
    command = (
        "import hashlib; from mcore.synthetic import render_dive; "
        "d = render_dive('407C', 5, width=64, height=48); print(hashlib.sha256(d.frames).hexdigest(), d.plan.score)"
    )
    other = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True, check=True).stdout.split()
    dive = render_dive("407c", 5, **SIZE)
    assert other == [hashlib.sha256(dive.frames.tobytes()).hexdigest(), str(dive.plan.score)]


@pytest.mark.parametrize(
    ("number", "seed", "score", "frames"),
    [
        ("107B", 0, 71.3, (19, 56, 98)),
        ("407C", 64, 35.7, (37, 72, 97)),
        ("5253B", 66, 54.4, (22, 66, 101)),
        ("6243D", 12, 67.2, (30, 68, 111)),
        ("301B", 3, 34.2, (27, 63, 82)),
    ],
)
def test_dives_stay_what_they_were(number: str, seed: int, score: float, frames: tuple[int, int, int]) -> None:
    """Published figures refer to these dives: a change of them needs another name, not another dive."""
    plan = plan_dive(number, seed)
    assert (plan.score, (*plan.transition_frames, plan.num_frames)) == (score, frames)


def test_another_seed_is_another_dive() -> None:
    a, b = plan_dive("407C", 1), plan_dive("407C", 2)
    assert a.faults != b.faults
    assert a.awards != b.awards or a.motion.center_m.shape != b.motion.center_m.shape


@settings(max_examples=60)
@given(numbers, seeds)
def test_dives_follow_the_rules_and_physics(number: str, seed: int) -> None:
    plan = plan_dive(number, seed)
    assert plan.difficulty == difficulty(number, plan.height_m)
    assert plan.score == dive_score(plan.awards, plan.difficulty)
    assert len(plan.awards) == 7
    assert_physical(plan)
    (flight, entry), lowest, board = (
        plan.transition_frames,
        plan.motion.joints_m[..., 1].min(1),
        plan.motion.board_tip_m,
    )
    assert entry < plan.num_frames - 10
    assert lowest[flight - 1] == pytest.approx(board[flight - 1], abs=1e-6)
    assert abs(lowest[flight] - board[flight]) < 0.4  # just left


@pytest.mark.parametrize("number", ALL_KINDS)
def test_flawless_dives_enter_upright_and_the_right_way_round(number: str) -> None:
    plan = plan_dive(number, 0, severities=dict.fromkeys(FAULT_STAGES, 0.0))
    body = plan.motion.joints_m[plan.transition_frames[1]]
    axis = body[INDEX["neck"]] - body[INDEX["pelvis"]]
    off_vertical = np.degrees(np.arccos(abs(axis[1]) / np.linalg.norm(axis[:2])))
    assert off_vertical < 8
    dive = DiveNumber.parse(number)
    head_first = (dive.half_somersaults % 2 == 1) != dive.armstand
    assert (axis[1] < 0) == head_first


def test_angle_at_entry_is_the_angle_that_can_be_seen() -> None:
    seen, said = [], []
    for seed in range(40):
        plan = plan_dive("205B", seed)
        body = plan.motion.joints_m[plan.transition_frames[1]]
        axis = body[INDEX["neck"]] - body[INDEX["pelvis"]]
        seen.append(np.degrees(np.arctan2(axis[0], -axis[1])))
        said.append(plan.faults.off_vertical_deg)
    assert np.abs(np.corrcoef(seen, said)[0, 1]) > 0.98


@pytest.mark.parametrize("fault", FAULT_STAGES)
def test_every_fault_costs_points(fault: str) -> None:
    assert Faults(**{fault: 1.0}).fair_award < Faults().fair_award - 0.3  # type: ignore[arg-type]


def test_faults_are_nearly_independent() -> None:
    severities = [[getattr(plan_dive("107B", seed).faults, fault) for fault in FAULT_STAGES] for seed in range(300)]
    together = np.corrcoef(np.array(severities).T)[np.triu_indices(len(FAULT_STAGES), 1)]
    assert 0.05 < together.mean() < 0.3


@settings(max_examples=20)
@given(numbers, seeds)
def test_each_fault_is_drawn_in_its_stage_and_none_changes_how_long_a_stage_lasts(number: str, seed: int) -> None:
    clean = plan_dive(number, seed, severities=dict.fromkeys(FAULT_STAGES, 0.0))
    flight, entry = clean.transition_frames
    for fault, stage in FAULT_STAGES.items():
        gross = plan_dive(number, seed, severities=dict.fromkeys(FAULT_STAGES, 0.0) | {fault: 1.0})
        assert (gross.transition_frames, gross.num_frames) == (clean.transition_frames, clean.num_frames)
        assert_physical(gross)
        if fault == "splash":  # of the water, not of the body
            continue
        # The body about its centre of mass: where it is flown to, only the distance changes.
        moved = np.abs(
            (gross.motion.joints_m[..., :2] - gross.motion.center_m[:, None])
            - (clean.motion.joints_m[..., :2] - clean.motion.center_m[:, None])
        ).max((1, 2))
        drift = np.abs(gross.motion.center_m - clean.motion.center_m).max(1)
        assert (moved[:flight].max() > 0.05) == (stage == "take-off")
        assert max(moved[flight:].max(), drift[flight:].max()) > 0.05 or fault == "balance"
        assert (moved[entry + 1 :].max() > 0.05) == (stage == "entry")


def test_every_fault_can_be_seen_at_the_size_of_the_smallest_preset() -> None:
    """Each changes the pictures, over whole clips, at least a third as much as the splash does."""

    def pictures(number: str, severities: dict[str, float]) -> np.ndarray:
        plan = plan_dive(number, 2, severities=dict.fromkeys(FAULT_STAGES, 0.0) | severities)
        return render_plan(plan, width=64, height=64).frames.astype(np.int16)

    change = dict.fromkeys(FAULT_STAGES, 0.0)
    for number in ("107B", "407C"):
        clean = pictures(number, {})
        for fault in FAULT_STAGES:
            change[fault] += float(np.abs(pictures(number, {fault: 1.0}) - clean).mean())
    assert min(change.values()) > change["splash"] / 3, change


def test_awards_spread_over_the_scale_and_follow_the_faults() -> None:
    plans = [plan_dive("107B", seed) for seed in range(300)]
    panel = np.array([np.median(plan.awards) for plan in plans])
    assert np.percentile(panel, 5) < 5
    assert np.percentile(panel, 95) > 8
    fair = np.array([plan.faults.fair_award for plan in plans])
    assert 0.95 < np.corrcoef(panel, fair)[0, 1] < 0.99  # a panel errs by 0.3 award points
    worst = Faults(**dict.fromkeys(FAULT_STAGES, 1.0))  # type: ignore[arg-type]
    assert all(0 <= award <= 10 for award in judge(worst, np.random.default_rng(0)))


def test_worse_splashes_are_whiter() -> None:
    white, splash = [], []
    for seed in range(20):
        dive = render_dive("107B", seed, **SIZE)
        entry = dive.plan.transition_frames[1]
        water = dive.frames[entry + 5 : entry + 14, SIZE["height"] // 2 :]
        white.append(float((water[..., 0] > 130).mean()))  # water has little red
        splash.append(dive.plan.faults.splash)
    assert 0.6 < np.corrcoef(white, splash)[0, 1] < 0.98  # no ruler: each part of a splash varies by itself


def test_what_cannot_be_rendered_is_refused() -> None:
    for width, height in ((63, 48), (64, 30)):
        with pytest.raises(UserError, match="even sizes from 32 on"):
            render_dive("107B", 0, width=width, height=height)
    for flying_or_inward_armstand in ("113C", "644B"):
        with pytest.raises(UserError, match="cannot be drawn"):
            plan_dive(flying_or_inward_armstand, 0)
    for not_allowed in ("5152A", "5131C", "6241A"):
        with pytest.raises(UserError, match=r"no degree of difficulty from 3 or 10 m: rule 1\.6\.4"):
            plan_dive(not_allowed, 0)
    for height_m in (1, 5, 7.5):
        with pytest.raises(UserError, match="the renderer draws only boards of 3, 10 m"):
            MeetSettings(height_m=height_m)  # type: ignore[arg-type]


def test_the_same_frames_make_the_same_file(tmp_path: Path) -> None:
    dive = render_dive("107B", 0, width=160, height=96)
    files = [tmp_path / f"{i}.mp4" for i in range(3)]
    for file in files:
        write_video(file, dive.frames, dive.plan.fps)
    assert len({file.read_bytes() for file in files}) == 1


def test_video_files_hold_every_frame(tmp_path: Path) -> None:
    dive = render_dive("5253B", 3, **SIZE)
    write_video(tmp_path / "clips" / "dive.mp4", dive.frames, dive.plan.fps, crf=12)
    with av.open(str(tmp_path / "clips" / "dive.mp4")) as container:
        assert container.streams.video[0].average_rate == FPS
        decoded = np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])
    assert decoded.shape == dive.frames.shape
    error = np.mean((decoded.astype(float) - dive.frames) ** 2)
    assert 10 * np.log10(255**2 / error) > 26  # decibels; colour is stored at half the size
    with pytest.raises(UserError, match=r"written as \.mp4"):
        write_video(tmp_path / "dive.avi", dive.frames, FPS)
    with pytest.raises(UserError, match="no frames"):
        write_video(tmp_path / "empty.mp4", [], FPS)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("dives") / "set"
    arguments = ["render", "--out", str(out), "--dive-numbers", "101B", "201C", "--dives-per-number", "5"]
    assert main([*arguments, "--width", "64", "--height", "48", "--workers", "2"]) == 0
    return out


def test_dataset_has_splits_labels_and_files(dataset: Path) -> None:
    records = read_manifest(dataset / "manifest.jsonl")
    assert {record.origin for record in records} == {"rendered"}
    assert [r.split for r in records if r.dive_number == "101B"] == ["train", "train", "train", "train", "test"]
    for record in records:
        index = int(record.path.stem.split("-")[1])
        plan = plan_dive(record.dive_number, index)
        assert (record.score, record.transition_frames) == (plan.score, plan.transition_frames)
        with av.open(str(record.path)) as container:
            assert sum(1 for _ in container.decode(video=0)) == record.num_frames


def test_interrupted_rendering_goes_on_where_it_was(dataset: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = sorted(dataset.rglob("*.mp4"))
    kept, lost = files[0], files[-1]
    before = kept.stat().st_mtime_ns
    lost.unlink()
    wanted = json.loads((dataset / "settings.json").read_text())
    del wanted["renderer_version"]
    wanted["dive_numbers"] = tuple(wanted["dive_numbers"])
    render_dataset(dataset, RenderSettings(**wanted), workers=1)
    assert kept.stat().st_mtime_ns == before
    assert lost.exists()
    assert main(["render", "--out", str(dataset), "--seed", "1"]) == 2
    assert "other settings" in capsys.readouterr().err


def test_a_folder_of_other_files_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "thesis.tex").write_text("precious")
    assert main(["render", "--out", str(tmp_path)]) == 2
    assert "holds other files" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--dive-numbers", "107X"], "is not a dive number"),
        (["--dive-numbers", "107B", "107B"], "each once"),
        (["--dives-per-number", "0"], "at least 1"),
        (["--height", "181"], "even sizes"),
    ],
)
def test_errors_of_use_exit_with_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], reason: str
) -> None:
    assert main(["render", "--out", str(tmp_path / "set"), *arguments]) == 2
    assert reason in capsys.readouterr().err
    assert not (tmp_path / "set").exists()
