"""``mcore-data cache``: what it leaves is what training maps, bad clips stop nothing, and nothing is decoded twice."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from mcore.data.cache import fill_cache, load_clip
from mcore.data.commands.main import main
from mcore.data.manifest import read_manifest
from mcore.data.sources import read_source
from tests.fake_dives import CLIP, write_fake_dives
from tests.mini_finediving import EVENT, dives, write_finediving

SIZE = ["--num-frames", "8", "--resize-height", "20", "--resize-width", "16"]


def test_clips_lie_where_training_looks_and_equal_decoding(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    manifest = write_fake_dives(tmp_path, ("101A",))
    assert main(["cache", str(manifest), *SIZE, "--workers", "2"]) == 0
    assert "8 clips of 8 frames, 16 x 20 pixels" in (printed := capsys.readouterr().out)
    assert "8 decoded" in printed
    assert len(list((tmp_path / ".clips").iterdir())) == 16
    for record in read_manifest(manifest):
        cached, decoded = load_clip(record, CLIP, tmp_path / ".clips"), load_clip(record, CLIP)
        assert isinstance(cached.frames, np.memmap)
        np.testing.assert_array_equal(cached.frames, decoded.frames)
        np.testing.assert_array_equal(cached.indices, decoded.indices)
    assert main(["cache", str(tmp_path), *SIZE]) == 0
    assert "0 decoded" in (printed := capsys.readouterr().out)
    assert "8 were there" in printed


def test_a_killed_run_goes_on_and_half_files_do_not_count(tmp_path: Path) -> None:
    records = read_manifest(write_fake_dives(tmp_path, ("101A",)))
    cache = tmp_path / "cache"
    assert fill_cache(records[:5], CLIP, cache).num_new == 5
    cut = next(cache.glob("*.frames.npy"))
    cut.write_bytes(cut.read_bytes()[:200])
    seen: list[None] = []
    report = fill_cache(records, CLIP, cache, workers=2, on_clip=lambda: seen.append(None))
    assert (report.num_there, report.num_new, report.unreadable) == (4, 4, ())
    assert len(seen) == 8


def test_bad_clips_are_named_and_the_others_decoded(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    manifest = write_fake_dives(tmp_path, ("101A",))
    shutil.rmtree(tmp_path / "101A_2")
    (tmp_path / "101A_3" / "0000.png").write_bytes(b"\x89PNG no picture")
    assert main(["cache", str(manifest), *SIZE]) == 1
    printed = capsys.readouterr()
    assert "6 decoded" in printed.out
    assert "2 cannot be read" in printed.out
    assert "101A_2" in printed.err
    assert "101A_3" in printed.err


def test_bad_lines_are_named_and_the_exit_code_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    manifest = write_fake_dives(tmp_path, ("101A",))
    manifest.write_text('{"path": "a.mp4"}\n' + manifest.read_text())
    assert main(["cache", str(manifest), *SIZE]) == 1
    printed = capsys.readouterr()
    assert "8 decoded" in printed.out
    assert "left out manifest.jsonl, line 1: Object missing" in printed.err


def test_other_data_sets_need_a_place(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = write_finediving(tmp_path / "set", dives())
    assert main(["cache", str(root), *SIZE]) == 2
    assert "give --out" in capsys.readouterr().err
    assert main(["cache", str(root), *SIZE, "--out", str(tmp_path / "clips")]) == 0
    assert main(["convert", str(root), "--out", str(tmp_path / "dives.jsonl")]) == 0
    for record in read_manifest(tmp_path / "dives.jsonl"):
        assert isinstance(load_clip(record, CLIP, tmp_path / "clips").frames, np.memmap)
    assert len(list((tmp_path / "clips").iterdir())) == 2 * len(read_source(root).dives)
    assert (root / "FINADiving_MTL_256s" / EVENT).is_dir()


def test_errors_of_use_exit_with_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = write_fake_dives(tmp_path, ("101A",))
    assert main(["cache", str(manifest), "--workers", "0"]) == 2
    assert main(["cache", str(manifest), "--resize-width", "0"]) == 2
    assert "at least 1" in capsys.readouterr().err
    full = shutil.disk_usage(tmp_path)._replace(free=100)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: full)
    assert main(["cache", str(manifest), *SIZE]) == 2
    assert "--out" in capsys.readouterr().err
