"""docs/benchmarks.md and the README say what the committed results say."""

from __future__ import annotations

from pathlib import Path

import pytest

from mcore_bench.flops import variants
from mcore_bench.pareto import read_pareto
from mcore_bench.result import read_result
from tools.benchmarks_page import HEADING, describe, main, summary

ROOT = Path(__file__).resolve().parents[2]
RESULTS = "benchmarks/results/cpu.json"
PARETO = "benchmarks/results/accuracy/pareto.json"


def test_the_page_is_the_one_of_the_committed_results() -> None:
    page = (ROOT / "docs/benchmarks.md").read_text(encoding="utf-8")
    lines = describe(read_result(ROOT / RESULTS), RESULTS, variants(), read_pareto(ROOT / PARETO))
    assert page == "\n".join(lines) + "\n"


def test_the_readme_has_its_table() -> None:
    assert "\n".join(summary(read_result(ROOT / RESULTS))) in (ROOT / "README.md").read_text(encoding="utf-8")


def test_both_are_written_again_and_the_rest_of_the_readme_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tools.benchmarks_page.count_variants", tuple)  # half a minute
    page, readme = tmp_path / "page.md", tmp_path / "readme.md"
    readme.write_text(f"# Fast\n\n{HEADING}\n| old | x1 |\n\nMore.\n")
    assert main([str(ROOT / RESULTS), "--write", str(page), "--readme", str(readme)]) == 0
    assert page.read_text().startswith("# Benchmarks")
    assert readme.read_text().startswith(f"# Fast\n\n{HEADING}\n| ---")
    assert readme.read_text().endswith(" |\n\nMore.\n")
    assert main([str(ROOT / RESULTS), "--readme", str(page)]) == 2
