"""Charts of the reports as inline SVG; colours come from the page's style sheet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from markupsafe import Markup

from mcore_runtime.scoring.result import DiveScore

_WIDTH = 420
_MIN_SHARE_SCALE = 2.0
"""Points at the end of the axis at least, so that differences of a tenth of a point do not look dramatic."""


def share_chart(stage_shares: Mapping[str, float | None]) -> Markup:
    """Draw shares (points) as bars to the right (better than the exemplars) or left (worse); None is left out."""
    row, bar, middle, reach = 34, 18, 246, 120
    shown = [(index, stage, share) for index, (stage, share) in enumerate(stage_shares.items()) if share is not None]
    scale = reach / max(_MIN_SHARE_SCALE, *(abs(share) for *_, share in shown))
    height = row * len(shown) + 22
    parts = []
    for place, (index, stage, share) in enumerate(shown):
        y, length = place * row + 4, abs(share) * scale
        x = middle if share >= 0 else middle - length
        text_x, anchor = (middle + length + 6, "start") if share >= 0 else (middle - length - 6, "end")
        parts.append(
            f'<text x="0" y="{y + 14}" class="label">{stage}</text>'
            f'<rect x="{x:.1f}" y="{y}" width="{max(length, 1):.1f}" height="{bar}" rx="3" class="stage{index}"/>'
            f'<text x="{text_x:.1f}" y="{y + 14}" text-anchor="{anchor}" class="value">{signed(share)}</text>'
        )
    axis_end = row * len(shown)
    return Markup(
        f'<svg viewBox="0 0 {_WIDTH} {height}" role="img" aria-label="Points that each stage adds">'
        f'<line x1="{middle}" y1="0" x2="{middle}" y2="{axis_end}" class="axis"/>{"".join(parts)}'
        f'<text x="{middle - 8}" y="{height - 5}" text-anchor="end" class="hint">worse than average</text>'
        f'<text x="{middle + 8}" y="{height - 5}" class="hint">better</text></svg>'
    )


def predictions_chart(result: DiveScore, true_score: float | None) -> Markup:
    """Draw each exemplar's prediction as a dot, the score as a line, its interval as a band, the judges' a diamond."""
    predicted = [exemplar.predicted_score for exemplar in result.exemplars]
    ends = [end for end in (result.low, result.high) if end is not None]
    values = [*predicted, *ends, result.score, *([] if true_score is None else [true_score])]
    margin = max(1.0, 0.08 * (max(values) - min(values)))
    left, right = min(values) - margin, max(values) + margin

    def x(points: float) -> float:
        return (points - left) / (right - left) * (_WIDTH - 20) + 10

    parts = [f'<line x1="0" y1="40" x2="{_WIDTH}" y2="40" class="axis"/>']
    if result.low is not None and result.high is not None:
        low, high = x(result.low), x(result.high)
        parts.append(f'<rect x="{low:.1f}" y="28" width="{high - low:.1f}" height="24" rx="4" class="band"/>')
    parts += [f'<circle cx="{x(points):.1f}" cy="40" r="4" class="dot"/>' for points in predicted]
    score_x = x(result.score)
    parts.append(f'<line x1="{score_x:.1f}" y1="22" x2="{score_x:.1f}" y2="58" class="mark"/>')
    parts.append(_centred(score_x, 15, "value", f"{result.score:.1f}"))
    if true_score is not None:
        judge_x = x(true_score)
        parts.append(f'<path d="M{judge_x:.1f} 32l8 8-8 8-8-8z" class="judge"/>')
        parts.append(_centred(judge_x, 74, "judge-text", f"judges {true_score:.1f}"))
    return Markup(
        f'<svg viewBox="0 0 {_WIDTH} {80 if true_score is not None else 62}" role="img" '
        f'aria-label="Scores predicted from each exemplar">{"".join(parts)}</svg>'
    )


def times_chart(times: Sequence[tuple[int, float]], last_number: int, median_ms: float) -> Markup:
    """Draw how long every score took, so that a device that slows down can be seen.

    Args:
        times: number and time to score (ms) of each dive that was scored live.
        last_number: of the session's dives.
        median_ms: drawn as a line.
    """
    width, height, left = 880, 150, 4
    base, right = height - 24, width - left
    top_ms = max(time_ms for _, time_ms in times)
    pitch = (width - 2 * left) / last_number
    bar_width = max(1.0, min(28.0, pitch * 0.72))

    def bar_height(time_ms: float) -> float:
        return max(1.0, time_ms / top_ms * (height - 40))

    bars = "".join(
        f'<rect x="{left + (number - 0.5) * pitch - bar_width / 2:.1f}" y="{base - bar_height(time_ms):.1f}" '
        f'width="{bar_width:.1f}" height="{bar_height(time_ms):.1f}" rx="2" class="stage1">'
        f"<title>dive {number}: {time_ms:.0f} ms</title></rect>"
        for number, time_ms in times
    )
    median_y = base - bar_height(median_ms)
    return Markup(
        f'<svg class="times" viewBox="0 0 {width} {height}" role="img" aria-label="Time to score">'
        f'{bars}<line x1="0" y1="{base}" x2="{width}" y2="{base}" class="axis"/>'
        f'<line x1="0" y1="{median_y:.1f}" x2="{width}" y2="{median_y:.1f}" class="median"/>'
        f'<text x="{left}" y="{height - 6}" class="hint">dive 1</text>'
        f'<text x="{right}" y="{height - 6}" text-anchor="end" class="hint">dive {last_number}</text></svg>'
    )


def signed(points: float) -> str:
    """Return points with a sign, with a true minus and no negative zero."""
    return f"{points:+.1f}".replace("-0.0", "+0.0").replace("-", "\N{MINUS SIGN}")


def _centred(x: float, y: float, css: str, text: str) -> str:
    """Text over a mark, kept inside the picture at its ends."""
    half = 4.5 * len(text)
    x = min(max(x, half), _WIDTH - half)
    return f'<text x="{x:.1f}" y="{y}" text-anchor="middle" class="{css}">{text}</text>'
