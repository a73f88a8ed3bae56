"""The page about precisions shows what the manifests hold."""

from __future__ import annotations

from pathlib import Path

import pytest

from mcore_runtime.bundle.folder import Bundle
from tools.precision_page import COLUMNS, main

PAGE = Path(__file__).parents[2] / "docs" / "results" / "precision.md"


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


def test_every_engine_of_every_precision_has_its_row(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "precision.md"
    assert main([str(bundle), "--write", str(page)]) == 0
    text = page.read_text()
    assert text == capsys.readouterr().out
    rows = [cells(line) for line in text.splitlines() if line.startswith("| fp32 |")]
    parity = Bundle.open(bundle).manifest.variants["fp32"].parity
    assert [row[1] for row in rows] == list(dict.fromkeys(row.backend for row in parity))
    for row in rows:
        worst = max(r.figure for r in parity if (r.backend, r.measure) == (row[1], "delta"))
        assert float(row[2 + list(COLUMNS).index("delta")]) == pytest.approx(worst, rel=0.06)
        assert row[-2:] == ["0 of 16", "0"]
    assert "| *limit, fp32* |" in text


def test_the_page_of_the_documentation_has_all_precisions() -> None:
    kinds = {cells(line)[0] for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| ")}
    assert kinds >= {"fp32", "fp16", "int8"}
