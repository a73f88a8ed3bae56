"""Figures as text, and tables of them."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table

from mcore.evaluation.assessment import Figure

TitledTable = tuple[str, list[str], list[list[str]]]
"""Title, head and rows."""


def number(value: float | None) -> str:
    """Three digits after the point for shares, fewer for points."""
    if value is None:
        return "undefined"
    return f"{value:.{3 if abs(value) < 1 else 2 if abs(value) < 10 else 1}f}"


def with_interval(figure: Figure) -> str:
    """A figure with its 95 % interval behind it."""
    if figure.low is None or figure.high is None:
        return number(figure.value)
    return f"{number(figure.value)} [{number(figure.low)}, {number(figure.high)}]"


def with_arrow(title: str, higher_is_better: bool) -> str:
    """A metric's title with its direction."""
    return f"{title} {'↑' if higher_is_better else '↓'}"


def markdown_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of a Markdown table: the first column left, the others right."""
    body = [f"| {' | '.join(row)} |" for row in rows]
    return [f"| {' | '.join(head)} |", f"| --- |{' ---: |' * (len(head) - 1)}", *body]


def markdown_sections(tables: Sequence[TitledTable]) -> list[str]:
    """Tables in Markdown, each below its title."""
    return ["\n".join([f"**{title}**", "", *markdown_table(head, rows), ""]) for title, head, rows in tables]


def rich_table(title: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    """Table for the terminal: the first column left, the others right."""
    table = Table(title=title, title_justify="left")
    for index, name in enumerate(head):
        table.add_column(name, justify="right" if index else "left", overflow="fold")
    for row in rows:
        table.add_row(*row)
    return table
