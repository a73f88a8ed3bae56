"""The page around the dives: overview, explanation, and where the numbers come from."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from html import escape
from pathlib import Path
from string import Template

from mcore.common.files import write_text
from mcore_runtime.bundle.folder import Bundle
from mcore_runtime.report.section import dive_section, template
from mcore_runtime.scoring.batch import DiveOutcome


def write_report(path: str | Path, bundle: Bundle, outcomes: Sequence[DiveOutcome]) -> int:
    """Write the report of several dives as one HTML file and return its size in bytes.

    Args:
        path: the file; an existing one is replaced.
        bundle: what scored the dives.
        outcomes: scored and failed dives, in the order to show them.

    Raises:
        UserError: the file cannot be written.
    """
    return write_text(path, render_report(bundle, outcomes))


def render_report(bundle: Bundle, outcomes: Sequence[DiveOutcome]) -> str:
    """Return the report as HTML; the videos are read once more for their pictures."""
    num_frames, exemplars = bundle.model.clip.num_frames, bundle.exemplar_pictures()
    sections = [
        dive_section(f"dive-{index}", outcome, outcome.result, num_frames, exemplars)
        for index, outcome in enumerate(outcomes, start=1)
        if outcome.result is not None
    ]
    failed = [outcome for outcome in outcomes if outcome.result is None]
    return Template(template("page.html")).substitute(
        style=template("style.css"),
        reading=template("reading.html"),
        title=_title(len(sections), len(outcomes)),
        date=datetime.now().astimezone().strftime("%d %B %Y, %H:%M"),
        overview=_overview(outcomes) if len(outcomes) > 1 else "",
        failures="".join(_failure(outcome) for outcome in failed),
        sections="".join(sections),
        bundle=_bundle_text(bundle),
    )


def _title(num_scored: int, num_dives: int) -> str:
    dives = "1 dive" if num_dives == 1 else f"{num_dives} dives"
    return f"{dives} scored" if num_scored == num_dives else f"{num_scored} of {dives} scored"


def _overview(outcomes: Sequence[DiveOutcome]) -> str:
    judged = any(outcome.request.true_score is not None for outcome in outcomes)
    rows = []
    for index, outcome in enumerate(outcomes, start=1):
        result = outcome.result
        if result is None:
            continue
        true_score = outcome.request.true_score
        judges = f"<td>{'' if true_score is None else f'{true_score:.1f}'}</td>" if judged else ""
        name = escape(outcome.request.video.name)
        rows.append(
            f'<tr><td><a href="#dive-{index}">{name}</a></td><td>{escape(result.dive_number or "unknown")}</td>'
            f'<td class="strong">{result.score:.1f}</td>{judges}</tr>'
        )
    judges_head = "<th>Judges</th>" if judged else ""
    return (
        '<table class="overview"><thead><tr><th>Video</th><th>Dive</th><th>Score</th>'
        f"{judges_head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
    )


def _failure(outcome: DiveOutcome) -> str:
    name, error = escape(outcome.request.video.name), escape(outcome.error or "")
    return f'<p class="failure"><b>{name}</b> could not be scored: {error}</p>'


def _bundle_text(bundle: Bundle) -> str:
    manifest = bundle.manifest
    parts = [
        f"Bundle {bundle.sha256[:12]}, exported {manifest.created}",
        f"from checkpoint {manifest.checkpoint.name} ({manifest.checkpoint.sha256[:12]})",
    ]
    exemplars = manifest.variants["fp32"].exemplars  # the same dives in every precision
    if exemplars is not None:
        parts.append(f"with {exemplars.count} exemplars of {len(exemplars.per_dive_number)} dives")
    return escape(", ".join(parts) + ".")
