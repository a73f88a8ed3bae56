"""A bundle's accuracy on labelled dives is that of the runtime's own scores, in every precision."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mcore.common.conformal import ConformalInterval
from mcore.common.errors import UserError
from mcore.data.manifest import read_manifest, select_split, write_manifest
from mcore_export.accuracy import Options, measure
from mcore_export.bundle_command import main
from mcore_runtime import Scorer
from mcore_runtime.backends.openvino import shared_core
from mcore_runtime.bundle.folder import Bundle
from mcore_runtime.bundle.records import ConformalIntervals

POINTS = 1e-4


def test_figures_are_those_of_the_scorer(bundle: Path, dives: Path, tmp_path: Path) -> None:
    out = tmp_path / "accuracy.json"
    arguments = [str(bundle), "--data", str(dives), "--backend", "onnxruntime", "--num-resamples", "20"]
    assert main(["accuracy", *arguments, "--json", str(out)]) == 0
    found = json.loads(out.read_text(encoding="utf-8"))
    records = select_split(read_manifest(dives), "test")
    with Scorer(bundle, "onnxruntime") as scorer:
        errors = [abs(scorer.score(r.path, r.dive_number).score - r.score) for r in records]
    same, others = (next(r for r in found["rows"] if r["same_number"] is known) for known in (True, False))
    assert same["dives"] == others["dives"] == len(records)
    assert same["mae_points"]["value"] == pytest.approx(np.mean(errors), abs=POINTS)
    assert others["mae_points"]["value"] != pytest.approx(np.mean(errors), abs=POINTS)
    assert same["from_fp32_mean_points"] == same["from_fp32_largest_points"] == 0
    assert (found["level"], same["coverage"], same["half_width_points"]) == (None, None, None)
    assert (found["split"], found["data"], found["left_out"]) == ("test", dives.name, 0)
    assert found["engines"] == {"fp32": "onnxruntime, CPUExecutionProvider, fp32"}
    assert same["other_transitions"] == 0


def test_bfloat16_is_a_row_beside_the_graphs_own(bundle: Path, dives: Path) -> None:
    openvino = pytest.importorskip("openvino", reason="needs OpenVINO: pip install '.[openvino]'")
    if "BF16" not in shared_core(openvino).get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        pytest.skip("this processor has no bfloat16")
    found = measure(Options(bundle, dives, bf16=True, num_resamples=5))
    rows = {row.precision: row for row in found.rows if row.same_number}
    assert list(rows) == ["fp32", "bf16"]
    assert found.engines["bf16"].startswith("openvino-bf16, ")
    assert rows["fp32"].from_fp32_mean_points == 0
    assert 0 < rows["bf16"].from_fp32_mean_points < 0.5
    with pytest.raises(UserError, match="nothing to be compared with; add --bf16"):
        Options(bundle, dives, backend="openvino-bf16")


def test_intervals_are_those_of_the_way_that_was_scored(
    bundle: Path, dives: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wide with exemplars of the number, of no width without: all dives are held, and none."""
    intervals = ConformalIntervals(
        ConformalInterval(0.8, 0.0, 24, 1e4), ConformalInterval(0.8, 0.0, 24), "other.jsonl", "val"
    )
    opened = Bundle.open(bundle)
    variant = opened.manifest.variants["fp32"]
    assert variant.exemplars is not None
    record = replace(variant, exemplars=replace(variant.exemplars, conformal=intervals))
    changed = replace(opened, manifest=replace(opened.manifest, variants={"fp32": record}))
    monkeypatch.setattr(Bundle, "open", lambda path: changed)
    found = measure(Options(bundle, dives, num_resamples=5))
    rows = [(row.same_number, row.half_width_points, row.coverage) for row in found.rows]
    assert found.level == 0.8
    assert [(same, (width or 0) > 1e4, coverage.value) for same, width, coverage in rows if coverage is not None] == [
        (True, True, 1.0),
        (False, False, 0.0),
    ]
    assert found.widths == ()  # too few dives to divide by their difficulty
    known = replace(intervals, source=dives.name, split="test")
    record = replace(variant, exemplars=replace(variant.exemplars, conformal=known))
    changed = replace(opened, manifest=replace(opened.manifest, variants={"fp32": record}))
    with pytest.raises(UserError, match="intervals come from the test dives of"):
        measure(Options(bundle, dives))


def test_dives_that_were_trained_on_are_no_measure(bundle: Path, dives: Path, tmp_path: Path) -> None:
    training = select_split(read_manifest(dives), "train")
    moved = [replace(record, split="test", score=record.score + 1) for record in training]
    write_manifest(tmp_path / "anew.jsonl", [*moved, *select_split(read_manifest(dives), "test")])
    with pytest.raises(UserError, match=r"was trained on 4 of the 6 dives of .*anew.jsonl"):
        measure(Options(bundle, tmp_path / "anew.jsonl"))


def test_unreadable_dives_are_counted_and_too_few_are_an_error(bundle: Path, dives: Path, tmp_path: Path) -> None:
    records = select_split(read_manifest(dives), "test")
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no video")
    listing = tmp_path / "some.jsonl"
    write_manifest(listing, [*records, replace(records[0], path=broken)])
    assert measure(Options(bundle, listing, num_resamples=5)).left_out == 1
    write_manifest(listing, [records[0], replace(records[0], path=broken)])
    with pytest.raises(UserError, match="1 of 2 dives cannot be read"):
        measure(Options(bundle, listing))


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--split", "train"], "of these dives are exemplars of the bundle"),
        (["--num-resamples", "0"], "0 resamples; at least 1"),
        (["--json", "out.txt"], "ends in .json"),
    ],
)
def test_mistakes_are_said(
    bundle: Path, dives: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], reason: str
) -> None:
    assert main(["accuracy", str(bundle), "--data", str(dives), *arguments]) == 2
    assert reason in capsys.readouterr().err
