"""docs/benchmarks.md, docs/benchmarks.html and the README say what the committed results say."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest

from mcore.common.errors import UserError
from mcore_bench import plots
from mcore_bench.account import Counted, read_variants, write_variants
from mcore_bench.beside import ELSEWHERE_NOTE, Beside, read_accuracy
from mcore_bench.page import render_page
from mcore_bench.result import Result, read_result
from mcore_bench.show import DASH, group_table, plain_cells, variants_table
from mcore_bench.timing import Group, Row, Timing, supports
from tools.benchmarks_page import HEADING, Options, describe, main, read_beside, summary

ROOT = Path(__file__).resolve().parents[2]
RESULTS = "benchmarks/results/cpu.json"
ACCURACY = ROOT / "benchmarks/results/accuracy"
OPTIONS = Options(
    ROOT / RESULTS,
    variants=ROOT / "benchmarks/results/variants.json",
    kept_memory=ROOT / "benchmarks/results/cpu_kept_memory.json",
    with_plain=ROOT / "benchmarks/results/for_cpu.json",
    accuracy=(ACCURACY / "twin_default_bundle.json",),
    pareto=ACCURACY / "pareto.json",
    ablation=ACCURACY / "ablation.json",
)
"""As the tool's docstring says."""
PICTURE = re.compile(r"data:image/svg\+xml;base64,[^\"]*")


@pytest.fixture(scope="module")
def result() -> Result:
    return read_result(ROOT / RESULTS)


@pytest.fixture(scope="module")
def beside() -> Beside:
    return read_beside(OPTIONS)


def test_the_page_is_the_one_of_the_committed_results(result: Result, beside: Beside) -> None:
    page = (ROOT / "docs/benchmarks.md").read_text(encoding="utf-8")
    assert page == "\n".join(describe(result, RESULTS, beside)) + "\n"


def test_the_html_page_is_too(result: Result, beside: Beside, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("speedups", "milliseconds", "layers", "variants", "as_svg"):  # matplotlib's text is not the same in
        monkeypatch.setattr(plots, name, lambda *_: "")  # all its versions, and a second each
    page = (ROOT / "docs/benchmarks.html").read_text(encoding="utf-8")
    rendered = render_page(result, beside)
    # Not compared as a whole: a third of a megabyte of differences takes minutes to be explained.
    committed, now = (PICTURE.sub("picture", text) for text in (page, rendered))
    same = committed == now
    assert same, "docs/benchmarks.html is of other results; write it again as tools/benchmarks_page.py says"
    assert all(len(picture) > 1000 for picture in PICTURE.findall(page))


def test_the_readme_has_its_table(result: Result, beside: Beside) -> None:
    assert "\n".join(summary(result, beside)) in (ROOT / "README.md").read_text(encoding="utf-8")


def test_both_are_written_again_and_the_rest_of_the_readme_stays(tmp_path: Path) -> None:
    page, readme = tmp_path / "page.md", tmp_path / "readme.md"
    readme.write_text(f"# Fast\n\n{HEADING} more |\n| old | x1 |\n\nMore.\n")
    variants = ["--variants", str(OPTIONS.variants)]
    assert main([str(ROOT / RESULTS), "--write", str(page), "--readme", str(readme), *variants]) == 0
    assert page.read_text().startswith("# Benchmarks")
    assert readme.read_text().startswith(f"# Fast\n\n{HEADING} backbone")
    assert readme.read_text().endswith(" |\n\nMore.\n")
    assert main([str(ROOT / RESULTS), "--readme", str(page), *variants]) == 2


def test_results_without_peers_have_no_table_for_the_readme(result: Result) -> None:
    (measured,) = result.bundles
    alone = dataclasses.replace(result, bundles=(dataclasses.replace(measured, groups=measured.groups[:1]),))
    with pytest.raises(UserError, match="measure with --checkpoint and without --gpu-only"):
        list(summary(alone, Beside()))


def test_nothing_is_said_twice_below_tables(result: Result, beside: Beside) -> None:
    lines = [line for line in describe(result, RESULTS, beside) if line.startswith("* ")]
    assert len(lines) == len(set(lines))


def test_scores_are_of_the_whole_test_set_and_of_this_engine(result: Result, beside: Beside) -> None:
    (row,) = (row for row in beside.accuracy[0].rows if row.precision == "bf16" and row.same_number)
    assert beside.test_row("openvino bf16") == row
    assert beside.test_row("onnxruntime int8") is None, "was measured on OpenVINO"
    heading, _, *lines = summary(result, beside)
    assert (
        f"mean score error against fp32 over {row.dives} test dives, points | dives with another transition" in heading
    )
    cells = {line.split(" | ")[0].removeprefix("| "): line.rstrip(" |").split(" | ") for line in lines}
    assert cells["openvino bf16"][-2:] == [f"{row.from_fp32_mean_points:#.2g}", str(row.other_transitions)]
    assert all(len(line.split("|")) == len(heading.split("|")) for line in lines)


def test_files_of_another_bundle_are_refused(result: Result, beside: Beside) -> None:
    accuracy = dataclasses.replace(beside.accuracy[0], bundle_sha256="f" * 64)
    with pytest.raises(UserError, match="--accuracy is of bundle ffffffffffff"):
        Beside(accuracy=(accuracy,)).check(result)
    (measured,) = result.bundles
    other = dataclasses.replace(result, bundles=(dataclasses.replace(measured, bundle_sha256="f" * 64),))
    with pytest.raises(UserError, match="--kept-memory is of bundle ffffffffffff"):
        Beside(kept_memory=other).check(result)


def test_doubts_of_groups_that_are_of_no_one_bundle_are_told(result: Result, beside: Beside) -> None:
    assert beside.with_plain is not None
    together = beside.with_plain.side_by_side
    assert together is not None
    row = together.rows[0]
    shaky = dataclasses.replace(row, timing=dataclasses.replace(row.timing, variation=0.5))
    doubtful = dataclasses.replace(together, rows=(shaky, *together.rows[1:]))
    with_plain = dataclasses.replace(beside.with_plain, side_by_side=doubtful)
    line = f"{together.title}: {row.name} scatters by 50%"
    for run, others in (
        (result, Beside(with_plain=with_plain)),
        (dataclasses.replace(result, side_by_side=doubtful), Beside()),
    ):
        assert line in "\n".join(describe(run, RESULTS, others))
        assert line in render_page(run, others)


def test_freed_memory_kept_stands_beside_and_its_range_is_the_two_files(result: Result, beside: Beside) -> None:
    kept = beside.kept_memory
    assert kept is not None
    dive = next(group for group in result.bundles[0].groups if group.title.startswith("dive, from network input"))
    same = next(group for group in kept.bundles[0].groups if group.title == dive.title)
    cells = beside.columns(dive)["with freed memory kept"]
    assert cells.keys() == {row.name for row in same.rows}
    told = beside.kept_range(result)
    assert told is not None
    least, most = map(float, re.findall(r"\d+\.\d\d", told))
    ratio = dive.rows[0].timing.median_ms / same.rows[0].timing.median_ms
    assert least - 0.01 < ratio < most + 0.01
    assert Beside().kept_range(result) is None
    assert "with freed memory kept" not in Beside().columns(dive)


@pytest.mark.parametrize(
    ("runs", "shown"), [(9, ()), (10, (90,)), (19, (90,)), (20, (90, 95)), (99, (90, 95)), (100, (90, 95, 99))]
)
def test_percentiles_that_the_runs_are_too_few_for_are_a_dash(runs: int, shown: tuple[int, ...]) -> None:
    assert tuple(p for p in (90, 95, 99) if supports(runs, p)) == shown
    timing = Timing(runs, 1.0, 2.0, 3.0, 4.0, 5.0, 0.5, 0.1, 1.0)
    cells = plain_cells(group_table(Group("title", "a", (Row("a", "", timing, None),))))[1]
    assert cells[2:5] == [f"{ms}.0" if p in shown else DASH for p, ms in ((90, 3), (95, 4), (99, 5))]


def test_counts_come_back_from_their_file(tmp_path: Path, beside: Beside) -> None:
    write_variants(tmp_path / "counts.json", beside.counted)
    assert read_variants(tmp_path / "counts.json") == beside.counted != Counted((), ())
    (tmp_path / "counts.json").write_text('{"variants": [{}]}')
    with pytest.raises(UserError, match="holds no counts of variants"):
        read_variants(tmp_path / "counts.json")
    with pytest.raises(UserError, match=r"is no file of mcore_export\.accuracy"):
        read_accuracy(tmp_path / "counts.json")


def test_the_html_page_has_every_layer_and_what_was_trained(result: Result, beside: Beside) -> None:
    page = render_page(result, beside)
    account = result.bundles[0].account
    assert account is not None
    layers = [layer for part in (account.backbone, account.segmenter, account.comparison) for layer in part.layers]
    assert len(layers) > 100
    assert all(f'<td class="text">{layer.name}</td><td>{layer.macs / 1e6:.3f}</td>' in page for layer in layers)
    assert page.count("<details>") == 3
    assert beside.pareto is not None
    assert all(f'<td class="text">{point.run}</td>' in page for point in beside.pareto.points)
    assert "Shifts at an equal budget" in page
    assert "Conditions of the whole run: " in page
    assert ELSEWHERE_NOTE.partition("`")[0] in page


def test_a_variant_shows_the_best_run_of_just_its_configuration(beside: Beside) -> None:
    assert beside.pareto is not None
    rows = plain_cells(variants_table(beside.counted.variants, beside.pareto))[1:]
    trained = {tuple(row[:4]): row[-1] for row in rows if row[-1] != "not trained"}
    full = [p for p in beside.pareto.points if (p.frames, p.pixels, p.widths[-1]) == (96, 112, 368)]
    best = max(full, key=lambda point: point.srcc.value)
    assert trained[("regnety_002", "gated", "96", "112")].endswith(f" ({best.run})")
    assert ("regnety_008", "gated", "96", "112") not in trained
    assert len(rows[0]) - 1 == len(plain_cells(variants_table(beside.counted.variants))[0])
