"""The command on a tiny bundle: every figure goes to the file, the table and the page, and comes back."""

from __future__ import annotations

import dataclasses
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest

from mcore.config import ClipConfig
from mcore.network.checkpoint import load_checkpoint
from mcore_bench import limit, peers, run
from mcore_bench.cli import main
from mcore_bench.contenders import PLAIN, Contenders
from mcore_bench.guard import GROUPS, check, keep, read_baseline
from mcore_bench.history import changes, ratios
from mcore_bench.result import Result, read_result, write_result
from mcore_bench.timing import Effort, Ratio
from mcore_export.graphs import cpu_layout as tiles
from mcore_export.graphs.onnx import export_graphs, graph_modules
from mcore_runtime.bundle.folder import Bundle
from mcore_runtime.bundle.records import standard_graphs

pytest.importorskip("fvcore", reason="needs fvcore: pip install 'mcore-edge[bench]'")

QUICK = ("--threads", "1", "--runs", "4", "--seconds", "0", "--warm-up-s", "0", "--peer-runs", "4", "--no-compile",
         "--dives", "4", "--width", "96", "--height", "64")  # fmt: skip


@pytest.fixture(scope="module")
def measured(bundle: Path, checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with everything but torch.compile."""
    folder = tmp_path_factory.mktemp("measured")
    outputs = ["--json", str(folder / "run.json"), "--html", str(folder / "run.html")]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(limit, "SIZES", (256,))
        patch.setattr(limit, "_COPY_BYTES", 1 << 22)
        patch.setattr(run, "STREAMS", (2,))
        assert main([str(bundle), "--checkpoint", str(checkpoint), *QUICK, *outputs]) == 0
    return folder


@pytest.fixture
def result(measured: Path) -> Result:
    return read_result(measured / "run.json")


def test_every_part_peer_and_limit_is_there(result: Result) -> None:
    (found,) = result.bundles
    titles = [group.title for group in found.groups]
    assert titles[:2] == ["video of 96 x 64", "video of 1920 x 1080"]
    assert titles[2:6] == ["backbone", "segmenter", "regressor", "dive, from the file to the score"]
    dives = found.groups[titles.index("dive, from network input to score, and its peers")]
    assert dives.baseline == "published procedure, PyTorch eager"
    assert {"PyTorch eager", "ONNX Runtime, plain export", "onnxruntime fp32"} <= {row.name for row in dives.rows}
    assert all(row.about for row in dives.rows)
    quick = [row for group in found.groups for row in group.rows if row.name != dives.baseline]
    assert {row.timing.runs for row in quick} == {4}
    assert dives.row(dives.baseline).timing.runs == 4 // peers.PUBLISHED_EVERY
    assert all(row.speedup is not None for group in found.groups for row in group.rows if row.name != group.baseline)
    assert found.limits is not None
    assert found.limits.peak("fp32") is not None
    assert {part.part for part in found.limits.parts} == {"backbone", "segmenter", "regressor"}
    assert all(0 < part.reached < 1.5 for part in found.limits.parts)
    for report in found.limits.layers:
        assert sum(group.share for group in report.groups) == pytest.approx(1)
        assert any("grouped 3x3 convolution" in group.name and group.floor_ms > 0 for group in report.groups)
    assert {"onnxruntime fp32", "openvino fp32"} <= {row.name for row in found.accuracy}
    assert all(row.score_mean < 0.01 for row in found.accuracy if row.name.endswith("fp32"))
    assert all(megabytes > 20 for megabytes in found.peak_memory_mb.values())
    assert all(each.clips_per_s > 0 for each in found.streams)
    assert any(line.startswith("tensorrt fp32: ") for line in found.absent)


def test_time_to_score_has_every_way_and_the_stream_ran(result: Result) -> None:
    (delays,) = (g for g in result.bundles[0].groups if g.title.startswith("time to score"))
    names = [row.name for row in delays.rows]
    assert {
        f"onnxruntime fp32, {how}, {where}"
        for how in ("whole clip", "begun early")
        for where in ("alone", "beside a stream")
    } <= set(names)
    assert all(row.timing.runs == 4 for row in delays.rows)
    for row in delays.rows:
        assert ("1920 x 1080 H.264 is decoded, converted and resized meanwhile" in row.about) is row.name.endswith(
            "beside a stream"
        )
        assert " 0.0 of" not in row.about


def test_a_video_that_is_none_is_said(bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "dive.mp4").write_text("no video")
    assert main([str(bundle), *QUICK, "--video", str(tmp_path / "dive.mp4")]) == 2
    assert "is not a video file that FFmpeg reads" in capsys.readouterr().err


def test_layers_have_the_operations_of_the_network(result: Result, bundle: Path) -> None:
    from mcore_bench.layers import _convolutions

    (found,) = result.bundles
    assert found.account is not None
    unique = {id(layer): layer for layer in _convolutions(bundle / "backbone.onnx").values()}
    gates = sum(layer.macs for layer in unique.values() if layer.group.startswith("gate"))
    counted = sum(layer.macs for layer in found.account.backbone.layers if layer.name.endswith("gate"))
    # The exported gate reads both halves of the shifted channels, one of them with zeros, which do not count.
    assert gates == counted
    assert sum(layer.macs for layer in unique.values()) == found.account.backbone.macs


def test_an_arrangement_for_cpus_adds_no_operations_to_the_floor(
    result: Result, checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mcore_bench.layers import _convolutions

    monkeypatch.setattr(tiles, "LARGE_BYTES", 0)
    monkeypatch.setattr(tiles, "TILE_BYTES", 50_000)
    model = load_checkpoint(checkpoint).eval()
    records = {"backbone": standard_graphs(model.config)["backbone"]}
    modules = graph_modules(model, "fp32", for_cpu=True)
    ((_, path),) = export_graphs(modules, records, tmp_path, 17)
    unique = {id(layer): layer for layer in _convolutions(path).values()}
    moving = {layer.macs for layer in unique.values() if layer.group.startswith("moving data")}
    assert moving == {0}
    assert result.bundles[0].account is not None
    assert sum(layer.macs for layer in unique.values()) == result.bundles[0].account.backbone.macs


def test_the_page_needs_nothing_else(measured: Path, result: Result) -> None:
    page = (measured / "run.html").read_text(encoding="utf-8")
    assert not re.search(r"""(src|href)=["']?(https?:|//)""", page)
    assert page.count("data:image/svg+xml;base64,") > 6
    for group in result.bundles[0].groups:
        assert group.title in page
    assert "published procedure" in page


def test_a_run_comes_back_from_its_file(tmp_path: Path, result: Result) -> None:
    write_result(tmp_path / "again.json", result)
    assert read_result(tmp_path / "again.json") == result


@pytest.mark.parametrize("content", ["{}", "[1]", '{"version": 99}', '{"version": 1}', "nothing"])
def test_other_files_are_refused(tmp_path: Path, content: str, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "old.json").write_text(content)
    assert main(["bundle", "--compare", str(tmp_path / "old.json")]) == 2
    assert capsys.readouterr().err.startswith("error: ")


def test_runs_are_compared_by_their_ratios(result: Result) -> None:
    (measured,) = result.bundles
    group = measured.groups[0]
    slower = dataclasses.replace(group.rows[1], speedup=Ratio(0.001, 0.001, 0.001))
    worse = dataclasses.replace(group, rows=(group.rows[0], slower, *group.rows[2:]))
    elsewhere = dataclasses.replace(measured, bundle="elsewhere", groups=(worse, *measured.groups[1:]))
    found = changes(result, dataclasses.replace(result, bundles=(elsewhere,)))
    assert [change.name for change in found if change.relative < 0.9] == [
        f"{group.title}: {slower.name} over {group.baseline}"
    ]
    assert len(found) == len(ratios(result))


def test_of_several_bundles_those_of_one_name_are_compared(result: Result) -> None:
    (measured,) = result.bundles
    other = dataclasses.replace(measured, bundle="other")
    both = dataclasses.replace(result, bundles=(other, measured))
    assert [change.name for change in changes(result, both)] == list(ratios(result, by_bundle=True))
    assert changes(dataclasses.replace(result, bundles=(dataclasses.replace(measured, bundle="third"),)), both) == []


def test_the_guard_holds_what_a_real_run_measured(tmp_path: Path, result: Result) -> None:
    path = tmp_path / "baseline.json"
    kept = keep(path, result)
    assert {name.rpartition(" over ")[2] for name in kept.held} == {PLAIN}
    assert {name.partition(": ")[0] for name in kept.held} == set(GROUPS)
    assert any("over published procedure" in name for name in kept.information)
    assert check(read_baseline(path), result).lost == ()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "nothing to measure"),
        (["--variants", "--checkpoint", "c"], "belongs to the first bundle"),
        (["here/a", "there/a"], "several bundles are called a"),
        (["a", "--json", "a.txt"], "does not end in .json"),
        (["a", "--runs", "2"], "at least 4 runs"),
        (["a", "--dives", "2"], "2 dives; allowed: 4 or more, or 0 to leave the time to score out"),
        (["a", "--threads", "0"], "0 threads"),
        (["nowhere"], "nowhere"),
        (["a", "--guard", "missing.json"], "cannot read the ratios to hold from missing.json"),
        (["a", "--json", "/dev/null/run.json"], "is a file"),
    ],
)
def test_mistakes_are_said(arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    assert words in capsys.readouterr().err


@pytest.mark.parametrize(
    ("package", "flag"),
    [
        ("fvcore.nn", ("--checkpoint", "best.pt")),  # not torch, which tyro would then look for
        ("matplotlib", ("--html", "page.html")),
    ],
)
def test_a_missing_package_is_said_before_anything_is_measured(
    package: str, flag: tuple[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    assert main(["nowhere", *flag]) == 2
    assert "pip install 'mcore-edge[bench]'" in capsys.readouterr().err


def test_bundles_of_different_clips_are_refused_before_anything_is_measured(
    bundle: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clips = iter((ClipConfig(), ClipConfig(num_frames=48)))
    monkeypatch.setattr(Bundle, "open", lambda path: SimpleNamespace(model=SimpleNamespace(clip=next(clips))))
    assert main([str(bundle), "another"]) == 2
    assert "take clips of different sizes" in capsys.readouterr().err


def test_the_processors_engines_are_left_out_side_by_side_too(monkeypatch: pytest.MonkeyPatch, bundle: Path) -> None:
    asked: list[object] = []

    @contextmanager
    def opened(*_: object, backends: object) -> Iterator[Contenders]:
        asked.append(backends)
        yield Contenders((), ())

    monkeypatch.setattr(run, "open_contenders", opened)
    monkeypatch.setattr(run, "compare", lambda *_: None)
    plan = run.Plan(1, Effort(), Effort(), None, (96, 64), None, False, False, False, False, 0, gpu_only=True)
    run.measure_side_by_side([bundle], plan)
    assert asked == [run.GPU_BACKENDS]


def test_a_c_library_without_the_setting_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("mcore_bench.cli.keep_freed_memory", lambda: False)
    assert main(["nowhere", "--keep-freed-memory"]) == 2
    assert "the C library here cannot be told to keep freed memory" in capsys.readouterr().err


def test_another_networks_checkpoint_is_refused(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "other.pt").write_bytes(b"other")
    assert main([str(bundle), "--checkpoint", str(tmp_path / "other.pt"), *QUICK]) == 2
    assert "is not the checkpoint that" in capsys.readouterr().err


def test_without_a_checkpoint_torch_is_not_loaded() -> None:
    code = "import sys; sys.modules['torch'] = None; sys.modules['fvcore'] = None; import mcore_bench.cli"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_file_is_plain_json(measured: Path) -> None:
    values = json.loads((measured / "run.json").read_text(encoding="utf-8"))
    speedup = values["bundles"][0]["groups"][1]["rows"][-1]["speedup"]
    assert speedup is None or set(speedup) == {field.name for field in dataclasses.fields(Ratio)}
