"""docs/benchmarks.md says what the committed results say."""

from __future__ import annotations

from pathlib import Path

import pytest

from mcore_bench.result import read_result
from tools.benchmarks_page import describe

ROOT = Path(__file__).resolve().parents[2]
RESULTS = "benchmarks/results/cpu.json"


def test_the_page_is_the_one_of_the_committed_results() -> None:
    page = (ROOT / "docs/benchmarks.md").read_text(encoding="utf-8")
    assert page.startswith("\n".join(describe(read_result(ROOT / RESULTS), RESULTS)))


@pytest.mark.parametrize("name", ["README.md", "docs/benchmarks.md"])
def test_the_headline_is_in_the_results(name: str) -> None:
    result = read_result(ROOT / RESULTS)
    group = next(g for g in result.bundles[0].groups if "and its peers" in g.title and "dive" in g.title)
    speedup = group.row("openvino fp32").speedup
    assert speedup is not None
    assert f"x{speedup.median:.2f} [{speedup.low:.2f}, {speedup.high:.2f}]" in (ROOT / name).read_text(encoding="utf-8")
