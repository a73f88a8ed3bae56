"""``mcore-export``: a checkpoint becomes a bundle that is known to score as the checkpoint does.

mcore-export runs/tiny/best.pt --out bundle --fp16

mcore-export published.pth --out bundle --exemplars dives.jsonl --validate dives.jsonl

mcore-export bundle --out bundle2 --exemplars dives.jsonl (another exemplar bank; needs no torch)

mcore-export bundle --engine tensorrt (build engines for this machine's GPU; needs no torch)

mcore-export bundle --triton models (a model repository for Triton Inference Server; needs no torch)

mcore-export bundle --verify (do the graphs compute the same on this machine? needs no torch)

mcore-export bundle --list (what does the bundle hold, and what of it runs on this machine?)
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from mcore.common.cli_help import description
from mcore.common.errors import ExportError, UserError, run_command
from mcore.common.optional import require
from mcore.data.manifest import Split
from mcore_export.engines.add import EngineOptions, add_engines
from mcore_export.exemplars.bank import BankOptions, add_exemplars
from mcore_export.flags import refuse_idle
from mcore_export.listing import list_bundle
from mcore_export.parity.compare import DEFAULT_LIMITS, describe_failures
from mcore_export.parity.verify import verify_bundle
from mcore_export.triton.options import TritonOptions
from mcore_runtime.backends import BackendName
from mcore_runtime.backends.tensorrt.flavours import Kind as EngineKind
from mcore_runtime.bundle.folder import MANIFEST_FILE, Bundle
from mcore_runtime.bundle.records import GateLimits, Precision

if TYPE_CHECKING:
    from mcore_export.exporter import ExportOptions


@dataclass(frozen=True)
class LimitArguments:
    """Most that the graphs may differ from PyTorch in float32; the defaults depend on the precision."""

    max_score_difference: float | None = None
    """Points, of dives whose transitions agree; default: fp32 0.01, fp16 0.1, int8 0.5."""
    max_flips: float | None = None
    """Share of transitions decoded to another frame; default: fp32 0, fp16 0.02, int8 0.05."""
    min_srcc: float | None = None
    """Least rank correlation of the scores; default: 0.999."""
    max_relative: float | None = None
    """Features, logits and tokens, as a share of the largest; default: fp32 0.003, fp16 0.03, int8 0.5."""

    def __post_init__(self) -> None:
        for name, value in dataclasses.asdict(self).items():
            if value is not None and not 0 <= value < float("inf"):
                raise UserError(f"--{name.replace('_', '-')} is {value}; allowed: 0 or more")

    def over(self, limits: GateLimits) -> GateLimits:
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

    source: Annotated[Path, tyro.conf.Positional]
    """Checkpoint (ours or published), or a bundle."""
    out: Path | None = None
    """Folder of the new bundle."""
    fp16: bool = False
    """Export half-precision graphs too: half the size, for GPUs."""
    int8: bool = False
    """Export eight-bit graphs too, calibrated on the exemplars' dives: kept only if they are faster than fp32 on this
    machine, and within the limits."""
    keep_slower: bool = False
    """Keep int8 graphs that are not faster here, for another device."""
    opset: int = 18
    """ONNX operator set, 17 to 20."""
    for_cpu: bool = False
    """Rearrange the fp32 and int8 backbone for CPUs, to the same numbers sooner: first blocks in tiles of frames that
    fit into a cache, groups as wide as AVX-512. On a GPU it would be more and smaller steps. Measure both bundles side
    by side with mcore-bench."""
    no_split: bool = False
    """Leave out the backbone in two parts, which live streams use to score sooner after a dive's last frame: 24 MB and
    half a minute less for the published network."""
    exemplars: Path | None = None
    """List of labelled dives (.jsonl or .csv) to take exemplars from; default: the dives that the checkpoint was
    trained on, where they still lie where they did."""
    exemplar_split: Split = "train"
    """Split of that list; never take exemplars from dives that you report accuracy on."""
    exemplars_per_number: int = 10
    """Exemplars for each dive number."""
    seed: int = 0
    """Seed of the choice of exemplars."""
    no_exemplar_pictures: bool = False
    """Leave the exemplars' pictures out, which the live page and reports show beside a dive: for dives whose pictures
    must not be passed on, and 0.1 MB less for each."""
    validate: Path | None = None
    """List of dives (.jsonl or .csv) to compare the graphs with PyTorch on, besides eight rendered ones."""
    validate_split: Split = "test"
    """Split of that list."""
    validate_most: int = 100
    """At most this many of them, spread evenly over the list."""
    limits: tyro.conf.OmitArgPrefixes[LimitArguments] = dataclasses.field(default_factory=LimitArguments)
    """What the graphs of the asked precision are held to; the fp32 graphs beside them keep their defaults."""
    engine: EngineKind | None = None
    """Build TensorRT engines too, for this machine's GPU; from a bundle this needs no torch, and without --out the
    bundle itself gets them."""
    target: tuple[str, ...] = ()
    """GPU architectures such as sm86 sm89 to build for ahead of time, without such a GPU (tensorrt-rtx only)."""
    max_exemplars: int = 64
    """Most exemplars that the engines compare with at once; more take several runs."""
    triton: Path | None = None
    """Write a model repository of Triton Inference Server for a bundle to this folder; needs no torch."""
    serve: Annotated[TritonOptions, tyro.conf.arg(name="triton")] = dataclasses.field(default_factory=TritonOptions)
    """How --triton serves."""
    verify: bool = False
    """Compare a bundle's graphs, run on this machine, with the PyTorch outputs stored in the bundle; writes nothing and
    needs no torch. Exit code 0: all within the limits of the export (openvino-bf16: those of int8); 1: not."""
    list: bool = False
    """Show what a bundle holds and what this machine can run of it; writes nothing and needs no torch."""
    backend: BackendName | None = None
    """Engine that --verify runs the graphs on; default: auto, the best that works here."""
    precision: Precision | None = None
    """Graphs that --verify compares (default: those that the runtime would take) or --engine builds (default: of an
    export the ones it is asked for, of a bundle fp16 where it has it, else fp32)."""
    force: Annotated[bool, tyro.conf.arg(aliases=["--overwrite"])] = False
    """Replace a bundle that is already at --out."""


_PREFIXES = {"limits": "", "serve": "triton."}
_BANK_FLAGS = (
    *("source", "out", "exemplars", "exemplar_split", "exemplars_per_number", "seed", "no_exemplar_pictures", "force"),
)
_ENGINE_FLAGS = ("source", "out", "engine", "target", "max_exemplars", "precision", "force")


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``mcore-export``; returns 0, 1 if a graph does not compute what the checkpoint does, 2 for a mistake."""
    return run_command(lambda: _run(_parse(argv)))


def _parse(argv: Sequence[str] | None) -> Arguments:
    return tyro.cli(
        Arguments,
        args=argv,
        prog="mcore-export",
        description=description(__doc__),
        config=(tyro.conf.FlagCreatePairsOff,),
    )


def _run(arguments: Arguments) -> int:
    if arguments.verify or arguments.list:
        return _look(arguments)
    if arguments.triton is not None:
        return _write_triton(arguments, arguments.triton)
    if not arguments.source.exists():  # before advice about flags or packages that would not help
        raise UserError(f"there is nothing at {arguments.source}; give a checkpoint or the folder of a bundle")
    out = _require_out(arguments)
    began = time.perf_counter()
    bundle = _from_bundle(arguments, out) if arguments.source.is_dir() else _from_checkpoint(arguments, out)
    size = sum(record.bytes for record in bundle.manifest.files.values())
    print(f"{out}: {size / 1e6:.1f} MB in {time.perf_counter() - began:.1f} s")
    if bundle.manifest.variants["fp32"].exemplars is None:
        print(
            "This bundle has no exemplars yet, so it can encode dives but not score them. Give it some with:\n"
            f"  mcore-export {out} --exemplars DIVES.jsonl --out {out}-with-exemplars"
        )
    return 0


def _write_triton(arguments: Arguments, repository: Path) -> int:
    if arguments.out is not None or arguments.exemplars is not None:
        raise UserError("--triton serves a bundle as it is: leave out --out and --exemplars")
    if arguments.source.is_file():
        raise UserError(
            f"{arguments.source} is a file; --triton takes the folder of a bundle. Make one with: "
            f"mcore-export {arguments.source} --out BUNDLE"
        )
    meant = ("source", "triton", "serve", "engine", "precision", "force")
    refuse_idle(arguments, meant, "with --triton", _PREFIXES)
    for module in ("onnx", "onnxruntime"):
        require(module, "triton", "Writing a model repository")
    from mcore_export.triton import plan_builder, write_triton_repository

    plans = None if arguments.engine is None else plan_builder(arguments.engine, print)
    options = dataclasses.replace(arguments.serve, precision=arguments.precision)
    bundle = Bundle.open(arguments.source)
    write_triton_repository(bundle, repository, options, overwrite=arguments.force, say=print, plans=plans)
    print(f"{repository}: serve it with: tritonserver --model-repository={repository} (docs/triton.md)")
    return 0


def _look(arguments: Arguments) -> int:
    """Answer a question about a bundle, without changing it."""
    flag = "--verify" if arguments.verify else "--list"
    if arguments.out is not None or arguments.exemplars is not None:
        raise UserError(f"{flag} writes nothing: leave out --out and --exemplars, or look at the new bundle afterwards")
    if arguments.source.is_file():
        raise UserError(
            f"{arguments.source} is a file; {flag} takes the folder of a bundle. Make one, which is verified on the "
            f"way, with: mcore-export {arguments.source} --out BUNDLE"
        )
    meant = ("source", "list") if arguments.list else ("source", "verify", "backend", "precision")
    refuse_idle(arguments, meant, f"with {'--list' if arguments.list else '--verify'}", _PREFIXES)
    bundle = Bundle.open(arguments.source)
    if arguments.list:
        list_bundle(bundle, print)
        return 0
    rows = verify_bundle(bundle, arguments.backend or "auto", arguments.precision, say=print)
    if failures := describe_failures(rows):
        raise ExportError(
            f"on this machine the graphs of {arguments.source} do not compute what PyTorch computed: {failures}. "
            "Do not score with them here; try another --backend"
        )
    print(f"{arguments.source}: computes here what PyTorch computed")
    return 0


def _require_out(arguments: Arguments) -> Path:
    if arguments.backend is not None:
        raise UserError("--backend chooses the engine of --verify; without --verify leave it out")
    if arguments.precision is not None and arguments.engine is None:
        raise UserError("--precision chooses the graphs of --verify or --engine; to export half precision say --fp16")
    if arguments.engine is None and (arguments.target or arguments.max_exemplars != Arguments.max_exemplars):
        raise UserError("--target and --max-exemplars say how engines are built; they need --engine")
    if arguments.out is None and arguments.engine is not None and arguments.source.is_dir():
        return arguments.source  # the bundle itself
    if arguments.out is None:
        raise UserError("say where the new bundle goes: --out BUNDLE (or verify an existing one: --verify)")
    return arguments.out


def _from_checkpoint(arguments: Arguments, out: Path) -> Bundle:
    for module in ("torch", "onnx", "onnxscript", "onnxruntime"):
        require(module, "export", "Exporting a checkpoint")
    from mcore_export.exporter import export_checkpoint

    return export_checkpoint(
        arguments.source,
        out,
        _export_options(arguments),
        bank=_bank_options(arguments, arguments.exemplars or _training_dives(arguments.source)),
        say=print,
    )


def _export_options(arguments: Arguments) -> ExportOptions:
    from mcore_export.exporter import ExportOptions
    from mcore_export.parity.expected import ValidationOptions

    if arguments.fp16 and arguments.int8:
        raise UserError("--fp16 and --int8 are two bundles: the limits that you give hold for one precision")
    if arguments.keep_slower and not arguments.int8:
        raise UserError("--keep-slower is about --int8 graphs; leave it out, or add --int8")
    idle = {"serve"} if arguments.validate is not None else {"serve", "validate_split", "validate_most"}
    meant = {field.name for field in dataclasses.fields(arguments)} - idle
    refuse_idle(arguments, meant, "without --validate or --triton", _PREFIXES)
    precision: Precision = "fp16" if arguments.fp16 else "int8" if arguments.int8 else "fp32"
    validation = None
    if arguments.validate is not None:
        validation = ValidationOptions(arguments.validate, arguments.validate_split, arguments.validate_most)
    return ExportOptions(
        precision=precision,
        opset=arguments.opset,
        limits=arguments.limits.over(DEFAULT_LIMITS[precision]),
        validation=validation,
        keep_slower=arguments.keep_slower,
        for_cpu=arguments.for_cpu,
        split=not arguments.no_split,
        engines=_engine_options(arguments),
        force=arguments.force,
    )


def _from_bundle(arguments: Arguments, out: Path) -> Bundle:
    if not (arguments.source / MANIFEST_FILE).is_file():
        raise UserError(f"{arguments.source} is a folder without {MANIFEST_FILE}; give a checkpoint or a bundle")
    options = _bank_options(arguments, arguments.exemplars)
    engines = _engine_options(arguments)
    if engines is not None:
        if options is not None:
            raise UserError("give a bundle exemplars first, and then engines: leave out --exemplars or --engine")
        refuse_idle(arguments, _ENGINE_FLAGS, "about engines of graphs that a bundle has already", _PREFIXES)
        return add_engines(arguments.source, out, engines, force=arguments.force, say=print)
    if options is None:
        raise UserError(
            f"{arguments.source} is a bundle already; say what it should get: --exemplars DIVES.jsonl, or "
            "--engine tensorrt"
        )
    refuse_idle(arguments, _BANK_FLAGS, "about a bundle's graphs, which exist already (export a checkpoint)", _PREFIXES)
    return add_exemplars(arguments.source, out, options, force=arguments.force, say=print)


def _engine_options(arguments: Arguments) -> EngineOptions | None:
    if arguments.engine is None:
        return None
    return EngineOptions(arguments.engine, arguments.target, arguments.precision, arguments.max_exemplars)


def _bank_options(arguments: Arguments, dives: Path | None) -> BankOptions | None:
    if dives is None:
        return None
    return BankOptions(
        dives,
        arguments.exemplar_split,
        arguments.exemplars_per_number,
        arguments.seed,
        pictures=not arguments.no_exemplar_pictures,
    )


def _training_dives(checkpoint_path: Path) -> Path | None:
    """Find the list of dives that a checkpoint of ours was trained on, at its old place or beside the run."""
    from mcore.network.checkpoint import read_checkpoint

    data = read_checkpoint(checkpoint_path).extra.get("data")
    if not isinstance(data, dict):
        return None
    # The second is relative to the run, so that a folder with both can be moved or mounted elsewhere.
    bases = {"manifest": Path(), "manifest_relative": checkpoint_path.parent}
    places = [base / str(data[name]) for name, base in bases.items() if name in data]
    found = next((path for path in places if path.is_file()), None)
    if found is None and places:
        print(f"note: the dives this checkpoint was trained on are no longer at {places[0]}")
    return found


if __name__ == "__main__":
    raise SystemExit(main())
