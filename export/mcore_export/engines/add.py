"""Engines join a bundle: built from its graphs, compared with PyTorch where they can run, and listed."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import cast

from mcore.common.errors import UserError
from mcore_export.engines.build import ENGINES_FOLDER, build_engines, check_max_exemplars
from mcore_export.engines.targets import resolve_target
from mcore_export.folder import appearing_folder, check_target, copy_bundle
from mcore_export.parity.golden import load_golden
from mcore_export.parity.verify import compare_aloud, require_pass
from mcore_runtime.backends import open_backend
from mcore_runtime.backends.tensorrt.flavours import load_flavour
from mcore_runtime.bundle.folder import Bundle, write_manifest
from mcore_runtime.bundle.manifest import BundleManifest
from mcore_runtime.bundle.records import EngineRecord, GateRow, GraphSet, Precision

Say = Callable[[str], None]


@dataclass(frozen=True)
class EngineOptions:
    """Which engines to build."""

    kind: str
    """``tensorrt`` or ``tensorrt-rtx``."""
    targets: tuple[str, ...] = ()
    """GPU architectures such as ``sm89`` (TensorRT-RTX only); empty: this machine's GPU."""
    precision: Precision | None = None
    """Whose graphs; None: fp16 where the bundle has it, else fp32."""
    max_exemplars: int = 64
    """Most exemplars that the regressor takes at once."""

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
    for target in options.targets or (None,):
        resolve_target(flavour, target)


def add_engines(bundle_path: Path, out: Path | None, options: EngineOptions, *, force: bool, say: Say) -> Bundle:
    """Build engines from a bundle's graphs; needs no torch.

    Args:
        bundle_path: the bundle.
        out: folder of a copy that gets them, which appears whole or not at all; None: the bundle itself, which is a
            valid bundle at every moment.
        options: what to build.
        force: replace a bundle at ``out``.
        say: gets one line for each engine and comparison, and every message of the library.

    Raises:
        BackendError: there is no such GPU or library here, or the library cannot build a graph.
        ExportError: an engine does not compute what PyTorch computed.
        UserError: the bundle or ``out`` cannot be used.
    """
    bundle = Bundle.open(bundle_path)
    graphs = bundle.graphs(options.chosen_precision(bundle))  # which says how to export what is not there
    if graphs.for_cpu:
        raise UserError(
            f"the {graphs.variant} graphs of {bundle_path} are arranged for CPUs (--for-cpu): an engine of them would "
            f"run more and smaller kernels. Export {bundle.manifest.checkpoint.name} again without --for-cpu"
        )
    check_engines(options)
    if out is None or out.resolve() == bundle_path.resolve():
        with _alone_in(bundle_path):
            write_engines(Bundle.open(bundle_path), options, say)
        return Bundle.open(bundle_path)
    check_target(out, force=force)
    with appearing_folder(out) as folder:
        copy_bundle(bundle, folder)
        write_engines(replace(bundle, path=folder), options, say)
    return Bundle.open(out)


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Keep other builds out of a bundle: the later manifest would lack the earlier one's engine.

    The lock is on the folder itself, so that it leaves no file behind and ends with the process, however that ends.
    """
    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(f"another mcore-export is adding engines to {folder}; wait for it to finish") from None
        yield
    finally:
        os.close(handle)


def write_engines(bundle: Bundle, options: EngineOptions, say: Say) -> None:
    """Build engines into a bundle's own folder; arguments and errors as for ``add_engines``."""
    graphs = bundle.graphs(options.chosen_precision(bundle))
    flavour = load_flavour(options.kind)
    for target in options.targets or (None,):
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
                say=say,
            )
        except BaseException:
            write_manifest(bundle.path, before, before.files)  # an older engine of this name is still there
            raise
        try:
            record = replace(record, gate=_prove(bundle, graphs, record, say, runs_here=target is None))
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


def _prove(bundle: Bundle, graphs: GraphSet, record: EngineRecord, say: Say, *, runs_here: bool) -> tuple[GateRow, ...]:
    if not runs_here:
        say(f"{record.name}: not run here; compare it with PyTorch on its device with: mcore-export BUNDLE --verify")
        return ()
    limits = bundle.manifest.variants[cast("Precision", graphs.variant)].limits
    with closing(open_backend(replace(graphs, engines=(record,)), record.kind)) as backend:
        rows = compare_aloud(backend, load_golden(bundle), limits, say)
    require_pass(rows)
    return rows
