"""The report of a session: every dive is in it, from frames that were really scored, and nothing from outside."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mcore_runtime import Scorer
from mcore_runtime.report.filmstrip import Picture, clip_strip
from mcore_runtime.run import main as run
from mcore_runtime.session import LiveDive, SessionData, SessionStore, read_session
from mcore_runtime.session.overview import overview
from mcore_runtime.session.pictures import dive_frames
from mcore_runtime.session.report import render_session
from mcore_runtime.session.report_command import main
from tests.numbered_video import write_numbered
from tests.runtime.session.made import FACTS, make_session, noise, record, scored_record

EVIL = '"><script>alert(1)</script>$name&'


def section(page: str, number: int) -> str:
    found = re.search(rf'<section id="dive-{number}">.*?</section>', page, re.DOTALL)
    assert found is not None
    return found[0]


def test_every_dive_has_its_section_strip_and_reasons(session: Path) -> None:
    page = render_session(overview(read_session(session)))
    for number in range(1, 6):
        assert section(page, number).count("<img") == 8, number
        assert f'href="#dive-{number}"' in page
    assert "the device is gone" in section(page, 2)
    assert "No frames for 0.60 s" in section(page, 3)
    assert "The operator says that it was no dive" in section(page, 4)
    assert "All its results" in section(page, 4)
    assert "mcore-rescore does it" in section(page, 5)
    score = read_session(session).dives[0].score
    assert f'<p class="points">{score:.1f}</p>' in section(page, 1)
    assert section(page, 1).count(" begins</b>") == 2
    assert " begins</b>" not in section(page, 2)
    assert "5 dives, 1 scored" in page
    assert "lost" in page


def test_the_page_needs_nothing_else_and_runs_nothing(session: Path, tmp_path: Path, tiny_bundle: Path) -> None:
    with Scorer(tiny_bundle, "onnxruntime", threads=1) as scorer, SessionStore.open(session) as store:
        store.save_dive(scored_record(scorer, 6, athlete=EVIL, club=EVIL, notes=[EVIL], recording=EVIL), noise(6))
        store.save_dive(record(7, athlete=EVIL, reasons=[EVIL], created=EVIL, dive_number=EVIL))
        store.log(EVIL, EVIL)
    page = render_session(overview(read_session(session)))
    assert "<script" not in page
    assert "$" not in page.replace("$name&amp;", "")
    assert set(re.findall(r'(?:src|href)="(data:|#|[^"]*)', page)) <= {"data:", "#"}
    assert "http" not in re.sub(r"http-equiv", "", page)


def test_missing_frames_are_said_and_the_dive_still_shown(session: Path) -> None:
    (session / "inputs" / "dive-0001.npz").unlink()
    page = render_session(overview(read_session(session)))
    assert "No pictures: cannot read the frames of dive 1" in section(page, 1)
    assert '<p class="points">' in section(page, 1)


def test_pictures_come_from_the_video_when_it_holds_the_same_frames(tmp_path: Path, tiny_bundle: Path) -> None:
    video, folder = write_numbered(tmp_path / "v.mp4", 90), tmp_path / "session"
    arguments = [str(video), "--bundle", str(tiny_bundle), "--mode", "whole-file", "--dive", "407C", "--quiet"]
    assert run([*arguments, "--session", str(folder)]) == 0
    data = read_session(folder)
    (dive,) = data.dives
    assert dive.result is not None
    assert dive.recording_start_s is not None
    sharp = strip(data, dive, dive.result.transitions)
    stored = strip(data, replace(dive, recording=None), dive.result.transitions)
    shifted = strip(data, replace(dive, recording_start_s=dive.recording_start_s - 0.1), ())
    assert [p.pts_seconds for p in sharp] == pytest.approx([p.pts_seconds for p in stored], abs=0.001)
    for one, other in zip(sharp, stored, strict=True):
        first, second = pixels(one.data_uri), pixels(other.data_uri)
        assert first.shape == second.shape
        assert np.abs(first.mean((0, 1)) - second.mean((0, 1))).max() < 6  # the same moment
    assert sharpness(sharp[3].data_uri) > 1.2 * sharpness(stored[3].data_uri)
    assert sharpness(shifted[3].data_uri) == pytest.approx(sharpness(stored[3].data_uri), rel=0.3)


def test_dives_are_shown_beside_exemplars_while_the_bundle_is_there(tmp_path: Path, pictured_bundle: Path) -> None:
    folder = make_session(tmp_path / "session", pictured_bundle)
    page = render_session(overview(read_session(folder)))
    assert "Beside the closest exemplar" in section(page, 1)
    assert "Beside the closest exemplar" not in section(page, 2)
    pictured_bundle.rename(tmp_path / "elsewhere")
    assert "Beside the closest exemplar" not in render_session(overview(read_session(folder)))


def strip(data: SessionData, dive: LiveDive, transitions: Sequence[int]) -> Sequence[Picture]:
    frames = dive_frames(data, dive)
    assert not isinstance(frames, str), frames
    return clip_strip(frames, transitions)


def pixels(data_uri: str) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    content = base64.b64decode(data_uri.partition(",")[2])
    return np.asarray(Image.open(io.BytesIO(content)), np.float64)


def sharpness(data_uri: str) -> float:
    return float(np.abs(np.diff(pixels(data_uri), axis=1)).mean())


def test_a_session_is_reported_while_it_goes_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with SessionStore.create(tmp_path / "s", FACTS) as store:
        store.save_dive(record(1), noise(1))
        assert main([str(tmp_path / "s")]) == 0
    assert "1 dive, 0 scored" in (tmp_path / "s" / "report.html").read_text()
    assert "report.html: 1 dives" in capsys.readouterr().out


def test_difficulties_are_said_by_the_edition_of_the_session_unless_another_is_asked_for(session: Path) -> None:
    data = read_session(session)
    for settings, asked, named in (
        ({}, None, "World Aquatics, 25 June 2025"),
        ({"edition": "2017"}, None, "FINA, 12 September 2017"),
        ({"edition": "2017"}, "2025", "World Aquatics, 25 June 2025"),
        ({"edition": 5}, None, "World Aquatics, 25 June 2025"),
    ):
        saved = replace(data, facts={**data.facts, "settings": settings})
        page = render_session(overview(saved), edition=asked)  # type: ignore[arg-type]
        assert named in section(page, 1)
