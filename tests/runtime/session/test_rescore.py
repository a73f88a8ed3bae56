"""A dive is scored again from its stored frames: the same score bit for bit, and what it had before is kept."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mcore.common.errors import UserError
from mcore_runtime import Scorer
from mcore_runtime.run import main as run
from mcore_runtime.scoring.result import DiveScore
from mcore_runtime.scoring.scorer import video_facts
from mcore_runtime.session import DiveStatus, LiveDive, SessionStore, read_session
from mcore_runtime.session.rescore_command import main
from mcore_runtime.session.rescoring import rescore
from tests.numbered_video import write_numbered
from tests.runtime.session.made import FACTS, noise, record


def essence(dive: LiveDive) -> DiveScore:
    """All of a result that does not depend on the hour."""
    assert dive.result is not None
    return replace(dive.result, timing_ms={})


def test_what_ran_live_gives_the_same_result_bit_for_bit(tmp_path: Path, tiny_bundle: Path) -> None:
    video, folder = write_numbered(tmp_path / "v.mp4", 90), tmp_path / "session"
    arguments = [str(video), "--bundle", str(tiny_bundle), "--mode", "whole-file", "--dive", "407C", "--quiet"]
    assert run([*arguments, "--session", str(folder)]) == 0
    assert main([str(folder), "--all"]) == 0
    history = read_session(folder).revisions[1]
    live, again = history[0].dive, history[-1].dive
    assert len(history) == 2
    assert essence(live) == essence(again)
    assert again.time_to_score_ms is None
    assert f"before: {essence(live).score:.1f}" in again.notes[-1]


def test_by_default_what_has_no_score_gets_one(
    session: Path, tiny_bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = read_session(session)
    assert main([str(session)]) == 0
    after = read_session(session)
    assert [dive.status for dive in after.dives] == ["scored", "scored", "invalid", "void", "scored"]
    assert [len(after.revisions[n]) - len(before.revisions[n]) for n in range(1, 6)] == [0, 1, 0, 0, 1]
    failed, unfinished = after.dives[1], after.dives[4]
    with Scorer(tiny_bundle, "onnxruntime", threads=1) as scorer:
        assert failed.score == scorer.score_clip(noise(2), scorer.select("407C")).score
    assert failed.reasons == ()
    assert failed.notes[-1].endswith("before: failed")
    assert essence(failed).video.start_s == 10.0
    assert not essence(unfinished).same_dive_number  # nobody had announced it
    assert "#2 407C: " in capsys.readouterr().out
    assert after.events[-1].kind == "rescore"
    assert main([str(session)]) == 0
    assert "every dive has a score" in capsys.readouterr().out


def test_a_corrected_number_changes_the_exemplars(session: Path) -> None:
    assert main([str(session), "--dives", "1", "1", "--dive-number", "5253b"]) == 0
    dive = read_session(session).dives[0]
    assert dive.dive_number == essence(dive).dive_number == "5253B"
    assert [exemplar.name for exemplar in essence(dive).exemplars] == ["final-1"]
    assert len(read_session(session).revisions[1]) == 2


def test_invalid_and_void_dives_stay_as_they_are(session: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = read_session(session).revisions
    assert main([str(session), "--dives", "3", "4"]) == 1
    errors = capsys.readouterr().err
    assert "dive 3 is invalid (no frames for 0.60 s)" in errors
    assert "dive 4 is void" in errors
    assert read_session(session).revisions == before


def test_a_backend_that_fails_again_changes_nothing(
    session: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    real = Scorer.score_clip

    def failing(self: Scorer, clip: Any, *rest: Any, **named: Any) -> Any:
        if np.array_equal(clip.frames, noise(1).frames):
            raise RuntimeError("CUDA error 719")
        return real(self, clip, *rest, **named)

    monkeypatch.setattr(Scorer, "score_clip", failing)
    assert main([str(session), "--all"]) == 1
    assert "#1: RuntimeError: CUDA error 719" in capsys.readouterr().err
    data = read_session(session)
    assert len(data.revisions[1]) == 1
    assert data.dives[1].status is DiveStatus.SCORED


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--dives", "9"], "has no dive 9; allowed: 1 to 5"),
        (["--dives", "1", "--all"], "give one of"),
        (["--all", "--dive-number", "407C"], "say which with --dives"),
        (["--dives", "1", "--dive-number", "407Q"], "407Q"),
        (["--bundle", "nowhere"], "nowhere"),
    ],
)
def test_mistakes_in_the_command(
    session: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert main([str(session), *arguments]) == 2
    assert message in capsys.readouterr().err


def test_frames_of_another_size_are_refused(tmp_path: Path, tiny_bundle: Path) -> None:
    with (
        Scorer(tiny_bundle, "onnxruntime") as scorer,
        pytest.raises(UserError, match="96 x 20 x 12, the bundle takes 8"),
    ):
        rescore(scorer, record(1), noise(1, (96, 20, 12)))


def test_dives_whose_frames_are_gone_are_named(session: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (session / "inputs" / "dive-0002.npz").unlink()
    assert main([str(session)]) == 1
    assert "cannot read the frames of dive 2" in capsys.readouterr().err
    assert read_session(session).dives[4].status is DiveStatus.SCORED


def test_a_session_that_is_going_on_is_left_alone(session: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with SessionStore.open(session):
        assert main([str(session)]) == 2
    assert "in use by another" in capsys.readouterr().err


def test_scores_that_could_not_be_written_are_no_success(session: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with sqlite3.connect(session / "session.sqlite", isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")
        assert main([str(session), "--dives", "2"]) == 2
        other.execute("ROLLBACK")
    other.close()
    assert "could not be written" in capsys.readouterr().err
    assert read_session(session).dives[1].status is DiveStatus.FAILED


def test_a_session_without_a_bundle_needs_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    facts = {name: value for name, value in FACTS.items() if name != "bundle"}
    with SessionStore.create(tmp_path, facts) as store:
        store.save_dive(record(1), noise(1))
    assert main([str(tmp_path)]) == 2
    assert "--bundle FOLDER" in capsys.readouterr().err


def test_a_dive_that_was_begun_before_it_was_over_is_scored_in_two_parts_again(
    tmp_path: Path, split_bundle: Path
) -> None:
    facts = {**FACTS, "bundle": str(split_bundle), "settings": {"threads": 1, "any_exemplar": True}}
    with (
        Scorer(split_bundle, "onnxruntime", threads=1, streaming=True) as scorer,
        SessionStore.create(tmp_path / "s", facts) as store,
    ):
        assert scorer.streaming_backbone is not None
        clip = noise(1)
        prefix = scorer.begin(clip.frames[: scorer.streaming_backbone.prefix_frames])
        result = scorer.score_clip(clip, scorer.select("407C"), video=video_facts(clip, 1.0, 4.0), prefix=prefix)
        assert store.save_dive(record(1, status="scored", result=result, start_s=1.0, end_s=4.0), clip) is None
    assert main([str(tmp_path / "s"), "--all"]) == 0
    first, again = (revision.dive for revision in read_session(tmp_path / "s").revisions[1])
    assert again.had_head_start
    assert essence(again) == essence(first)
