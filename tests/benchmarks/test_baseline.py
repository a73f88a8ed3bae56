"""Ratios against a baseline: what is a regression, what is only noted, and what is not compared."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from mcore.common.errors import UserError
from mcore_bench.baseline import (
    REGRESSION,
    Baseline,
    Comparison,
    baseline_ratios,
    check_baseline,
    read_baseline,
    save_baseline,
)
from mcore_bench.candidates import BACKBONE_PEERS, DIVE_PEERS, PLAIN
from mcore_bench.machine import Conditions
from mcore_bench.result import Result, read_result
from mcore_bench.timing import Ratio, TimingGroup, TimingRow

ROOT = Path(__file__).resolve().parents[2] / "benchmarks"
BACKBONE = f"{BACKBONE_PEERS}: onnxruntime fp32 over {PLAIN}"
DIVE = f"{DIVE_PEERS}: onnxruntime fp32 over {PLAIN}"


@pytest.fixture
def result() -> Result:
    return read_result(ROOT / "results/cpu.json")


@pytest.fixture
def baseline(result: Result, tmp_path: Path) -> Baseline:
    save_baseline(tmp_path / "baseline.json", result)
    return read_baseline(tmp_path / "baseline.json")


def with_rows(result: Result, change: Callable[[TimingGroup, TimingRow], TimingRow]) -> Result:
    """The same run with other rows."""
    groups = tuple(replace(g, rows=tuple(change(g, row) for row in g.rows)) for g in result.groups)
    return replace(result, groups=groups)


def slower(row: TimingRow, factor: float) -> TimingRow:
    """The row as if all its rounds had taken longer."""
    speedup = row.speedup
    return replace(
        row,
        timing=replace(row.timing, median_ms=row.timing.median_ms * factor),
        speedup=speedup and Ratio(speedup.median / factor, speedup.low / factor, speedup.high / factor),
    )


def with_slower(result: Result, factor: float, title: str = "") -> Result:
    return with_rows(
        result, lambda g, row: slower(row, factor) if row.name == "onnxruntime fp32" and title in g.title else row
    )


def test_engines_are_compared_with_the_plain_export_only(baseline: Baseline) -> None:
    assert all(name.endswith(f"over {PLAIN}") for name in baseline.ratios)
    assert {BACKBONE, DIVE} < baseline.ratios.keys()
    assert not any("PyTorch" in name or "OpenVINO, plain" in name for name in baseline.ratios)


def test_the_same_run_has_no_regression(baseline: Baseline, result: Result) -> None:
    assert check_baseline(baseline, result) == Comparison((), ())


def test_calm_runs_of_one_code_differ_by_less_than_a_regression(result: Result) -> None:
    # The published procedure differs by a factor of two between these two.
    first, second = baseline_ratios(result), baseline_ratios(read_result(ROOT / "results/cpu_malloc_trimming_off.json"))
    assert first.keys() == second.keys()
    assert all(REGRESSION * 1.02 < second[name] / ratio < 1 / REGRESSION for name, ratio in first.items())


@pytest.mark.parametrize(
    ("factor", "title", "expected"),
    [
        (1 / 0.9, "", {DIVE, BACKBONE}),
        (1.08, "", {DIVE, BACKBONE}),
        (1.03, "", set()),
        (1.5, BACKBONE_PEERS, {BACKBONE}),
    ],
)
def test_a_slower_engine_is_a_regression(
    baseline: Baseline, result: Result, factor: float, title: str, expected: set[str]
) -> None:
    found = check_baseline(baseline, with_slower(result, factor, title)).regressions
    assert {line.split(": was")[0] for line in found} == expected


def test_a_published_procedure_that_takes_half_the_time_is_none(baseline: Baseline, result: Result) -> None:
    faster = with_rows(result, lambda g, row: slower(row, 0.5) if row.name.startswith("published") else row)
    assert check_baseline(baseline, faster) == Comparison((), ())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"processor_id": "family 25"}, "is AMD EPYC family 25"),
        ({"threads": 2}, "threads: was 1, is 2"),
        ({"gpu": "A card"}, "GPU: was none, is A card"),
        ({"malloc_trimming": False}, "malloc trimming: was on, is off"),
    ],
)
def test_nothing_is_compared_in_another_setting(
    baseline: Baseline, result: Result, change: dict[str, object], words: str
) -> None:
    other = replace(with_slower(result, 2.0), environment=replace(result.environment, **change))  # type: ignore[arg-type]
    found = check_baseline(baseline, other)
    assert found.regressions == ()
    assert "nothing was checked" in found.notes[0]
    assert words in found.notes[0]


def test_other_versions_and_absent_engines_are_noted(baseline: Baseline, result: Result) -> None:
    versions = {**result.environment.versions, "openvino": "1.0"}
    other = replace(result, environment=replace(result.environment, versions=versions))
    more = replace(baseline, ratios={**baseline.ratios, f"{BACKBONE_PEERS}: tensorrt fp32 over {PLAIN}": 9.0})
    found = check_baseline(more, other)
    assert found.regressions == ()
    assert any(line.startswith("openvino: was ") and line.endswith("is 1.0") for line in found.notes)
    assert any("tensorrt fp32" in line and "was not measured here" in line for line in found.notes)
    with pytest.raises(UserError, match="no ratio of the baseline was measured"):
        check_baseline(replace(baseline, ratios={"gone": 2.0}), result)


def test_doubts_go_with_a_regression(baseline: Baseline, result: Result) -> None:
    noisy = Conditions(2.0, 1.0, 0.8, 0.0, (0.1, 0.1), ("other programs used 0.8 cores",))
    doubtful = replace(result, groups=tuple(replace(group, conditions=noisy) for group in result.groups))
    assert check_baseline(baseline, doubtful).notes == ()
    notes = check_baseline(baseline, with_slower(doubtful, 2.0)).notes
    assert any("measure again before believing a regression" in line and "0.8 cores" in line for line in notes)


def test_a_run_without_peers_cannot_be_saved(result: Result, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no ratios to save"):
        save_baseline(tmp_path / "baseline.json", replace(result, groups=()))


@pytest.mark.parametrize("content", ["[1]", '{"format": 2}', "nothing"])
def test_other_files_are_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "baseline.json").write_text(content)
    with pytest.raises(UserError, match="is no baseline of this mcore-bench, measure it anew"):
        read_baseline(tmp_path / "baseline.json")
    with pytest.raises(UserError, match="cannot read the baseline"):
        read_baseline(tmp_path / "missing.json")


def test_the_committed_baseline_is_of_the_plain_export() -> None:
    committed = read_baseline(ROOT / "baseline.json")
    assert committed.ratios.keys() >= {BACKBONE, DIVE}
    assert committed.ratios[BACKBONE] > 1
    assert not committed.environment.malloc_trimming
