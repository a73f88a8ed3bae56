"""The cache of decoded clips: same frames, nothing stale, nothing kept in memory."""

from __future__ import annotations

import dataclasses
import shutil
import weakref
from pathlib import Path

import pytest
from PIL import Image

from mcore.common.errors import UserError
from mcore.config import ClipConfig
from mcore.data import cache
from mcore.data.cache import LoadedClip, fill_cache, load_clip
from mcore.data.manifest import DiveRecord, read_manifest
from tests.fake_dives import CLIP


@pytest.fixture(scope="module")
def records(manifest: Path) -> list[DiveRecord]:
    return read_manifest(manifest)


def test_cache_ignores_what_is_stale(records: list[DiveRecord], tmp_path: Path) -> None:
    dive, folder = tmp_path / "dive", tmp_path / "cache"
    shutil.copytree(records[0].path, dive)
    record = dataclasses.replace(records[0], path=dive)
    before = load_clip(record, CLIP, folder)
    Image.new("RGB", (18, 24), "white").save(dive / "0000.png")
    after = load_clip(record, CLIP, folder)
    assert after.frames[0].min() == 255
    assert before.frames[0].min() < 255
    other_size = dataclasses.replace(CLIP, num_frames=6)
    assert len(load_clip(record, other_size, folder).frames) == 6
    other_crop = dataclasses.replace(CLIP, crop_size=8)  # cropped later: the same file serves
    files = len(list(folder.iterdir()))
    load_clip(record, other_crop, folder)
    assert len(list(folder.iterdir())) == files


def test_filling_the_cache_keeps_no_clip_in_memory(
    records: list[DiveRecord], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alive: list[weakref.ref[LoadedClip]] = []

    def load(record: DiveRecord, config: ClipConfig, cache_dir: Path | None) -> LoadedClip:
        clip = load_clip(record, config, cache_dir)
        alive.append(weakref.ref(clip))
        return clip

    monkeypatch.setattr(cache, "load_clip", load)
    most = 0

    def on_clip() -> None:
        nonlocal most
        most = max(most, sum(clip() is not None for clip in alive))

    fill_cache(records, CLIP, tmp_path, workers=1, on_clip=on_clip)
    assert len(alive) == len(records) > 2
    assert most <= 1  # the one that is being read meanwhile


def test_a_disk_that_is_too_small_is_said_before_decoding(
    records: list[DiveRecord], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = shutil.disk_usage(tmp_path)._replace(free=100)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: full)
    with pytest.raises(UserError, match="--no-cache"):
        fill_cache(records, CLIP, tmp_path / "other")
