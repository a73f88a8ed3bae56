"""Commands of an operator: a corrected dive is scored again, and what cannot be is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mcore.common.errors import UserError
from tests.runtime.live.conftest import ENTRIES, THREE, begin, dive_of, result_of, rows


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


@pytest.mark.parametrize(
    ("name", "arguments", "words"),
    [
        ("dance", {}, "allowed: trigger, skip"),
        ("skip", {"order": 1}, "takes nothing"),
        ("go_to", {}, "takes order"),
        ("go_to", {"order": 9}, "allowed: 1 to 4"),
        ("edit", {"order": 1}, "nothing to change"),
        ("edit", {"order": 1, "state": "done"}, "it takes order, athlete"),
        ("void", {"number": True}, "Expected `int`"),
        ("rescore", {"number": 7}, "no dive 7"),
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
