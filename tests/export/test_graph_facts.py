"""The page about the graphs' nodes counts every node and explains every operator."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import onnx
import pytest

from mcore.common.errors import UserError
from mcore_runtime.bundle.records import PARTS
from tools.graph_facts import OBVIOUS, REASONS, describe, main

PAGE = Path(__file__).parents[2] / "docs" / "results" / "graphs.md"


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


def test_table_counts_every_node_of_a_bundle(bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "graphs.md"
    assert main([str(bundle), "--write", str(page)]) == 0
    assert page.read_text() == capsys.readouterr().out
    rows = [cells(line) for line in page.read_text().splitlines() if line.startswith("| ")]
    header, operators, total = rows[0], rows[1:-1], rows[-1]
    assert header == ["operator", *PARTS, "why"]
    for column, part in enumerate(PARTS, start=1):
        nodes = onnx.load(bundle / f"{part}.onnx").graph.node
        found = {row[0]: int(row[column]) for row in operators if row[column]}
        assert found == Counter(node.op_type for node in nodes)
        assert total[column] == f"**{len(nodes)}**"
    assert all(row[-1] for row in operators if row[0] not in OBVIOUS)


def test_an_operator_without_a_reason_is_refused() -> None:
    with pytest.raises(UserError, match="no reason is written down for ScatterND"):
        describe({"backbone": Counter({"Conv": 1, "ScatterND": 26})}, "a graph", "a command")


def test_the_page_has_the_reasons_of_the_code() -> None:
    rows = [cells(line) for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| ")]
    for name, *_, reason in rows[1:-1]:
        assert reason == REASONS.get(name, ""), name
