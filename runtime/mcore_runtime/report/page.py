"""The page around the dives: overview, explanation, and where the numbers come from."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from mcore.common.files import write_text
from mcore.common.likeness import describe_known_dives
from mcore.data.trained_on import describe_training
from mcore.diving import NEWEST, Edition
from mcore_runtime.bundle.folder import Bundle
from mcore_runtime.report.dive_section import section_of_file
from mcore_runtime.report.rendering import render
from mcore_runtime.scoring.batch import DiveOutcome
from mcore_runtime.scoring.result import cautions


def write_report(path: str | Path, bundle: Bundle, outcomes: Sequence[DiveOutcome], edition: Edition = NEWEST) -> int:
    """Write the report of several dives as one HTML file and return its size in bytes.

    Args:
        path: the file; an existing one is replaced.
        bundle: what scored the dives.
        outcomes: scored and failed dives, in the order to show them.
        edition: of the rules, with which difficulties are said.

    Raises:
        UserError: the file cannot be written.
    """
    return write_text(path, render_report(bundle, outcomes, edition))


def render_report(bundle: Bundle, outcomes: Sequence[DiveOutcome], edition: Edition = NEWEST) -> str:
    """Return the report as HTML; the videos are read once more for their pictures."""
    num_frames, exemplars = bundle.model.clip.num_frames, bundle.exemplar_pictures()
    scored = [(outcome, outcome.result) for outcome in outcomes if outcome.result is not None]
    sections = (
        section_of_file(f"dive-{number}", outcome, result, num_frames, exemplars, edition)
        for number, (outcome, result) in enumerate(scored, start=1)
    )
    num_scored = sum(outcome.status == "scored" for outcome in outcomes)
    return render(
        "page.html",
        title=_title(num_scored, len(outcomes)),
        date=datetime.now().astimezone().strftime("%d %B %Y, %H:%M"),
        scored=scored,
        failed=[outcome for outcome in outcomes if outcome.result is None],
        judged=any(outcome.request.true_score is not None for outcome in outcomes),
        dives=sections,
        cautions=cautions(result for _, result in scored),
        bundle=_bundle_text(bundle),
    )


def _title(num_scored: int, num_dives: int) -> str:
    dives = "1 dive" if num_dives == 1 else f"{num_dives} dives"
    return f"{dives} scored" if num_scored == num_dives else f"{num_scored} of {dives} scored"


def _bundle_text(bundle: Bundle) -> str:
    manifest = bundle.manifest
    parts = [
        f"Bundle {bundle.sha256[:12]}, exported {manifest.created}",
        f"from checkpoint {manifest.checkpoint.name} ({manifest.checkpoint.sha256[:12]})",
    ]
    exemplars = manifest.variants["fp32"].exemplars  # the same dives in every precision
    if exemplars is not None:
        parts.append(f"with {exemplars.count} exemplars of {len(exemplars.per_dive_number)} dives")
    known = describe_known_dives(None if exemplars is None else exemplars.known_dives)
    return f"{', '.join(parts)}. Its network: {describe_training(manifest.trained_on)}. Note: {known}."
