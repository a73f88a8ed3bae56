"""The exemplar bank: training dives, encoded by the exported graphs themselves, and pictures of them.

Tokens belong to the graphs that made them. Nothing here needs torch, so that a bank can be made where the
videos are.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

from mcore.common.errors import ClipError, UserError
from mcore.common.recognition import Recogniser, describe, fit_recogniser
from mcore.config import EXEMPLARS_PER_NUMBER, STAGES, ClipConfig, ModelConfig
from mcore.data.exemplars import by_dive_number
from mcore.data.leaks import distinct
from mcore.data.manifest import DiveRecord, Split, dive_names, read_manifest, select_split
from mcore.video import normalise, sample_clip
from mcore_export.exemplars.conformal import fit_intervals, interval_dives
from mcore_export.folder import appearing_folder, check_target, copy_bundle
from mcore_export.log import Log
from mcore_runtime.backends import Backend, open_backend
from mcore_runtime.bundle.exemplar_pictures import write_exemplar_pictures
from mcore_runtime.bundle.exemplars import ExemplarBank
from mcore_runtime.bundle.folder import PICTURES_FILE, Bundle, exemplars_file, recogniser_file, write_manifest
from mcore_runtime.bundle.moments import MOMENT_HEIGHT, MOMENT_WIDTH, Moment, draw_moments, fit
from mcore_runtime.bundle.recogniser import save_recogniser
from mcore_runtime.bundle.records import ExemplarRecord, GraphSet, Precision, RecogniserRecord
from mcore_runtime.scoring.encoding import EncodedClip, encode_clip
from mcore_runtime.scoring.recognition import describe_recogniser

_AVERAGED = 32
"""Dives of a number whose mean stands for its average dive, at most."""


@dataclass(frozen=True)
class BankOptions:
    """Options of an exemplar bank."""

    dives: Path
    """List of dives (.jsonl or .csv)."""
    split: Split = "train"
    """Split of that list, all of whose dives become exemplars; dives that accuracy is reported on must not be any."""
    no_pictures: bool = False
    """Leave the exemplars' pictures out, which the live page and reports show beside a dive: for dives whose pictures
    must not be passed on."""
    no_numbers: bool = False
    """Do not learn to tell dive numbers apart."""


def add_exemplars(bundle_path: Path, out: Path, options: BankOptions, *, force: bool = False, log: Log) -> Bundle:
    """Write a copy of a bundle with another exemplar bank, encoded by the bundle's own graphs.

    Args:
        bundle_path: the bundle to copy, with or without exemplars.
        out: folder of the copy; appears whole or not at all.
        options: which dives become exemplars.
        force: replace a bundle at ``out``.
        log: gets one line for each artefact.

    Raises:
        UserError: the bundle, the list of dives or ``out`` cannot be used.
    """
    bundle = Bundle.open(bundle_path)
    check_target(out, force=force)
    records = choose_exemplars(options, log)
    interval_records = interval_dives(options.dives, options.split, bundle.trained_dives(), bundle_path, log)
    with appearing_folder(out) as folder:
        copy_bundle(bundle, folder)
        for name in (PICTURES_FILE, *map(recogniser_file, bundle.variants)):
            (folder / name).unlink(missing_ok=True)  # of other exemplars
        banks = write_banks(bundle.variants, bundle.model, records, interval_records, options, folder, log)
        variants = {name: replace(bundle.manifest.variants[name], exemplars=record) for name, record in banks.items()}
        write_manifest(folder, replace(bundle.manifest, variants=variants))
    return Bundle.open(out)


def write_banks(
    variants: Mapping[Precision, GraphSet],
    model: ModelConfig,
    records: Sequence[DiveRecord],
    interval_records: Sequence[DiveRecord],
    options: BankOptions,
    folder: Path,
    log: Log,
) -> dict[Precision, ExemplarRecord]:
    """Encode the chosen dives with every precision's graphs, because tokens belong to the graphs that made them.

    Args:
        variants: the exported graphs.
        model: the network, for its input contract and its tokens.
        records: what ``choose_exemplars`` returned.
        interval_records: what ``interval_dives`` returned.
        options: where they came from.
        folder: of the bundle.
        log: gets one line for each file, and one for each dive that could not be read.

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
        kept, names, encoded, moments = _encode(backends, model, records, options, log)
        numbers = [record.dive_number for record in kept]
        shares = {name: _stage_shares(backends[name], encoded[name], numbers) for name in backends}
    took, written, banks = time.perf_counter() - began, {}, {}
    if moments:
        write_exemplar_pictures(folder / PICTURES_FILE, moments)
        size = (folder / PICTURES_FILE).stat().st_size / 1e6
        log(f"{PICTURES_FILE:20}  {size:5.1f} MB           {len(moments)} dives, to look at")
    for name, graphs in variants.items():
        bank = banks[name] = ExemplarBank(
            tokens=np.stack([clip.tokens for clip in encoded[name]]),
            scores=np.array([record.score for record in kept], np.float64),
            dive_numbers=np.array([record.dive_number for record in kept]),
            difficulties=np.array([np.nan if r.difficulty is None else r.difficulty for r in kept], np.float64),
            names=np.array(names),
            stage_shares=shares[name],
            graphs_sha256=graphs.digest(),
        )
        path = folder / exemplars_file(name)
        bank.save(path)
        counts = ", ".join(f"{number} {count}" for number, count in bank.counts().items())
        size = path.stat().st_size / 1e6
        log(f"{exemplars_file(name):20}  {size:5.1f} MB  {took:5.1f} s  {len(bank)} dives: {counts}")
        written[name] = ExemplarRecord(
            len(bank), bank.counts(), options.dives.name, options.split, EXEMPLARS_PER_NUMBER
        )
    learns = interval_records and not options.no_numbers  # validation dives calibrate what is learned
    recognisers = {name: _learn_numbers(encoded[name], numbers) for name in (variants if learns else ())}
    fits = fit_intervals(variants, banks, recognisers, kept, model.clip, interval_records, options.dives, log)
    for name, fitted in fits.items():
        known = None
        if fitted.recogniser is not None:
            path, found = folder / recogniser_file(name), fitted.recogniser
            save_recogniser(found, path, variants[name].digest())
            known = RecogniserRecord(len(found.numbers), len(numbers), options.dives.name, found.num_dives)
            size = path.stat().st_size / 1e6
            log(f"{recogniser_file(name):20}  {size:5.1f} MB           {describe_recogniser(known)}")
        written[name] = replace(
            written[name],
            conformal=fitted.conformal,
            known_dives=fitted.known_dives,
            stage_shares=fitted.stage_shares,
            recogniser=known,
        )
    return written


def _stage_shares(backend: Backend, clips: Sequence[EncodedClip], numbers: Sequence[str]) -> NDArray[np.float64]:
    """What each stage of an exemplar adds, (N, 3) points, against others of its number; 0 where there are none."""
    tokens, shares = np.stack([clip.tokens for clip in clips]), np.zeros((len(clips), len(STAGES)))
    for positions in by_dive_number(numbers).values():
        for own in positions:
            others = [position for position in positions if position != own]
            if others:
                picked = np.unique(np.linspace(0, len(others) - 1, min(_AVERAGED, len(others))).round().astype(int))
                _, stage_deltas = backend.regressor(tokens[own][None], tokens[np.array(others)[picked]])  # (E, 3)
                shares[own] = stage_deltas.mean(axis=0)
        shares[positions] -= shares[positions].mean(axis=0)  # so that the average exemplar is that of all, not of 32
    return shares


def _learn_numbers(clips: Sequence[EncodedClip], numbers: Sequence[str]) -> Recogniser | None:
    """Learn to tell dive numbers from dives of one precision; None: they are too few."""
    return fit_recogniser(np.stack([describe(clip.features, clip.transitions) for clip in clips]), numbers)


def _encode(
    backends: Mapping[Precision, Backend],
    model: ModelConfig,
    records: Sequence[DiveRecord],
    options: BankOptions,
    log: Log,
) -> tuple[list[DiveRecord], list[str], dict[Precision, list[EncodedClip]], dict[str, tuple[Moment, ...]]]:
    """Encode each dive with every backend: the dives that could be read, names, encodings, pictures by name."""
    encoded: dict[Precision, list[EncodedClip]] = {name: [] for name in backends}
    kept, names, moments = [], [], {}
    console = Console(stderr=True)
    pairs = list(zip(records, dive_names(records, options.dives), strict=True))
    for record, name in track(
        pairs, "encoding exemplars", console=console, disable=not sys.stderr.isatty(), transient=True
    ):
        try:
            frames = sample_clip(record.path, model.clip, start_s=record.start_s, end_s=record.end_s, central=True)
            pixels = normalise(frames.frames, model.clip)
            found = {precision: encode_clip(backend, pixels) for precision, backend in backends.items()}
            if not options.no_pictures:
                size = fit(frames.source_width, frames.source_height, MOMENT_WIDTH, MOMENT_HEIGHT)
                transitions = found["fp32"].transitions.tolist()
                moments[name] = _moments(record, model, size, transitions)
        except ClipError as error:
            log(f"left out: {error}")
            continue
        for precision, encoding in found.items():
            encoded[precision].append(encoding)
        kept.append(record)
        names.append(name)
    if not kept:
        dives = options.dives
        raise UserError(f"none of the {len(records)} chosen exemplars of {dives} can be read: check their paths")
    return kept, names, encoded, moments


def _moments(
    record: DiveRecord, model: ModelConfig, size: tuple[int, int], transitions: Sequence[int]
) -> tuple[Moment, ...]:
    """Read a dive once more, at a size to look at: the network's own frames are narrow."""
    config = ClipConfig(model.clip.num_frames, resize_height=size[1], resize_width=size[0], crop_size=1)
    clip = sample_clip(record.path, config, start_s=record.start_s, end_s=record.end_s)
    return draw_moments(clip, transitions, model.tokens_per_stage)


def choose_exemplars(options: BankOptions, log: Log = lambda _: None) -> list[DiveRecord]:
    """Find the dives that become exemplars, sorted by dive number; cheap, so do it before exporting.

    Args:
        options: which dives become exemplars.
        log: gets a line for each dive that is left out: a bad line of the list, or one that repeats another.

    Raises:
        UserError: the list cannot be read, no line of it is a dive, or it has no dive of the split.
    """
    listed = read_manifest(options.dives, on_bad_line=lambda fault: log(f"left out: {fault}"))
    records, repeated = distinct(select_split(listed, options.split))
    for record in repeated:
        log(f"left out: {record.listed_at}: the same dive as another: {record.path}")
    return sorted(records, key=lambda record: record.dive_number)
