"""Places that cannot be written to are refused before anything is made."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mcore.common.errors import UserError
from mcore.data.cache_folder import cache_folder, check_folder


def test_folders_that_can_be_made_are_not_made_yet(tmp_path: Path) -> None:
    check_folder(tmp_path, "--out", "")
    check_folder(tmp_path / "a" / "b", "--out", "")
    assert not list(tmp_path.iterdir())


def test_a_file_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "file" / "run" / "one"):
        with pytest.raises(UserError, match=r"--out .* cannot be a folder: .*file is a file; choose"):
            check_folder(folder, "--out", "choose another --out DIR")
    (tmp_path / "loop").symlink_to(tmp_path / "nowhere")
    with pytest.raises(UserError, match="cannot be a folder"):
        check_folder(tmp_path / "loop", "--out", "")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_rights_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(UserError, match="no right to write"):
            check_folder(tmp_path / "run", "--out", "")
    finally:
        tmp_path.chmod(0o700)


def test_rights_are_asked_of_the_nearest_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Path] = []

    def never(path: Path, mode: int) -> bool:
        asked.append(path)
        return False

    monkeypatch.setattr(os, "access", never)
    with pytest.raises(UserError, match=r"--cache .* no right to write in .*; choose another --cache"):
        cache_folder(tmp_path / "dives.jsonl", tmp_path / "a" / "b", no_cache=False)
    assert asked == [tmp_path.resolve()]


def test_clips_lie_beside_the_list(tmp_path: Path) -> None:
    assert cache_folder(tmp_path / "dives.jsonl", None, no_cache=False) == tmp_path.resolve() / ".clips"
    assert cache_folder(tmp_path / "dives.jsonl", None, no_cache=True) is None
