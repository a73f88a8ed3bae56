"""An adaptation from its arguments to a bundle, a run's folder and a comparison."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timezone
from pathlib import Path

from rich.console import Console

from mcore.common.errors import UserError
from mcore.common.files import write_text
from mcore.data.cache_folder import cache_folder
from mcore.data.manifest import read_manifest, select_split
from mcore.evaluation.tables import rich_table, with_interval
from mcore.network.checkpoint import Checkpoint, read_checkpoint
from mcore.training.config import PRESETS, TrainingConfig, TrainingOptions, training_from_dict
from mcore.training.run import prepare, run
from mcore.training.trainer import BEST, LAST
from mcore_export.adapt.command import Arguments
from mcore_export.adapt.comparison import Compared, Scored, compare, score_dives
from mcore_export.adapt.recipe import FEW_VAL, OwnDives, read_own_dives, recipe
from mcore_export.exemplars.bank import BankOptions
from mcore_export.exporter import ExportOptions, export_checkpoint, training_dives
from mcore_export.folder import check_target
from mcore_runtime.bundle.records import hash_file

DELIVERED, GIVEN, ADAPTED = "as delivered", "given network, own exemplars", "adapted network, own exemplars"
_SHOWN = {
    "srcc": "SRCC ↑",
    "relative_l2_x100": "R-l2 x100 ↓",
    "mae_points": "MAE, points ↓",
    "boundary_error_mean_frames": "boundaries, frames ↓",
}
_TABLE_WIDTH = 150
"""Columns, also where the output is a file."""


@dataclass(frozen=True)
class Adaptation:
    """What became of a network that learned from one's own dives."""

    checkpoint: str
    checkpoint_sha256: str
    data: str
    data_sha256: str
    mix: str | None
    delivered_with: str
    """List of the exemplars with which the network was measured as delivered."""
    dives: Mapping[str, int]
    """Own dives of each split."""
    training: TrainingConfig
    epoch: int
    """Epoch of the adapted network: the best on the validation dives, or where they are few the last."""
    adapted_is_kept: bool
    """Whether the adapted network was exported, or the given one."""
    validation: Compared
    """Adapted network less the given one, both with own exemplars: it chose."""
    test: Mapping[str, Compared]
    """By way of scoring, less the adapted network; empty: there are too few test dives."""
    created: str


def adapt(arguments: Arguments) -> int:
    """Adapt, compare, export and say what came out; returns 0.

    Raises:
        UserError: too few dives, or a file or folder cannot be used.
        ExportError: a graph does not compute what the network does.
    """
    out, listing, given = arguments.out, arguments.data, arguments.checkpoint
    check_target(out, force=arguments.force)
    run_dir = out.with_name(f"{out.name}-training")
    if run_dir.exists() and not arguments.force:
        raise UserError(f"{run_dir} is there from a run before; replace it with --force, or choose another --out")
    checkpoint = read_checkpoint(given)
    mixed = [] if arguments.mix is None else select_split(read_manifest(arguments.mix), "train")
    own = read_own_dives(listing, mixed)
    print("\n".join(own.describe()))
    chosen = recipe(
        _trained_recipe(checkpoint), own.train, mixed,
        share=arguments.mix_share, epochs=arguments.epochs, seed=arguments.seed,
    )  # fmt: skip
    best_epoch = _train(arguments, checkpoint, chosen, run_dir)
    adapted = adapted_checkpoint(run_dir, len(own.val))
    delivered = _delivered_with(arguments, own)
    scored = _score(arguments, own, adapted, delivered)
    validation = compare(own.val, scored[ADAPTED], scored[GIVEN])
    if validation is None:
        raise UserError(f"fewer than two validation dives of {listing} have an exemplar; nothing can be chosen by them")
    found = Adaptation(
        checkpoint=given.name,
        checkpoint_sha256=hash_file(given).sha256,
        data=listing.name,
        data_sha256=hash_file(listing).sha256,
        mix=None if arguments.mix is None else arguments.mix.name,
        delivered_with=delivered.name,
        dives={split: len(dives) for split, dives in vars(own).items()},
        training=chosen,
        epoch=best_epoch if adapted.name == BEST else chosen.epochs,
        adapted_is_kept=validation.is_better,
        validation=validation,
        test={
            name: compared
            for name in (DELIVERED, GIVEN, ADAPTED)
            if (compared := compare(own.test, scored[name], scored[ADAPTED])) is not None
        },
        created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
    )
    path = out.with_name(f"{out.name}-comparison.json")
    write_text(path, json.dumps(asdict(found), indent=2, allow_nan=False) + "\n")
    _print(found, own)
    kept = adapted if found.adapted_is_kept else given
    options = ExportOptions(force=arguments.force)
    bundle = export_checkpoint(kept, out, options, bank=BankOptions(listing), log=print)
    print(f"{bundle.path}: from {kept}; {path}")
    return 0


def adapted_checkpoint(run_dir: Path, num_val: int) -> Path:
    """Checkpoint of a run to go on with: the best epoch's, or the last one's where chance would choose."""
    return run_dir / (BEST if num_val >= FEW_VAL else LAST)


def _trained_recipe(checkpoint: Checkpoint) -> TrainingConfig:
    """Recipe that trained a network; published ones were trained by the published recipe."""
    kept = checkpoint.extra.get("training")
    return training_from_dict(kept) if isinstance(kept, dict) else PRESETS["paper"].training


def _train(arguments: Arguments, checkpoint: Checkpoint, chosen: TrainingConfig, run_dir: Path) -> int:
    """Train in a folder; returns the best epoch on the validation dives."""
    options = TrainingOptions(
        data=arguments.data,
        out=run_dir,
        mix=arguments.mix,
        start_from=arguments.checkpoint,
        overwrite=arguments.force,
        device=arguments.device,
        workers=arguments.workers,
        training=chosen,
        model=replace(checkpoint.config, faults=()),  # those of these lists
    )
    trainer = prepare(options)
    run(trainer, options)
    if trainer.progress.best_epoch == 0:
        raise UserError("no epoch's scores of the validation dives were all finite numbers: is the checkpoint sound?")
    return trainer.progress.best_epoch


def _delivered_with(arguments: Arguments, own: OwnDives) -> Path:
    """List of the given network's exemplars; one's own where there is none, or it has no exemplar of these dives."""
    listing = arguments.mix or training_dives(arguments.checkpoint)
    if listing is None:
        return arguments.data
    known = {record.dive_number for record in select_split(read_manifest(listing), "train")}
    return listing if any(record.dive_number in known for record in (*own.val, *own.test)) else arguments.data


def _score(arguments: Arguments, own: OwnDives, adapted: Path, delivered: Path) -> dict[str, Scored]:
    """Score validation and test dives in each way."""
    ways = {
        DELIVERED: (arguments.checkpoint, delivered),
        GIVEN: (arguments.checkpoint, arguments.data),
        ADAPTED: (adapted, arguments.data),
    }
    pools = {arguments.data: own.train}
    return {
        name: score_dives(
            network,
            [*own.val, *own.test],
            pools.get(listing) or select_split(read_manifest(listing), "train"),
            cache_folder(listing, None, no_cache=False),
            device=arguments.device,
            workers=arguments.workers,
        )
        for name, (network, listing) in ways.items()
    }


def _print(found: Adaptation, own: OwnDives) -> None:
    """Say which network was chosen and why, and what the test dives say of it."""
    difference = found.validation.less_other["mae_points"]
    is_better = "is better" if found.adapted_is_kept else "is not better, so the given one is kept"
    tell = "they tell the two apart" if found.validation.can_tell else "they cannot tell the two apart for certain"
    print(
        f"adapted network (epoch {found.epoch} of {found.training.epochs}): on {found.validation.dives} "
        f"validation dives its error less the given network's is {with_interval(difference)} points, so it "
        f"{is_better}; {tell}"
    )
    if not found.test:
        print(f"no comparison: {len(own.test)} test dives, of which fewer than two have exemplars")
        return
    shown = [name for name in _SHOWN if name in found.test[ADAPTED].figures]
    rows = [[f"{name} ({each.dives})", *(with_interval(each.figures[metric]) for metric in shown)]
            for name, each in found.test.items()]  # fmt: skip
    rows += [[f"{name}, less adapted", *(with_interval(each.less_other[metric]) for metric in shown)]
             for name, each in found.test.items() if name != ADAPTED]  # fmt: skip
    title = f"test dives of {found.data}, with 95 % intervals; as delivered with exemplars of {found.delivered_with}"
    console = Console(width=max(Console().width, _TABLE_WIDTH))
    console.print(rich_table(title, ["way of scoring (dives)", *(_SHOWN[name] for name in shown)], rows))
    if GIVEN in found.test and not found.test[GIVEN].can_tell:
        print("the test dives cannot tell the adapted network from the given one: give more of them to know")
