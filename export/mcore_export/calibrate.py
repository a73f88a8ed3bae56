"""How far a bundle's scores can be off: its graphs and exemplars on dives that are neither learned from nor exemplars.

Nothing here needs torch. ``mcore.calibration`` says what the intervals promise.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from pathlib import Path

from rich.console import Console
from rich.progress import track

from mcore.calibration import CALIBRATION_SPLIT, LEAST_DIVES, Calibration, calibrate
from mcore.config import ClipConfig
from mcore.data.manifest import DiveRecord, Split, read_manifest
from mcore.diving import DiveNumber
from mcore.errors import ClipError
from mcore.video import read_clip
from mcore_runtime.backends import Backend, open_backend
from mcore_runtime.encoding import encode_clip
from mcore_runtime.exemplars import ExemplarBank
from mcore_runtime.records import BankCalibration, GraphSet, Precision


@dataclass
class _Scores:
    """Predicted and true scores of the dives seen so far."""

    predicted: list[float] = field(default_factory=list)
    true: list[float] = field(default_factory=list)

    def add(self, predicted: float, true: float) -> None:
        self.predicted.append(predicted)
        self.true.append(true)

    def calibrate(self) -> Calibration | None:
        return calibrate(self.predicted, self.true)


def calibrate_banks(
    variants: Mapping[Precision, GraphSet],
    banks: Mapping[Precision, ExemplarBank],
    clip_config: ClipConfig,
    dives: Path,
    split: Split,
    say: Callable[[str], None],
) -> dict[Precision, BankCalibration]:
    """Score the validation dives of the exemplars' list with every precision, as the runtime will score others.

    Args:
        variants: the exported graphs.
        banks: their exemplars.
        clip_config: the network's input contract.
        dives: list of dives that the exemplars were chosen from.
        split: part of it that they were chosen from.
        say: gets a line for each calibration, or one that says why there is none.

    Returns:
        By precision; empty where the list has too few validation dives.
    """
    records = [record for record in read_manifest(dives) if record.split == CALIBRATION_SPLIT]
    if split == CALIBRATION_SPLIT or len(records) < LEAST_DIVES:
        why = "they are the exemplars" if split == CALIBRATION_SPLIT else f"at least {LEAST_DIVES} are needed"
        say(f"no calibrated interval: {dives.name} has {len(records)} {CALIBRATION_SPLIT} dives, and {why}")
        return {}
    began = time.perf_counter()
    with ExitStack() as stack:
        backends = {
            name: stack.enter_context(closing(open_backend(graphs, "onnxruntime"))) for name, graphs in variants.items()
        }
        scores = _score(backends, banks, clip_config, records, say)
    took, found = time.perf_counter() - began, {}
    for name, (same, others) in scores.items():
        measured = same.calibrate()
        wider = at_least_as_wide(others.calibrate(), measured)
        found[name] = BankCalibration(measured, wider, dives.name, CALIBRATION_SPLIT)
        known, unknown = (_describe(part) for part in (found[name].same_number, found[name].other_numbers))
        say(f"{'calibration':20}  {name}  {took:5.1f} s  {known}; without exemplars of the number {unknown}")
    return found


def at_least_as_wide(others: Calibration | None, same: Calibration | None) -> Calibration | None:
    """Return the calibration for dives without exemplars of their number, never narrower than that for the others.

    With few dive numbers it can come out narrower by chance; who knows less must not seem surer.
    """
    if others is None or same is None or others.half_width_points >= same.half_width_points:
        return others
    return replace(others, half_width_points=same.half_width_points)


def _score(
    backends: Mapping[Precision, Backend],
    banks: Mapping[Precision, ExemplarBank],
    clip_config: ClipConfig,
    records: Sequence[DiveRecord],
    say: Callable[[str], None],
) -> dict[Precision, tuple[_Scores, _Scores]]:
    """Score each dive against the exemplars of its number, and against all others."""
    scores = {name: (_Scores(), _Scores()) for name in backends}
    shown = track(records, "calibrating", console=Console(stderr=True), disable=not sys.stderr.isatty(), transient=True)
    for record in shown:
        try:
            clip = read_clip(record.path, clip_config, start_s=record.start_s, end_s=record.end_s)
        except ClipError as error:
            say(f"left out: {error}")
            continue
        number = DiveNumber.parse(record.dive_number).text
        for name, backend in backends.items():
            bank = banks[name]
            delta, _ = backend.regressor(encode_clip(backend, clip).tokens[None], bank.tokens)  # (E,)
            predicted, is_same = bank.scores + delta, bank.dive_numbers == number
            for chosen, part in zip((is_same, ~is_same), scores[name], strict=True):
                if chosen.any():
                    part.add(float(predicted[chosen].mean()), record.score)
    return scores


def _describe(calibration: Calibration | None) -> str:
    if calibration is None:
        return "unknown"
    return (
        f"{100 * calibration.level:.0f} % within {calibration.half_width_points:.1f} points "
        f"({calibration.num_dives} dives)"
    )
