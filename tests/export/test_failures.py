"""Exports that are broken on purpose: each is caught, and nothing wrong or half is ever written."""

from __future__ import annotations

import errno
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import onnx
import pytest
import torch
from onnx import numpy_helper

from mcore.network.checkpoint import load_checkpoint, save_checkpoint
from mcore_export import bundle_command, exporter
from mcore_export.cli import main
from mcore_export.folder import appearing_folder
from mcore_export.graphs import onnx as graphs
from mcore_runtime.bundle.exemplars import ExemplarBank
from mcore_runtime.bundle.folder import Bundle


def export_broken(part: str, damage: Any, monkeypatch: pytest.MonkeyPatch, arguments: list[str]) -> int:
    """Export with an exporter that writes one graph wrongly."""
    real = graphs.export_graphs

    def broken(*args: Any, **options: Any) -> Iterator[tuple[str, Path]]:
        for name, path in real(*args, **options):
            if name == part:
                model = onnx.load(path)
                damage(model.graph)
                onnx.save(model, path)
            yield name, path

    monkeypatch.setattr(exporter, "export_graphs", broken)
    return main(arguments)


def old_gru(graph: Any) -> None:
    """As onnxscript before 0.7.1 exported it: another kind of GRU (pytorch#189225)."""
    (gru,) = [node for node in graph.node if node.op_type == "GRU"]
    (attribute,) = [a for a in gru.attribute if a.name == "linear_before_reset"]
    assert attribute.i == 1
    attribute.i = 0


def wrong_weight(graph: Any) -> None:
    tensor = max(graph.initializer, key=lambda t: len(t.raw_data))
    values = numpy_helper.to_array(tensor)
    tensor.CopyFrom(numpy_helper.from_array((values * 1.1).astype(values.dtype), tensor.name))


def swapped_channel(graph: Any) -> None:
    """Red for blue in the first convolution."""
    stem = next(node for node in graph.node if node.op_type == "Conv").input[1]
    (tensor,) = [t for t in graph.initializer if t.name == stem]
    tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor)[:, ::-1].copy(), stem))


@pytest.mark.parametrize(
    ("part", "damage"),
    [("segmenter", old_gru), ("segmenter", wrong_weight), ("regressor", wrong_weight), ("backbone", swapped_channel)],
)
@pytest.mark.parametrize("precision", [[], ["--fp16"]])
def test_a_graph_that_was_exported_wrongly_is_named_and_not_written(
    checkpoint: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    part: str,
    damage: Any,
    precision: list[str],
) -> None:
    arguments = [str(checkpoint), "--out", str(tmp_path / "bundle"), "--no-streaming", *precision]
    assert export_broken(part, damage, monkeypatch, arguments) == 1
    error = capsys.readouterr().err
    assert f"{part} on onnxruntime: " in error
    assert all(f"{other} on " not in error for other in {"backbone", "segmenter", "regressor"} - {part})
    assert list(tmp_path.iterdir()) == []


def test_a_dead_regression_is_refused(checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = load_checkpoint(checkpoint)
    with torch.no_grad():
        model.regressor.layer3.weight.zero_()
        model.regressor.layer3.bias.fill_(-1.5)
    save_checkpoint(tmp_path / "dead.pt", model)
    assert main([str(tmp_path / "dead.pt"), "--out", str(tmp_path / "bundle")]) == 2
    assert "predicts -1.500 points for every pair of eight rendered dives" in capsys.readouterr().err
    assert not (tmp_path / "bundle").exists()


def test_a_full_disk_is_said_and_leaves_nothing(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*args: Any, **kwargs: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(ExemplarBank, "save", full)
    assert main([str(checkpoint), "--out", str(tmp_path / "bundle"), "--no-streaming"]) == 2
    assert "No space left on device; check rights and free space" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


KILLED = """
import os, signal, sys
from mcore_export import bundle_command, folder
from mcore_export.exemplars import bank
{patch}
sys.exit(bundle_command.main(sys.argv[1:]))
"""
BEFORE_THE_MANIFEST = "bank.write_manifest = lambda *_: os.kill(os.getpid(), signal.SIGKILL)"
BETWEEN_TWO_MOVES = """
from pathlib import Path
rename, moves = Path.rename, []
def rename_once(self, target):
    if moves:
        os.kill(os.getpid(), signal.SIGKILL)
    moves.append(self)
    return rename(self, target)
Path.rename = rename_once
"""


@pytest.mark.parametrize("patch", [BEFORE_THE_MANIFEST, BETWEEN_TWO_MOVES])
def test_a_killed_process_loses_no_bundle_and_the_next_run_tidies_up(
    bundle: Path, dives: Path, tmp_path: Path, patch: str
) -> None:
    out = Path(shutil.copytree(bundle, tmp_path / "bundle"))
    before = Bundle.open(out).sha256
    arguments = ["exemplars", str(bundle), "--out", str(out), "--dives", str(dives), "--no-pictures", "--force"]
    done = subprocess.run([sys.executable, "-c", KILLED.format(patch=patch), *arguments], capture_output=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert len(list(tmp_path.glob(".bundle.*"))) == 1
    with pytest.raises(ZeroDivisionError), appearing_folder(out):  # the start of any later run brings it back
        raise ZeroDivisionError
    assert Bundle.open(out).sha256 == before
    assert bundle_command.main(arguments) == 0
    assert Bundle.open(out).sha256 != before
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]
