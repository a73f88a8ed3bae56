"""The page and the README's table hold what the committed results hold, and any result can be read."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from mcore.common.errors import UserError
from mcore_bench.command import main
from mcore_bench.report import DASH, TRIMMING_OFF, page, readme_table, render
from mcore_bench.result import Column, Result, Table, read_result, write_result

ROOT = Path(__file__).resolve().parents[2]
RESULTS, PAGE = ROOT / "benchmarks/results", ROOT / "docs/results/benchmarks.md"


@pytest.fixture
def result() -> Result:
    return read_result(RESULTS / "cpu.json")


@pytest.fixture
def trimming_off() -> Result:
    return read_result(RESULTS / "cpu_malloc_trimming_off.json")


def test_the_page_is_that_of_the_committed_results() -> None:
    text = "\n".join(page({path: read_result(path) for path in sorted(RESULTS.glob("*.json"))}, PAGE)) + "\n"
    committed = PAGE.read_text(encoding="utf-8")
    assert text == committed, "write it again: mcore-bench report benchmarks/results -o docs/results/benchmarks.md"


def test_a_folder_of_results_becomes_a_page_and_nothing_else_does(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["report", str(RESULTS), "-o", str(tmp_path / "page.md")]) == 0
    assert (tmp_path / "page.md").read_text(encoding="utf-8").startswith("# Benchmarks\n")
    (tmp_path / "other.json").write_text('{"rows": []}', encoding="utf-8")
    assert main(["report", str(tmp_path)]) == 2
    assert "other.json is no result of this mcore-bench" in capsys.readouterr().err


def test_two_runs_of_one_bundle_become_one_section(result: Result, trimming_off: Result) -> None:
    text = "\n".join(page({Path("a.json"): result, Path("b.json"): trimming_off}))
    assert text.count("\n## ") == 1
    assert f"times as fast | {TRIMMING_OFF} |" in text
    assert trimming_off.command in text
    other = replace(trimming_off, bundles=())
    assert "\n".join(page({Path("a.json"): result, Path("b.json"): other})).count("\n## ") == 2


def test_the_readme_shows_the_more_modest_ratio_first(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", str(RESULTS), "--readme-table"]) == 0
    header, _, published, *rows = capsys.readouterr().out.splitlines()
    assert TRIMMING_OFF in header.split("|")[2]
    assert published.startswith("| published procedure")
    cells = {row.split(" | ")[0].strip("| "): row.split(" | ") for row in rows}
    assert cells["openvino fp32"][1].startswith("x44.48 [")
    assert cells["openvino fp32"][2].startswith("x85.25 [")
    assert cells["openvino bf16"][4:] == ["0.054", "11 of 749 |"]
    assert 5 <= len(rows) <= 7


def test_a_readme_table_needs_both_runs_and_peers(result: Result, trimming_off: Result) -> None:
    with pytest.raises(UserError, match="with and without --keep-freed-memory"):
        list(readme_table([result]))
    with pytest.raises(UserError, match="measure with --checkpoint"):
        list(readme_table([replace(result, groups=()), trimming_off]))


def test_percentiles_need_runs_and_every_candidate_is_explained_once(result: Result) -> None:
    lines = list(render(result))
    rows = [line for line in lines if line.startswith("| published procedure, PyTorch eager |")]
    assert f"| {DASH} | {DASH} |" in rows[0]  # 13 runs say nothing of the 95th percentile
    assert len([line for line in lines if line.startswith("* published procedure")]) == 1


def test_any_table_is_rendered(result: Result) -> None:
    columns = (Column("name"), Column("ms", ".1f"), Column("count", "d"))
    table = Table("any table", columns, (("a|b", 1.25, 3), ("c", None, None)), "A note.")
    text = "\n".join(render(replace(result, groups=(), tables=(table,), absent=("x: none here",))))
    assert "## Any table\n\n| name | ms | count |\n| --- | ---: | ---: |\n| a\\|b | 1.2 | 3 |\n| c |  |  |" in text
    assert "A note." in text
    assert "Not measured:\n\n* x: none here" in text


def test_a_result_comes_back_from_its_file(tmp_path: Path, result: Result) -> None:
    write_result(tmp_path / "again.json", result)
    assert read_result(tmp_path / "again.json") == result


@pytest.mark.parametrize(
    ("content", "words"),
    [("{}", "is no result"), ("[1]", "is no result"), ("nothing", "is no result"), (None, "cannot read a result")],
)
def test_other_files_are_refused(tmp_path: Path, content: str | None, words: str) -> None:
    if content is not None:
        (tmp_path / "old.json").write_text(content)
    with pytest.raises(UserError, match=words):
        read_result(tmp_path / "old.json")


def test_results_of_another_version_are_refused(tmp_path: Path, result: Result) -> None:
    write_result(tmp_path / "new.json", replace(result, format="mcore-bench 9"))
    with pytest.raises(UserError, match="this mcore-bench reads 'mcore-bench 2'"):
        read_result(tmp_path / "new.json")
