"""``mcore-export``: a checkpoint becomes a bundle that is known to score as the checkpoint does.

mcore-export runs/tiny/best.pt --out bundle
mcore-export published.pth --out bundle --exemplars dives.jsonl
mcore-export bundle --out bundle2 --exemplars dives.jsonl      # another exemplar bank; needs no torch
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from mcore._optional import require
from mcore.data.manifest import Split
from mcore.errors import UserError, run_command
from mcore_export.bank import BankOptions, add_exemplars
from mcore_runtime.bundle import MANIFEST_FILE, Bundle


@dataclass(frozen=True)
class Arguments:
    """Export a checkpoint to a bundle of ONNX graphs, compare them with PyTorch, and add exemplars."""

    source: Annotated[Path, tyro.conf.Positional]
    """Checkpoint (ours or published), or a bundle that is to get other exemplars."""
    out: Path
    """Folder of the new bundle."""
    exemplars: Path | None = None
    """List of labelled dives (.jsonl or .csv) to take exemplars from; default: the dives that the checkpoint was
    trained on, where they still lie where they did."""
    exemplar_split: Split = "train"
    """Split of that list; never take exemplars from dives that you report accuracy on."""
    exemplars_per_number: int = 10
    """Exemplars for each dive number."""
    seed: int = 0
    """Seed of the choice of exemplars."""
    opset: int = 18
    """ONNX operator set, 17 to 20."""
    overwrite: bool = False
    """Replace a bundle that is already at --out."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``mcore-export``; returns 0, 1 if a graph does not compute what the checkpoint does, 2 for a mistake."""
    arguments = tyro.cli(Arguments, args=argv, prog="mcore-export", description=__doc__)
    return run_command(lambda: _run(arguments))


def _run(arguments: Arguments) -> int:
    began = time.perf_counter()
    bundle = _from_bundle(arguments) if arguments.source.is_dir() else _from_checkpoint(arguments)
    size = sum(record.bytes for record in bundle.manifest.files.values())
    print(f"{arguments.out}: {size / 1e6:.1f} MB in {time.perf_counter() - began:.1f} s")
    if bundle.manifest.exemplars is None:
        print(
            "This bundle has no exemplars yet, so it can encode dives but not score them. Give it some with:\n"
            f"  mcore-export {arguments.out} --exemplars DIVES.jsonl --out {arguments.out}-with-exemplars"
        )
    return 0


def _from_checkpoint(arguments: Arguments) -> Bundle:
    for module in ("torch", "onnx", "onnxscript", "onnxruntime"):
        require(module, "export", "Exporting a checkpoint")
    from mcore_export.exporter import ExportOptions, export_checkpoint

    return export_checkpoint(
        arguments.source,
        arguments.out,
        ExportOptions(opset=arguments.opset, overwrite=arguments.overwrite),
        bank=_bank_options(arguments, arguments.exemplars or _training_dives(arguments.source)),
        say=print,
    )


def _from_bundle(arguments: Arguments) -> Bundle:
    if not (arguments.source / MANIFEST_FILE).is_file():
        raise UserError(f"{arguments.source} is a folder without {MANIFEST_FILE}; give a checkpoint or a bundle")
    options = _bank_options(arguments, arguments.exemplars)
    if options is None:
        raise UserError(
            f"{arguments.source} is a bundle already; say which dives it should get: --exemplars DIVES.jsonl"
        )
    return add_exemplars(arguments.source, arguments.out, options, overwrite=arguments.overwrite, say=print)


def _bank_options(arguments: Arguments, dives: Path | None) -> BankOptions | None:
    if dives is None:
        return None
    return BankOptions(dives, arguments.exemplar_split, arguments.exemplars_per_number, arguments.seed)


def _training_dives(checkpoint_path: Path) -> Path | None:
    """Find the list of dives that a checkpoint of ours was trained on, at its old place or beside the run."""
    from mcore.checkpoint import read_checkpoint

    data = read_checkpoint(checkpoint_path).extra.get("data")
    if not isinstance(data, dict):
        return None
    # The second is relative to the run, so that a folder with both can be moved or mounted elsewhere.
    places = [Path(str(data["manifest"])), checkpoint_path.parent / str(data["manifest_relative"])]
    found = next((path for path in places if path.is_file()), None)
    if found is None:
        print(f"note: the dives this checkpoint was trained on are no longer at {places[0]}")
    return found


if __name__ == "__main__":
    raise SystemExit(main())
