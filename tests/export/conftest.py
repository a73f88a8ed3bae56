"""A trained-like checkpoint of a small network, and a small set of rendered dives."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mcore.common.conformal import MIN_DIVES
from mcore.config import ModelConfig
from mcore.data.manifest import DiveRecord, read_manifest, select_split, write_manifest
from mcore.data.trained_dives import TrainedDives, in_checkpoint
from mcore.network.checkpoint import save_checkpoint
from mcore.network.model import MCoRe
from mcore.synthetic import render_dive, write_video
from mcore_export.bundle_command import main as bundle_command
from mcore_export.cli import main
from tests.reference_network import random_model
from tests.traced_once import make_once, shared_folder, traced_once

NUMBERS = ("107B", "407C")


@pytest.fixture(scope="session", autouse=True)
def _graphs_are_traced_once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with traced_once(shared_folder(tmp_path_factory, "graphs")):
        yield


@pytest.fixture(scope="session")
def dives(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two training dives and one test dive of two dive numbers each, as MP4 files with a manifest."""
    folder = shared_folder(tmp_path_factory, "dives")
    make_once(folder, lambda: _write_dives(folder))
    return folder / "manifest.jsonl"


def _write_dives(folder: Path) -> None:
    records = []
    for number in NUMBERS:
        for seed in range(3):
            dive = render_dive(number, seed, width=96, height=64)
            path = folder / f"{number}-{seed}.mp4"
            write_video(path, dive.frames, dive.plan.fps)
            records.append(
                DiveRecord(
                    path,
                    number,
                    dive.plan.score,
                    difficulty=dive.plan.difficulty,
                    split="train" if seed else "test",
                    num_frames=len(dive.frames),
                    transition_frames=dive.plan.transition_frames,
                    origin="rendered",
                )
            )
    write_manifest(folder / "manifest.jsonl", records)


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory, tiny_config: ModelConfig, dives: Path) -> Path:
    """A checkpoint that names the dives it was trained on."""
    path = shared_folder(tmp_path_factory, "run") / "best.pt"
    extra = {
        "epoch": 4,
        "data": {"manifest": "/moved/manifest.jsonl", "manifest_relative": os.path.relpath(dives, path.parent)},
        **in_checkpoint(TrainedDives.of(select_split(read_manifest(dives), "train"), dives, None)),
    }
    make_once(path.parent, lambda: save_checkpoint(path, random_model(MCoRe(tiny_config)), extra=extra))
    return path


@pytest.fixture(scope="session")
def bundle(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The checkpoint's bundle; tests that change it copy it first."""
    return _exported(checkpoint, shared_folder(tmp_path_factory, "exported"))


@pytest.fixture(scope="session")
def batched_bundle(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with graphs that have a batch axis."""
    flags = ("--batched", "--no-streaming", "--no-exemplar-pictures")
    return _exported(checkpoint, shared_folder(tmp_path_factory, "batched"), *flags)


def _exported(checkpoint: Path, folder: Path, *flags: str) -> Path:
    def export() -> None:
        assert main([str(checkpoint), "--out", str(folder / "bundle"), *flags]) == 0

    make_once(folder, export)
    return folder / "bundle"


@pytest.fixture(scope="session")
def many_dives(dives: Path) -> Path:
    """The training dives, and the test dives again and again with other scores: as validation and as test dives."""
    rng = np.random.default_rng(0)
    records = [
        replace(record, stage_points=(-rng.exponential(), -rng.exponential(), -rng.exponential()))
        for record in read_manifest(dives)
    ]
    unseen = [record for record in records if record.split == "test"]
    validation = [
        replace(record, split="val", score=float(score))
        for record in unseen
        for score in record.score + rng.normal(0, 9, MIN_DIVES // 2).round(1)
    ]
    write_manifest(dives.parent / "many.jsonl", [*records, *validation])
    return dives.parent / "many.jsonl"


@pytest.fixture(scope="session")
def calibrated(bundle: Path, many_dives: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("calibrated") / "bundle"
    assert bundle_command(["exemplars", str(bundle), "--dives", str(many_dives), "--out", str(out)]) == 0
    return out
