"""Engines join a bundle: built from its graphs, compared with PyTorch where they can run, and listed."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import cast

from mcore.common.errors import UserError
from mcore_export.engines.build import ENGINES_FOLDER, build_engines, check_max_exemplars
from mcore_export.engines.targets import resolve_target
from mcore_export.folder import appearing_folder, check_target, copy_bundle
from mcore_export.log import Log
from mcore_export.parity.golden import load_golden
from mcore_export.parity.verify import compare_aloud, require_pass
from mcore_runtime.backends import open_backend
from mcore_runtime.backends.tensorrt.flavours import Kind, load_flavour
from mcore_runtime.bundle.folder import Bundle, write_manifest
from mcore_runtime.bundle.manifest import BundleManifest
from mcore_runtime.bundle.records import EngineRecord, GraphSet, ParityRow, Precision


@dataclass(frozen=True)
class EngineOptions:
    """Options of building engines."""

    kind: Kind = "tensorrt"
    """TensorRT, or TensorRT-RTX for GeForce and RTX GPUs."""
    target: tuple[str, ...] = ()
    """GPU architectures such as sm86 sm89 to build for ahead of time (tensorrt-rtx only); default: this machine's
    GPU."""
    precision: Precision | None = None
    """Graphs to build from; default: fp16 where the bundle has it, else fp32."""
    max_exemplars: int = 64
    """Most exemplars that the engines compare with at once; more take several runs."""

    def __post_init__(self) -> None:
        check_max_exemplars(self.max_exemplars)

    def chosen_precision(self, bundle: Bundle) -> Precision:
        """Return whose graphs are built."""
        return self.precision or ("fp16" if "fp16" in bundle.variants else "fp32")


def check_engines(options: EngineOptions) -> None:
    """Refuse what cannot be built here; cheap, so do it before anything is exported or copied.

    Raises:
        BackendError: there is no such GPU here.
        MissingDependencyError: the library, or what reaches the GPU, is not installed.
        UserError: no such kind or target.
    """
    flavour = load_flavour(options.kind)
    for target in options.target or (None,):
        resolve_target(flavour, target)


def add_engines(bundle_path: Path, out: Path | None, options: EngineOptions, *, force: bool, log: Log) -> Bundle:
    """Build engines from a bundle's graphs; needs no torch.

    Args:
        bundle_path: the bundle.
        out: folder of a copy that gets them, which appears whole or not at all; None: the bundle itself, which is a
            valid bundle at every moment.
        options: what to build.
        force: replace a bundle at ``out``.
        log: gets one line for each engine and comparison, and every message of the library.

    Raises:
        BackendError: there is no such GPU or library here, or the library cannot build a graph.
        ExportError: an engine does not compute what PyTorch computed.
        UserError: the bundle or ``out`` cannot be used.
    """
    bundle = Bundle.open(bundle_path)
    graphs = bundle.graphs(options.chosen_precision(bundle))  # which says how to export what is not there
    if graphs.for_cpu:
        raise UserError(
            f"the {graphs.variant} graphs of {bundle_path} have the CPU layout (--for-cpu): an engine of them would "
            f"run more and smaller kernels. Export {bundle.manifest.checkpoint.name} again without --for-cpu"
        )
    check_engines(options)
    if out is None or out.resolve() == bundle_path.resolve():
        with _locked(bundle_path):
            write_engines(Bundle.open(bundle_path), options, log)
        return Bundle.open(bundle_path)
    check_target(out, force=force)
    with appearing_folder(out) as folder:
        copy_bundle(bundle, folder)
        write_engines(replace(bundle, path=folder), options, log)
    return Bundle.open(out)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Keep other builds out of a bundle: the later manifest would lack the earlier one's engine.

    The lock is on the folder itself, so that it leaves no file behind and ends with the process, however that ends.
    """
    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(f"another mcore-bundle is adding engines to {folder}; wait for it to finish") from None
        yield
    finally:
        os.close(handle)


def write_engines(bundle: Bundle, options: EngineOptions, log: Log) -> None:
    """Build engines into a bundle's own folder; arguments and errors as for ``add_engines``."""
    graphs = bundle.graphs(options.chosen_precision(bundle))
    flavour = load_flavour(options.kind)
    for target in options.target or (None,):
        name = f"{flavour.kind}-{flavour.version}-{resolve_target(flavour, target)[0]}-{graphs.variant}"
        before = bundle.manifest
        old = next((engine for engine in before.engines if engine.name == name), None)
        without = before if old is None else _without(before, old)
        cache = None if old is None or old.timing_cache is None else bundle.path / old.timing_cache
        try:
            record = build_engines(
                graphs,
                options.kind,
                bundle.path,
                target=target,
                max_exemplars=options.max_exemplars,
                timing_cache=cache,
                before_move=partial(write_manifest, bundle.path, without, without.files),
                log=log,
            )
        except BaseException:
            write_manifest(bundle.path, before, before.files)  # an older engine of this name is still there
            raise
        try:
            record = replace(record, parity=_prove(bundle, graphs, record, log, runs_here=target is None))
        except BaseException:
            shutil.rmtree(bundle.path / ENGINES_FOLDER / name, ignore_errors=True)
            raise
        files = [*without.files, *record.files.values(), *filter(None, [record.timing_cache])]
        engines = (*without.engines, record)
        bundle = replace(bundle, manifest=write_manifest(bundle.path, replace(without, engines=engines), files))


def _without(manifest: BundleManifest, old: EngineRecord) -> BundleManifest:
    """Take an engine out of the list before its files are replaced."""
    gone = {*old.files.values(), old.timing_cache}
    files = {file: digest for file, digest in manifest.files.items() if file not in gone}
    return replace(manifest, engines=tuple(engine for engine in manifest.engines if engine is not old), files=files)


def _prove(
    bundle: Bundle, graphs: GraphSet, record: EngineRecord, log: Log, *, runs_here: bool
) -> tuple[ParityRow, ...]:
    if not runs_here:
        log(f"{record.name}: not run here; compare it with PyTorch on its device with: mcore-bundle verify BUNDLE")
        return ()
    limits = bundle.manifest.variants[cast("Precision", graphs.variant)].limits
    with closing(open_backend(replace(graphs, engines=(record,)), record.kind)) as backend:
        rows = compare_aloud(backend, load_golden(bundle), limits, log)
    require_pass(rows)
    return rows
