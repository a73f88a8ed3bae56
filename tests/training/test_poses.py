"""Pretraining on poses: what is told of a body, what is learned from drawn frames, and what is refused."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from mcore.config import NETWORKS
from mcore.data.cache_folder import cache_folder
from mcore.data.manifest import read_manifest, select_split
from mcore.data.rendered_dives import RenderSettings, render_dataset
from mcore.evaluation.clips import normalise
from mcore.network.backbone import RegNetY
from mcore.network.pretrained import load_pretrained
from mcore.pretrain import main
from mcore.synthetic.plan import plan_dive
from mcore.synthetic.poses import MIRRORED, NUM_TARGETS, limb_directions
from mcore.synthetic.render import look_of, seen_joints
from mcore.training.config import PretrainingOptions
from mcore.training.poses import draw_batch, pretrain, read_frames

CLIP = NETWORKS["tiny"].clip


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    settings = RenderSettings(("101B",), dives_per_number=10, width=64, height=64)
    return render_dataset(tmp_path_factory.mktemp("drawn"), settings, workers=1)


def test_a_mirrored_picture_has_the_mirrored_pose_and_sides_do_not_matter() -> None:
    plan = plan_dive("101B", 4)
    look = look_of(plan)
    there, mirrored = (
        limb_directions(seen_joints(plan, dataclasses.replace(look, mirrored=side))) for side in (False, True)
    )
    assert there.shape == (plan.num_frames, NUM_TARGETS)
    signs = np.ones(NUM_TARGETS)
    signs[list(MIRRORED)] = -1
    np.testing.assert_allclose(mirrored, there * signs, atol=1e-6)
    first, last = ~np.isnan(there[:, 0][[0, -1]])
    assert first  # on the board
    assert not last  # under water


def test_batches_show_poses_that_belong_to_their_pictures(drawn: Path) -> None:
    records = select_split(read_manifest(drawn), "train")
    frames = read_frames(drawn, records, CLIP, cache_folder(drawn, None, no_cache=False), "train")
    assert not np.isnan(frames.poses).any()
    pictures, poses = draw_batch(frames, 40, CLIP, np.random.default_rng(0))
    assert pictures.shape == (40, CLIP.crop_size, CLIP.crop_size, 3)
    known = np.abs(frames.poses)  # a mirrored pose differs in signs only
    assert all((np.abs(known - np.abs(pose)).max(axis=1) < 1e-6).any() for pose in poses)
    assert (np.sign(poses[:, 0]) != np.sign(poses[0, 0])).any()


def test_pretraining_writes_what_training_reads(drawn: Path, tmp_path: Path) -> None:
    lines: list[str] = []
    out = tmp_path / "poses.safetensors"
    options = PretrainingOptions(drawn, out, steps=4, batch_size=8, device="cpu")
    assert 0 < pretrain(options, lines.append) < 10
    assert lines[-1].startswith("step 4/4")
    backbone = RegNetY(NETWORKS["tiny"].backbone)
    before = backbone.state_dict()["stem.conv.weight"].clone()
    assert load_pretrained(backbone, out) == str(out)
    assert not torch.equal(before, backbone.state_dict()["stem.conv.weight"])


def test_poses_can_be_read_from_the_features_of_the_shipped_weights(drawn: Path) -> None:
    torch.manual_seed(0)
    shipped, untrained = (RegNetY(NETWORKS["tiny"].backbone).eval() for _ in range(2))
    assert load_pretrained(shipped, "poses").endswith("poses_tiny.safetensors")
    records = [record for record in read_manifest(drawn) if record.split != "test"]
    frames = read_frames(drawn, records, CLIP, cache_folder(drawn, None, no_cache=False), "train")
    pictures, poses = draw_batch(frames, 300, CLIP, np.random.default_rng(0))
    wanted = (poses - poses.mean(0)) / poses.std(0)
    left = []
    for backbone in (shipped, untrained):
        with torch.no_grad():
            features = backbone(normalise(torch.from_numpy(pictures[:, None]), CLIP))[:, 0].numpy()
        features = (features - features[:200].mean(0)) / (features[:200].std(0) + 1e-6)
        gram = features[:200].T @ features[:200] + 30 * np.eye(features.shape[1])
        found = features[200:] @ np.linalg.solve(gram, features[:200].T @ wanted[:200])
        left.append(float(np.square(found - wanted[200:]).mean()))
    assert left[0] < 0.7 * left[1], left


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (["--out", "poses.pt"], "ends in .safetensors"),
        (["--steps", "0"], "at least 1"),
        (["--data", "undrawn.jsonl"], "poses are known of drawn dives only"),
    ],
)
def test_errors_of_use_exit_with_2(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    change: list[str],
    reason: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    line = '{"path": "a.mp4", "dive_number": "101B", "score": 50.0, "split": "%s"}\n'
    Path("undrawn.jsonl").write_text("".join(line % split for split in ("train", "val")))
    assert main(["--data", "undrawn.jsonl", "--out", "poses.safetensors", *change]) == 2
    assert reason in " ".join(capsys.readouterr().err.split())
