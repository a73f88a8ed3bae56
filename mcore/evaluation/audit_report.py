"""Report of an audit: tables on the terminal, audit.json, audit.md."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from rich.console import Console

from mcore.common.files import write_text
from mcore.common.typed_json import encode
from mcore.evaluation.assessment import Figure
from mcore.evaluation.audit import LEAST_COST, Hiding, Ranking
from mcore.evaluation.audit_run import Audit
from mcore.evaluation.config import AuditOptions
from mcore.evaluation.tables import TitledTable, markdown_sections, number, rich_table, with_interval

JSON, MARKDOWN = "audit.json", "audit.md"


def report_audit(audit: Audit, options: AuditOptions) -> None:
    """Print an audit, and write audit.json and audit.md into the options' folder."""
    tables, remarks = _tables(audit), _remarks(audit)
    console = Console()
    for table in tables:
        console.print(rich_table(*table))
    lines = [*markdown_sections(tables), *(f"* {remark}" for remark in remarks), ""]
    write_text(options.folder / MARKDOWN, "\n".join(lines))
    settings = {name: str(value) if isinstance(value, Path) else value for name, value in asdict(options).items()}
    content = settings | {"failures": audit.failures} | asdict(audit)
    write_text(options.folder / JSON, encode(content, indent=2) + "\n")
    for line in [*remarks, options.folder / JSON, options.folder / MARKDOWN]:
        console.print(str(line), soft_wrap=True, highlight=False, markup=False)


def _tables(audit: Audit) -> list[TitledTable]:
    whole = ["nothing", with_interval(audit.whole), "", ""]
    tables: list[TitledTable] = [
        (
            f"Ranking of {audit.num_dives} dives with a part hidden [95 %]",
            ["hidden", "SRCC", "cost", f"at least {LEAST_COST}?"],
            [whole, *(_hiding_row(hiding, audit.whole) for hiding in audit.hidings)],
        ),
        ("SRCC without watching the dive [95 %]", ["what is seen", "SRCC"], _rankings(audit.shortcuts)),
    ]
    if audit.observers:
        tables.append(
            ("SRCC of a perfect observer [95 %]", ["what is seen", "SRCC"], _rankings(audit.observers)),
        )
    if audit.moves:
        rows = [
            [
                move.fault,
                move.stage,
                number(move.true_points),
                with_interval(move.found_points),
                with_interval(move.ratio),
                number(move.picture),
            ]
            for move in audit.moves
        ]
        head = ["fault", "stage", "true, points", "found", "found / true", "picture, grey levels"]
        tables.append((f"One fault moved from none to gross in {audit.num_moved} dives [95 %]", head, rows))
    if audit.shares:
        rows = [
            [share.stage, with_interval(share.correlation), with_interval(share.slope), number(share.spread_points)]
            for share in audit.shares
        ]
        head = ["stage", "correlation", "slope", "spread of the share, points"]
        tables.append(("Stage shares against drawn deductions [95 %]", head, rows))
    return tables


def _hiding_row(hiding: Hiding, whole: Figure) -> list[str]:
    verdict = "" if not hiding.must_cost else "yes" if hiding.passes(whole) else "NO"
    return [hiding.hidden, with_interval(hiding.srcc), with_interval(hiding.cost), verdict]


def _rankings(rankings: Sequence[Ranking]) -> list[list[str]]:
    return [[each.name, with_interval(each.srcc)] for each in rankings]


def _remarks(audit: Audit) -> list[str]:
    remarks = []
    if audit.panel_noise_award is None:
        remarks.append("No dive was drawn again: the other tables need a list of rendered dives.")
    else:
        remarks.append(f"Judges' noise: {audit.panel_noise_award:.2f} award points around the fair award.")
    if audit.failures:
        remarks.append(f"FAILED: the ranking hardly changes with this hidden: {'; '.join(audit.failures)}.")
    else:
        remarks.append("Passed: what judges watch matters to the ranking. That alone proves no understanding.")
    if unsure := [each.hidden for each in audit.hidings if each.must_cost and _is_unsure(each)]:
        remarks.append(f"Too few dives to be sure, as {LEAST_COST} lies in the interval: {'; '.join(unsure)}.")
    return remarks


def _is_unsure(hiding: Hiding) -> bool:
    low, high = hiding.cost.low, hiding.cost.high
    return low is not None and high is not None and low < LEAST_COST <= high
