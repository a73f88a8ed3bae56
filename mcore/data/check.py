"""Check a data set of dives before hours are spent on it; ``mcore-data check`` prints and saves the report."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from mcore.common.errors import DiveNumberError
from mcore.data.findings import Finding, Report
from mcore.data.image_checks import check_images
from mcore.data.label_checks import check_labels, check_set, classify_difficulty, transition_figures
from mcore.data.labels import LabelledDive
from mcore.data.manifest import SPLITS
from mcore.data.sources import Source
from mcore.diving import DiveNumber

EXAMPLES = 3
"""Findings of a kind that are printed; the JSON has all."""
WORDS = {
    "rule_book": "difficulty as in the rule book, 3 m or 10 m",
    "synchro_2_0": "difficulty 2.0, as fixed in synchronised diving",
    "unexplained": "difficulty not in the rule book",
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
"""How the printed report names the figures of the JSON."""


def check_source(
    source: Source,
    *,
    decode: bool = False,
    workers: int = 1,
    on_clip: Callable[[], object] = lambda: None,
) -> Report:
    """Check a data set: labels, splits, rules, and the images where any are there.

    Args:
        source: the data set.
        decode: also decode every image and video.
        workers: threads that look at clips.
        on_clip: called after each clip.
    """
    dives = source.dives
    findings = [finding for dive in dives for finding in check_labels(dive)]
    findings += check_set(dives)
    images, image_findings = _check_all_images(dives, decode, workers, on_clip)
    records = [dive.record for dive in dives if dive.record is not None]
    splits: Counter[str] = Counter(record.split or "none" for record in records)
    numbers: dict[str, Counter[str]] = defaultdict(Counter)
    for record in records:
        numbers[record.dive_number][record.split or "none"] += 1
    return Report(
        dataset=str(source.path),
        kind=source.kind,
        splits={split: count for split in (*SPLITS, "none") if (count := splits[split])},
        dive_numbers={number: dict(counts) for number, counts in sorted(numbers.items())},
        difficulty=dict(Counter(classify_difficulty(record) for record in records)),
        transitions=transition_figures(dives),
        images=images,
        findings=findings + image_findings,
    )


def print_report(report: Report, console: Console) -> None:
    """Print a report's tables."""
    console.print(f"{escape(report.dataset)} ({report.kind})")
    console.print(_number_table(report))
    console.print(_count_table(report))
    if report.findings:
        console.print(_finding_table(report.findings))
    console.print(f"{report.errors} errors, {report.warnings} warnings")


def _check_all_images(
    dives: Sequence[LabelledDive], decode: bool, workers: int, on_clip: Callable[[], object]
) -> tuple[dict[str, int], list[Finding]]:
    records = [dive.record for dive in dives if dive.record is not None]
    present = sum(record.path.exists() for record in records)
    figures = {"clips": len(records), "present": present, "absent": len(records) - present, "decoded": 0}
    if records and not present:
        where = str(Path(records[0].path))
        message = "no clip is there, so images were not checked; say where they are with --frames"
        return figures, [Finding("warning", "images", where, message)]

    def check(dive: LabelledDive) -> list[Finding]:
        found = check_images(dive, decode=decode)
        on_clip()
        return found

    with ThreadPoolExecutor(max(1, workers)) as pool:
        findings = [finding for found in pool.map(check, dives) for finding in found]
    if decode:
        faulty = {finding.where for finding in findings if finding.severity == "error"}
        figures["decoded"] = present - sum(d.name in faulty for d in dives if d.record and d.record.path.exists())
    return figures, findings


def _count_table(report: Report) -> Table:
    table = Table("what", "dives")
    for split, count in report.splits.items():
        table.add_row(f"split {split}", str(count))
    for figures in (report.difficulty, report.transitions, report.images):
        for name, count in figures.items():
            if count:
                table.add_row(WORDS[name], str(count))
    return table


def _number_table(report: Report) -> Table:
    splits = list(report.splits)
    table = Table("dive number", *splits, "dive")
    for number, counts in report.dive_numbers.items():
        table.add_row(escape(number), *(str(counts.get(split, 0)) for split in splits), _describe(number))
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
        examples = [f"{finding.where}: {finding.message}" for finding in found[:EXAMPLES]]
        table.add_row(severity, check, str(len(found)), escape("\n".join(examples)))
    return table
