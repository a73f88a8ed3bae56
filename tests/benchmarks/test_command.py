"""The command on a tiny bundle: every figure goes to the file and to the terminal."""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest

from mcore.common.optional import install_command
from mcore.common.typed_json import encode
from mcore.config import ClipConfig
from mcore.synthetic import render_dive
from mcore_bench.baseline import read_baseline
from mcore_bench.candidates import BACKBONE_PEERS, DIVE_PEERS, PLAIN, PUBLISHED
from mcore_bench.cases import bundle as bundle_case
from mcore_bench.cases import limits, peers, throughput, time_to_score
from mcore_bench.cases.bundle import Findings
from mcore_bench.command import COMMANDS, main
from mcore_bench.result import Result, Table, read_result
from mcore_runtime.bundle.folder import Bundle

pytest.importorskip("fvcore", reason="needs fvcore: pip install '.[bench]'")

SHORT = ("--threads", "1", "--runs", "4", "--seconds", "0", "--warm-up-s", "0")
QUICK = (*SHORT, "--no-compile", "--dives", "4")


@pytest.fixture(scope="module")
def measured(bundle: Path, checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with everything but torch.compile, and its baseline."""
    folder = tmp_path_factory.mktemp("measured")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(limits, "SIZES", {"cpu": (256,)})
        patch.setattr(limits, "COPY_BYTES", {"cpu": 1 << 22})
        patch.setattr(throughput, "STREAMS", (2,))
        patch.setattr(bundle_case, "DIVE_SIZE", (96, 64))
        patch.setattr(bundle_case, "CAMERA_SIZE", (128, 72))
        patch.setattr(time_to_score, "render_dive", partial(render_dive, width=96, height=64))
        outputs = ["--json", str(folder / "run.json"), "--save-baseline", str(folder / "baseline.json")]
        assert main([str(bundle), "--checkpoint", str(checkpoint), *QUICK, *outputs]) == 0
    return folder


@pytest.fixture
def result(measured: Path) -> Result:
    return read_result(measured / "run.json")


def table(result: Result, title: str) -> Table:
    return next(table for table in result.tables if table.title.startswith(title))


def test_every_part_and_peer_is_there(result: Result) -> None:
    groups = {group.title: group for group in result.groups}
    assert {"video of 96 x 64", "video of 128 x 72", "backbone", "segmenter", "regressor",
            "dive, from the file to the score", DIVE_PEERS, BACKBONE_PEERS} <= groups.keys()  # fmt: skip
    dives = groups[DIVE_PEERS]
    assert dives.baseline == PUBLISHED
    assert {"PyTorch eager", PLAIN, "onnxruntime fp32"} <= {row.name for row in dives.rows}
    assert groups[BACKBONE_PEERS].baseline == PLAIN
    assert all(row.about for row in dives.rows)
    quick = [row for group in result.groups for row in group.rows if row.name != PUBLISHED]
    assert {row.timing.runs for row in quick} == {4}
    assert dives.row(PUBLISHED).timing.runs == 4 // peers.PUBLISHED_EVERY
    assert all(row.speedup is not None for group in result.groups for row in group.rows if row.name != group.baseline)
    assert all(group.conditions is not None for group in result.groups)
    assert any(line.startswith("tensorrt fp32: ") for line in result.absent)


def test_the_time_to_score_is_with_and_without_a_head_start(result: Result) -> None:
    (group,) = (group for group in result.groups if group.title.startswith("time to score"))
    assert {f"onnxruntime fp32, {how}" for how in ("whole clip", "head start")} <= {row.name for row in group.rows}


def test_cost_limits_precision_and_throughput_are_tables(result: Result) -> None:
    assert [row[0] for row in table(result, "operations").rows][-1] == "dive, published"
    assert "fp32" in [row[0] for row in table(result, "limits of this processor").rows]
    parts = table(result, "parts against their floor")
    assert {row[0] for row in parts.rows} == {"backbone", "segmenter", "regressor"}
    reached = [row[-1] for row in parts.rows]
    assert all(isinstance(share, float) and share > 0 for share in reached)
    scores = {str(row[0]): row[2] for row in table(result, "score differences").rows}
    assert all(isinstance(mean, float) and mean < 0.01 for name, mean in scores.items() if name.endswith("fp32"))
    for row in table(result, "clips a second").rows:
        assert isinstance(row[2], float)
        assert row[2] > 0
        assert row[3] is None or (isinstance(row[3], float) and row[3] > 20)


def test_a_run_is_saved_as_a_baseline_of_its_own_ratios(measured: Path) -> None:
    ratios = read_baseline(measured / "baseline.json").ratios
    assert {name.partition(": ")[0] for name in ratios} == {DIVE_PEERS, BACKBONE_PEERS}


def test_a_baseline_that_cannot_be_reached_is_a_regression(
    bundle: Path, measured: Path, result: Result, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setattr(bundle_case, "measure_bundle", lambda *_: Findings(list(result.groups), [], []))
    baseline = read_baseline(measured / "baseline.json")
    for factor, code in ((1.0, 0), (1.1, 1)):
        other = replace(baseline, ratios={name: ratio * factor for name, ratio in baseline.ratios.items()})
        (tmp_path / "baseline.json").write_text(encode(other), encoding="utf-8")
        assert main([str(bundle), *SHORT, "--check-baseline", str(tmp_path / "baseline.json")]) == code
        assert ("regression: " in capsys.readouterr().out) is bool(code)


def test_dives_an_hour_are_counted_in_turns(bundle: Path, dives: Path, tmp_path: Path) -> None:
    path = tmp_path / "archive.json"
    few = ["--workers", "1", "--dives", "4", "--rounds", "1", "--json", str(path)]
    assert main(["archive", str(bundle), "--list", str(dives), "--split", "train", *few]) == 0
    (table,) = read_result(path).tables
    assert [row[0] for row in table.rows] == [
        "one process, threads of the engine: 1",
        "processes of one thread that read ahead: 1",
    ]
    assert table.rows[0][2] == 1


def test_several_bundles_are_compared_side_by_side(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bundle_case, "DIVE_SIZE", (96, 64))
    shutil.copytree(bundle, tmp_path / "other")
    without = ["--dives", "0", "--no-limits", "--no-throughput"]
    path = tmp_path / "both.json"
    assert main([str(bundle), str(tmp_path / "other"), *SHORT, *without, "--json", str(path)]) == 0
    (group,) = (group for group in read_result(path).groups if group.title == "backbones of all bundles")
    assert {row.name for row in group.rows} >= {f"{name}: onnxruntime fp32" for name in ("bundle", "other")}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "nothing to measure"),
        (["here/a", "there/a"], "several bundles are called a"),
        (["a", "--json", "a.txt"], "ends in .json"),
        (["a", "--runs", "2"], "at least 4 runs"),
        (["a", "--dives", "2"], "2 dives; allowed: 4 or more, or 0 to leave the time to score out"),
        (["a", "--threads", "0"], "0 threads"),
        (["nowhere"], "nowhere"),
        (["a", "--check-baseline", "missing.json"], "cannot read the baseline missing.json"),
        (["a", "--json", "/dev/null/run.json"], "is a file"),
    ],
)
def test_mistakes_are_named(arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    assert words in capsys.readouterr().err


def test_a_missing_package_is_named_before_anything_is_measured(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "fvcore.nn", None)
    assert main(["nowhere", "--checkpoint", "best.pt"]) == 2
    assert install_command("bench") in capsys.readouterr().err


def test_bundles_of_different_clips_are_refused(
    bundle: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clips = iter((ClipConfig(), ClipConfig(num_frames=48)))
    monkeypatch.setattr(Bundle, "open", lambda path: SimpleNamespace(model=SimpleNamespace(clip=next(clips))))
    assert main([str(bundle), "another"]) == 2
    assert "take clips of different sizes" in capsys.readouterr().err


def test_a_c_library_without_the_setting_is_named(
    bundle: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("mcore_bench.cases.bundle.turn_malloc_trimming_off", lambda: False)
    assert main([str(bundle), "--keep-freed-memory"]) == 2
    assert "the C library here cannot be told to keep freed memory" in capsys.readouterr().err


def test_another_networks_checkpoint_is_refused(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "other.pt").write_bytes(b"other")
    assert main([str(bundle), "--checkpoint", str(tmp_path / "other.pt"), *QUICK]) == 2
    assert "is not the checkpoint that" in capsys.readouterr().err


def test_without_a_checkpoint_torch_is_not_loaded() -> None:
    code = "import sys; sys.modules['torch'] = None; sys.modules['fvcore'] = None; import mcore_bench.command"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main([command, "--help"])
    assert left.value.code == 0
    assert f"    mcore-bench {command}" in capsys.readouterr().out


def test_the_help_lists_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    printed = capsys.readouterr().out
    assert all(f"\n    {command} " in printed for command in COMMANDS)
