"""What an operator can do to a session: correct, void, restore and reassign its dives, and what is refused."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from mcore.common.errors import UserError
from mcore_runtime.scoring.scorer import Scorer
from mcore_runtime.session import read_session
from tests.runtime.live.conftest import ENTRIES, PATIENCE_S, THREE, begin, current, dive_of, result_of, rows


def test_what_is_corrected_while_a_dive_is_with_the_engine_is_not_lost(
    video: Path, tiny_bundle: Path, tmp_path: Path
) -> None:
    busy, go_on = threading.Event(), threading.Event()

    def wait(scorer: Scorer) -> None:
        regressor = scorer.backend.regressor

        def waiting(*inputs: NDArray[np.float32]) -> object:
            busy.set()
            assert go_on.wait(PATIENCE_S)
            return regressor(*inputs)

        scorer.backend.regressor = waiting  # type: ignore[method-assign, assignment]

    with begin(video, tiny_bundle, tmp_path / "s", entries=ENTRIES, dives=THREE[:1], spoil=wait) as session:
        thread = threading.Thread(target=session.run)
        thread.start()
        assert busy.wait(PATIENCE_S)
        assert session.snapshot()["detector"] == {"state": "scoring"}
        session.command("edit", order=1, athlete="Zoë", dive_number="5253B")
        assert rows(session, "status", "athlete", "score") == [("scoring", "Zoë", None)]
        assert read_session(tmp_path / "s").dives == []
        session.command("void", number=1)
        with pytest.raises(UserError, match="void"):
            session.command("rescore", number=1)
        go_on.set()
        thread.join(PATIENCE_S)
        assert rows(session, "status", "athlete") == [("void", "Zoë")]
        session.command("restore", number=1)
        (row,) = session.snapshot()["dives"]
        assert (row["status"], row["dive_number"]) == ("scored", "5253B")
        assert "was scored as 407C; score it again" in row["notes"]


def test_a_corrected_dive_number_changes_the_score(video: Path, tiny_bundle: Path, tmp_path: Path) -> None:
    with begin(video, tiny_bundle, tmp_path / "s", entries=ENTRIES, dives=THREE[:2]) as session:
        session.run()
        before = result_of(session, 1)
        session.command("edit", order=1, dive_number="5253B", athlete="Zoë")
        session.drain()
        after = dive_of(session, 1)
        assert (after.dive_number, after.athlete) == ("5253B", "Zoë")
        assert result_of(session, 1).exemplars[0].dive_number == "5253B"
        assert result_of(session, 1).score != before.score
        session.command("assign", number=1, order=3)
        session.drain()
        assert rows(session, "order", "athlete", "dive_number")[0] == (3, "Ada", "107B")
        assert session.snapshot()["start_list"][0]["state"] == "waiting"


def test_a_void_dive_is_out_of_the_ranking_and_comes_back(video: Path, tiny_bundle: Path, tmp_path: Path) -> None:
    with begin(video, tiny_bundle, tmp_path / "s", entries=ENTRIES, dives=THREE[:1]) as session:
        session.run()
        ranking = session.snapshot()["ranking"]
        session.command("void", number=1)
        assert session.snapshot()["ranking"] == []
        assert current(session) == 1
        for name in ("void", "rescore"):
            with pytest.raises(UserError, match="void"):
                session.command(name, number=1)
        session.command("restore", number=1)
        assert session.snapshot()["ranking"] == ranking
        with pytest.raises(UserError, match="not void"):
            session.command("restore", number=1)
        assert session.summary().scored == 1


@pytest.mark.parametrize(
    ("name", "arguments", "words"),
    [
        ("dance", {}, "allowed: trigger, skip"),
        ("skip", {"order": 1}, "takes nothing"),
        ("go_to", {}, "takes order"),
        ("go_to", {"order": "1"}, "Expected `int`"),
        ("go_to", {"order": 9}, "allowed: 1 to 4"),
        ("edit", {"order": 1}, "nothing to change"),
        ("edit", {"order": 1, "state": "done"}, "no 'state' to edit"),
        ("void", {"number": 7}, "no dive 7"),
        ("void", {"number": True}, "Expected `int`"),
        ("rescore", {"number": 7}, "no dive 7"),
        ("assign", {"number": 7, "order": None}, "no dive 7"),
        ("set_dive", {"dive_number": 4}, "Expected `str | null`"),
        ("trigger", {}, "no picture yet"),
        ("back", {}, "this is the first"),
    ],
)
def test_commands_that_cannot_be(
    video: Path, tiny_bundle: Path, name: str, arguments: dict[str, Any], words: str
) -> None:
    with begin(video, tiny_bundle, entries=ENTRIES) as session:
        before = session.snapshot()["revision"]
        with pytest.raises(UserError, match=words):
            session.command(name, **arguments)
        assert session.snapshot()["revision"] == before
