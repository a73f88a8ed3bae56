"""The machine, its conditions and the contenders in words, for the terminal and the pages alike."""

from __future__ import annotations

from collections.abc import Mapping

from mcore_bench.conditions import Conditions
from mcore_bench.environment import Environment
from mcore_bench.result import TRANSFERS_MEASURED, Measured
from mcore_bench.steadiness import warnings_of_groups
from mcore_bench.timing import Group


def machine_told(e: Environment) -> str:
    """Name the hardware."""
    known = [", ".join(e.instructions), e.processor_id]
    inside = f" ({'; '.join(filter(None, known))})" if any(known) else ""
    parts = [f"{e.processor}{inside}", f"{e.cores} cores", f"{e.memory_gb:.0f} GB", e.gpu or "no GPU", e.system]
    parts += [f"{name} {value}" for name, value in (("governor", e.governor), ("power mode", e.power_mode)) if value]
    return ", ".join(parts)


def software_told(e: Environment) -> str:
    """Name versions, the code that ran, and threads."""
    told = f"threads of every engine: {e.threads}; " + ", ".join(f"{name} {v}" for name, v in e.versions.items())
    told += f"; OpenMP's waiting threads: {e.omp_wait_policy}" if e.omp_wait_policy else ""
    return told + (f"; commit {e.commit}" if e.commit else "")


def abouts(group: Group, told: set[tuple[str, str]]) -> list[tuple[str, str]]:
    """Contenders, and what they are: rows of which the same is true together, and nothing twice.

    Args:
        group: measured in turns.
        told: what was said under earlier tables; what is said now is added.
    """
    found: dict[str, list[str]] = {}
    for row in group.rows:
        if row.about and (row.name, row.about) not in told:
            found.setdefault(row.about, []).append(row.name)
            told.add((row.name, row.about))
    return [("; ".join(names), about) for about, names in found.items()]


def conditions_told(c: Conditions) -> str:
    """What the machine did meanwhile, in one line."""
    parts = [f"{c.wall_s:.0f} s", f"own processes {c.own_cores:.1f} cores"]
    if c.other_cores is not None:
        parts.append(f"other programs {c.other_cores:.2f} cores")
    if c.steal is not None:
        parts.append(f"taken by the hypervisor {c.steal:.1%}")
    parts.append("load " + ", ".join(f"{load:.1f}" for load in c.load))
    if c.clock_mhz is not None:
        parts.append(f"clock {c.clock_mhz[0]:.0f} to {c.clock_mhz[1]:.0f} MHz")
    if c.gpu_clock_mhz is not None:
        parts.append(f"the GPU's {c.gpu_clock_mhz[0]:.0f} to {c.gpu_clock_mhz[1]:.0f} MHz")
    if c.pace is not None:
        parts.append(f"a fixed computation {c.pace[0]:.3f} ms before and {c.pace[1]:.3f} ms after")
    if c.temperature_c is not None:
        parts.append(f"at most {c.temperature_c:.0f} °C")
    power = "not measured" if c.power_w is None else f"{c.power_w:.1f} W"
    return "; ".join([*parts, f"power {power} ({c.power_source})"])


def doubts_told(measured: Measured) -> tuple[str, ...]:
    """What makes figures of the run, of a group or of a contender doubtful."""
    return (*measured.conditions.warnings, *warnings_of_groups(measured.groups))


def memory_told(peak_mb: Mapping[str, float]) -> str:
    """Name each contender with its peak; empty: none was measured."""
    return ", ".join(f"{name} {mb:.0f} MB" for name, mb in peak_mb.items())


def absent_told(measured: Measured) -> list[str]:
    """What was not measured, and why; contenders without transfers together."""
    names: dict[str, list[str]] = {}
    for name, text in measured.transfers.items():
        if text != TRANSFERS_MEASURED:
            names.setdefault(text, []).append(name)
    return [*measured.absent, *(f"transfers of {', '.join(each)}: {text}" for text, each in names.items())]
