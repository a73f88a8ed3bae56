"""The check on emulated aarch64: when it is asked for, and what it says of scores that differ. Emulates nothing."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from mcore.common.errors import UserError
from mcore.common.typed_json import encode
from tools import aarch64, emulated
from tools.emulated import ROOT


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """As much of the project as the digest reads."""
    for name in ("pyproject.toml", *(str(path.relative_to(ROOT)) for path in _checked())):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


def _checked() -> list[Path]:
    return [path for pattern in aarch64.CHECKED for path in ROOT.glob(pattern)]


def test_every_pattern_finds_files() -> None:
    for pattern in aarch64.CHECKED:
        assert list(ROOT.glob(pattern)), pattern


@pytest.mark.parametrize("name", ["CMakeLists.txt", "mcore/video/picture.py", "runtime/native/kernels_neon.cpp"])
def test_a_change_of_what_counts_asks_for_a_check(project: Path, name: str) -> None:
    assert aarch64.digest(project) == aarch64.digest(ROOT)
    with (project / name).open("a") as file:
        file.write("\n")
    assert aarch64.digest(project) != aarch64.digest(ROOT)


def test_a_renamed_and_a_new_file_ask_for_a_check(project: Path) -> None:
    seen = {aarch64.digest(project)}
    (project / "runtime/native/kernels_sve.cpp").touch()
    seen.add(aarch64.digest(project))
    (project / "runtime/native/kernels_sve.cpp").rename(project / "runtime/native/kernels_sve2.cpp")
    seen.add(aarch64.digest(project))
    assert len(seen) == 3


@pytest.mark.parametrize(
    ("old", "new", "asks"),
    [
        ('"av>=17"', '"av>=18"', True),
        ('"onnxruntime>=1.18"]', '"onnxruntime>=1.23"]', True),
        ("ruff>=", "ruff>", False),
    ],
)
def test_of_pyproject_only_dependencies_count(project: Path, old: str, new: str, asks: bool) -> None:
    text = (project / "pyproject.toml").read_text()
    assert old in text
    (project / "pyproject.toml").write_text(text.replace(old, new))
    assert (aarch64.digest(project) != aarch64.digest(ROOT)) is asks


@pytest.mark.parametrize(("files", "code", "said"), [("today", 0, "nothing changed since"), ("other", 1, "--save")])
def test_a_stored_result_counts_for_its_files(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    files: str,
    code: int,
    said: str,
) -> None:
    sha256 = aarch64.digest(ROOT) if files == "today" else files
    path = tmp_path / "result.json"
    path.write_text(encode(aarch64.Result("2026-11-30", sha256, 300, {}, ())))
    monkeypatch.setattr(aarch64, "RESULT", path)
    assert aarch64.main(["--is-checked"]) == code
    assert said in capsys.readouterr().out


def test_the_stored_result_can_be_read() -> None:
    assert aarch64.main(["--is-checked"]) in (0, 1)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"PROGRAMS": {"no-such-program": "its-package"}}, "apt-get install its-package"),
        ({}, "emulation is for x86-64"),
    ],
)
def test_where_it_cannot_run_it_says_why_and_fails_nothing(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    change: dict[str, object],
    said: str,
) -> None:
    monkeypatch.setattr("platform.machine", lambda: "x86_64" if change else "aarch64")
    for name, value in change.items():
        monkeypatch.setattr(emulated, name, value)
    assert aarch64.main(["--folder", str(tmp_path)]) == aarch64.SKIPPED
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("aarch64_points", "agree"), [(62.6, True), (62.6009, True), (62.5985, False), (float("nan"), False)]
)
def test_scores_agree_up_to_a_thousandth_of_a_point(
    capsys: pytest.CaptureFixture[str], aarch64_points: float, agree: bool
) -> None:
    row = aarch64.Comparison("dive.mp4", "1.23.2", "NumPy", 62.6, aarch64_points)
    same = aarch64.Comparison("other.mp4", "1.23.2", "NumPy", 50.0, 50.0)
    assert aarch64.describe([row, same]) is agree
    assert capsys.readouterr().out.count("TOO FAR") == (not agree)


def test_a_program_that_fails_is_named_with_its_last_words(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"step failed with exit code 3 .*\n  no such thing"):
        emulated.run(tmp_path / "logs" / "step", ["sh", "-c", "echo no such thing >&2; exit 3"])
    assert "no such thing" in (tmp_path / "logs" / "step").read_text()


def test_videos_come_with_a_bundle(capsys: pytest.CaptureFixture[str]) -> None:
    assert aarch64.main(["--videos", "dive.mp4"]) == 2
    assert "go together" in capsys.readouterr().err
