"""Train and evaluate variants of the method over several seeds, and put them in one table.

Run it with ``python -m mcore.ablate --data manifest.jsonl --out runs/ablation --preset tiny --seeds 0 1 2``; what
follows ``--`` goes to every training, such as ``-- --epochs 30 --precision bf16``. Started again, it goes on where
it stopped. Variants that differ only in evaluation share their trainings.
"""

from __future__ import annotations

import hashlib
import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from mcore.common.errors import UserError
from mcore.common.files import write_text
from mcore.data.clip_files import check_folder
from mcore.evaluation import command as evaluate_command
from mcore.network.checkpoint import read_checkpoint
from mcore.training import command as train_command
from mcore.training.ablation import BASE, VARIANTS, Variant, as_json, markdown, table_rows
from mcore.training.config import PresetName
from mcore.training.trainer import BEST, LAST

OWN_FLAGS = ("--data", "--out", "--preset", "--seed", "--resume", "--overwrite", "--force", "--stages")
"""Flags of a training that the ablation decides."""


@dataclass(frozen=True)
class Options:
    """What to compare, on what."""

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


def run_arguments(arguments: list[str]) -> int:
    """Compare as the command line says; returns the exit code."""
    own, train_flags = arguments, []
    if "--" in arguments:
        at = arguments.index("--")
        own, train_flags = arguments[:at], arguments[at + 1 :]
    options = tyro.cli(
        Options,
        args=own,
        default=Options(data=tyro.MISSING, out=tyro.MISSING, train_flags=tuple(train_flags)),
        prog="python -m mcore.ablate",
        description=__doc__,
        config=(tyro.conf.FlagCreatePairsOff,),
    )
    return 0 if compare(options) else train_command.INTERRUPTED


def compare(options: Options) -> bool:
    """Train and evaluate what is missing, and write ablation.md and ablation.json.

    Returns:
        Whether it came to the end; False where a training was stopped (Ctrl-C) and has saved itself.

    Raises:
        UserError: the data or the folder cannot be used, or it holds an ablation of other data or settings.
    """
    check_folder(options.out, "--out", "choose another --out DIR")
    results: dict[str, list[dict[str, float | None]]] = {name: [] for name in options.variants}
    for seed in options.seeds:  # seed by seed: a first table after a third of the time
        for name in options.variants:
            variant = VARIANTS[name]
            run_dir = options.out / "trainings" / f"{variant.training}-seed{seed}"
            if not _train(options, VARIANTS[variant.training], run_dir, seed):
                return False
            results[name].append(_evaluate(options, name, variant, run_dir, seed))
        _write(options, results)
    print(options.out / "ablation.md")
    print(options.out / "ablation.json")
    return True


def _train(options: Options, variant: Variant, run_dir: Path, seed: int) -> bool:
    """Train unless it is trained; says whether it came to the end."""
    argv = [
        *("--data", str(options.data), "--out", str(run_dir), "--preset", options.preset, "--seed", str(seed)),
        *("--device", options.device, "--workers", str(options.workers)),
        *(("--cache", str(options.cache)) if options.cache else ()),
        *(("--no-cache",) if options.no_cache else ()),
        *options.train_flags,
        *variant.train_flags,
    ]
    if (run_dir / LAST).is_file():
        argv = [*train_command.without_start_from(argv), "--resume"]
        parsed, checkpoint = train_command.parse(argv)  # refuses another recipe
        if checkpoint is not None and (run_dir / BEST).is_file():
            _check_data(options, run_dir, checkpoint.extra)
            if checkpoint.extra["epoch"] >= parsed.training.epochs:
                return True
    print(f"training {run_dir}", file=sys.stderr)
    return train_command.run_arguments(argv) == 0


def _check_data(options: Options, run_dir: Path, extra: dict[str, Any]) -> None:
    if extra.get("data", {}).get("sha256") != _sha256(options.data):
        raise UserError(f"{run_dir} was trained on another list of dives than {options.data}; choose another --out")


def _evaluate(options: Options, name: str, variant: Variant, run_dir: Path, seed: int) -> dict[str, float | None]:
    """Evaluate unless this very checkpoint is evaluated; returns the network's figures by name."""
    out = options.out / "evaluations" / name / f"seed{seed}"
    wanted = {
        "checkpoint_sha256": _sha256(run_dir / BEST),
        "data_sha256": _sha256(options.data),
        "split": options.split,
        "num_exemplars": variant.num_exemplars,
        "exemplars": variant.exemplars,
        "decoding": variant.decoding,
        "seed": seed,
        "num_resamples": options.num_resamples,
    }
    summary = _read_summary(out / "metrics.json")
    if any(summary.get(key) != value for key, value in wanted.items()):
        print(f"evaluating {name}, seed {seed}", file=sys.stderr)
        evaluate_command.evaluate_checkpoint(
            evaluate_command.Options(
                checkpoint=run_dir / BEST,
                data=options.data,
                out=out,
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
        )
        summary = _read_summary(out / "metrics.json")
    return {metric: figures["model"]["value"] for metric, figures in summary["metrics"].items()}


def _read_summary(path: Path) -> dict[str, Any]:
    """An evaluation's metrics.json; empty where there is none, or a damaged one."""
    try:
        summary = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return summary if isinstance(summary, dict) else {}


def _write(options: Options, results: dict[str, list[dict[str, float | None]]]) -> None:
    seeds = options.seeds[: len(results[options.variants[0]])]
    rows = table_rows(results)
    first = options.out / "trainings" / f"{VARIANTS[options.variants[0]].training}-seed{seeds[0]}" / BEST
    epochs = read_checkpoint(first).extra["training"]["epochs"]
    settings = {
        "data": str(options.data),
        "data_sha256": _sha256(options.data),
        "preset": options.preset,
        "train_flags": list(options.train_flags),
        "epochs": epochs,
        "split": options.split,
        "seeds": list(seeds),
    }
    given = f" `{' '.join(options.train_flags)}`" if options.train_flags else ""
    notes = [
        f"`{options.data.name}`, split {options.split}, preset `{options.preset}`{given}, {epochs} epochs; "
        f"mean ± standard deviation over {len(seeds)} seed(s): {', '.join(map(str, seeds))}.",
    ]
    if BASE in results:
        notes.append("The last column is the difference to `base` of the same seed.")
    write_text(options.out / "ablation.md", markdown(rows, "Ablations", notes))
    write_text(options.out / "ablation.json", json.dumps(as_json(rows, settings), indent=2) + "\n")


def _sha256(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}; check its path") from error
