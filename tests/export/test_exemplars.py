"""Exemplars of a bundle: added at export or later, named and pictured, without those that cannot be read."""

from __future__ import annotations

import io
import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

import mcore
from mcore.data.manifest import read_manifest, write_manifest
from mcore.video import crop, normalise, sample_clip
from mcore_export.bundle_command import main
from mcore_export.cli import main as export
from mcore_export.exemplars.bank import BankOptions, choose_exemplars
from mcore_runtime import Scorer
from mcore_runtime.bundle.folder import Bundle
from mcore_runtime.bundle.moments import moment_frames


def test_graphs_alone_until_exemplars_are_added(
    checkpoint: Path, dives: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bare, full = tmp_path / "bare", tmp_path / "full"
    model = mcore.load_checkpoint(checkpoint)
    moved = {"data": {"manifest": "/moved/manifest.jsonl"}}
    mcore.network.checkpoint.save_checkpoint(tmp_path / "best.pt", model, extra=moved)
    assert export([str(tmp_path / "best.pt"), "--out", str(bare)]) == 0
    printed = capsys.readouterr().out
    assert "the dives this checkpoint was trained on are no longer at /moved/manifest.jsonl" in printed
    assert "no exemplars yet" in printed
    assert Bundle.open(bare).manifest.variants["fp32"].exemplars is None
    assert main(["exemplars", str(bare), "--out", str(full), "--dives", str(dives)]) == 0
    record = Bundle.open(full).manifest.variants["fp32"].exemplars
    assert record is not None
    assert (record.count, record.num_compared) == (4, 10)


def test_all_dives_of_the_split_become_exemplars(dives: Path) -> None:
    chosen = choose_exemplars(BankOptions(dives))
    assert len(chosen) == len({record.path for record in chosen}) == 4
    assert [record.dive_number for record in chosen] == sorted(record.dive_number for record in chosen)


def test_exemplars_are_kept_to_be_looked_at(bundle: Path, dives: Path) -> None:
    opened = Bundle.open(bundle)
    pictures, bank = opened.exemplar_pictures(), opened.load_exemplars()
    assert pictures is not None
    assert sorted(bank.names) == sorted(name for name in bank.names.tolist() if name in pictures)
    assert (len(pictures), pictures.tokens_per_stage) == (len(bank), opened.model.tokens_per_stage)
    name = str(bank.names[0])
    clip = sample_clip(dives.parent / name, opened.model.clip)
    with Scorer(opened) as scorer:
        encoded = scorer.encode(normalise(crop(clip.frames, opened.model.clip), opened.model.clip))
    moments = pictures.moments(name)
    assert moments is not None
    frames = moment_frames(encoded.transitions.tolist(), len(clip.frames), opened.model.tokens_per_stage)
    assert [moment.pts_seconds for moment in moments] == clip.pts_seconds[frames].tolist()
    with Image.open(io.BytesIO(moments[-1].jpeg)) as picture:
        assert picture.size == (96, 64)  # the source's, never enlarged


def test_pictures_of_exemplars_are_left_out_on_request(
    bundle: Path, dives: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["exemplars", str(bundle), "--dives", str(dives), "--no-pictures", "--out", str(tmp_path / "bundle")]
    assert main(arguments) == 0
    assert "exemplar_pictures" not in capsys.readouterr().out
    assert Bundle.open(tmp_path / "bundle").exemplar_pictures() is None
    assert not (tmp_path / "bundle" / "exemplar_pictures.zip").exists()


def test_dives_of_one_file_have_names_of_their_own(bundle: Path, dives: Path, tmp_path: Path) -> None:
    dive = replace(read_manifest(dives)[1], transition_frames=None)
    write_manifest(tmp_path / "list.jsonl", [replace(dive, start_s=0.0, end_s=1.5), replace(dive, start_s=1.5)])
    given = ["--dives", str(tmp_path / "list.jsonl"), "--out", str(tmp_path / "bundle")]
    assert main(["exemplars", str(bundle), *given]) == 0
    opened = Bundle.open(tmp_path / "bundle")
    file = dive.path.name
    assert opened.load_exemplars().names.tolist() == [f"{file} 0-1.5 s", f"{file} 1.5- s"]
    pictures = opened.exemplar_pictures()
    assert pictures is not None
    assert len(pictures) == 2


def test_unreadable_training_dives_are_named_and_left_out(
    bundle: Path, dives: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    listing = tmp_path / "dives.jsonl"
    records = read_manifest(dives)
    write_manifest(listing, [records[0], replace(records[1], path=tmp_path / "gone.mp4"), *records[2:]])
    assert main(["exemplars", str(bundle), "--out", str(tmp_path / "bundle"), "--dives", str(listing)]) == 0
    assert "left out:" in (out := capsys.readouterr().out)
    assert "gone.mp4" in out
    record = Bundle.open(tmp_path / "bundle").manifest.variants["fp32"].exemplars
    assert record is not None
    assert record.count == 3


def test_repeats_of_a_dive_are_no_further_exemplars(
    bundle: Path, dives: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    row = json.loads(dives.read_text().splitlines()[1])
    video = dives.parent / row.pop("path")
    shutil.copy(video, tmp_path / "copy.mp4")
    (tmp_path / "link.mp4").symlink_to(video)
    other = json.loads(dives.read_text().splitlines()[2])
    windows: list[dict[str, object]] = [
        {"path": str(video), "dive_number": "107b "},
        {"path": "copy.mp4"},
        {"path": "link.mp4"},
        {"path": str(video), "start_s": 0.04},
        {"path": str(dives.parent / other["path"])},
    ]
    (tmp_path / "list.jsonl").write_text("\n".join(json.dumps(row | window) for window in windows))
    argv = ["exemplars", str(bundle), "--dives", str(tmp_path / "list.jsonl"), "--out", str(tmp_path / "new")]
    assert main(argv) == 0
    out = capsys.readouterr().out
    assert out.count("the same dive as another") == 3
    assert f"left out: {tmp_path / 'list.jsonl'}, line 2: " in out
    assert Bundle.open(tmp_path / "new").load_exemplars().counts() == {"107B": 2}


def test_a_bad_line_is_named_and_does_not_block_the_others(
    bundle: Path, dives: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    row = json.loads(dives.read_text().splitlines()[1])
    row["path"] = str(dives.parent / row["path"])
    (tmp_path / "list.jsonl").write_text(
        "\n".join(json.dumps(one) for one in (row, row | {"split": "val", "dive_number": "banana"}))
    )
    arguments = ["exemplars", str(bundle), "--dives", str(tmp_path / "list.jsonl"), "--out", str(tmp_path / "new")]
    assert main(arguments) == 0
    assert f"left out: {tmp_path / 'list.jsonl'}, line 2: 'banana' is not a dive number" in capsys.readouterr().out
    assert Bundle.open(tmp_path / "new").load_exemplars().counts() == {row["dive_number"]: 1}
