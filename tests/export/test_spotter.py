"""A bundle with a spotter of one's own."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from mcore.video.spotting import SPOTTER_WEIGHTS
from mcore_export.bundle_command import main
from mcore_runtime.bundle.folder import Bundle
from mcore_runtime.scoring.batch import DiveRequest, search


def test_a_bundle_finds_dives_by_its_own_spotter(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert Bundle.open(bundle).spotter == SPOTTER_WEIGHTS
    weights, out = tmp_path / "own.npz", tmp_path / "new"
    shutil.copyfile(SPOTTER_WEIGHTS, weights)
    assert main(["spotter", str(bundle), str(weights), "--out", str(out)]) == 0
    made = Bundle.open(out)
    assert made.spotter == out / "spotter.npz"
    assert made.spotter.read_bytes() == SPOTTER_WEIGHTS.read_bytes()
    assert main(["show", str(out)]) == 0
    assert "finds dives by a spotter of its own" in capsys.readouterr().out
    made.spotter.write_bytes(b"spoiled")
    (found,) = search(DiveRequest(bundle / "golden.mp4"), made.spotter)
    assert "cannot read the spotter's weights" in str(found.problem)


@pytest.mark.parametrize("content", [b"", b"no weights"])
def test_what_is_no_spotter_is_refused(
    content: bytes, bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "own.npz").write_bytes(content)
    assert main(["spotter", str(bundle), str(tmp_path / "own.npz"), "--out", str(tmp_path / "new")]) == 2
    assert "cannot read the spotter's weights" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()
