"""Audit: who reads only the splash fails, who sees every fault passes, and dives are drawn again alike."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from mcore.audit import main
from mcore.common.errors import UserError
from mcore.config import ClipConfig, Decoding
from mcore.data.cache import load_clip
from mcore.data.label_fit import label_transitions
from mcore.data.manifest import DiveRecord, read_manifest, select_split, write_manifest
from mcore.data.redrawn import Drawing, Redrawing, ShownDive, find_drawings, redraw
from mcore.data.rendered_dives import RenderSettings, render_dataset
from mcore.data.rendered_replicas import ReplicaSettings, render_replicas
from mcore.evaluation import audit_run
from mcore.evaluation.audit import Resampling, hide_stages
from mcore.evaluation.audit_run import Audit, Drawn, conduct
from mcore.evaluation.scoring import plan_scoring, predict
from mcore.evaluation.shortcuts import ridge
from mcore.network.checkpoint import save_checkpoint
from mcore.network.model import MCoRe
from mcore.synthetic.faults import FAULT_STAGES
from mcore.synthetic.plan import DivePlan, plan_dive
from mcore.synthetic.replica import ReplicaLabel
from mcore.video import crop
from tests.fake_dives import CLIP, MODEL

Array = NDArray[np.float64]

FAULTS = list(FAULT_STAGES)
TRANSITIONS = (2, 5)
NUM_DIVES = 80
ALL_POINTS = {fault: plan_dive("407C", 0, severities={fault: 1.0}).faults.deductions[fault] for fault in FAULTS}


class PixelWorld:
    """Dives whose faults are independent, each a row of pixels in the frames of its stage."""

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        severities = [dict(zip(FAULTS, rng.uniform(0, 1, len(FAULTS)).tolist(), strict=True)) for _ in range(NUM_DIVES)]
        self.drawings = [Drawing("407C", seed, 32, 32) for seed in range(NUM_DIVES)]
        self.severities = dict(zip(self.drawings, severities, strict=True))
        self.plans = [plan_dive("407C", seed, severities=each) for seed, each in enumerate(severities)]
        pictures = [self.show(Redrawing(drawing, CLIP)) for drawing in self.drawings]
        self.dives = list(zip(map(record, self.plans), pictures, strict=True))

    def show(self, job: Redrawing) -> ShownDive:
        frames = np.zeros((8, len(FAULTS), 8, 3), np.uint8)
        for row, (fault, severity) in enumerate((self.severities[job.drawing] | dict(job.severities)).items()):
            if job.hidden is not None and (fault == "splash") == (job.hidden == "splash"):
                continue
            frames[_frames_of(fault), row] = round(255 * severity)
        return ShownDive(frames, TRANSITIONS)

    def audit(self, sees: Sequence[str]) -> Audit:
        def score(dives: Iterable[ShownDive], rows: Sequence[int]) -> tuple[Array, Array]:
            shares = np.zeros((len(rows), 3))
            for share, dive, row in zip(shares, dives, rows, strict=True):
                for fault in sees:
                    seen = float(dive.frames[_frames_of(fault), FAULTS.index(fault)].mean()) / 255
                    stage = ["take-off", "flight", "entry"].index(FAULT_STAGES[fault])
                    share[stage] -= 3 * self.plans[row].difficulty * ALL_POINTS[fault] * seen
            best = np.array([3 * self.plans[row].difficulty * 9.9 for row in rows])
            return best + shares.sum(1), shares

        def draw(jobs: Sequence[Redrawing]) -> list[ShownDive]:
            return [self.show(job) for job in jobs]

        drawn = Drawn(self.drawings, self.plans, self.plans, np.zeros((NUM_DIVES, 3)), draw)
        return conduct(
            score, self.dives, self.dives, drawn, config=CLIP, num_moved=4, resampling=Resampling(num_resamples=40)
        )


def _frames_of(fault: str) -> slice:
    flight, entry = TRANSITIONS
    return {"take-off": slice(flight), "flight": slice(flight, entry), "entry": slice(entry, None)}[FAULT_STAGES[fault]]


def record(plan: DivePlan) -> DiveRecord:
    points = 3 * plan.difficulty * plan.faults.fair_award
    return DiveRecord(Path("none.mp4"), "407C", points, plan.difficulty, num_frames=8, transition_frames=TRANSITIONS)


@pytest.fixture(scope="module")
def world() -> PixelWorld:
    return PixelWorld()


def test_one_that_sees_every_fault_passes(world: PixelWorld) -> None:
    found = world.audit(FAULTS)
    assert found.failures == []
    assert found.whole.value == pytest.approx(1, abs=0.01)
    assert {move.fault: move.ratio.value for move in found.moves} == pytest.approx(dict.fromkeys(FAULTS, 1.0), rel=0.01)
    for share in found.shares:
        assert (share.correlation.value, share.slope.value) == pytest.approx((1, 1), abs=0.01)
    assert found.observers[-1].name == "all faults"
    assert found.observers[-1].srcc.value == pytest.approx(1)
    assert found.panel_noise_award == pytest.approx(0, abs=1e-9)


def test_one_that_reads_only_the_splash_fails(world: PixelWorld) -> None:
    found = world.audit(["splash"])
    assert set(found.failures) == {"diver not drawn", "take-off and flight painted grey"}
    ratios = {move.fault: move.ratio.value for move in found.moves}
    assert ratios == pytest.approx({fault: float(fault == "splash") for fault in FAULTS}, abs=0.01)
    alone = next(each for each in found.observers if each.name == "splash only")
    assert found.whole.value == pytest.approx(alone.srcc.value, abs=0.05)
    hidden = {each.hidden: each for each in found.hidings}
    assert hidden["splash not drawn"].srcc.value is None or hidden["splash not drawn"].srcc.value < 0.3


def test_one_that_looks_at_nothing_fails(world: PixelWorld) -> None:
    assert len(world.audit([]).failures) == 2


def test_dives_that_were_not_drawn_are_audited_without_drawings(world: PixelWorld) -> None:
    def score(dives: Iterable[ShownDive], rows: Sequence[int]) -> tuple[Array, Array]:
        brightness = np.array([-float(dive.frames.mean()) for dive in dives])
        return brightness, np.zeros((len(brightness), 3))

    found = conduct(score, world.dives, world.dives, None, config=CLIP, num_moved=4, resampling=Resampling(20))
    assert (found.moves, found.shares, found.observers, found.panel_noise_award) == ([], [], [], None)
    assert len(found.hidings) == 4
    by_name = {each.name: each.srcc.value for each in found.shortcuts}
    assert (by_name["five 8 x 8 thumbnails after the entry"] or 0) > 0.4  # they show the rows of the entry


def test_hiding_leaves_the_rest(world: PixelWorld) -> None:
    dive = world.dives[0][1]
    hidden = hide_stages(dive)
    grey, frozen = hidden["take-off and flight painted grey"], hidden["entry replaced by the last flight frame"]
    assert (grey.frames[:5] == 128).all()
    np.testing.assert_array_equal(grey.frames[5:], dive.frames[5:])
    np.testing.assert_array_equal(frozen.frames[:5], dive.frames[:5])
    assert (frozen.frames[5:] == dive.frames[4]).all()


def test_ridge_finds_a_line_and_resists_noise() -> None:
    rng = np.random.default_rng(1)
    known, wanted, slope = rng.normal(size=(40, 3)), rng.normal(size=(9, 3)), np.array([2.0, -1.0, 0.5])
    np.testing.assert_allclose(ridge(known, known @ slope + 7, wanted), wanted @ slope + 7, atol=0.01)
    noisy = ridge(rng.normal(size=(40, 300)), rng.normal(size=40), rng.normal(size=(50, 300)))
    assert noisy.std() < 0.7  # more features than dives: without a penalty it would repeat the noise
    assert ridge(np.ones((5, 2)), np.arange(5.0), np.ones((2, 2))).tolist() == [2, 2]


RENDERED = ClipConfig(num_frames=16, resize_height=20, resize_width=16, crop_size=16)


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    settings = RenderSettings(("101A", "201A", "401B"), dives_per_number=5, width=64, height=36)
    return render_dataset(tmp_path_factory.mktemp("rendered"), settings, workers=1)


def _check_redrawn(listing: Path, config: ClipConfig) -> Redrawing:
    chosen = read_manifest(listing)[-1]
    found = find_drawings(listing, [chosen])
    assert found is not None
    ((drawing, plan),) = found
    lost = plan.faults.fair_award - drawing.plan(dict.fromkeys(FAULTS, 0.0)).faults.fair_award
    assert chosen.stage_points is not None
    assert sum(chosen.stage_points) == pytest.approx(3 * plan.difficulty * lost, abs=0.002)  # three are rounded
    job = Redrawing(drawing, config)
    listed = crop(load_clip(chosen, config).frames, config)
    np.testing.assert_array_equal(redraw(job).frames, listed)
    return job


def test_a_dive_is_drawn_again_as_its_file(rendered: Path) -> None:
    job = _check_redrawn(rendered, RENDERED)
    whole, dry = redraw(job), redraw(dataclasses.replace(job, hidden="splash"))
    entry = whole.transitions[1]
    difference = np.abs(whole.frames.astype(int) - dry.frames)
    assert difference[:entry].max() <= 6 < difference[entry:].max()  # the encoder may look ahead a little
    alone = redraw(dataclasses.replace(job, hidden="diver"))
    assert np.abs(whole.frames.astype(int) - alone.frames)[:entry].max() > 20
    assert alone.transitions == whole.transitions


def test_replicas_are_drawn_again_as_their_files(tmp_path: Path) -> None:
    label = ReplicaLabel("01/1", "test", "407C", 3.2, 70.4, 60, (18, 44), None, 10, False)
    settings = ReplicaSettings(seed=3, width=64, height=36)
    job = _check_redrawn(render_replicas([label], tmp_path, settings, workers=1).manifest, RENDERED)
    good, bad = (job.drawing.plan({"knees": severity}) for severity in (0.0, 1.0))
    assert (good.faults.knees, bad.faults.knees, good.faults.legs) == (0.0, 1.0, bad.faults.legs)
    assert np.abs(good.motion.joints_m - bad.motion.joints_m).max() > 0.02


def test_drawings_of_another_version_are_refused(rendered: Path, manifest: Path) -> None:
    records = read_manifest(rendered)
    with pytest.raises(UserError, match="another version"):
        find_drawings(rendered, [dataclasses.replace(records[0], score=records[0].score + 1)])
    with pytest.raises(UserError, match="was not drawn with"):
        find_drawings(rendered, [dataclasses.replace(records[0], path=Path("elsewhere.mp4"))])
    assert find_drawings(manifest, read_manifest(manifest)) is None  # no folder of rendered dives


def test_settings_of_somebody_else_are_no_drawings(tmp_path: Path, manifest: Path) -> None:
    (tmp_path / "settings.json").write_text('{"camera": "left"}')
    assert find_drawings(tmp_path / "list.jsonl", read_manifest(manifest)) is None
    (tmp_path / "settings.json").write_text('{"dives_per_number": 1}')
    with pytest.raises(UserError, match=r"version 1 of the renderer, not .*--no-drawing"):
        find_drawings(tmp_path / "list.jsonl", read_manifest(manifest))


def test_command_on_drawn_dives(
    rendered: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def here(render: Callable[[Redrawing], ShownDive], jobs: Sequence[Redrawing], _: int | None) -> list[ShownDive]:
        return [render(job) for job in jobs]

    monkeypatch.setattr(audit_run, "MIN_DIVES", 3)
    monkeypatch.setattr(audit_run, "render_all", here)
    monkeypatch.setattr(audit_run, "FAULT_STAGES", {"splash": "entry"})
    checkpoint = _untrained(tmp_path)
    code = main([str(checkpoint), "--data", str(rendered), "--num-moved", "2", "--num-resamples", "20", "--no-cache"])
    content = json.loads((tmp_path / "audit/audit.json").read_text())
    assert code == bool(content["failures"])
    assert ("FAILED" in capsys.readouterr().out) == bool(code)
    assert content["num_dives"] == 3
    assert [move["fault"] for move in content["moves"]] == ["splash"]
    assert "| diver not drawn |" in (tmp_path / "audit/audit.md").read_text()
    main([str(checkpoint), "--data", str(rendered), "--num-resamples", "20", "--no-cache", "--no-drawing"])
    assert json.loads((tmp_path / "audit/audit.json").read_text())["observers"] == []


def test_command_on_dives_from_elsewhere(
    manifest: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint = _untrained(tmp_path)
    assert main([str(checkpoint), "--data", str(manifest)]) == 2
    assert "4 test dives" in capsys.readouterr().err  # so few are in order by chance
    monkeypatch.setattr(audit_run, "MIN_DIVES", 3)
    code = main([str(checkpoint), "--data", str(manifest), "--num-resamples", "20", "--out", str(tmp_path / "a")])
    content = json.loads((tmp_path / "a/audit.json").read_text())
    assert code == bool(content["failures"])
    assert content["moves"] == []
    assert "No dive was drawn again" in capsys.readouterr().out
    bare = [dataclasses.replace(each, transition_frames=None) for each in read_manifest(manifest)]
    write_manifest(tmp_path / "bare.jsonl", bare)
    assert main([str(checkpoint), "--data", str(tmp_path / "bare.jsonl")]) == 2
    assert "transition_frames" in capsys.readouterr().err
    for flag in ("--num-dives", "--workers"):
        assert main([str(checkpoint), "--data", str(manifest), flag, "0"]) == 2
        assert f"{flag} is 0" in capsys.readouterr().err


def _untrained(folder: Path) -> Path:
    torch.manual_seed(0)
    model = MCoRe(dataclasses.replace(MODEL, clip=CLIP))
    save_checkpoint(folder / "best.pt", model)
    return folder / "best.pt"


@pytest.mark.parametrize("decoding", ["published", "thirds"])
def test_scores_of_the_network_are_those_of_an_evaluation(manifest: Path, decoding: Decoding) -> None:
    torch.manual_seed(1)
    model = MCoRe(MODEL)
    records = read_manifest(manifest)
    plan = plan_scoring(select_split(records, "test"), select_split(records, "train"), num_exemplars=3, seed=0)
    dives = []
    for each in plan.queries:
        clip = load_clip(each, CLIP)
        dives.append(ShownDive(np.array(crop(clip.frames, CLIP)), label_transitions(each, clip)))
    scores, shares = audit_run.NetworkScores(model, plan, None, decoding)(dives, range(len(dives)))
    wanted = predict(model, plan, decoding=decoding).scores
    np.testing.assert_allclose(scores, wanted, atol=1e-4)
    assert shares.shape == (len(dives), 3)
