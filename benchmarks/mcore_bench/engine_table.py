"""Sizes and build times of a bundle's engines, as the table of the documentation.

python -m mcore_bench.engine_table bundle

python -m mcore_bench.engine_table bundle --targets sm75 sm89 (builds with TensorRT-RTX, keeps nothing)
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from mcore.common.cli_help import description
from mcore.common.errors import UserError, run_command
from mcore_export.engines.build import build_engines
from mcore_runtime.backends.base import BackendError
from mcore_runtime.bundle.folder import Bundle
from mcore_runtime.bundle.records import PARTS, EngineRecord, GraphSet


@dataclass(frozen=True)
class Arguments:
    """Print sizes and build times of engines."""

    bundle: Annotated[Path, tyro.conf.Positional]
    """The bundle."""
    targets: tuple[str, ...] = ()
    """GPU architectures such as sm89 that TensorRT-RTX builds every precision of the bundle for, only to measure;
    none: the engines that the bundle holds."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns 0, or 2 for a mistake."""
    arguments = tyro.cli(
        Arguments,
        args=argv,
        prog="python -m mcore_bench.engine_table",
        description=description(__doc__),
        config=(tyro.conf.FlagCreatePairsOff,),
    )
    return run_command(lambda: _run(arguments))


def engine_table(folder: Path, records: Sequence[EngineRecord]) -> str:
    """Write engines as a Markdown table: megabytes and seconds of each part, and of all.

    Args:
        folder: that the records' files lie below.
        records: one row for each.
    """
    lines = [
        f"| engine | {' | '.join(PARTS)} | all three |",
        f"|---|{'---:|' * (len(PARTS) + 1)}",
    ]
    for record in records:
        megabytes = [(folder / record.files[part]).stat().st_size / 1e6 for part in PARTS]
        seconds = [record.build_s[part] for part in PARTS]
        cells = [
            f"{size:.1f} MB, {took:.1f} s"
            for size, took in zip((*megabytes, sum(megabytes)), (*seconds, sum(seconds)), strict=True)
        ]
        lines.append(f"| {record.name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _run(arguments: Arguments) -> int:
    bundle = Bundle.open(arguments.bundle)
    if arguments.targets:
        with tempfile.TemporaryDirectory(prefix="mcore-engines-") as folder:
            print(engine_table(Path(folder), _build(bundle, arguments.targets, Path(folder))))
        return 0
    if not bundle.manifest.engines:
        raise UserError(
            f"{arguments.bundle} holds no engines. Build some with: mcore-bundle engine "
            f"{arguments.bundle} --kind tensorrt; "
            "or measure TensorRT-RTX without a GPU: --targets sm80 sm89 sm120"
        )
    print(engine_table(bundle.path, bundle.manifest.engines))
    return 0


def _build(bundle: Bundle, targets: Sequence[str], folder: Path) -> list[EngineRecord]:
    """Build every precision for every target; what cannot be built is said."""
    built = [_build_one(graphs, target, folder) for graphs in bundle.variants.values() for target in targets]
    return [record for record in built if record is not None]


def _build_one(graphs: GraphSet, target: str, folder: Path) -> EngineRecord | None:
    try:
        return build_engines(graphs, "tensorrt-rtx", folder, target=target, log=lambda line: None)
    except BackendError as error:
        print(f"{graphs.variant} for {target}: {error}\n")
        return None


if __name__ == "__main__":
    raise SystemExit(main())
