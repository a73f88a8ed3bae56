"""Train and evaluate variants of the method over several seeds, and put them in one table.

    python -m mcore.ablate --data manifest.jsonl --out runs/ablation --preset tiny --seeds 0 1 2 -- --pretrained poses

What follows -- goes to every training. Started again, it goes on where it stopped. Variants that differ only in
evaluation share their trainings.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Literal

import tyro

from mcore import train
from mcore.common.command_line import run_command_line
from mcore.common.errors import UserError
from mcore.common.files import write_text
from mcore.common.optional import require_all
from mcore.common.typed_json import encode
from mcore.config import PresetName
from mcore.data.cache_folder import check_folder
from mcore.devices.cpu import let_waiting_threads_sleep
from mcore.evaluation.config import EvaluationOptions
from mcore.evaluation.report import METRICS, EvaluationSummary, read_summary
from mcore.training.ablation import BASE, VARIANTS, Variant, markdown, table_rows

OWN_FLAGS = ("--data", "--out", "--preset", "--seed", "--resume", "--overwrite", "--force", "--stages")
"""Flags of a training that the ablation decides."""


@dataclass(frozen=True)
class Options:
    """Options of an ablation: variants, data and seeds."""

    data: Path
    """List of dives (.jsonl or .csv) with splits train, val and the one evaluated."""
    out: Path
    """Folder for the trainings, the evaluations, ablation.md and ablation.json."""
    preset: PresetName = "paper"
    """Network and recipe that the variants change."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Seeds of each training."""
    variants: tuple[str, ...] = field(default_factory=lambda: tuple(VARIANTS))
    """Variants by name; base is the published method, with which the others are compared."""
    split: Literal["val", "test"] = "test"
    """Dives to score."""
    num_resamples: int = 1000
    """Resamples of the intervals in each evaluation's metrics.json."""
    device: str = "auto"
    """auto (CUDA where there is one), cpu, cuda or cuda:N."""
    workers: int = 0
    """Processes that read clips."""
    cache: Path | None = None
    """Folder of decoded clips; default: .clips beside the list of dives."""
    no_cache: bool = False
    """Decode the videos every time."""
    train_flags: Annotated[tuple[str, ...], tyro.conf.Suppress] = ()
    """What followed ``--``."""

    def __post_init__(self) -> None:
        if unknown := [name for name in self.variants if name not in VARIANTS]:
            raise UserError(f"no variant {', '.join(unknown)}; allowed: {', '.join(VARIANTS)}")
        if not self.variants or not self.seeds or len(set(self.seeds)) < len(self.seeds):
            raise UserError("--variants and --seeds need at least one value each, and each seed once")
        if own := [flag for flag in self.train_flags if flag.partition("=")[0] in OWN_FLAGS]:
            raise UserError(f"{', '.join(own)} after -- is decided by the ablation; give it before --, or leave it out")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code, 2 with one line where torch is not installed."""
    let_waiting_threads_sleep()
    given = list(sys.argv[1:] if argv is None else argv)
    at = given.index("--") if "--" in given else len(given)
    own, train_flags = given[:at], tuple(given[at + 1 :])
    return run_command_line(
        Options,
        lambda options: ablate(replace(options, train_flags=train_flags)),
        prog="python -m mcore.ablate",
        doc=__doc__,
        argv=own,
    )


def ablate(options: Options) -> int:
    """Train and evaluate what is missing, and write ablation.md and ablation.json.

    Returns:
        0, or the exit code of the training that failed or was stopped; it has said why.

    Raises:
        UserError: the data or the folder cannot be used, or it holds an ablation of other data or settings.
    """
    require_all(*train.NEEDED, extra="train", purpose="Training")
    check_folder(options.out, "--out", "choose another --out DIR")
    results: dict[str, list[dict[str, float | None]]] = {name: [] for name in options.variants}
    for seed in options.seeds:  # seed by seed: a first table after a third of the time
        for name in options.variants:
            variant = VARIANTS[name]
            run_dir = options.out / "trainings" / f"{variant.training}-seed{seed}"
            if code := _train(options, VARIANTS[variant.training], run_dir, seed):
                return code
            summary = _evaluate(options, name, variant, run_dir, seed)
            results[name].append({metric: row.model.value for metric, row in summary.metrics.items()})
        _write(options, results)
    print(options.out / "ablation.md")
    print(options.out / "ablation.json")
    return 0


def _train(options: Options, variant: Variant, run_dir: Path, seed: int) -> int:
    """Train what is not trained yet; returns the exit code. A training of other data or settings is refused."""
    from mcore.training.trainer import LAST

    print(f"training {run_dir}", file=sys.stderr)
    flags = [
        *("--data", str(options.data), "--out", str(run_dir), "--preset", options.preset, "--seed", str(seed)),
        *("--device", options.device, "--workers", str(options.workers)),
        *(("--cache", str(options.cache)) if options.cache else ()),
        *(("--no-cache",) if options.no_cache else ()),
        *options.train_flags,
        *variant.train_flags,
    ]
    if (run_dir / LAST).is_file():
        from mcore.training.run import arguments_to_resume

        flags = arguments_to_resume(flags)
    return train.main(flags)


def _evaluate(options: Options, name: str, variant: Variant, run_dir: Path, seed: int) -> EvaluationSummary:
    """Evaluate, unless this very checkpoint is evaluated in this way."""
    from mcore.evaluation.run import evaluate
    from mcore.training.trainer import BEST

    checkpoint = run_dir / BEST
    wanted = EvaluationOptions(
        checkpoint=checkpoint,
        data=options.data,
        out=options.out / "evaluations" / name / f"seed{seed}",
        split=options.split,
        num_exemplars=variant.num_exemplars,
        exemplars=variant.exemplars,
        decoding=variant.decoding,
        num_resamples=options.num_resamples,
        seed=seed,
        device=options.device,
        workers=options.workers,
        cache=options.cache,
        no_cache=options.no_cache,
    )
    try:
        found = read_summary(wanted.folder / METRICS)
    except UserError:  # none yet, or one that was cut short
        found = None
    same = ("split", "num_exemplars", "exemplars", "decoding", "seed", "num_resamples")
    if (
        found is not None
        and all(getattr(found, key) == getattr(wanted, key) for key in same)
        and (found.checkpoint_sha256, found.data_sha256) == (_sha256(checkpoint), _sha256(options.data))
    ):
        return found
    print(f"evaluating {name}, seed {seed}", file=sys.stderr)
    return evaluate(wanted).summary


def _write(options: Options, results: dict[str, list[dict[str, float | None]]]) -> None:
    from mcore.network.checkpoint import read_checkpoint
    from mcore.training.trainer import BEST

    seeds = options.seeds[: len(results[options.variants[0]])]
    rows = table_rows(results)
    first = options.out / "trainings" / f"{VARIANTS[options.variants[0]].training}-seed{seeds[0]}" / BEST
    epochs = read_checkpoint(first).extra["training"]["epochs"]
    content = {
        "data": str(options.data),
        "data_sha256": _sha256(options.data),
        "preset": options.preset,
        "train_flags": options.train_flags,
        "epochs": epochs,
        "split": options.split,
        "seeds": seeds,
        "rows": rows,
    }
    given = f" `{' '.join(options.train_flags)}`" if options.train_flags else ""
    notes = [
        f"`{options.data.name}`, split {options.split}, preset `{options.preset}`{given}, {epochs} epochs; "
        f"mean ± standard deviation over {len(seeds)} seed(s): {', '.join(map(str, seeds))}.",
    ]
    if BASE in results:
        notes.append("The last column is the difference to `base` of the same seed.")
    write_text(options.out / "ablation.md", markdown(rows, "Ablations", notes))
    write_text(options.out / "ablation.json", encode(content, indent=2) + "\n")


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


if __name__ == "__main__":
    sys.exit(main())
