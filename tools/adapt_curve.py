"""Learning curve of ``mcore-adapt``: networks adapted to more and more dives of a pool, on the same test dives.

    mcore-data render --out pool --world other --dives-per-number 140 --width 180 --height 180
    python tools/adapt_curve.py best.pt --pool pool/manifest.jsonl --old old.jsonl --out curve --steps adapt:100 mix:100

Each step trains in a folder of --out and is kept: a step that is there is only read. The given network is also scored
with exemplars of the old list (as delivered), and with as many of one's own as each step has. The last line of a step
and curve.json hold its figures on the test dives; a step has its own number of validation dives, a fifth of the others.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from itertools import chain, zip_longest
from pathlib import Path

from mcore.data.exemplars import by_dive_number
from mcore.data.manifest import DiveRecord, read_manifest, select_split, write_manifest
from mcore.evaluation.tables import with_interval
from mcore.network.checkpoint import read_checkpoint
from mcore.training.config import PRESETS, TrainingOptions, training_from_dict
from mcore.training.run import prepare, run
from mcore_export.adapt.adapt import adapted_checkpoint
from mcore_export.adapt.comparison import Scored, compare, score_dives
from mcore_export.adapt.recipe import recipe

LEAST_VAL = 16
SCRATCH_PAIRS = 5000
"""Pairs of a training from nothing: as many steps as the demo's."""
METRICS = ("srcc", "relative_l2_x100", "mae_points", "boundary_error_mean_frames")


def in_turns(records: Sequence[DiveRecord]) -> list[DiveRecord]:
    """One dive of each number, then the next of each: so that any beginning has all numbers."""
    places = zip_longest(*by_dive_number([record.dive_number for record in records]).values())
    return [records[place] for place in chain.from_iterable(places) if place is not None]


def sub_list(pool: Path, count: int, out: Path) -> Path:
    """List so many training dives, a fifth as many for validation, and all test dives."""
    records = read_manifest(pool)
    train, val = (in_turns(select_split(records, split)) for split in ("train", "val"))
    listing = out / f"own-{count}.jsonl"
    write_manifest(listing, [*train[:count], *val[: max(LEAST_VAL, count // 5)], *select_split(records, "test")])
    return listing


def train(way: str, listing: Path, args: argparse.Namespace, out: Path) -> None:
    """Train one network of the curve."""
    own = select_split(read_manifest(listing), "train")
    mix = args.old if way == "mix" else None
    checkpoint = read_checkpoint(args.checkpoint)
    if way == "scratch":
        chosen = PRESETS["tiny"].training
        epochs = max(chosen.epochs, round(SCRATCH_PAIRS / len(own)))
        chosen = replace(chosen, epochs=epochs, validate_every=max(1, epochs // 8))
        chosen = replace(chosen, loss_weights={**chosen.loss_weights, "stage_targets": 0.0, "fault_targets": 0.0})
    else:
        mixed = [] if mix is None else select_split(read_manifest(mix), "train")
        chosen = recipe(training_from_dict(checkpoint.extra["training"]), own, mixed)
    options = TrainingOptions(
        data=listing,
        out=out,
        mix=mix,
        pretrained="poses" if way == "scratch" else None,
        start_from=None if way == "scratch" else args.checkpoint,
        cache=args.cache,
        device="cpu",
        training=chosen,
        model=replace(checkpoint.config, faults=()),
        overwrite=True,
    )
    run(prepare(options), options)


def main() -> None:
    """Train what is not there yet, and write the figures of all steps."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--pool", type=Path, required=True, help="list of the other pool, with all splits")
    parser.add_argument("--old", type=Path, required=True, help="list that the checkpoint was trained on")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--cache", type=Path, help="folder of decoded clips of both lists")
    parser.add_argument("--steps", nargs="+", default=["given", "adapt:100"])
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    cache = args.cache or args.out / ".clips"
    test = select_split(read_manifest(args.pool), "test")

    def score(network: Path, exemplars: Path) -> Scored:
        pool = select_split(read_manifest(exemplars), "train")
        return score_dives(network, test, pool, cache, device="cpu", workers=0)

    scored = {"as delivered": score(args.checkpoint, args.old)}
    for step in ("given:100", *args.steps):
        way, _, count = step.partition(":")
        listing = sub_list(args.pool, int(count or len(test)), args.out)
        folder = args.out / step.replace(":", "-")
        if way != "given" and not (folder / "losses.png").exists():  # written last
            train(way, listing, args, folder)
        num_val = len(select_split(read_manifest(listing), "val"))
        network = args.checkpoint if way == "given" else adapted_checkpoint(folder, num_val)
        scored[step] = score(network, listing)
        found = compare(test, scored[step], scored["as delivered"])
        assert found is not None
        print(step, found.dives, *(f"{name} {with_interval(found.figures[name])}" for name in METRICS), flush=True)
        figures = {
            name: {other: asdict(found) for other, theirs in scored.items() if (found := compare(test, each, theirs))}
            for name, each in scored.items()
        }
        (args.out / "curve.json").write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
