"""Export a checkpoint to a bundle: ONNX graphs that are known to score as the checkpoint does.

Every graph is compared with PyTorch on each backend of this machine, and nothing is written where one disagrees. What
is done to a finished bundle, without torch, is the command mcore-bundle.

Examples:
    mcore-export runs/tiny/best.pt --out bundle --fp16

    mcore-export published.pth --out bundle --exemplars dives.jsonl --validate dives.jsonl
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro
from tyro.conf import arg

from mcore.common.command_line import run_command_line
from mcore.common.errors import UserError
from mcore.common.optional import require_all
from mcore.config import DEFAULT_DECODING, GraphDecoding
from mcore.data.manifest import Split
from mcore_export.engines.add import EngineOptions
from mcore_export.exemplars.bank import BankOptions
from mcore_export.parity.limits import DEFAULT_LIMITS, describe_defaults
from mcore_runtime.backends.tensorrt.flavours import Kind as EngineKind
from mcore_runtime.bundle.records import ParityLimits, Precision


def _limit_help(name: str, text: str) -> Any:
    """Help of one limit, with the defaults of all precisions."""
    return arg(help=f"{text}; default: {describe_defaults(name)}.")


@dataclass(frozen=True)
class LimitArguments:
    """Most that the graphs may differ from PyTorch in float32; the defaults depend on the precision."""

    max_score_difference: Annotated[float | None, _limit_help("points", "Points, where transitions agree")] = None
    max_flips: Annotated[float | None, _limit_help("flips", "Share of transitions decoded to another frame")] = None
    min_srcc: Annotated[float | None, _limit_help("srcc", "Least rank correlation of the scores")] = None
    max_relative: Annotated[float | None, _limit_help("relative", "Features, logits and tokens, to the largest")] = None

    def __post_init__(self) -> None:
        for name, value in dataclasses.asdict(self).items():
            if value is not None and not 0 <= value < float("inf"):
                raise UserError(f"--{name.replace('_', '-')} is {value}; allowed: 0 or more")

    def over(self, limits: ParityLimits) -> ParityLimits:
        """Return limits with what was given in place of the defaults."""
        given = {
            "points": self.max_score_difference,
            "flips": self.max_flips,
            "srcc": self.min_srcc,
            "relative": self.max_relative,
        }
        return dataclasses.replace(limits, **{name: value for name, value in given.items() if value is not None})


@dataclass(frozen=True)
class Arguments:
    """Export a checkpoint to a bundle of ONNX graphs, compare them with PyTorch, and add exemplars."""

    checkpoint: Annotated[Path, tyro.conf.Positional]
    """Checkpoint, ours or the published layout."""
    out: Path
    """Folder of the new bundle."""
    fp16: bool = False
    """Export half-precision graphs too: half the size, for GPUs. Not together with --int8, which makes another
    bundle."""
    int8: bool = False
    """Export eight-bit graphs too, with ranges from the exemplars' dives: kept only if they are faster than fp32 on
    this machine, and within the limits. Not together with --fp16."""
    keep_slower: bool = False
    """Keep int8 graphs that are not faster here, for another device."""
    decoding: GraphDecoding = DEFAULT_DECODING
    """How the graphs find transitions: ordered (the most probable pair of the whole clip) or published (each in its
    half of the clip)."""
    opset: int = 18
    """ONNX operator set, 17 to 20."""
    for_cpu: bool = False
    """Arrange the fp32 and int8 backbone for CPUs, to the same numbers sooner: first blocks in tiles of frames that fit
    into a cache, groups as wide as AVX-512. On a GPU it would be more and smaller steps. Measure both bundles side by
    side with mcore-bench."""
    no_streaming: bool = False
    """Leave out the streaming backbone, with which live streams score sooner after a dive's last frame: 24 MB and half
    a minute less for the published network."""
    batched: bool = False
    """Export fp32 and fp16 graphs with a batch axis too, which mcore-bundle triton needs."""
    exemplars: Path | None = None
    """List of labelled dives (.jsonl or .csv), which become the exemplars; default: the dives that the checkpoint was
    trained on, where they still lie where they did."""
    exemplar_split: Split = "train"
    """Split of that list; never take exemplars from dives that you report accuracy on."""
    no_exemplar_pictures: bool = False
    """Leave the exemplars' pictures out, which the live page and reports show beside a dive: for dives whose pictures
    must not be passed on, and 0.1 MB less for each."""
    no_numbers: bool = False
    """Do not learn to tell dive numbers apart."""
    validate: Path | None = None
    """List of dives (.jsonl or .csv) to compare the graphs with PyTorch on, besides eight rendered ones."""
    validate_split: Split = "test"
    """Split of that list."""
    validate_most: int = 100
    """At most this many of them, spread evenly over the list."""
    limits: tyro.conf.OmitArgPrefixes[LimitArguments] = dataclasses.field(default_factory=LimitArguments)
    """Limits of the asked precision; with --fp16 or --int8 the fp32 graphs beside them keep their defaults."""
    engine: EngineKind | None = None
    """Build TensorRT engines of the asked precision too, for this machine's GPU."""
    target: tuple[str, ...] = ()
    """GPU architectures such as sm86 sm89 to build for ahead of time, without such a GPU (tensorrt-rtx only)."""
    max_exemplars: int = EngineOptions.max_exemplars
    """Most exemplars that the engines compare with at once; more take several runs."""
    force: Annotated[bool, arg(aliases=["--overwrite"])] = False
    """Replace a bundle that is already at --out."""

    def __post_init__(self) -> None:
        if self.fp16 and self.int8:
            raise UserError("--fp16 and --int8 are two bundles: give one of them")
        if self.keep_slower and not self.int8:
            raise UserError("--keep-slower is about --int8 graphs; leave it out, or add --int8")
        if self.engine is None and self.target:
            raise UserError("--target says what engines are built for; it needs --engine")


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``mcore-export``; returns 0, 1 if a graph does not compute what the checkpoint does, 2 for a mistake."""
    return run_command_line(Arguments, _run, prog="mcore-export", doc=__doc__, argv=argv)


def _run(arguments: Arguments) -> int:
    # Before advice about packages that would not help.
    if not arguments.checkpoint.exists():
        raise UserError(f"there is nothing at {arguments.checkpoint}; give a checkpoint")
    if arguments.checkpoint.is_dir():
        raise UserError(f"{arguments.checkpoint} is a folder; give a checkpoint. For a bundle see: mcore-bundle --help")
    require_all("torch", "onnx", "onnxscript", "onnxruntime", extra="export", purpose="Exporting a checkpoint")
    from mcore_export.exporter import ExportOptions, export_checkpoint, training_dives
    from mcore_export.parity.expected import ValidationOptions

    began = time.perf_counter()
    precision: Precision = "fp16" if arguments.fp16 else "int8" if arguments.int8 else "fp32"
    validation = engines = bank = None
    if arguments.validate is not None:
        validation = ValidationOptions(arguments.validate, arguments.validate_split, arguments.validate_most)
    if arguments.engine is not None:
        engines = EngineOptions(arguments.engine, arguments.target, precision, arguments.max_exemplars)
    if (dives := arguments.exemplars or training_dives(arguments.checkpoint)) is not None:
        bank = BankOptions(
            dives,
            arguments.exemplar_split,
            no_pictures=arguments.no_exemplar_pictures,
            no_numbers=arguments.no_numbers,
        )
    options = ExportOptions(
        precision=precision,
        decoding=arguments.decoding,
        opset=arguments.opset,
        limits=arguments.limits.over(DEFAULT_LIMITS[precision]),
        validation=validation,
        keep_slower=arguments.keep_slower,
        for_cpu=arguments.for_cpu,
        streaming=not arguments.no_streaming,
        batched=arguments.batched,
        engines=engines,
        force=arguments.force,
    )
    bundle = export_checkpoint(arguments.checkpoint, arguments.out, options, bank=bank, log=print)
    size = sum(record.bytes for record in bundle.manifest.files.values())
    print(f"{bundle.path}: {size / 1e6:.1f} MB in {time.perf_counter() - began:.1f} s")
    if bank is None:
        print(
            "This bundle has no exemplars yet, so it can encode dives but not score them. Give it some with:\n"
            f"  mcore-bundle exemplars {bundle.path} --dives DIVES.jsonl --out {bundle.path}-with-exemplars"
        )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
