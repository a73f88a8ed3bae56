"""The scores as a table for a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from mcore.common.likeness import describe_known_dives
from mcore.common.printable import printable_message
from mcore.config import STAGES
from mcore.data.stage_shares import describe_shares
from mcore_runtime.scoring.batch import DiveOutcome
from mcore_runtime.scoring.recognition import describe_recogniser
from mcore_runtime.scoring.result import DiveScore, cautions, percent
from mcore_runtime.scoring.scorer import Scorer

INTERVAL_MEANING = (
    "{level} interval: it holds the judges' score for {level} of dives like the validation dives that it was measured "
    "on."
)
RANGE_MEANING = (
    "Exemplar range: 10th to 90th percentile of what the single exemplars predict. It shows their disagreement and is "
    "not a conformal interval."
)
SHARES_MEANING = (
    "Stage shares: points that each stage adds, against an average exemplar of the dive number; below zero, the stage "
    "was worse than its."
)


def print_scores(console: Console, scorer: Scorer, outcomes: Sequence[DiveOutcome]) -> None:
    """Print the scored dives as a table, then what must be known of it, what the numbers mean, and notes."""
    scored = [(o, o.result) for o in outcomes if o.result is not None]
    if scored:
        console.print(_table(scored))
        for caution in cautions(result for _, result in scored):
            console.print(Text(f"caution: {caution}", style="bold yellow"))
        for outcome, result in scored:
            if result.why_unlike:
                accepted = " (accepted)" if outcome.accept_unlike else ""
                line = f"unlike{accepted}: {outcome.request.video.name}: {'; '.join(result.why_unlike)}"
                console.print(Text(printable_message(line), style="bold yellow"))
        if scorer.known_dives is None:
            console.print(Text(describe_known_dives(None), style="dim"))
        if scorer.recogniser is None:
            console.print(Text(describe_recogniser(None), style="dim"))
        meaning = [_interval_legend([result for _, result in scored]), describe_shares(scorer.stage_shares)]
        if _shown_stages([result for _, result in scored]):
            meaning.append(SHARES_MEANING)
        console.print(Text(" ".join(filter(None, meaning)), style="dim"))
    notes: dict[str, list[str]] = {}
    for outcome, result in scored:
        for note in result.notes:
            notes.setdefault(note, []).append(outcome.request.video.name)
    for note, names in notes.items():
        where = "all dives" if len(names) == len(scored) > 1 else ", ".join(dict.fromkeys(names))
        console.print(Text(printable_message(f"note: {where}: {note}"), style="yellow"))
    backend, bundle = scorer.backend, scorer.bundle
    num_scored = sum(outcome.status == "scored" for outcome in outcomes)
    console.print(
        Text(
            printable_message(f"{num_scored} of {len(outcomes)} scored by {bundle.path} ({bundle.sha256[:12]}) ")
            + f"on {backend.name} ({backend.provider})",
            style="dim",
        )
    )


def _table(scored: Sequence[tuple[DiveOutcome, DiveScore]]) -> Table:
    judged = any(outcome.request.true_score is not None for outcome, _ in scored)
    table = Table(header_style="bold", title_justify="left")
    table.add_column("video", overflow="fold")
    table.add_column("dive", no_wrap=True)
    table.add_column("score", justify="right", style="bold")
    kinds = _kinds([result for _, result in scored])
    heading = kinds[0] if len(kinds) == 1 else "from, to"
    # The award shares a cell with the interval, so that the table fits 80 columns.
    award = "\naward" if any(result.award is not None for _, result in scored) else ""
    table.add_column(heading.replace("exemplar ", "exemplar\n") + award, justify="right", no_wrap=True)
    if judged:
        table.add_column("judges", justify="right")
    table.add_column("flight\nfrom s", justify="right")
    table.add_column("entry\nfrom s", justify="right")
    stages = _shown_stages([result for _, result in scored])
    for stage in stages:
        table.add_column(f"{stage}\nshare", justify="right")
    table.add_column("closest exemplar", overflow="fold")
    table.add_column("ms", justify="right")
    for outcome, result in scored:
        table.add_row(
            *(Text(cell) for cell in _cells(outcome, result, judged, stages, mixed=len(kinds) > 1)),
            style="dim" if outcome.status == "unlike" else None,
        )
    return table


def _cells(outcome: DiveOutcome, result: DiveScore, judged: bool, stages: Sequence[str], *, mixed: bool) -> list[str]:
    true_score, closest = outcome.request.true_score, result.exemplars[0]
    interval = (
        f"{format_interval(result)} ({_kind(result)})" if mixed and not result.why_unlike else format_interval(result)
    )
    return [
        "\n".join(filter(None, (printable_message(Path(result.video.source).name), outcome.request.part))),
        printable_message(result.dive_text),
        f"{result.score:.1f}",
        interval if result.award is None else f"{interval}\n{result.award.text.removeprefix('award ')}",
        *(["" if true_score is None else f"{true_score:.1f}"] if judged else []),
        *(f"{seconds:.2f}" for seconds in result.transitions_s),
        *("" if (share := result.stage_shares[stage]) is None else f"{share:+.1f}" for stage in stages),
        printable_message(f"{closest.name} {closest.score:.1f} ({closest.delta:+.1f})"),
        f"{result.timing_ms['total']:.0f}",
    ]


def _shown_stages(results: Sequence[DiveScore]) -> list[str]:
    """Stages whose shares may be shown."""
    return [stage for stage in STAGES if any(result.stage_shares[stage] is not None for result in results)]


def _kind(result: DiveScore) -> str:
    return "exemplar range" if result.interval_level is None else f"{percent(result.interval_level)} interval"


def _kinds(results: Sequence[DiveScore]) -> list[str]:
    """The kinds of interval, each once, in their order; a clip that is unlike the known dives has none."""
    return list(dict.fromkeys(_kind(result) for result in results if not result.why_unlike)) or ["interval"]


def _interval_legend(results: Sequence[DiveScore]) -> str:
    levels = dict.fromkeys(result.interval_level for result in results if not result.why_unlike)
    texts = [RANGE_MEANING if at is None else INTERVAL_MEANING.format(level=percent(at)) for at in levels]
    return " ".join(texts)


def format_interval(result: DiveScore) -> str:
    """Return the ends of the interval as text, ``unknown`` where there was a single exemplar, ``unlike`` if it is."""
    if result.why_unlike:
        return "unlike"
    if result.low is None or result.high is None:
        return "unknown"
    return f"{result.low:.1f} to {result.high:.1f}"
