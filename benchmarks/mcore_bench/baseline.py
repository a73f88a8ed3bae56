"""Check against lost speed: ratios of one machine, kept beside the code, compared by ``make bench``.

Checked are the bundle's own engines against the plain export of the same network on ONNX Runtime, in turns in one run.
Ratios to PyTorch move with the C library's memory, so they are not.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from mcore.common.errors import UserError
from mcore.common.files import write_text
from mcore.common.typed_json import decode, encode
from mcore_bench.candidates import BACKBONE_PEERS, DIVE_PEERS, PLAIN
from mcore_bench.machine import Environment
from mcore_bench.result import Result
from mcore_bench.timing import TimingGroup
from mcore_runtime.backends.select import BACKENDS

FORMAT = "mcore-bench baseline 3"
REGRESSION = 0.93
"""Share of its old value below which a ratio is a regression: two calm runs of the same code differed by 3.4 % at most,
and the smallest step that was worth its code gained 7 %."""


@dataclass(frozen=True)
class Baseline:
    """Ratios of a calm run."""

    format: str
    environment: Environment
    command: str
    ratios: Mapping[str, float]
    """Speed over the plain export on ONNX Runtime, by group and candidate."""


@dataclass(frozen=True)
class Comparison:
    """A run against a baseline."""

    regressions: tuple[str, ...]
    notes: tuple[str, ...]
    """What could not be compared, such as on another processor, and what else differs."""


def save_baseline(path: Path, result: Result) -> None:
    """Write a run's ratios as the baseline; a UserError says where the run has no peers."""
    if not (ratios := baseline_ratios(result)):
        raise UserError(f"no ratios to save: {PLAIN} and the bundle's backends are peers, which --checkpoint measures")
    write_text(path, encode(Baseline(FORMAT, result.environment, result.command, ratios), indent=2) + "\n")


def read_baseline(path: Path) -> Baseline:
    """Read a baseline; cheap, so do it before measuring. A UserError says where there is none, or an older one."""
    try:
        text = path.read_bytes()
    except OSError as error:
        raise UserError(f"cannot read the baseline {path}: {error}") from error
    advice = "measure it anew on a calm machine: make bench RATIOS='--save-baseline benchmarks/baseline.json'"
    baseline = decode(Baseline, text, f"{path} is no baseline of this mcore-bench, {advice}")
    if baseline.format != FORMAT:
        raise UserError(f"{path} is of format {baseline.format!r}, not {FORMAT!r}; {advice}")
    return baseline


def baseline_ratios(result: Result) -> dict[str, float]:
    """Return the speed of the bundle's backends over the plain export's, by group and candidate."""
    return {
        f"{group.title}: {row.name} over {PLAIN}": _over_plain(group, row.name)
        for group in result.groups
        if group.title in (DIVE_PEERS, BACKBONE_PEERS) and any(row.name == PLAIN for row in group.rows)
        for row in group.rows
        if row.name.split(" ")[0] in BACKENDS
    }


def _over_plain(group: TimingGroup, name: str) -> float:
    """Of rounds where the plain export is the group's own baseline, else of medians: rounds alternate, so both hold."""
    row = group.row(name)
    if group.baseline == PLAIN and row.speedup is not None:
        return row.speedup.median
    return group.row(PLAIN).timing.median_ms / row.timing.median_ms


def check_baseline(baseline: Baseline, result: Result) -> Comparison:
    """Compare a run with the baseline; a UserError says where the run has none of its ratios."""
    old, new = baseline.environment, result.environment
    if differing := list(_differences(_setting(old), _setting(new))):
        note = f"nothing was checked, because the baseline is of another setting: {'; '.join(differing)}"
        return Comparison((), (f"{note}. --save-baseline makes one of this setting",))
    measured = baseline_ratios(result)
    if not measured.keys() & baseline.ratios.keys():
        raise UserError("no ratio of the baseline was measured: peers are measured with --checkpoint")
    regressions, notes = [], list(_differences(_software(old), _software(new)))
    for name, ratio in baseline.ratios.items():
        if name not in measured:
            notes.append(f"{name}: was x{ratio:.2f}, was not measured here")
        elif measured[name] < REGRESSION * ratio:
            regressions.append(f"{name}: was x{ratio:.2f}, is x{measured[name]:.2f}, {measured[name] / ratio - 1:.0%}")
    if regressions:
        warnings = [(g.title, w) for g in result.groups if g.conditions is not None for w in g.conditions.warnings]
        notes += [f"measure again before believing a regression: {title}: {line}" for title, line in warnings]
    return Comparison(tuple(regressions), tuple(notes))


def _setting(e: Environment) -> dict[str, object]:
    """With another one of these, ratios differ without a change of the code."""
    trimming = "on" if e.malloc_trimming else "off"
    return {"processor": f"{e.processor} {e.processor_id}", "threads": e.threads, "GPU": e.gpu or "none",
            "malloc trimming": trimming}  # fmt: skip


def _software(e: Environment) -> dict[str, object]:
    """A change of a ratio may come from these."""
    # One thread waits for none.
    waiting = {"OMP_WAIT_POLICY": e.omp_wait_policy or "not set"} if e.threads != 1 else {}
    return {**e.versions, **waiting}


def _differences(old: Mapping[str, object], new: Mapping[str, object]) -> Iterator[str]:
    for name in dict.fromkeys([*old, *new]):
        was, now = (each.get(name, "not installed") for each in (old, new))
        if was != now:
            yield f"{name}: was {was}, is {now}"
