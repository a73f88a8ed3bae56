"""One run of the benchmarks as data: everything that the table, the page and a later comparison need."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

from mcore.common.errors import UserError
from mcore.common.files import write_text
from mcore_bench.account import Account
from mcore_bench.accuracy import Accuracy
from mcore_bench.conditions import Conditions
from mcore_bench.contenders import COPIES
from mcore_bench.environment import Environment
from mcore_bench.kernels import KernelReport
from mcore_bench.limit import Limits
from mcore_bench.throughput import Streams
from mcore_bench.timing import Group

VERSION = 1
TRANSFERS_MEASURED = f"in the tables of {COPIES}"
"""Where a contender's transfers are, if it has any."""


@dataclass(frozen=True)
class Measured:
    """What was measured of one bundle."""

    bundle: str
    """Name of its folder."""
    bundle_sha256: str
    checkpoint: str
    """From which it was exported."""
    groups: tuple[Group, ...]
    """Contenders in turns, part by part, and peers."""
    peak_memory_mb: Mapping[str, float]
    """Of a process that encodes clips, by contender: resident, and where it runs on a GPU also the GPU's."""
    streams: tuple[Streams, ...]
    accuracy: tuple[Accuracy, ...]
    """Scores against PyTorch in float32."""
    transfers: Mapping[str, str]
    """By contender: the split into transfers and computing, or why there is none."""
    absent: tuple[str, ...]
    """What does not run here, with reasons."""
    account: Account | None
    """Operations and parameters, where the checkpoint was given."""
    limits: Limits | None
    """What this machine could do at best, and what each part does of it."""
    conditions: Conditions
    gpu_limits: Limits | None = None
    """What the GPU could do at best, where parts ran on one."""
    kernels: tuple[KernelReport, ...] = ()
    """What the GPU did, and how long it waited."""


@dataclass(frozen=True)
class Result:
    """A run."""

    version: int
    command: str
    environment: Environment
    bundles: tuple[Measured, ...]
    side_by_side: Group | None
    """Backbones of all bundles in turns, where there are several."""


def write_result(path: Path, result: Result) -> None:
    """Write a run as JSON.

    Raises:
        UserError: the place cannot be written to.
    """
    write_text(path, json.dumps(dataclasses.asdict(result), indent=2, allow_nan=False) + "\n")


def read_result(path: Path) -> Result:
    """Read a run that ``write_result`` wrote.

    Raises:
        UserError: no such file, or it is not a run of this version.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"cannot read results from {path}: {error}") from error
    version = values.get("version") if isinstance(values, dict) else None
    if version != VERSION:
        raise UserError(f"{path} holds results of version {version}; this mcore-bench reads {VERSION}: measure again")
    try:
        result: Result = _build(Result, values)
    except (KeyError, TypeError) as error:
        raise UserError(f"{path} is no result of mcore-bench ({type(error).__name__}: {error})") from error
    return result


def _build(kind: Any, value: Any) -> Any:
    """Rebuild dataclasses from what JSON made of them."""
    arguments = get_args(kind)
    if value is not None and type(None) in arguments:
        return _build(next(a for a in arguments if a is not type(None)), value)
    if value is None or not (dataclasses.is_dataclass(kind) or arguments):
        return value
    if dataclasses.is_dataclass(kind):
        hints = get_type_hints(kind)
        present = [
            field for field in dataclasses.fields(kind) if field.name in value or field.default is dataclasses.MISSING
        ]
        return kind(**{field.name: _build(hints[field.name], value[field.name]) for field in present})  # type: ignore[operator]
    if get_origin(kind) is tuple:
        kinds = [arguments[0]] * len(value) if arguments[-1] is Ellipsis else arguments
        return tuple(_build(each, item) for each, item in zip(kinds, value, strict=True))
    return {key: _build(arguments[1], item) for key, item in value.items()}
