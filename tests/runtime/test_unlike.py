"""A clip that is unlike the known dives counts for nothing, wherever its score is shown, until somebody accepts it."""

from __future__ import annotations

import csv
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mcore.common.errors import UserError
from mcore.common.likeness import KnownDives
from mcore.video import SampledClip
from mcore_runtime import Scorer, run, score
from mcore_runtime.competition import Competition, Entry
from mcore_runtime.doctor.bundles import bundle as check_bundle
from mcore_runtime.integrations.webhooks.outbox import Outbox
from mcore_runtime.integrations.webhooks.target import parse_target
from mcore_runtime.live.commands import Accept, Restore, Void, parse_command
from mcore_runtime.live.events import DiveRescored
from mcore_runtime.live.keys import press
from mcore_runtime.live.session_state import SessionState
from mcore_runtime.live.snapshot import state_part
from mcore_runtime.live.state import apply
from mcore_runtime.live.terminal import dive_line
from mcore_runtime.session import DiveStatus, LiveDive, SessionStore, report_command, rescore_command
from mcore_runtime.session.rescoring import rescore
from tests.known_dives import knowing, with_known
from tests.runtime.session.made import make_session, noise, scored_record

NUM_KNOWN = 24
STILL = "nothing moves in the clip"
NO_RECORD = "this bundle cannot say whether a clip is like the dives that it knows"


def still(number: int) -> SampledClip:
    """A clip in which nothing moves."""
    clip = noise(number)
    return replace(clip, frames=np.repeat(clip.frames[:1], len(clip.frames), axis=0))


@pytest.fixture(scope="module")
def known(tiny_bundle: Path) -> KnownDives:
    """Measures of clips of noise."""
    with Scorer(tiny_bundle, "onnxruntime", threads=1) as scorer:
        return knowing(scorer, (noise(100 + i) for i in range(NUM_KNOWN)))


@pytest.fixture(scope="module")
def bundle(tiny_bundle: Path, known: KnownDives, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle for which noise is a dive."""
    return with_known(Path(shutil.copytree(tiny_bundle, tmp_path_factory.mktemp("known") / "bundle")), known)


@pytest.fixture(scope="module")
def dives(bundle: Path) -> tuple[LiveDive, LiveDive]:
    """A dive like the known ones, and one that is not: as a run has them when they are scored."""
    with Scorer(bundle, "onnxruntime", threads=1) as scorer:
        usual = scored_record(scorer, 1)
        result = scorer.score_clip(still(2), scorer.select("407C"))
        strange = replace(scored_record(scorer, 2), order=2).judged(result, accept_unlike=False)
    return replace(usual, order=1), strange


@pytest.fixture
def state(dives: Any) -> SessionState:
    """Both dives in a competition of two athletes."""
    entries = [Entry(1, "Ada", "", "407C"), Entry(2, "Bo", "", "407C")]
    return SessionState(Competition.begin(entries).add_dive(1).add_dive(2), None, {dive.number: dive for dive in dives})


def test_a_clip_is_judged(dives: Any) -> None:
    usual, strange = dives
    assert (usual.status, usual.result.why_unlike, usual.reasons) == (DiveStatus.SCORED, (), ())
    assert usual.result.likeness.refused == 1 / (NUM_KNOWN + 1)
    assert (strange.status, strange.reasons[0], strange.score) == (DiveStatus.UNLIKE, STILL, None)
    assert (strange.result.low, strange.result.high, strange.result.interval_level) == (None, None, None)
    assert strange.result.likeness.p_value == 1 / (NUM_KNOWN + 1)
    assert LiveDive.from_text(strange.to_text(), "it") == strange
    with pytest.raises(UserError, match="is unlike and has no result"):
        replace(strange, result=None)


def test_it_is_in_no_ranking_until_it_is_accepted(state: SessionState) -> None:
    part = state_part(state)
    assert [row["athlete"] for row in part["ranking"]] == ["Ada"]
    assert part["dives"][1]["status"] == "unlike"
    assert part["dives"][1]["reasons"][0] == STILL
    assert part["dives"][1]["score"] is not None  # to be seen
    change = apply(state, Accept(2))
    accepted = change.dives[0]
    assert (accepted.status, accepted.reasons, accepted.is_accepted) == (DiveStatus.SCORED, (), True)
    assert accepted.notes[-1].startswith(f"accepted by the operator, although unlike the known dives: {STILL}")
    assert accepted.result is not None
    assert accepted.result.low is None  # no interval holds for it
    assert {row["athlete"] for row in state_part(change.state)["ranking"]} == {"Ada", "Bo"}
    with pytest.raises(UserError, match="dive 1 is scored, not unlike the known dives"):
        apply(state, Accept(1))


def test_what_the_operator_said_outlives_another_score(state: SessionState, bundle: Path) -> None:
    accepted = apply(state, Accept(2)).state
    with Scorer(bundle, "onnxruntime", threads=1) as scorer:
        again = rescore(scorer, state.dives[2], still(2))
        assert again.status is DiveStatus.UNLIKE
        assert rescore(scorer, accepted.dives[2], still(2)).status is DiveStatus.SCORED
        assert rescore(scorer, state.dives[2], still(2), accept_unlike=True).status is DiveStatus.SCORED
    assert apply(accepted, DiveRescored(again)).dives[0].status is DiveStatus.SCORED
    assert apply(state, DiveRescored(again)).dives[0].status is DiveStatus.UNLIKE
    assert apply(replace(state, accept_unlike=True), DiveRescored(again)).dives[0].status is DiveStatus.SCORED
    void = apply(accepted, Void(2)).state
    assert apply(apply(void, DiveRescored(again)).state, Restore(2)).dives[0].status is DiveStatus.SCORED
    void = apply(state, Void(2)).state
    restored = apply(void, Restore(2)).dives[0]
    assert (restored.status, restored.reasons[0]) == (DiveStatus.UNLIKE, STILL)


def test_the_operators_commands(state: SessionState) -> None:
    assert parse_command("accept", {"number": 2}) == Accept(2)

    class Session:
        given: tuple[str, Any] | None = None

        def command(self, name: str, **arguments: Any) -> None:
            self.given = name, arguments

        def snapshot(self) -> dict[str, Any]:
            return state_part(state)

    warnings: list[str] = []
    session = Session()
    press("a", session, warnings.append)
    assert (session.given, warnings) == (("accept", {"number": 2}), [])
    state = apply(state, Accept(2)).state
    press("a", session, warnings.append)
    assert warnings == ["there is no dive to accept: none is unlike the known dives"]


def test_files(bundle: Path, dive_video: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """For this bundle steps of brightness are no dive."""
    outputs = ["--json", str(tmp_path / "s.json"), "--report", str(tmp_path / "r.html")]
    argv = [str(bundle), str(dive_video), "--dive", "407C", *outputs]
    for more, code, status, counted in (([], 1, "unlike", "0 of 1 scored"), (["--accept-unlike"], 0, "scored", "1 of")):
        assert score.main([*argv, *more]) == code
        said = " ".join(capsys.readouterr().out.split())
        assert f"unlike{' (accepted)' if more else ''}: dive.mp4: " in said
        assert counted in said
        assert NO_RECORD not in said
        document = json.loads((tmp_path / "s.json").read_text())
        dive = document["dives"][0]
        assert (dive["status"], dive["low"], dive["interval_level"]) == (status, None, None)
        assert dive["score"] > 0
        assert dive["likeness"]["reasons"]
        assert document["bundle"]["known_dives"] == {"num_dives": NUM_KNOWN, "refused": 1 / (NUM_KNOWN + 1)}
        page = (tmp_path / "r.html").read_text()
        assert "no interval: unlike the known dives" in page
        assert f'class="score {status}"' in page
        assert "Unlike the known dives: " in page


def test_a_bundle_without_a_record_says_so_once(
    tiny_bundle: Path, dive_video: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = [
        str(tiny_bundle),
        str(dive_video),
        str(dive_video),
        "--whole-clip",
        "--dive",
        "407C",
        "--json",
        str(tmp_path / "s.json"),
    ]
    assert score.main(argv) == 0
    assert " ".join(capsys.readouterr().out.split()).count(NO_RECORD) == 1
    document = json.loads((tmp_path / "s.json").read_text())
    assert document["bundle"]["known_dives"] is None
    assert [dive["likeness"] for dive in document["dives"]] == [None, None]
    finding = next(finding for finding in check_bundle(tiny_bundle) if NO_RECORD in finding.text)
    assert finding.remedy.startswith("Add them with: mcore-bundle exemplars")


def test_a_live_run(bundle: Path, dive_video: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["--mode", "whole-file", "--no-clips", "--headless", "--dive", "407C", "--bundle", str(bundle)]
    assert run.main([str(dive_video), *flags, "--session", str(tmp_path / "s")]) == 3
    said = " ".join(capsys.readouterr().out.split())
    assert "with at most 1 in 25 dives like these" in said
    assert "#1 407C: unlike the known dives (" in said
    assert "1 dives: 0 scored, 0 invalid, 0 failed, 1 unlike" in said
    assert run.main([str(dive_video), *flags, "--session", str(tmp_path / "t"), "--accept-unlike"]) == 0
    assert "1 dives: 1 scored" in " ".join(capsys.readouterr().out.split())
    assert rescore_command.main([str(tmp_path / "s"), "--all"]) == 1
    assert "; unlike the known dives: " in capsys.readouterr().out
    assert rescore_command.main([str(tmp_path / "s"), "--all", "--accept-unlike"]) == 0


def test_reports_exports_and_webhooks(bundle: Path, dives: Any, tmp_path: Path) -> None:
    session = make_session(tmp_path / "session", bundle)
    with SessionStore.open(session) as store:
        store.save_dive(replace(dives[1], number=6))
        message = json.loads(Outbox(store, parse_target("https://scores.example")).message(6).body)
    assert message["data"]["dive"]["status"] == "unlike"
    assert message["data"]["dive"]["reasons"][0] == STILL
    paths = [tmp_path / name for name in ("r.html", "d.csv")]
    assert report_command.main([str(session), *(f"--{p.suffix[1:]}={p}" for p in paths)]) == 0
    page = paths[0].read_text()
    assert '<div class="score unlike">' in page
    assert f"Unlike the known dives: {STILL}" in page
    assert '<td class="unlike">' in page
    row = list(csv.DictReader(paths[1].read_text(encoding="utf-8-sig").splitlines()))[-1]
    assert (row["status"], row["low"], row["reasons"].split("; ")[0]) == ("unlike", "", STILL)
    assert dive_line(dives[1]).startswith("#2 407C: unlike the known dives (")


def test_sessions_of_older_versions_say_nothing(dives: Any) -> None:
    values = dives[0].to_json()
    del values["result"]["likeness"]
    assert LiveDive.from_json(values, "it").result == replace(dives[0].result, likeness=None)
