"""The lists of a run: dives to learn from, what is asked of them, and whether a resumed run has the same ones."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from mcore.common.errors import UserError
from mcore.data.cache_folder import cache_folder
from mcore.data.leaks import unseen
from mcore.data.manifest import DiveRecord, list_folder, read_manifest, select_split
from mcore.data.trained_dives import TrainedDives, check_new, recorded_dives
from mcore.network.checkpoint import Checkpoint, read_checkpoint
from mcore.training.config import PRESETS, TrainingConfig, TrainingOptions
from mcore.training.losses import LOSSES
from mcore.training.pairs import Mix
from mcore.training.trainer import LAST, TrainingData


def load_data(options: TrainingOptions) -> TrainingData:
    """Read the lists of a run.

    Raises:
        UserError: a list cannot be read or lacks a split, or a mixed list holds dives that measure this one.
    """
    records = read_manifest(options.data)
    manifest = options.data.resolve()
    train = select_split(records, "train")
    mix = None
    if options.mix is not None:
        mixed = select_split(read_manifest(options.mix), "train")
        if len(measured := [record for record in records if record.split != "train"]) > len(unseen(measured, mixed)):
            raise UserError(
                f"training dives of --mix {options.mix} are validation or test dives of {options.data}, which would no "
                "longer measure anything; take them out of one of the lists"
            )
        mix = Mix(mixed, options.training.mix_share, cache_folder(options.mix, options.cache, options.no_cache))
    return TrainingData(
        train=train,
        val=select_split(records, "val"),
        source={
            "manifest": str(manifest),
            "manifest_relative": os.path.relpath(manifest, options.out.resolve()),
            "sha256": hashlib.sha256(manifest.read_bytes()).hexdigest(),
            "train_sha256": _digest(train, list_folder(options.data), options.training),
            **({} if options.mix is None or mix is None else _describe_mix(options, options.mix, mix)),
        },
        cache_dir=cache_folder(options.data, options.cache, options.no_cache),
        mix=mix,
    )


def _describe_mix(options: TrainingOptions, listing: Path, mix: Mix) -> dict[str, str]:
    digest = _digest(mix.records, list_folder(listing), options.training)
    return {"mix": str(listing.resolve()), "mix_train_sha256": digest}


def faults_asked(options: TrainingOptions, data: TrainingData) -> tuple[str, ...]:
    """Return the faults that the network is asked for, if their loss has a weight: those chosen, else all of the list.

    Raises:
        UserError: a chosen one is no fault of a training dive.
    """
    if not options.training.loss_weights.get("fault_targets"):
        return ()
    known = sorted({name for record in data.all_train for name in record.faults or {}})
    if unknown := sorted(set(options.model.faults) - set(known)):
        raise UserError(
            f"--model.faults names {', '.join(unknown)}; the training dives have: {', '.join(known) or 'none'}"
        )
    return options.model.faults or tuple(known)


def check_targets(options: TrainingOptions, data: TrainingData) -> None:
    """Mention targets of the preset that no training dive has.

    Raises:
        UserError: they were asked for.
    """
    for name, loss in LOSSES.items():
        weight, column = options.training.loss_weights.get(name, 0.0), loss.column
        if weight == 0 or column is None or any(getattr(record, column) is not None for record in data.all_train):
            continue
        why = f"no training dive of {options.data} has {column}, which the loss {name} needs"
        if not options.resume and weight != PRESETS[options.preset].training.loss_weights[name]:
            raise UserError(
                f"{why}; its weight is {weight:g}. Set it to 0, or add them to the list: mcore-data render writes them"
            )
        print(f"note: {why}: it is 0, and less is learnt than could be", file=sys.stderr)


def find_trained_dives(options: TrainingOptions, data: TrainingData, checkpoint: Checkpoint | None) -> TrainedDives:
    """What a network will have been trained on; refuses to measure it by dives of the training that it starts from."""
    before = None
    if checkpoint is not None:
        recorded = recorded_dives(checkpoint.extra, options.out / LAST)
        # Of checkpoints of before, the list alone is known, and that its training dives are these.
        before = recorded if recorded.dives or not recorded.list_sha256 else None
    elif options.start_from is not None:
        before = recorded_dives(read_checkpoint(options.start_from).extra, options.start_from)
        others = [record for record in read_manifest(options.data) if record.split in ("val", "test")]
        if (remark := check_new(before, others, options.data, options.start_from)) is not None:
            print(f"note: {remark}", file=sys.stderr)
    return TrainedDives.of(data.all_train, options.data, before)


def check_same_data(options: TrainingOptions, data: TrainingData, checkpoint: Checkpoint) -> None:
    """A run goes on with the dives that it began with; what else the list holds may be mended."""
    kept = checkpoint.extra.get("data", {})
    if kept.get("mix_train_sha256") != data.source.get("mix_train_sha256"):
        raise UserError(
            f"--mix is {options.mix}, and its training dives are not those that this run began with "
            f"({kept.get('mix', 'no list was mixed in')}); give that list back, or start a new run in another --out"
        )
    if kept.get("sha256") == data.source["sha256"]:
        return
    if kept.get("train_sha256") != data.source["train_sha256"]:  # checkpoints of before have none
        raise UserError(
            f"{options.data} is not the list of dives this run began with, and its training dives are not shown to be "
            f"the same ({kept.get('manifest')}, sha256 {str(kept.get('sha256'))[:12]}; given "
            f"{data.source['sha256'][:12]}); give that list back, or start a new run in another --out"
        )
    print(
        f"{options.data} has changed since this run began; its training dives are the same, so the run goes on. "
        "Where validation dives changed, earlier epochs were measured on the old ones",
        file=sys.stderr,
    )


def _digest(records: Sequence[DiveRecord], folder: Path, recipe: TrainingConfig) -> str:
    """Fingerprint of all that training takes from its dives, in their order; the same wherever the folder lies."""
    rows = [
        (
            os.path.relpath(record.path, folder),
            record.dive_number,
            record.score,
            record.transition_frames,
            record.start_s,
            record.end_s,
            *_targets(record, recipe),
        )
        for record in records
    ]
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()


def _targets(record: DiveRecord, recipe: TrainingConfig) -> Iterator[Any]:
    """What a dive's columns give to losses that weigh something."""
    for name, loss in LOSSES.items():
        if loss.column is not None and recipe.loss_weights.get(name):
            value = getattr(record, loss.column) or ()
            yield from sorted(value.items()) if isinstance(value, dict) else value
