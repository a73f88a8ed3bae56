"""One dive's part of the report; every text that comes from outside is escaped here."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template

from mcore.common.errors import UserError
from mcore.config import STAGES
from mcore.diving.judging import COUNTED_AWARDS
from mcore.video import SampledClip
from mcore_runtime.bundle.exemplar_pictures import ExemplarPictures
from mcore_runtime.report.beside import beside_html
from mcore_runtime.report.charts import share_chart, signed, spread_chart
from mcore_runtime.report.filmstrip import Picture, clip_strip, scored_frames
from mcore_runtime.report.side_by_side import beside_closest
from mcore_runtime.scoring.batch import DiveOutcome
from mcore_runtime.scoring.result import DiveScore, percent

_SHOWN_EXEMPLARS = 5


def template(name: str) -> str:
    """Return one of the report's templates."""
    return (files("mcore_runtime.report") / "templates" / name).read_text(encoding="utf-8")


def dive_section(
    anchor: str, outcome: DiveOutcome, result: DiveScore, num_frames: int, exemplars: ExemplarPictures | None
) -> str:
    """Return one scored dive of a file as HTML; its video is read once more for the pictures.

    Args:
        anchor: the section's id on the page.
        outcome: the dive, for what the judges gave.
        result: its score.
        num_frames: T, frames that the network sampled.
        exemplars: pictures of the bundle's exemplars; None: it has none.
    """
    try:
        frames: SampledClip | str = scored_frames(result, num_frames)
    except (UserError, OSError) as error:
        frames = str(error)
    heading = result.dive_number or "unknown dive"
    name = Path(result.video.source).name
    return scored_section(
        anchor, result, frames, exemplars, heading=heading, origin=name, true_score=outcome.request.true_score
    )


def scored_section(
    anchor: str,
    result: DiveScore,
    frames: SampledClip | str,
    exemplars: ExemplarPictures | None,
    *,
    heading: str,
    origin: str,
    who: str = "",
    true_score: float | None = None,
    more: str = "",
    is_live: bool = False,
) -> str:
    """Return one scored dive as HTML.

    Args:
        anchor: the section's id on the page.
        result: its score.
        frames: what was scored, at a size to look at, or why it cannot be shown.
        exemplars: pictures of the exemplars; None: there are none.
        heading: in large letters.
        origin: in small letters: where the dive was taken from.
        who: before the description of the dive; empty: nobody is named.
        true_score: what the judges gave, points; None: not known.
        more: HTML for the end of the section.
        is_live: it was cut from a stream, not read from a file.
    """
    both = None if isinstance(frames, str) else beside_closest(result, frames, exemplars)
    return Template(template("dive.html")).substitute(
        anchor=anchor,
        name=escape(origin),
        number=escape(heading),
        facts=escape(" · ".join(filter(None, [who, *_facts(result)]))),
        score=f"{result.score:.1f}",
        spread=_interval_text(result),
        band=_band_text(result),
        judges=_judges_text(result, true_score),
        award=_award_text(result),
        spread_chart=spread_chart(result, true_score),
        timeline=_timeline(result),
        strip=strip_html(frames, result.transitions),
        beside=beside_html(both, result.score, result.exemplars[0].score),
        mean_exemplar=f"{result.mean_exemplar_score:.1f}",
        difference=signed(result.score - result.mean_exemplar_score),
        share_chart=share_chart(result.stage_deltas),
        dive_head="" if result.same_dive_number else "<th>Dive</th>",
        exemplars=_exemplars(result),
        notes=notes_html(result.notes),
        more=more,
        small_print=_small_print(result, is_live),
    )


def notes_html(notes: Sequence[str]) -> str:
    """Return what should be known of a dive, a paragraph each."""
    return "".join(f'<p class="note">{escape(note[:1].upper() + note[1:])}.</p>' for note in notes)


def strip_html(frames: SampledClip | str, transitions: Sequence[int]) -> str:
    """Return the film strip's pictures, or why there are none."""
    if isinstance(frames, str):
        return f'<p class="note">No pictures: {escape(frames)}</p>'
    return "".join(_figure(picture) for picture in clip_strip(frames, transitions))


def _facts(result: DiveScore) -> list[str]:
    words = [] if result.description is None else [result.description]
    if result.difficulty is not None:
        words.append(f"difficulty {result.difficulty:.1f}")
    return words


def _interval_text(result: DiveScore) -> str:
    """The calibrated interval and the spread, or the spread alone."""
    spread = result.exemplar_range
    if result.interval_level is None or spread is None:
        return result.interval_text
    return f"{result.interval_text}; exemplars say {spread[0]:.1f} to {spread[1]:.1f}"


def _band_text(result: DiveScore) -> str:
    return (
        "the exemplars' spread" if result.interval_level is None else f"the {percent(result.interval_level)} interval"
    )


def _judges_text(result: DiveScore, true_score: float | None) -> str:
    if true_score is None:
        return ""
    difference = result.score - true_score
    direction = "above" if difference >= 0 else "below"
    return (
        f'<p class="judges">the judges gave <b>{true_score:.1f}</b>: prediction {abs(difference):.1f} {direction}</p>'
    )


def _award_text(result: DiveScore) -> str:
    """The score in the unit in which judges think."""
    if not result.difficulty:
        return ""
    award = result.score / COUNTED_AWARDS / result.difficulty
    return f'<p class="award">an average award of {award:.1f}</p>'


def _timeline(result: DiveScore) -> str:
    """The stages in proportion to their duration."""
    flight, entry = result.transitions_s
    ends = [0.0, flight, entry, max(result.video.duration_s, entry)]
    parts = []
    for index, stage in enumerate(STAGES):
        length = max(ends[index + 1] - ends[index], 0.0)
        parts.append(
            f'<div class="stage{index}" style="flex-grow:{max(length, 1e-3):.3f}">'
            f"<b>{stage}</b><span>{length:.2f} s</span></div>"
        )
    return "".join(parts)


def _figure(picture: Picture) -> str:
    stage = "dive" if picture.stage is None else STAGES[picture.stage]
    edge = "" if picture.stage is None else f"edge{picture.stage}"
    label = f"<b>{stage} begins</b> " if picture.begins_stage else ""
    begins = " begins" if picture.begins_stage else ""
    return (
        f'<figure class="{edge}{begins}"><img src="{picture.data_uri}" width="{picture.width}" '
        f'height="{picture.height}" alt="{stage} at {picture.pts_seconds:.2f} seconds">'
        f"<figcaption>{label}{picture.pts_seconds:.2f} s</figcaption></figure>"
    )


def _exemplars(result: DiveScore) -> str:
    """Table rows; the column of dive numbers is there only where they can differ."""
    shown = result.exemplars[:_SHOWN_EXEMPLARS]
    rows = "".join(
        f"<tr><td>{escape(e.name)}</td>{'' if result.same_dive_number else f'<td>{escape(e.dive_number)}</td>'}"
        f"<td>{e.score:.1f}</td><td>{signed(e.delta)}</td><td>{e.predicted_score:.1f}</td></tr>"
        for e in shown
    )
    more = len(result.exemplars) - len(shown)
    rest = f'<tr class="more"><td colspan="5">and {more} more, less alike in score</td></tr>' if more else ""
    return rows + rest


def _small_print(result: DiveScore, is_live: bool) -> str:
    video, backend, ms = result.video, result.backend, result.timing_ms
    how = "received" if is_live else "read"
    window = " (part of the file)" if not is_live and (video.start_s, video.end_s) != (None, None) else ""
    text = (
        f"{video.width} x {video.height}, {video.num_source_frames} frames in {video.duration_s:.2f} s{window}, "
        f"{how} by {video.reader}. Computed in {ms['total']:.0f} ms on {backend.provider} ({backend.precision}): "
        f"decoding {ms['decode_preprocess']:.0f}, backbone {ms['backbone']:.0f}, "
        f"segmenter {ms['segmenter']:.0f}, comparison {ms['regressor']:.0f} ms."
    )
    return escape(text)
