"""Look at a finished bundle, or give it engines, exemplars, a spotter or a server's models. None of it needs torch.

Examples:
    mcore-bundle verify bundle

    mcore-bundle engine bundle --kind tensorrt

    mcore-bundle exemplars bundle --dives dives.jsonl --out bundle2
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import av
import tyro

from mcore.common.command_line import run_subcommand
from mcore.common.errors import ExportError
from mcore.video.native import VARIABLE
from mcore.video.yuv import CONVERSION_VERSION
from mcore_export import accuracy
from mcore_export.engines.add import EngineOptions, add_engines
from mcore_export.exemplars.bank import BankOptions, add_exemplars
from mcore_export.likeness import measure as likeness
from mcore_export.numbers import measure as numbers
from mcore_export.parity.compare import READING_MEASURES, describe_failures
from mcore_export.parity.verify import verify_bundle
from mcore_export.show import show_bundle
from mcore_export.spotter import add_spotter
from mcore_export.triton import TritonOptions, plan_builder, write_triton_repository
from mcore_runtime.backends import BackendName
from mcore_runtime.bundle.folder import GOLDEN_VIDEO, Bundle
from mcore_runtime.bundle.records import Precision

BundleFolder = Annotated[Path, tyro.conf.Positional]
Force = Annotated[bool, tyro.conf.arg(aliases=["--overwrite"])]


@dataclass(frozen=True)
class VerifyArguments:
    """Compare what this machine makes of a bundle's video and graphs with the PyTorch outputs stored in it.

    Writes nothing. Exit code 0: all within the limits of the export (openvino-bf16: those of int8); 1: not.
    """

    bundle: BundleFolder
    """Folder made by mcore-export."""
    backend: BackendName = "auto"
    """Backend that runs the graphs; auto: the best that works here."""
    precision: Precision | None = None
    """Graphs to compare; default: those that the runtime would take."""


@dataclass(frozen=True)
class ShowArguments:
    """Show what a bundle holds, and what of it this machine can run."""

    bundle: BundleFolder
    """Folder made by mcore-export."""


@dataclass(frozen=True)
class EngineArguments:
    """Build TensorRT engines from a bundle's graphs and compare them with PyTorch."""

    bundle: BundleFolder
    """Folder made by mcore-export."""
    engine: tyro.conf.OmitArgPrefixes[EngineOptions]
    """Options of building engines."""
    out: Path | None = None
    """Folder of a copy that gets them; default: the bundle itself."""
    force: Force = False
    """Replace a bundle that is already at --out."""


@dataclass(frozen=True)
class ExemplarsArguments:
    """Write a copy of a bundle with other exemplars, encoded by the bundle's own graphs."""

    bundle: BundleFolder
    """Folder made by mcore-export."""
    out: Path
    """Folder of the copy."""
    exemplars: tyro.conf.OmitArgPrefixes[BankOptions]
    """Options of choosing exemplars."""
    force: Force = False
    """Replace a bundle that is already at --out."""


@dataclass(frozen=True)
class SpotterArguments:
    """Write a copy of a bundle that finds dives by a spotter of one's own."""

    bundle: BundleFolder
    """Folder made by mcore-export."""
    spotter: tyro.conf.Positional[Path]
    """Weights that python -m mcore.train_spotter made."""
    out: Path
    """Folder of the copy."""
    force: Force = False
    """Replace a bundle that is already at --out."""


@dataclass(frozen=True)
class TritonArguments:
    """Write a model repository of Triton Inference Server; the bundle was exported with --batched."""

    bundle: BundleFolder
    """Folder made by mcore-export, with exemplars."""
    out: Path
    """Folder of the repository."""
    server: tyro.conf.OmitArgPrefixes[TritonOptions] = field(default_factory=TritonOptions)
    """Options of the server."""
    tensorrt: bool = False
    """Build TensorRT engines for this machine's GPU; default: ONNX Runtime runs the graphs."""
    force: Force = False
    """Replace a repository that this command wrote."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``mcore-bundle``; returns 0, 1 if a graph does not compute what PyTorch did, 2 for a mistake."""
    commands: dict[str, tuple[Any, Callable[[Any], int]]] = {
        "verify": (VerifyArguments, _verify),
        "show": (ShowArguments, _show),
        "engine": (EngineArguments, _engine),
        "exemplars": (ExemplarsArguments, _exemplars),
        "spotter": (SpotterArguments, _spotter),
        "triton": (TritonArguments, _triton),
        "accuracy": (accuracy.Options, accuracy.run),
        "unlike": (likeness.Options, likeness.run),
        "numbers": (numbers.Options, numbers.run),
    }
    return run_subcommand(commands, prog="mcore-bundle", doc=__doc__, argv=argv)


def _verify(arguments: VerifyArguments) -> int:
    bundle = Bundle.open(arguments.bundle)
    rows = verify_bundle(bundle, arguments.backend, arguments.precision, log=print)
    reading = [row for row in rows if row.measure in READING_MEASURES]
    if failures := describe_failures(reading):
        raise ExportError(_reading_error(bundle, failures))
    if failures := describe_failures(rows):
        raise ExportError(
            f"on this machine the graphs of {bundle.path} do not compute what PyTorch computed: {failures}. "
            "Do not score with them here; try another --backend"
        )
    worst = max(row.figure for row in rows if row.measure == "score_max")
    print(f"{bundle.path}: computes here what PyTorch computed, but for at most {worst:.2g} points of a score")
    return 0


def _reading_error(bundle: Bundle, failures: str) -> str:
    """Say what of reading a video differs from the export, and what may be the cause."""
    if bundle.manifest.conversion != CONVERSION_VERSION:
        cause = (
            f"the bundle was made with version {bundle.manifest.conversion} of the conversion to RGB, this is "
            f"{CONVERSION_VERSION}: export it again"
        )
    elif "decoded" in failures:
        cause = f"PyAV {av.__version__} decodes H.264 otherwise: install another build of it"
    else:
        cause = f"frames are converted or resized otherwise: build the package again, or try with {VARIABLE}=0"
    path = bundle.path / GOLDEN_VIDEO
    return f"on this machine {path} is not read as where the bundle was exported: {failures}; {cause}"


def _show(arguments: ShowArguments) -> int:
    show_bundle(Bundle.open(arguments.bundle), print)
    return 0


def _engine(arguments: EngineArguments) -> int:
    made = add_engines(arguments.bundle, arguments.out, arguments.engine, force=arguments.force, log=print)
    return _report(made)


def _exemplars(arguments: ExemplarsArguments) -> int:
    made = add_exemplars(arguments.bundle, arguments.out, arguments.exemplars, force=arguments.force, log=print)
    return _report(made)


def _spotter(arguments: SpotterArguments) -> int:
    return _report(add_spotter(arguments.bundle, arguments.spotter, arguments.out, force=arguments.force))


def _triton(arguments: TritonArguments) -> int:
    plans = plan_builder(print) if arguments.tensorrt else None
    bundle = Bundle.open(arguments.bundle)
    write_triton_repository(bundle, arguments.out, arguments.server, overwrite=arguments.force, log=print, plans=plans)
    print(f"{arguments.out}: serve it with: tritonserver --model-repository={arguments.out} (docs/guides/triton.md)")
    return 0


def _report(bundle: Bundle) -> int:
    size = sum(record.bytes for record in bundle.manifest.files.values())
    print(f"{bundle.path}: {size / 1e6:.1f} MB")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
