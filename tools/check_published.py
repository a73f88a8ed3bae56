"""Check that this network is the published one: load a checkpoint in the published layout, compare with golden values.

    python tools/check_published.py REFERENCE_DIR

REFERENCE_DIR holds ``golden.py``, which makes deterministic weights and frames, and ``golden_a.npz``, what the
published implementation computes on them. Exits 1 if a figure exceeds its limit.
"""

from __future__ import annotations

import importlib.util
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Annotated

import numpy as np
import torch
import tyro
from numpy.typing import NDArray
from PIL import Image
from rich.console import Console
from rich.table import Table

import mcore
from mcore.common.command_line import run_command_line
from mcore.common.errors import UserError
from mcore.config import ClipConfig
from mcore.network.model import Encoding, MCoRe

FloatArray = NDArray[np.float32]
Golden = Mapping[str, FloatArray]

SEED = 1
"""The seed that golden_a.npz was made with."""
PROBE = np.s_[::3, ::8, ::7, ::7]
"""The part of the (3, 96, 112, 112) input that golden_a.npz keeps."""


@dataclass(frozen=True)
class Figure:
    """One comparison with the published implementation."""

    clip: str
    what: str
    value: float
    limit: float

    @property
    def passed(self) -> bool:
        """Return whether the value is within its limit."""
        return self.value <= self.limit


def compare(folder: Path) -> list[Figure]:
    """Compute every figure.

    Args:
        folder: holds ``golden.py`` and ``golden_a.npz``.
    """
    golden = load_golden(folder)
    with np.load(folder / "golden_a.npz") as file:
        expected = {key: file[key] for key in file.files}
    with tempfile.TemporaryDirectory() as scratch:
        model = mcore.load_checkpoint(write_checkpoint(golden, Path(scratch)))
        inputs = {name: read_clip(golden, name, Path(scratch)) for name in golden.CLIPS}
    encoded = {name: model.encode(clip[None], "published") for name, clip in inputs.items()}
    figures = []
    for name, clip in inputs.items():
        figures += _input_figures(name, clip, expected)
        figures += _network_figures(name, encoded[name], expected)
    return [*figures, _delta_figure(model, encoded, expected["delta"])]


def load_golden(folder: Path) -> ModuleType:
    """Import ``golden.py`` from a folder.

    Raises:
        UserError: it is not there.
    """
    if not (folder / "golden.py").is_file():
        raise UserError(f"no golden.py in {folder}; give the folder that holds it and golden_a.npz")
    return load_module(folder / "golden.py")


def load_module(path: Path) -> ModuleType:
    """Import a Python file that is in no package."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def write_checkpoint(golden: ModuleType, folder: Path) -> Path:
    """Write golden weights as the published training code writes a checkpoint."""
    parts = {
        part: {f"module.{name}": torch.from_numpy(value) for name, value in weights.items()}
        for part, weights in golden.state(SEED).items()
    }
    torch.save({**parts, "epoch": 0, "rho_best": np.float64(0.0)}, folder / "golden.pth")
    return folder / "golden.pth"


def read_clip(golden: ModuleType, name: str, folder: Path) -> FloatArray:
    """Write a golden clip as an image folder and read it as a user would: (3, 96, 112, 112) float32."""
    images = folder / name
    images.mkdir()
    for number, frame in enumerate(golden.frames(name, SEED), start=1):
        Image.fromarray(frame).save(images / f"{number:05d}.png", compress_level=0)
    return mcore.read_clip(images)


def _input_figures(name: str, clip: FloatArray, expected: Golden) -> list[Figure]:
    golden = expected[f"{name}/input_probe"]
    std = np.asarray(ClipConfig().std[:1]).reshape(1, 1, 1, 1)  # the probe's only channel is red
    apart = ~(np.abs(clip[PROBE] - golden) * std * 255 <= 1 + 1e-3)  # more than one grey level, or nan
    return [Figure(name, "input probe: share of values more than 1/255 off", float(apart.mean()), 0.001)]


def _network_figures(name: str, encoding: Encoding, expected: Golden) -> list[Figure]:
    features = expected[f"{name}/features"]
    difference = np.abs(encoding.features[0].numpy() - features).max()
    flips = int((encoding.transitions[0].numpy() != expected[f"{name}/transitions"]).sum())
    return [
        Figure(name, "features: max difference / max value", float(difference / np.abs(features).max()), 1e-4),
        Figure(name, "transitions: number that differ", flips, 0),
    ]


def _delta_figure(model: MCoRe, encoded: dict[str, Encoding], golden: FloatArray) -> Figure:
    exemplars = torch.cat([encoded["exemplar0"].tokens, encoded["exemplar1"].tokens])
    delta = model.compare(encoded["query"].tokens, exemplars).numpy()
    return Figure("query", "score differences: max difference, points", float(np.abs(delta - golden).max()), 1e-3)


@dataclass(frozen=True)
class Arguments:
    """Compare this network with the published implementation."""

    reference: Annotated[Path, tyro.conf.Positional]
    """Folder with golden.py and golden_a.npz."""


def main(argv: Sequence[str] | None = None) -> int:
    """Print every figure beside its limit; returns 0 if all hold, 1 if not."""
    prog = "python tools/check_published.py"
    return run_command_line(Arguments, lambda a: _report(compare(a.reference)), prog=prog, doc=__doc__, argv=argv)


def _report(figures: Sequence[Figure]) -> int:
    table = Table("clip", "compared with the published implementation", "measured", "limit", "")
    for f in figures:
        table.add_row(f.clip, f.what, f"{f.value:.2g}", f"{f.limit:g}", "ok" if f.passed else "[red]FAILED")
    Console().print(table)
    return 0 if all(f.passed for f in figures) else 1


if __name__ == "__main__":
    raise SystemExit(main())
