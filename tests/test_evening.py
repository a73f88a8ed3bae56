"""The rehearsed evening: its mistakes, its films, the truth in their clips, and its operator at the labelling page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("starlette", reason="the page's packages are not installed (extra: web)")

from mcore.common.errors import UserError
from mcore.data.manifest import read_manifest
from mcore.synthetic.meet import TrueDive, plan_meet
from mcore_runtime.labelling.app import make_app
from mcore_runtime.labelling.clips import read_sessions
from mcore_runtime.labelling.store import LabelStore
from mcore_runtime.sources import parse_source
from mcore_runtime.sources.rendered import settings_of
from mcore_runtime.web import serve_app
from tests.numbered_video import FPS
from tests.runtime.labelling.made import ENTRY, TAKEOFF, dive, make_session
from tests.runtime.web.conftest import browser as browser
from tests.runtime.web.conftest import opened
from tools.evening import Options, film_of, main, true_frames
from tools.evening_pages import label_by_keys
from tools.user_commands import StepFailedError, do, running_browser, serving

OPTIONS = Options(Path("best.pt"), Path("bundle"), Path("out"), dives=(5, 3, 2))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["{tmp}/best.pt", "--out", "{tmp}/new"], "there is no checkpoint"),
        (["{tmp}/best.pt", "--out", "{tmp}"], "is there already"),
        (["{tmp}/best.pt", "--out", "{tmp}/new", "--dives", "20", "0", "5"], "at least one"),
    ],
)
def test_mistakes_in_the_command(
    words: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [word.replace("{tmp}", str(tmp_path)) for word in words]
    assert main([*given, "--bundle", str(tmp_path)]) == 2
    assert message in capsys.readouterr().err


def test_a_browser_that_is_not_there_is_said() -> None:
    with pytest.raises(UserError, match="no browser 'no-browser'"), running_browser("no-browser"):
        pass


def test_the_films_are_of_one_pool_and_show_other_dives() -> None:
    settings = [settings_of(parse_source(film_of(OPTIONS, place, ("107B", "407C")))) for place in range(3)]
    assert [(each.dives, each.world, each.dive_numbers) for each in settings] == [
        (count, "other", ("107B", "407C")) for count in OPTIONS.dives
    ]
    scores = [{dive.score for dive in plan_meet(each).truth} for each in settings]
    assert not scores[0] & scores[1] & scores[2]


def test_a_step_that_fails_says_which(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(StepFailedError, match="mcore-report /nowhere failed with exit code 2"):
        do("mcore-report", "/nowhere")
    with pytest.raises(StepFailedError, match="mcore-label serves no page"), serving("mcore-label", "/nowhere"):
        pass
    assert "$ mcore-report /nowhere" in capfd.readouterr().out


def test_a_session_is_labelled_by_keys(browser: Any, tmp_path: Path) -> None:
    folder = make_session(tmp_path / "final", dive(1), dive(2, judges=None), dive(3), dive(4))
    (session,) = sessions = read_sessions(folder)
    truth = (TrueDive(0, "107B", 100 + (TAKEOFF - 2) / FPS, 100 + (ENTRY + 1) / FPS, 65.1),)
    moments = {clip.name: true_frames(clip, truth) for clip in session.clips}
    assert moments["final/1"] == (TAKEOFF - 2, ENTRY + 1)
    assert true_frames(session.clips[0], (TrueDive(0, "107B", 99.0, 101.0, 65.1),)) is None  # not the whole dive
    moments["final/3"] = None
    store = LabelStore(folder / "dives.jsonl")
    store.add_session(session.name, session.started, 4)
    app = make_app(store, sessions)
    with serve_app(app, "127.0.0.1:0", log=lambda _: None) as page, opened(browser, page.url) as tab:
        assert label_by_keys(tab.page, moments) == 2
        assert label_by_keys(tab.page, moments) == 0
    assert store.verdicts() == {"final/1": "dive", "final/2": "bad-clip", "final/3": "no-dive", "final/4": "dive"}
    assert {each.transition_frames for each in read_manifest(store.listing)} == {(TAKEOFF - 2, ENTRY + 1)}
