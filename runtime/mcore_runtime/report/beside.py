"""A dive and its closest exemplar in the report: one above the other, at the same points of their stages."""

from __future__ import annotations

from html import escape

from mcore.config import STAGES
from mcore_runtime.bundle.moments import Moment
from mcore_runtime.report.exemplar_comparison import ExemplarComparison
from mcore_runtime.report.filmstrip import data_uri

_MOST_PER_STAGE = 3
"""Begin, middle and end of each stage fill a row."""


def beside_html(both: ExemplarComparison | None, score: float, exemplar_score: float) -> str:
    """Return the comparison; nothing where there are no pictures.

    Args:
        both: the two dives.
        score: of the dive, points.
        exemplar_score: of the exemplar, points.
    """
    if both is None:
        return ""
    per_stage = len(both.dive) // len(STAGES)
    chosen = sorted({round(i * (per_stage - 1) / (_MOST_PER_STAGE - 1)) for i in range(_MOST_PER_STAGE)})
    columns = []
    for stage, name in enumerate(STAGES):
        pairs = [(both.dive[at], both.exemplar[at]) for at in (stage * per_stage + k for k in chosen)]
        rows = "".join(
            f"<div>{''.join(_figure(pair[which], f'{who}, {name}') for pair in pairs)}</div>"
            for which, who in enumerate(("this dive", "exemplar"))
        )
        columns.append(f'<div class="edge{stage}">{rows}</div>')
    return (
        f'<h3>Beside the closest exemplar</h3><div class="beside">{"".join(columns)}</div>'
        f'<p class="hint">Above this dive ({score:.1f}), '
        f"below {escape(both.exemplar_name)} ({exemplar_score:.1f}): begin, "
        "middle and end of each stage, as the network places them.</p>"
    )


def _figure(moment: Moment, what: str) -> str:
    return f'<img src="{data_uri(moment.jpeg)}" alt="{what} at {moment.pts_seconds:.2f} seconds">'
