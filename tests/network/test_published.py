"""The acceptance check of the README: this network is the published one."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.check_published import compare, main


@pytest.mark.reference
def test_every_figure_is_within_its_limit(reference_dir: Path) -> None:
    figures = compare(reference_dir)
    assert len(figures) == 3 * 3 + 1
    assert [f for f in figures if not f.passed] == []


def test_a_folder_without_golden_values_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path)]) == 2
    assert "no golden.py in" in capsys.readouterr().err
