"""The folder of a bundle: replaced whole and only on request, and left as it was by whatever fails."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from mcore.common.errors import UserError
from mcore_export.bundle_command import main
from mcore_export.cli import main as export
from mcore_export.folder import appearing_folder
from mcore_runtime.bundle.folder import Bundle


def test_nothing_is_replaced_by_accident(
    checkpoint: Path, bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (bundle / "manifest.json").read_bytes()
    assert export([str(checkpoint), "--out", str(bundle)]) == 2
    assert "already exists; replace it with --force" in capsys.readouterr().err
    assert (bundle / "manifest.json").read_bytes() == before
    (tmp_path / "thesis.tex").write_text("precious")
    assert export([str(checkpoint), "--out", str(tmp_path), "--force"]) == 2
    assert "is not a bundle" in capsys.readouterr().err
    assert (tmp_path / "thesis.tex").read_text() == "precious"


def test_overwriting_replaces_the_whole_bundle(bundle: Path, dives: Path, tmp_path: Path) -> None:
    out = tmp_path / "bundle"
    shutil.copytree(bundle, out)
    (out / "stray").write_text("old")
    arguments = ["exemplars", str(bundle), "--dives", str(dives), "--no-pictures", "--out", str(out)]
    assert main(arguments) == 2
    assert main([*arguments, "--force"]) == 0
    assert Bundle.open(bundle).exemplar_pictures() is not None
    assert Bundle.open(out).exemplar_pictures() is None
    assert (out / "stray").exists() is False
    assert [p.name for p in tmp_path.iterdir()] == ["bundle"]


def test_a_bundle_is_not_replaced_from_inside(
    bundle: Path, dives: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = Path(shutil.copytree(bundle, tmp_path / "bundle"))
    monkeypatch.chdir(out)
    assert main(["exemplars", ".", "--out", ".", "--dives", str(dives), "--force"]) == 2
    captured = capsys.readouterr()
    assert "cannot be replaced from inside: run the command in another folder" in captured.err
    assert captured.out == ""  # before the work


def test_a_copy_below_the_bundle_holds_what_the_manifest_lists(bundle: Path, dives: Path, tmp_path: Path) -> None:
    source = tmp_path / "bundle"
    shutil.copytree(bundle, source)
    (source / "notes.txt").write_text("of the user")
    out = source / "other"
    assert main(["exemplars", str(source), "--out", str(out), "--dives", str(dives)]) == 0
    assert set(Bundle.open(out).manifest.files) == set(Bundle.open(bundle).manifest.files)
    assert not (out / "notes.txt").exists()


def interrupted(folder: Path) -> None:
    (folder / "manifest.json").write_text("half")
    raise KeyboardInterrupt


@pytest.mark.parametrize(("fill", "error"), [(interrupted, KeyboardInterrupt), (Path.rmdir, FileNotFoundError)])
def test_an_export_or_a_move_that_fails_leaves_the_old_bundle(
    tmp_path: Path, fill: Callable[[Path], None], error: type[BaseException]
) -> None:
    out = tmp_path / "bundle"
    out.mkdir()
    (out / "manifest.json").write_text("old")
    with pytest.raises(error), appearing_folder(out) as folder:
        fill(folder)
    assert (out / "manifest.json").read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["bundle"]


def test_what_another_made_meanwhile_stays(tmp_path: Path) -> None:
    out = tmp_path / "bundle"

    with pytest.raises(UserError, match="made by someone else meanwhile"), appearing_folder(out):
        out.mkdir()
    assert [p.name for p in tmp_path.iterdir()] == ["bundle"]
    assert list(out.iterdir()) == []
