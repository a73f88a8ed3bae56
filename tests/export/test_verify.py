"""A bundle verifies itself where it runs: without torch, and whatever was changed is found."""

from __future__ import annotations

import dataclasses
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import numpy_helper

from mcore.video import native
from mcore.video.yuv import CONVERSION_VERSION, Picture
from mcore_export import cli
from mcore_export.bundle_command import main
from mcore_export.parity.limits import DEFAULT_LIMITS
from mcore_runtime.backends.openvino import shared_core
from mcore_runtime.bundle.folder import GOLDEN_FILE, GOLDEN_VIDEO, Bundle, write_manifest
from mcore_runtime.bundle.manifest import BundleManifest


@pytest.fixture
def copy(bundle: Path, tmp_path: Path) -> Path:
    """A bundle to be damaged."""
    return Path(shutil.copytree(bundle, tmp_path / "copy"))


def rehash(bundle: Path, **changes: Any) -> None:
    """Make a changed bundle consistent again, so that only the comparison can find the change."""
    manifest = BundleManifest.from_json((bundle / "manifest.json").read_bytes())
    write_manifest(bundle, dataclasses.replace(manifest, **changes))


def change_golden(bundle: Path, change: Callable[[dict[str, Any]], object]) -> None:
    with np.load(bundle / GOLDEN_FILE, allow_pickle=False) as file:
        values = dict(file)
    change(values)
    np.savez_compressed(bundle / GOLDEN_FILE, **values)
    rehash(bundle)


def change_weight(bundle: Path, part: str) -> None:
    """Scale the largest weight of a graph."""
    path = bundle / f"{part}.onnx"
    model = onnx.load(path)
    tensor = max(
        (t for t in model.graph.initializer if t.data_type == onnx.TensorProto.FLOAT), key=lambda t: len(t.raw_data)
    )
    tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor) * np.float32(1.1), tensor.name))
    onnx.save(model, path)
    rehash(bundle)


def test_an_intact_bundle_passes_with_the_rows_of_its_export(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = {path: path.read_bytes() for path in bundle.iterdir()}
    assert main(["verify", str(bundle), "--backend", "onnxruntime"]) == 0
    out = capsys.readouterr().out
    assert "onnxruntime (CPUExecutionProvider): backbone fp32, segmenter fp32, regressor fp32" in out
    for part, rows in {"backbone": 1, "segmenter": 3, "regressor": 4, "whole chain": 3, "from the video": 3}.items():
        assert sum(line.startswith(part) and " ok " in line for line in out.splitlines()) == rows
    assert "E = 37" in out
    assert "decoded frames that differ, share, 0 of 96" in out
    assert "network's input that differ, share, by at most 0 of 255 levels" in out
    assert re.search(r"computes here what PyTorch computed, but for at most \d\S* points of a score$", out, re.M)
    assert {path: path.read_bytes() for path in bundle.iterdir()} == before


@pytest.mark.parametrize(
    ("change", "failing"),
    [
        (lambda v: v["features"].__imul__(1.01), {"backbone"}),
        (lambda v: v["logits"].__iadd__(np.float32(np.nan)), {"segmenter"}),
        (lambda v: v["transitions"].__iadd__(1), {"segmenter", "whole chain"}),
        (lambda v: v["tokens"].__imul__(1.1), {"segmenter", "regressor"}),
        (lambda v: v["deltas"].__iadd__(0.1), {"whole chain"}),
        (lambda v: v["mixed_deltas"].__iadd__(0.1), {"regressor"}),
        (lambda v: v["mixed_stage_deltas"].__iadd__(0.1), {"regressor"}),
        (lambda v: v["scores"].__imul__(np.nan), {"whole chain"}),
        (
            lambda v: v["frames"].__setitem__(1, v["frames"][1, ..., ::-1].copy()),
            {"backbone", "whole chain"},
        ),
        (
            lambda v: v["frames"].__setitem__(2, np.roll(v["frames"][2], 1, 0)),
            {"backbone", "whole chain"},
        ),
    ],
)
def test_changed_golden_values_are_found(
    copy: Path,
    capsys: pytest.CaptureFixture[str],
    change: Callable[[dict[str, Any]], object],
    failing: set[str],
) -> None:
    change_golden(copy, change)
    assert main(["verify", str(copy), "--backend", "onnxruntime"]) == 1
    captured = capsys.readouterr()
    found = {line.split("  ")[0] for line in captured.out.splitlines() if "FAILED" in line}
    assert found >= failing
    assert "do not compute what PyTorch computed" in captured.err
    assert all(f"{part} on " in captured.err for part in failing)


@pytest.mark.parametrize("part", ["backbone", "segmenter", "regressor"])
def test_a_wrong_weight_is_found_and_its_graph_named(copy: Path, capsys: pytest.CaptureFixture[str], part: str) -> None:
    change_weight(copy, part)
    assert main(["verify", str(copy), "--backend", "onnxruntime"]) == 1
    parts = {line.split("  ")[0] for line in capsys.readouterr().out.splitlines() if "FAILED" in line}
    assert part in parts
    assert parts <= {part, "whole chain", "in two parts", "from the video"}


def test_a_decoder_that_differs_is_named_as_such(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    change_golden(copy, lambda v: v["video_frames"].__setitem__(7, 1))
    assert main(["verify", str(copy)]) == 1
    captured = capsys.readouterr()
    assert "decoded frames that differ, share, 1 of 96" in captured.err
    assert "decodes H.264 otherwise" in captured.err


def test_a_conversion_that_differs_is_named_as_such(
    bundle: Path, copy: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One level more in every second row, as another rounding would give: no graph is wrong, and the score moves."""
    resize = native.resize

    def brighter(picture: Picture, out: NDArray[np.uint8], size: tuple[int, int] | None = None) -> None:
        resize(picture, out, size)
        out[::2] = np.minimum(out[::2], 254) + 1

    monkeypatch.setattr(native, "resize", brighter)
    assert main(["verify", str(bundle)]) == 1
    captured = capsys.readouterr()
    assert "is not read as where the bundle was exported" in captured.err
    assert "by at most 1 of 255 levels" in captured.err
    assert "frames are converted or resized otherwise" in captured.err
    assert "decoded frames that differ, share, 0 of 96" in captured.out
    rehash(copy, conversion=0)
    assert main(["verify", str(copy)]) == 1
    assert f"with version 0 of the conversion to RGB, this is {CONVERSION_VERSION}" in capsys.readouterr().err


def test_bundles_of_older_versions_are_verified_without_a_video(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (copy / GOLDEN_VIDEO).unlink()
    change_golden(copy, lambda v: v.pop("video_frames"))
    assert main(["verify", str(copy)]) == 0
    out = capsys.readouterr().out
    assert "this bundle carries no video, so reading videos was not compared" in out
    assert "from the video" not in out


def test_a_file_changed_after_export_is_refused(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with (copy / GOLDEN_FILE).open("ab") as file:
        file.write(b"x")
    assert main(["verify", str(copy)]) == 2
    assert "golden.npz is not the file that was exported" in capsys.readouterr().err


def remove_golden(bundle: Path) -> None:
    (bundle / GOLDEN_FILE).unlink()
    rehash(bundle)


def cut_golden(bundle: Path) -> None:
    content = (bundle / GOLDEN_FILE).read_bytes()
    (bundle / GOLDEN_FILE).write_bytes(content[: len(content) // 2])
    rehash(bundle)


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (remove_golden, r"has no golden.npz, the values that a device compares itself with"),
        (cut_golden, "golden.npz cannot be read"),
        (lambda b: change_golden(b, lambda v: v.pop("deltas")), "golden.npz cannot be read"),
        (
            lambda b: change_golden(b, lambda v: v.update(deltas=v["deltas"][:1])),
            "deltas is float32 (1, 8), this network's is float32 (8, 8)",
        ),
        (lambda b: change_golden(b, lambda v: v.update(frames=v["frames"][:0])), "at least two clips"),
    ],
)
def test_bundles_that_cannot_be_verified_say_why(
    copy: Path, capsys: pytest.CaptureFixture[str], damage: Callable[[Path], None], reason: str
) -> None:
    damage(copy)
    assert main(["verify", str(copy)]) == 2
    assert reason in capsys.readouterr().err


def test_a_bundle_is_needed(checkpoint: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for place, reason in ((checkpoint, f"{checkpoint} is a file"), ("nowhere", "there is nothing at nowhere")):
        assert main(["verify", str(place)]) == 2
        assert reason in capsys.readouterr().err


def test_exporting_a_bundle_names_the_command_for_bundles(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([str(bundle), "--out", "x"]) == 2
    assert "mcore-bundle --help" in capsys.readouterr().err


def test_limits_are_those_of_the_export(bundle: Path, copy: Path) -> None:
    variant = Bundle.open(bundle).manifest.variants["fp32"]
    assert variant.limits == DEFAULT_LIMITS["fp32"]
    strict = dataclasses.replace(variant, limits=dataclasses.replace(DEFAULT_LIMITS["fp32"], relative=0.0))
    rehash(copy, variants={"fp32": strict})
    assert main(["verify", str(copy)]) == 1  # no float32 engine equals PyTorch to the last digit


def test_verifying_never_imports_torch_nor_onnx(bundle: Path) -> None:
    program = f"""
import sys
class NoTorch:
    def find_spec(self, name, *rest):
        assert name.partition(".")[0] not in ("torch", "onnx", "onnxscript"), name + " is imported"
sys.meta_path.insert(0, NoTorch())
from mcore_export.bundle_command import main
sys.exit(main(["verify", {str(bundle)!r}]))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "whole chain" in done.stdout


def test_bfloat16_is_held_to_the_limits_of_int8(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    openvino = pytest.importorskip("openvino", reason="needs OpenVINO: pip install '.[openvino]'")
    if "BF16" not in shared_core(openvino).get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        pytest.skip("this processor has no bfloat16")
    assert main(["verify", str(bundle), "--backend", "openvino-bf16"]) == 0
    out = capsys.readouterr().out
    assert "backbone bf16, segmenter fp32, regressor fp32" in out
    assert f"(limit {DEFAULT_LIMITS['int8'].points:g})" in out
    assert "in two parts" in out
