"""Ratios against older ones: what is held, what is only told, and what makes figures doubtful."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from mcore.common.errors import UserError
from mcore_bench.cli import _compare, _doubts, changes_table
from mcore_bench.conditions import Conditions
from mcore_bench.contenders import PLAIN
from mcore_bench.guard import Baseline, Verdict, check, held_ratios, keep, read_baseline
from mcore_bench.history import WORSE, Change, differences
from mcore_bench.result import Result, read_result
from mcore_bench.steadiness import warnings_of_groups
from mcore_bench.timing import Group, Ratio, Row

RESULTS = Path(__file__).resolve().parents[2] / "benchmarks/results"
BACKBONE = f"backbone and its peers: onnxruntime fp32 over {PLAIN}"
DIVE = f"dive, from network input to score, and its peers: onnxruntime fp32 over {PLAIN}"


@pytest.fixture
def result() -> Result:
    """The committed run as if nothing had disturbed it."""
    found = with_rows(read_result(RESULTS / "cpu.json"), lambda _, row: steady(row))
    groups = tuple(replace(group, conditions=None) for group in found.bundles[0].groups)
    environment = replace(found.environment, omp_wait_policy="")
    return replace(found, bundles=(replace(found.bundles[0], groups=groups),), environment=environment)


def steady(row: Row) -> Row:
    return replace(row, timing=replace(row.timing, variation=0.03, p99_ms=1.1 * row.timing.median_ms))


@pytest.fixture
def kept(result: Result, tmp_path: Path) -> Baseline:
    keep(tmp_path / "baseline.json", result)
    return read_baseline(tmp_path / "baseline.json")


def with_rows(result: Result, change: Callable[[Group, Row], Row]) -> Result:
    """The same run with other rows."""
    bundles = tuple(
        replace(
            bundle,
            groups=tuple(
                replace(group, rows=tuple(change(group, row) for row in group.rows)) for group in bundle.groups
            ),
        )
        for bundle in result.bundles
    )
    return replace(result, bundles=bundles)


def slower(row: Row, factor: float) -> Row:
    """The row as if all its rounds had taken longer."""
    t, s = row.timing, row.speedup
    return replace(
        row,
        timing=replace(t, median_ms=t.median_ms * factor, mean_ms=t.mean_ms * factor, p99_ms=t.p99_ms * factor),
        speedup=None if s is None else Ratio(s.median / factor, s.low / factor, s.high / factor),
    )


def with_slower(result: Result, factor: float, *, name: str = "onnxruntime fp32", title: str = "") -> Result:
    return with_rows(result, lambda g, row: slower(row, factor) if row.name == name and title in g.title else row)


def test_engines_are_held_to_the_plain_export_and_the_published_procedure_is_told(
    kept: Baseline, result: Result
) -> None:
    assert all(name.endswith(f"over {PLAIN}") for name in kept.held)
    assert {BACKBONE, DIVE} < kept.held.keys()
    assert not any("PyTorch" in name or "OpenVINO, plain" in name for name in kept.held)
    assert any(name.endswith("over published procedure, PyTorch eager") for name in kept.information)
    for name in (BACKBONE, DIVE):
        group = next(g for g in result.bundles[0].groups if g.title == name.partition(":")[0])
        medians = group.row(PLAIN).timing.median_ms / group.row("onnxruntime fp32").timing.median_ms
        assert kept.held[name] == pytest.approx(medians, rel=0.02)


def test_the_same_run_loses_nothing(kept: Baseline, result: Result) -> None:
    assert check(kept, result) == Verdict((), ())


def test_calm_runs_of_one_code_differ_by_less_than_a_loss(result: Result) -> None:
    # One with the C library's memory kept and one without: the published procedure differs by a factor of two.
    first, second = (held_ratios(read_result(RESULTS / name)) for name in ("cpu.json", "cpu_kept_memory.json"))
    assert first.keys() == second.keys()
    assert all(WORSE * 1.02 < second[name] / ratio < 1 / WORSE for name, ratio in first.items())


def test_a_backbone_as_slow_as_the_plain_export_is_flagged(kept: Baseline, result: Result) -> None:
    group = next(g for g in result.bundles[0].groups if g.title == "backbone and its peers")
    gained = group.row(PLAIN).timing.median_ms / group.row("onnxruntime fp32").timing.median_ms
    lost = check(kept, with_slower(result, gained, title="backbone and its peers")).lost
    assert [line.split(": was")[0] for line in lost] == [BACKBONE]
    assert f"was x{kept.held[BACKBONE]:.2f}, is x1.0" in lost[0]


@pytest.mark.parametrize("factor", [1 / 0.9, 1.1, 1.08])
def test_a_tenth_is_flagged_in_the_backbone_and_in_the_dive(kept: Baseline, result: Result, factor: float) -> None:
    lost = check(kept, with_slower(result, factor)).lost
    assert [line.split(": was")[0] for line in lost] == [DIVE, BACKBONE]


def test_three_percent_are_noise(kept: Baseline, result: Result) -> None:
    assert check(kept, with_slower(result, 1.03)) == Verdict((), ())


def test_a_published_procedure_that_takes_half_the_time_is_no_loss(kept: Baseline, result: Result) -> None:
    def halved(group: Group, row: Row) -> Row:
        if not row.name.startswith("published"):
            return row if row.speedup is None or group.baseline == PLAIN else slower_ratio(row)
        return slower(row, 0.5)

    def slower_ratio(row: Row) -> Row:
        assert row.speedup is not None
        return replace(row, speedup=Ratio(row.speedup.median / 2, row.speedup.low / 2, row.speedup.high / 2))

    assert check(kept, with_rows(result, halved)) == Verdict((), ())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"processor": "another"}, "processor: was AMD EPYC family 26 model 2 stepping 1, is another"),
        ({"threads": 2}, "threads: was 1, is 2"),
    ],
)
def test_nothing_is_held_in_another_setting(
    kept: Baseline, result: Result, change: dict[str, object], words: str
) -> None:
    other = replace(with_slower(result, 2.0), environment=replace(result.environment, **change))  # type: ignore[arg-type]
    verdict = check(kept, other)
    assert verdict.lost == ()
    assert "nothing was held" in verdict.notes[0]
    assert words in verdict.notes[0]


def test_another_generation_of_the_same_name_is_another_processor(kept: Baseline, result: Result) -> None:
    ours, theirs = (replace(kept.environment, processor_id=f"family {number}") for number in (25, 26))
    verdict = check(replace(kept, environment=ours), replace(result, environment=theirs))
    assert "processor: was AMD EPYC family 25, is AMD EPYC family 26" in verdict.notes[0]


def test_other_versions_and_engines_that_are_not_here_are_told(kept: Baseline, result: Result) -> None:
    versions = {**result.environment.versions, "openvino": "1.0"}
    fewer = replace(result, environment=replace(result.environment, versions=versions))
    held = {**kept.held, f"backbone and its peers: tensorrt fp32 over {PLAIN}": 9.0}
    verdict = check(replace(kept, held=held), fewer)
    assert verdict.lost == ()
    assert any(line.startswith("openvino: was ") and line.endswith("is 1.0") for line in verdict.notes)
    assert any("tensorrt fp32" in line and "was not measured here" in line for line in verdict.notes)
    with pytest.raises(UserError, match="none of the ratios to hold was measured"):
        check(replace(kept, held={"gone: a over b": 2.0}), result)


def test_a_run_without_peers_cannot_be_kept(result: Result, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nothing to guard"):
        keep(tmp_path / "baseline.json", replace(result, bundles=()))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ('{"processor": "AMD EPYC", "ratios": {}}', 'format 1; this mcore-bench reads 2.*make bench RATIOS="--keep'),
        ("[1]", "format None"),
        ('{"format": 2}', "has no ratios to hold"),
        ('{"format": 2, "environment": {"unknown": 1}}', "has no ratios to hold"),
        ("nothing", "cannot read the ratios to hold"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, content: str, words: str) -> None:
    (tmp_path / "baseline.json").write_text(content)
    with pytest.raises(UserError, match=words):
        read_baseline(tmp_path / "baseline.json")


def noisy(result: Result, title: str) -> Result:
    conditions = Conditions(2.0, 1.0, 0.8, 0.0, (1.0, 1.0, 1.0), None, None, None, "",
                            ("noisy machine: other programs used 0.8 cores",))  # fmt: skip
    groups = tuple(
        replace(group, conditions=conditions) if group.title == title else group for group in result.bundles[0].groups
    )
    return replace(result, bundles=(replace(result.bundles[0], groups=groups),))


def test_doubts_go_with_the_kept_ratios_and_with_a_loss(kept: Baseline, result: Result, tmp_path: Path) -> None:
    doubtful = noisy(result, "backbone and its peers")
    line = "backbone and its peers: noisy machine: other programs used 0.8 cores"
    assert keep(tmp_path / "doubtful.json", doubtful).warnings == (line,)
    assert line in check(read_baseline(tmp_path / "doubtful.json"), result).notes[0]
    assert json.loads((tmp_path / "doubtful.json").read_text())["warnings"] == [line]
    assert any(line in note for note in check(kept, with_slower(doubtful, 2.0)).notes)


def test_a_contender_that_scatters_in_a_quiet_run_is_found(result: Result) -> None:
    """Eighty seconds of ten minutes: the mean over the whole run says nothing."""
    title = "dive, from the file to the score"

    def scattered(group: Group, row: Row) -> Row:
        if (group.title, row.name) != (title, "openvino fp32"):
            return row
        return replace(row, timing=replace(row.timing, variation=0.43, median_ms=193.0, p99_ms=528.0, runs=20))

    found = with_rows(result, scattered)
    assert found.bundles[0].conditions.warnings == ()
    line = f"{title}: openvino fp32 scatters by 43% (median 193 ms, 99th percentile 528 ms, 20 runs)"
    assert list(_doubts(found)) == [line]


def test_a_calm_run_raises_no_doubts(result: Result) -> None:
    assert list(_doubts(result)) == []


@pytest.mark.parametrize(("runs", "p99", "doubtful"), [(100, 2.1, True), (99, 2.1, False), (500, 1.9, False)])
def test_a_long_tail_needs_runs(result: Result, runs: int, p99: float, doubtful: bool) -> None:
    group = result.bundles[0].groups[1]
    t = group.rows[0].timing
    row = replace(group.rows[0], timing=replace(t, runs=runs, p99_ms=t.median_ms * p99))
    lines = warnings_of_groups((replace(group, rows=(row,)),))
    assert len(lines) == doubtful
    assert all(f"{group.title}: {row.name} takes 2.1 times as long once in a hundred" in line for line in lines)


def told(old: Result, new: Result) -> str:
    console = Console(width=200, file=io.StringIO(), record=True)
    _compare(console, old, new)
    return console.export_text()


def test_runs_in_different_settings_are_told_and_not_judged(result: Result) -> None:
    text = told(result, read_result(RESULTS / "cpu_two_threads.json"))
    assert "the runs differ: threads: was 1, is 2" in text
    assert "lost ground" not in text
    text = told(result, read_result(RESULTS / "cpu_kept_memory.json"))
    assert "the runs differ: freed memory: was given back, is kept" in text
    assert "lost ground" not in text


def test_a_loss_in_the_same_setting_is_told(result: Result) -> None:
    text = told(result, with_slower(result, 1.1, title="backbone"))
    assert "the runs differ" not in text
    assert text.count("lost ground") == 1


def test_ratios_of_different_work_are_neither_lost_nor_won(result: Result) -> None:
    change = Change("video of 640 x 360: preprocess over decode", 1.3, 0.3)
    assert not change.same_work
    assert not change.lost
    assert Change(BACKBONE, 2.0, WORSE * 2.0 - 0.01).lost
    assert not Change(BACKBONE, 2.0, WORSE * 2.0 + 0.01).lost
    verdicts = list(changes_table([change]).columns[-1].cells)
    assert verdicts == ["different work"]


def test_versions_on_one_side_only_are_told(result: Result) -> None:
    e = result.environment
    fewer = replace(e, versions={name: v for name, v in e.versions.items() if name != "openvino"})
    found = differences(e, result.command, fewer, result.command)
    assert found.setting == ()
    assert [line.partition(": was")[0] for line in found.software] == ["openvino"]
    assert found.software[0].endswith("is not there")
    passive = replace(e, omp_wait_policy="PASSIVE")
    assert differences(e, "", passive, "").software == ()
    two = differences(replace(e, threads=2), "", replace(passive, threads=2), "").software
    assert two == ("OMP_WAIT_POLICY: was not set, is PASSIVE",)


def test_the_committed_ratios_are_held_to_the_plain_export() -> None:
    kept = read_baseline(RESULTS.parent / "baseline.json")
    assert kept.held.keys() >= {BACKBONE, DIVE}
    assert all(name.endswith(PLAIN) for name in kept.held)
    assert kept.held[BACKBONE] > 1
    assert "--keep-freed-memory" in kept.command
    assert kept.warnings == ()
