"""The report: which frames it shows, what its charts draw, and that no text can break out of it."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import numpy as np
import pytest

from mcore_runtime import Bundle, DiveScore, Scorer
from mcore_runtime.report.charts import predictions_chart, share_chart, signed
from mcore_runtime.report.filmstrip import choose_frames, clip_strip, data_uri, scored_frames
from mcore_runtime.report.page import render_report
from mcore_runtime.scoring.batch import DiveOutcome, DiveRequest

EVIL = '"><script>alert(1)</script>$name'


@pytest.fixture(scope="module")
def scored(tiny_bundle: Path, dive_video: Path) -> DiveScore:
    with Scorer(tiny_bundle) as scorer:
        return scorer.score(dive_video, "407C")


@pytest.mark.parametrize(
    ("num_frames", "transitions", "count"),
    [(96, (28, 62), 12), (96, (1, 95), 12), (96, (47, 48), 12), (96, (47, 48), 2), (8, (3, 5), 12), (4, (1, 2), 3)],
)
def test_chosen_frames_hold_both_transitions(num_frames: int, transitions: tuple[int, int], count: int) -> None:
    frames = choose_frames(np.arange(num_frames) / 25, transitions, count)
    assert set(transitions) <= set(frames)
    assert len(frames) == min(num_frames, count)
    assert frames == sorted(set(frames))


def test_chosen_frames_are_even_in_time_not_in_number() -> None:
    slow_then_fast = np.concatenate([np.arange(50) * 0.01, 0.5 + np.arange(46) * 0.1])
    frames = choose_frames(slow_then_fast, (), 12)
    gaps_s = np.diff(slow_then_fast[frames])
    assert gaps_s.max() - gaps_s.min() <= 0.1 + 1e-9  # the coarser frame period


def test_film_strip_marks_stages_and_their_first_frames(scored: DiveScore) -> None:
    pictures = clip_strip(scored_frames(scored, num_frames=8), scored.transitions)
    assert [picture.stage for picture in pictures] == [0, 0, 0, 1, 1, 2, 2, 2]
    assert [i for i, picture in enumerate(pictures) if picture.begins_stage] == list(scored.transitions)
    assert pictures[3].pts_seconds == scored.transitions_s[0]
    assert {(picture.width, picture.height) for picture in pictures} == {(64, 48)}  # never enlarged


def test_shares_point_to_their_side() -> None:
    bars = re.findall(
        r'<rect x="([\d.]+)" y="\d+" width="([\d.]+)"', share_chart({"take-off": -4.0, "flight": 0.0, "entry": 2.0})
    )
    (left, long), (zero, _), (right, short) = ((float(x), float(width)) for x, width in bars)
    assert left + long == pytest.approx(zero)  # worse ends where better begins
    assert right == zero
    assert long == pytest.approx(2 * short)
    some = share_chart({"take-off": None, "flight": 1.0, "entry": None})
    assert "flight" in some
    assert "take-off" not in some


@pytest.mark.parametrize(
    ("points", "text"), [(1.25, "+1.2"), (-1.25, "\N{MINUS SIGN}1.2"), (-0.04, "+0.0"), (-10.04, "\N{MINUS SIGN}10.0")]
)
def test_signed_points(points: float, text: str) -> None:
    assert signed(points) == text


def test_predictions_chart_leaves_out_what_is_unknown(scored: DiveScore) -> None:
    alone = dataclasses.replace(scored, low=None, high=None, exemplars=scored.exemplars[:1])
    assert 'class="band"' in predictions_chart(scored, None)
    assert 'class="band"' not in predictions_chart(alone, None)
    assert "judges 66.0" in predictions_chart(alone, 66.0)
    assert predictions_chart(scored, None).count("<circle") == 3


def test_a_conformal_interval_comes_with_the_range(scored: DiveScore, tiny_bundle: Path) -> None:
    conformal = dataclasses.replace(scored, low=scored.score - 40, high=scored.score + 40, interval_level=0.8)
    exemplar_range = f"exemplars say {scored.low:.1f} to {scored.high:.1f}"
    for result, said, band in (
        (scored, exemplar_range, "the band is the exemplars' range"),
        (
            conformal,
            f"80 %: {conformal.low:.1f} to {conformal.high:.1f}; {exemplar_range}",
            "the band is the 80 % interval",
        ),
    ):
        page = render_report(Bundle.open(tiny_bundle), [DiveOutcome(DiveRequest(Path("dive.mp4")), result=result)])
        assert f'<p class="interval">{said}</p>' in page
        assert band in page
    drawn = re.search(r'<rect x="([-\d.]+)" y="28" width="([\d.]+)"', predictions_chart(conformal, None))
    assert drawn is not None
    assert float(drawn[1]) >= 0
    assert float(drawn[1]) + float(drawn[2]) <= 420  # the whole interval is in the picture


@pytest.mark.parametrize(
    ("difficulty", "words"),
    [
        (3.2, "difficulty 3.2 (from 10 m; World Aquatics, 25 June 2025)"),
        (3.3, "difficulty 3.3 (not in the rules of World Aquatics, 25 June 2025)"),
        (2.0, "difficulty 2.0 (assigned in synchronised diving)"),
    ],
)
def test_a_difficulty_names_its_rules(scored: DiveScore, tiny_bundle: Path, difficulty: float, words: str) -> None:
    result = dataclasses.replace(scored, dive_number="407C", difficulty=difficulty)
    page = render_report(Bundle.open(tiny_bundle), [DiveOutcome(DiveRequest(Path("dive.mp4")), result=result)])
    assert words in page
    assert result.award is not None
    assert f">{result.award.text}<" in page


def test_no_text_from_outside_becomes_markup(scored: DiveScore, tiny_bundle: Path) -> None:
    exemplars = tuple(dataclasses.replace(exemplar, name=EVIL) for exemplar in scored.exemplars)
    video = dataclasses.replace(scored.video, source=f"/nowhere/{EVIL}.mp4")
    result = dataclasses.replace(
        scored, dive_number=EVIL, description=EVIL, notes=(EVIL,), exemplars=exemplars, video=video
    )
    request = DiveRequest(Path(EVIL), EVIL)
    outcomes = [DiveOutcome(request, result=result), DiveOutcome(request, error=EVIL)]
    page = render_report(Bundle.open(tiny_bundle), outcomes)
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert "1 of 2 dives scored" in page
    assert "No pictures:" in page  # the video is gone; the score is still reported, and the reason said


def test_a_dive_is_shown_beside_its_closest_exemplar(pictured_bundle: Path, dive_video: Path) -> None:
    with Scorer(pictured_bundle) as scorer:
        result = scorer.score(dive_video, "407C")
        outcomes = [DiveOutcome(DiveRequest(dive_video, "407C"), result=result)]
        page = render_report(scorer.bundle, outcomes)
        begun = page.index('<div class="comparison">')
        beside = page[begun : page.index("<h3>", begun)]
        assert beside.count("<img") == 2 * 3 * 2  # the tiny network has two tokens for each stage: no middle
        closest = result.exemplars[0]
        assert f"below {closest.name} ({closest.score:.1f})" in beside
        (pictures,) = {scorer.bundle.exemplar_pictures()}
        assert pictures is not None
        moments = pictures.moments(closest.name)
        assert moments is not None
        assert data_uri(moments[0].jpeg) in beside
    other = dataclasses.replace(result, backend=dataclasses.replace(result.backend, bundle_sha256="0" * 64))
    page = render_report(Bundle.open(pictured_bundle), [DiveOutcome(DiveRequest(dive_video), result=other)])
    assert "Beside the closest exemplar" not in page  # another bundle's exemplar of this name may be another dive


def test_exemplars_of_other_numbers_are_named_by_theirs(tiny_bundle: Path, dive_video: Path) -> None:
    with Scorer(tiny_bundle) as scorer:
        result = scorer.score(dive_video, any_exemplar=True)
        page = render_report(scorer.bundle, [DiveOutcome(DiveRequest(dive_video), result=result)])
    assert "unknown dive" in page
    assert "<td>5253B</td>" in page
    assert "less certain than the exemplars" in page
