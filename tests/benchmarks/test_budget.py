"""The shifts of an ablation at an equal budget: only what it holds, and never as more than its seeds can say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mcore.common.errors import UserError
from mcore_bench.account import VariantCost
from mcore_bench.budget import SHIFTS, read_budget, table, told
from mcore_bench.show import plain_cells

VALUES = {"base": [0.5, 0.6], "tsm": [0.4, 0.7], "no-shift": [0.55, 0.55], "thirds": [0.1, 0.2]}
VARIANTS = [VariantCost("tiny", shift, 32, 64, 367_000, 79_000_000, 105_000_000) for shift in SHIFTS.values()]


def write(path: Path, **changes: Any) -> Path:
    rows = []
    for name, values in VALUES.items():
        gains = [value - base for value, base in zip(values, VALUES["base"], strict=True)]
        srcc = {"mean": sum(values) / 2, "deviation": 0.07, "values": values}
        gain = None if name == "base" else {"mean": sum(gains) / 2, "deviation": 0.1, "values": gains}
        rows.append({"variant": name, "title": name, "figures": {"srcc": srcc}, "srcc_gain": gain})
    content: dict[str, Any] = {"data": "dives.jsonl", "preset": "tiny", "train_flags": ["--epochs", "6"], "epochs": 6,
                               "split": "test", "seeds": [0, 1], "rows": rows}  # fmt: skip
    path.write_text(json.dumps(content | changes), encoding="utf-8")
    return path


def test_the_shifts_stand_side_by_side_with_their_operations(tmp_path: Path) -> None:
    found = read_budget(write(tmp_path / "ablation.json"))
    rows = plain_cells(table(found, VARIANTS))[1:]
    assert [row[0] for row in rows] == ["gated", "tsm", "none"]
    assert rows[1] == ["tsm", "0.367", "0.1050", "0.400, 0.700", "0.550 ± 0.070", "-0.100, +0.100"]
    assert rows[0][-1] == ""
    text = told(found)
    assert "tiny preset, 6 epochs, list dives.jsonl, 2 seeds" in text
    assert "2 seeds the same sign in one case of 2" in text


def test_a_network_that_flags_changed_has_no_operations(tmp_path: Path) -> None:
    found = read_budget(write(tmp_path / "ablation.json", train_flags=["--model.clip.num-frames", "16"]))
    assert plain_cells(table(found, VARIANTS))[1][1:3] == ["", ""]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"rows": []}, "lacks base, no-shift, tsm"),
        ({"seeds": [0]}, "a variant lacks a seed"),
        ({"seeds": None}, "is no"),
    ],
)
def test_what_is_no_comparison_is_refused(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        read_budget(write(tmp_path / "ablation.json", **changes))
    with pytest.raises(UserError, match=r"is no ablation\.json"):
        read_budget(tmp_path / "nothing.json")
