"""Learning curve of ``mcore-adapt``: networks adapted to more and more dives of a pool, on the same test dives.

    mcore-data render --out pool --world other --dives-per-number 140 --width 180 --height 180
    python tools/adapt_curve.py best.pt --pool pool/manifest.jsonl --old old.jsonl --out curve \
        --steps adapt:100 mix:100 --seeds 0 1 2

Each step trains in a folder of --out and is kept: a step that is there is only read. A seed decides the training and
which of the pool's training and validation dives it sees; a fifth as many as for training are for validation. The given
network is also scored with exemplars of the old list (as delivered), and with as many of one's own as each step has.
curve.json holds all figures on the test dives, and how each step's own validation dives would have chosen between the
given network and the adapted one. The last lines are a table for the docs.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from itertools import chain, zip_longest
from pathlib import Path

import numpy as np

from mcore.data.exemplars import by_dive_number
from mcore.data.manifest import DiveRecord, read_manifest, select_split, write_manifest
from mcore.evaluation.assessment import Figure
from mcore.evaluation.tables import markdown_table, number, with_interval
from mcore.network.checkpoint import read_checkpoint
from mcore.training.config import PRESETS, TrainingOptions, training_from_dict
from mcore.training.run import prepare, run
from mcore_export.adapt.adapt import adapted_checkpoint
from mcore_export.adapt.comparison import Compared, Scored, compare, score_dives
from mcore_export.adapt.recipe import recipe

LEAST_VAL = 16
SCRATCH_PAIRS = 5000
"""Pairs of a training from nothing: as many steps as the demo's."""
METRICS = ("srcc", "relative_l2_x100", "mae_points", "boundary_error_mean_frames")
TITLES = ("SRCC", "R-l2 x100", "MAE, points", "boundaries, mean frames")
DELIVERED = "as delivered"


def in_turns(records: Sequence[DiveRecord]) -> list[DiveRecord]:
    """One dive of each number, then the next of each: so that any beginning has all numbers."""
    places = zip_longest(*by_dive_number([record.dive_number for record in records]).values())
    return [records[place] for place in chain.from_iterable(places) if place is not None]


def part(records: Sequence[DiveRecord], count: int, seed: int) -> list[DiveRecord]:
    """So many dives of all numbers in turn; those of the next seed follow them, as long as there are others."""
    ordered = in_turns(records)
    begin = seed * count % len(ordered)
    return [*ordered[begin:], *ordered[:begin]][:count]


def sub_list(pool: Path, count: int, seed: int, out: Path) -> Path:
    """List so many training dives, a fifth as many for validation, and all test dives."""
    records = read_manifest(pool)
    train, val = (select_split(records, split) for split in ("train", "val"))
    listing = out / f"own-{count}-{seed}.jsonl"
    chosen = [*part(train, count, seed), *part(val, max(LEAST_VAL, count // 5), seed)]
    write_manifest(listing, [*chosen, *select_split(records, "test")])
    return listing


def train(way: str, listing: Path, seed: int, args: argparse.Namespace, out: Path) -> None:
    """Train one network of the curve."""
    own = select_split(read_manifest(listing), "train")
    mix = args.old if way == "mix" else None
    checkpoint = read_checkpoint(args.checkpoint)
    if way == "scratch":
        chosen = PRESETS["tiny"].training
        epochs = max(chosen.epochs, round(SCRATCH_PAIRS / len(own)))
        chosen = replace(chosen, epochs=epochs, validate_every=max(1, epochs // 8), seed=seed)
        chosen = replace(chosen, loss_weights={**chosen.loss_weights, "stage_targets": 0.0, "fault_targets": 0.0})
    else:
        mixed = [] if mix is None else select_split(read_manifest(mix), "train")
        chosen = recipe(training_from_dict(checkpoint.extra["training"]), own, mixed, seed=seed)
    options = TrainingOptions(
        data=listing,
        out=out,
        mix=mix,
        pretrained="poses" if way == "scratch" else None,
        start_from=None if way == "scratch" else args.checkpoint,
        cache=args.cache or args.out / ".clips",
        device="cpu",
        training=chosen,
        model=replace(checkpoint.config, faults=()),
        overwrite=True,
    )
    run(prepare(options), options)


def spread(figures: Sequence[Figure]) -> str:
    """Mean over the seeds, with the lowest and the highest; of one seed its interval over the test dives."""
    if len(figures) == 1:
        return with_interval(figures[0])
    values = [figure.value for figure in figures if figure.value is not None]
    return f"{number(float(np.mean(values)))} ({number(min(values))} to {number(max(values))})"


def closed(found: Sequence[Compared], delivered: Compared, reference: Compared, name: str) -> str:
    """Share of the way from the network as delivered to the reference, mean over the seeds."""
    begin, end = (each.figures[name].value or 0.0 for each in (delivered, reference))
    shares = [((each.figures[name].value or 0.0) - begin) / (end - begin) for each in found]
    return f"{np.mean(shares):.0%}"


def main() -> None:
    """Train what is not there yet, and write the figures of all steps."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--pool", type=Path, required=True, help="list of the other pool, with all splits")
    parser.add_argument("--old", type=Path, required=True, help="list that the checkpoint was trained on")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--cache", type=Path, help="folder of decoded clips of both lists")
    parser.add_argument("--steps", nargs="+", default=["adapt:100"], help="WAY:DIVES; ways: adapt, mix, scratch, given")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument(
        "--reference",
        help="step to which the share of the gap that is closed is said; of the first seed, if not in --steps",
    )
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    records = read_manifest(args.pool)
    test, every_val = select_split(records, "test"), select_split(records, "val")

    def score(network: Path, exemplars: Path) -> Scored:
        pool = select_split(read_manifest(exemplars), "train")
        cache = args.cache or args.out / ".clips"
        return score_dives(network, [*every_val, *test], pool, cache, device="cpu", workers=0)

    delivered = score(args.checkpoint, args.old)
    scored: dict[str, list[Scored]] = {DELIVERED: [delivered]}
    choices = []
    # Seed by seed: an interrupted curve has all its steps as often as possible.
    for seed in args.seeds:
        once = {args.reference} - {None, *args.steps} if seed == args.seeds[0] else ()
        for step in (*args.steps, *once):
            way, _, count = step.partition(":")
            listing = sub_list(args.pool, int(count), seed, args.out)
            folder = args.out / f"{way}-{count}-{seed}"
            if way != "given" and not (folder / "losses.png").exists():  # written last
                train(way, listing, seed, args, folder)
            val = select_split(read_manifest(listing), "val")
            given = score(args.checkpoint, listing)
            ours = given if way == "given" else score(adapted_checkpoint(folder, len(val)), listing)
            scored.setdefault(step, []).append(ours)
            found = compare(test, ours, delivered)
            assert found is not None
            print(step, seed, *(f"{name} {with_interval(found.figures[name])}" for name in METRICS), flush=True)
            if way in ("adapt", "mix"):
                others = [record for record in every_val if record not in set(val)]
                by = {"own": val, "other": others, "test": test}
                chosen = {name: compare(dives, ours, given) for name, dives in by.items()}
                figures = {n: {"dives": c.dives, **asdict(c.less_other["mae_points"])} for n, c in chosen.items() if c}
                choices.append({"step": step, "seed": seed, "error_less_given": figures})
            write(args, scored, choices, test)
    print("\n".join(table(args, scored, test)))


def compared(of: Sequence[Scored], test: Sequence[DiveRecord], other: Scored) -> list[Compared]:
    """Each of several networks beside another."""
    return [found for each in of if (found := compare(test, each, other)) is not None]


def table(args: argparse.Namespace, scored: dict[str, list[Scored]], test: Sequence[DiveRecord]) -> list[str]:
    """Lines of the table for the docs."""
    (delivered,) = compared(scored[DELIVERED], test, scored[DELIVERED][0])
    reference = scored.get(args.reference)
    head, rows = ["network", "seeds", *TITLES], []
    if reference is not None:
        head += ["gap closed, SRCC", "gap closed, points"]
    for name, each in scored.items():
        found = compared(each, test, scored[DELIVERED][0])
        row = [name, str(len(found)), *(spread([one.figures[metric] for one in found]) for metric in METRICS)]
        if reference is not None:
            end = compared(reference, test, scored[DELIVERED][0])[0]
            row += [closed(found, delivered, end, metric) for metric in ("srcc", "mae_points")]
        rows.append(row)
    return markdown_table(head, rows)


def write(
    args: argparse.Namespace, scored: dict[str, list[Scored]], choices: Sequence[object], test: Sequence[DiveRecord]
) -> None:
    """Write what is known so far: by step, each seed's figures, and those less the network as delivered."""
    steps = {
        name: [asdict(found) for found in compared(each, test, scored[DELIVERED][0])] for name, each in scored.items()
    }
    (args.out / "curve.json").write_text(json.dumps({"steps": steps, "choices": choices}, indent=1) + "\n")


if __name__ == "__main__":
    main()
