"""A session that goes on: what an earlier run has kept, and what it did not live to finish."""

from __future__ import annotations

from dataclasses import dataclass

from mcore.common.errors import UserError
from mcore.diving import DiveNumber
from mcore_runtime.competition import Competition
from mcore_runtime.live.dives import Record
from mcore_runtime.session import SessionStore

STATE_KEY = "competition"
"""Under which a store keeps the competition, and the dives that are with the engine."""


@dataclass(frozen=True)
class Kept:
    """What to go on with."""

    competition: Competition
    dive_number: str | None
    """Number of dives of which the start list says nothing; None: unknown."""
    records: dict[int, Record]
    """Of all dives, by number."""
    unfinished: list[int]
    """Dives whose records say now that they will never be scored, which is still to be saved."""


def take_over(store: SessionStore, competition: Competition, dive_number: str | None) -> Kept:
    """Read what a store holds; a new one holds nothing.

    Args:
        store: of the session.
        competition: a start list that is given now.
        dive_number: as the rules spell it; None: not given now.

    Raises:
        UserError: there is a start list in the store already, or what it holds cannot be read.
    """
    records: dict[int, Record] = {record["number"]: record for record in store.dives()}
    state = store.load_state(STATE_KEY)
    if state is None:
        return Kept(competition, dive_number, records, [])
    kept = Competition.from_json(state)
    if kept.entries and competition.entries:
        raise UserError(
            f"the session in {store.folder} has its start list already; go on without --start-list, and edit it on "
            "the page"
        )
    for record in state.get("scoring", []):
        records.setdefault(record["number"], record)
    unfinished = [n for n, record in records.items() if "scoring" in (record["status"], record["status_before"])]
    return Kept(
        competition=competition if competition.entries else kept,
        dive_number=state.get("dive_number") if dive_number is None else dive_number,
        records=records | {number: _given_up(records[number]) for number in unfinished},
        unfinished=unfinished,
    )


def as_rules_spell(dive_number: str | None) -> str | None:
    """Return a dive number as the rules spell it; None stays None.

    Raises:
        DiveNumberError: not a dive number.
    """
    return None if dive_number is None else DiveNumber.parse(dive_number).text


def _given_up(record: Record) -> Record:
    """Say of a dive that it will never be scored; it may be void besides."""
    name = "status" if record["status"] == "scoring" else "status_before"
    reasons = [*record["reasons"], "the program ended while it was being scored; its frames are lost"]
    return {**record, name: "failed", "reasons": reasons}
