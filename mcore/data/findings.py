"""Findings of a check of a data set, and its report: as JSON and as printed tables."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from mcore.common.errors import DiveNumberError
from mcore.common.printable import printable_message
from mcore.diving import NEWEST, DiveNumber

_EXAMPLES = 3
"""Findings of a kind that are printed; the JSON has all."""
WORDS = {
    "rule_book": "difficulty as in the rules of {rules}",
    "synchro_2_0": "difficulty 2.0, as assigned in the first rounds of synchronised diving",
    "unexplained": "difficulty not in the rules of {rules}",
    "not_given": "difficulty not given",
    "no_dive_number": "difficulty of no valid dive number",
    "labelled": "with transitions",
    "usable": "with transitions that training can use",
    "published_first_past_middle": "first transition past the middle, published labels",
    "published_last_before_middle": "last transition before the middle, published labels",
    "sampled_first_past_middle": "first transition past the middle, sampled frames",
    "sampled_last_before_middle": "last transition before the middle, sampled frames",
    "clips": "clips",
    "present": "clips on the disk",
    "absent": "clips not on the disk",
    "decoded": "clips decoded",
}
"""Words of the printed report for the figures of the JSON."""

Severity = Literal["error", "warning"]


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong, or worth knowing, about one dive or dive number."""

    severity: Severity
    """An error makes the dive wrong or unusable; a warning does not."""
    check: str
    """Name of the check that found it, such as ``score-range``."""
    where: str
    """The dive's name, or its dive number."""
    message: str


@dataclass(frozen=True)
class Report:
    """Result of a check."""

    dataset: str
    kind: str
    splits: dict[str, int]
    """Dives in each split; ``none`` where a dive has none."""
    dive_numbers: dict[str, dict[str, int]]
    """Dives of each number in each split, by number."""
    difficulty: dict[str, int]
    """Dives by how their difficulty compares with the rules."""
    transitions: dict[str, int]
    """How many dives have transitions, and where they lie."""
    images: dict[str, int]
    """What of the clips is on the disk."""
    findings: list[Finding] = field(default_factory=list)
    rules: str = str(NEWEST)
    """Edition of the rules, with which difficulties were compared."""

    @property
    def errors(self) -> int:
        """Findings that are errors."""
        return sum(finding.severity == "error" for finding in self.findings)

    @property
    def warnings(self) -> int:
        """Findings that are warnings."""
        return len(self.findings) - self.errors

    def to_dict(self) -> dict[str, Any]:
        """Everything, for JSON."""
        head = {"format": "mcore-data-check", "format_version": 1}
        return head | {"errors": self.errors, "warnings": self.warnings} | asdict(self)


def print_report(report: Report, console: Console) -> None:
    """Print a report's tables."""
    console.print(f"{escape(printable_message(report.dataset))} ({report.kind})")
    console.print(_number_table(report))
    console.print(_count_table(report))
    if report.findings:
        console.print(_finding_table(report.findings))
    console.print(f"{report.errors} errors, {report.warnings} warnings")


def _count_table(report: Report) -> Table:
    table = Table("what", "dives")
    for split, count in report.splits.items():
        table.add_row(f"split {split}", str(count))
    for figures in (report.difficulty, report.transitions, report.images):
        for name, count in figures.items():
            if count:
                table.add_row(WORDS[name].format(rules=report.rules), str(count))
    return table


def _number_table(report: Report) -> Table:
    splits = list(report.splits)
    table = Table("dive number", *splits, "dive")
    for number, counts in report.dive_numbers.items():
        table.add_row(
            escape(printable_message(number)), *(str(counts.get(split, 0)) for split in splits), _describe(number)
        )
    return table


def _describe(number: str) -> str:
    try:
        return DiveNumber.parse(number).describe()
    except DiveNumberError:
        return "not a dive number"


def _finding_table(findings: Sequence[Finding]) -> Table:
    groups: dict[tuple[str, str], list[Finding]] = defaultdict(list)
    for finding in findings:
        groups[finding.severity, finding.check].append(finding)
    table = Table("severity", "check", "count", Column("examples", overflow="fold"))
    for (severity, check), found in sorted(groups.items()):
        examples = [printable_message(f"{finding.where}: {finding.message}") for finding in found[:_EXAMPLES]]
        table.add_row(severity, check, str(len(found)), escape("\n".join(examples)))
    return table
