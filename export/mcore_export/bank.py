"""The exemplar bank: chosen training dives, encoded by the exported graphs themselves.

Tokens belong to the graphs that made them. Nothing here needs torch, so that a bank can be made where the
videos are.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

from mcore.config import ClipConfig
from mcore.data.manifest import DiveRecord, Split, read_manifest, select_split
from mcore.data.pairs import shared_exemplars
from mcore.diving import DiveNumber
from mcore.errors import ClipError, UserError
from mcore.video import read_clip
from mcore_export.calibrate import calibrate_banks
from mcore_export.folder import appearing_folder, check_target, copy_bundle
from mcore_runtime.backends import Backend, open_backend
from mcore_runtime.bundle import Bundle, exemplars_file, write_manifest
from mcore_runtime.encoding import encode_clip
from mcore_runtime.exemplars import ExemplarBank
from mcore_runtime.records import ExemplarRecord, GraphSet, Precision


@dataclass(frozen=True)
class BankOptions:
    """Which dives become exemplars."""

    dives: Path
    """List of dives (.jsonl or .csv) to choose from."""
    split: Split = "train"
    """Split of that list; dives that accuracy is reported on must not be exemplars."""
    per_number: int = 10
    """Exemplars for each dive number (the published number is 10)."""
    seed: int = 0
    """Seed of the choice."""

    def __post_init__(self) -> None:
        if self.per_number < 1:
            raise UserError(f"{self.per_number} exemplars for each dive number; at least 1")
        if self.seed < 0:
            raise UserError(f"seed {self.seed}; at least 0")


def add_exemplars(
    bundle_path: Path, out: Path, options: BankOptions, *, force: bool = False, say: Callable[[str], None]
) -> Bundle:
    """Write a copy of a bundle with another exemplar bank, encoded by the bundle's own graphs.

    Args:
        bundle_path: the bundle to copy, with or without exemplars.
        out: folder of the copy; appears whole or not at all.
        options: which dives become exemplars.
        force: replace a bundle at ``out``.
        say: gets one line for each artefact.

    Raises:
        UserError: the bundle, the list of dives or ``out`` cannot be used.
    """
    bundle = Bundle.open(bundle_path)
    check_target(out, force=force)
    records = choose_exemplars(options)
    with appearing_folder(out) as folder:
        copy_bundle(bundle, folder)
        banks = write_banks(bundle.variants, bundle.model.clip, records, options, folder, say)
        variants = {name: replace(bundle.manifest.variants[name], exemplars=record) for name, record in banks.items()}
        write_manifest(folder, replace(bundle.manifest, variants=variants))
    return Bundle.open(out)


def write_banks(
    variants: Mapping[Precision, GraphSet],
    clip_config: ClipConfig,
    records: Sequence[DiveRecord],
    options: BankOptions,
    folder: Path,
    say: Callable[[str], None],
) -> dict[Precision, ExemplarRecord]:
    """Encode the chosen dives with every precision's graphs, because tokens belong to the graphs that made them.

    Args:
        variants: the exported graphs.
        clip_config: the network's input contract.
        records: what ``choose_exemplars`` returned.
        options: where they came from.
        folder: of the bundle.
        say: gets one line for each file, and one for each dive that could not be read.

    Returns:
        What the manifest says of each bank, and of the errors that it makes.

    Raises:
        UserError: none of the videos can be read.
    """
    began = time.perf_counter()
    with ExitStack() as stack:
        backends = {
            name: stack.enter_context(closing(open_backend(graphs, "onnxruntime"))) for name, graphs in variants.items()
        }
        kept, tokens = _encode(backends, clip_config, records, options.dives, say)
    took, written, banks = time.perf_counter() - began, {}, {}
    for name, graphs in variants.items():
        bank = banks[name] = ExemplarBank(
            tokens=np.stack(tokens[name]),
            scores=np.array([record.score for record in kept], np.float64),
            dive_numbers=np.array([DiveNumber.parse(record.dive_number).text for record in kept]),
            difficulties=np.array([np.nan if r.difficulty is None else r.difficulty for r in kept], np.float64),
            names=np.array([_name(record, options.dives) for record in kept]),
            graphs_sha256=graphs.digest(),
        )
        path = folder / exemplars_file(name)
        bank.save(path)
        counts = ", ".join(f"{number} {count}" for number, count in bank.counts().items())
        size = path.stat().st_size / 1e6
        say(f"{exemplars_file(name):20}  {size:5.1f} MB  {took:5.1f} s  {len(bank)} dives: {counts}")
        written[name] = ExemplarRecord(
            len(bank), bank.counts(), options.dives.name, options.split, options.per_number, options.seed
        )
    calibrations = calibrate_banks(variants, banks, clip_config, options.dives, options.split, say)
    return {name: replace(record, calibration=calibrations.get(name)) for name, record in written.items()}


def _encode(
    backends: Mapping[Precision, Backend],
    clip_config: ClipConfig,
    records: Sequence[DiveRecord],
    dives: Path,
    say: Callable[[str], None],
) -> tuple[list[DiveRecord], dict[Precision, list[NDArray[np.float32]]]]:
    """Read each dive once and encode it with every backend: the dives that could be read, and their tokens."""
    tokens: dict[Precision, list[NDArray[np.float32]]] = {name: [] for name in backends}
    kept = []
    console = Console(stderr=True)
    for record in track(
        records, "encoding exemplars", console=console, disable=not sys.stderr.isatty(), transient=True
    ):
        try:
            clip = read_clip(record.path, clip_config, start_s=record.start_s, end_s=record.end_s)
        except ClipError as error:
            say(f"left out: {error}")
            continue
        for name, backend in backends.items():
            tokens[name].append(encode_clip(backend, clip).tokens)
        kept.append(record)
    if not kept:
        raise UserError(f"none of the {len(records)} chosen exemplars of {dives} can be read: check their paths")
    return kept, tokens


def choose_exemplars(options: BankOptions) -> list[DiveRecord]:
    """Choose exemplars as ``mcore.evaluate --exemplars shared`` does; cheap, so do it before exporting.

    Raises:
        UserError: the list cannot be read, has no dive of the split, or one with an impossible dive number.
    """
    records = select_split(read_manifest(options.dives), options.split)
    numbers = [DiveNumber.parse(record.dive_number).text for record in records]
    chosen = shared_exemplars(numbers, options.per_number, options.seed)
    return [records[position] for _, positions in sorted(chosen.items()) for position in positions]


def _name(record: DiveRecord, dives: Path) -> str:
    """Name a dive by its path below the list: unlike an absolute path, it says nothing of the machine."""
    path, base = record.path.resolve(), dives.parent.resolve()
    return path.relative_to(base).as_posix() if path.is_relative_to(base) else path.name
