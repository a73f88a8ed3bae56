"""A bundle's accuracy on labelled dives is that of the runtime's own scores, in every precision."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from mcore.data.manifest import read_manifest, select_split
from mcore_export.accuracy import main
from mcore_runtime import Scorer

POINTS = 1e-4


def test_figures_are_those_of_the_scorer(bundle: Path, dives: Path, tmp_path: Path) -> None:
    out = tmp_path / "accuracy.json"
    arguments = [str(bundle), "--data", str(dives), "--backend", "onnxruntime", "--num-resamples", "20"]
    assert main([*arguments, "--json", str(out)]) == 0
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
    assert (found["backend"], found["split"], found["data"]) == ("onnxruntime", "test", dives.name)


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
    assert main([str(bundle), "--data", str(dives), *arguments]) == 2
    assert reason in capsys.readouterr().err
