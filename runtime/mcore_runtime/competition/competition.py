"""A competition while it runs: whose turn it is, which dive was whose, and what an operator can put right.

Not thread-safe: whoever shares it holds a lock.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from mcore.common.errors import UserError
from mcore_runtime.competition.entry import Entry, EntryState, clean_difficulty, clean_number, clean_text
from mcore_runtime.competition.ranking import RankRow, rank

EDITABLE = ("athlete", "club", "dive_number", "difficulty")


class Competition:
    """A start list, and how far it has come.

    Args:
        entries: in diving order; none: a session without a start list, in which every dive is on its own.
    """

    def __init__(self, entries: Iterable[Entry] = ()) -> None:
        self._entries = {entry.order: entry for entry in entries}
        self._dives: dict[int, int] = {}
        """Order of the entry for which each dive was made, by the dive's number."""
        self._void: dict[int, int] = {}
        """The same of dives that were no dives."""
        self._current: int | None = next(iter(self._entries), None)

    @property
    def entries(self) -> tuple[Entry, ...]:
        """The start list, in diving order."""
        return tuple(self._entries.values())

    @property
    def current(self) -> Entry | None:
        """Whose dive comes next; None: there is no start list, or it is through."""
        return None if self._current is None else self._entries[self._current]

    def entry_of(self, dive: int) -> Entry | None:
        """The entry for which a dive was made; None: for none."""
        order = self._dives.get(dive)
        return None if order is None else self._entries[order]

    def dive_took_place(self, dive: int) -> Entry | None:
        """Give a dive to the current entry, and advance.

        Args:
            dive: its number, larger than all before.

        Returns:
            The entry; None: nobody was expected to dive.
        """
        if self._current is None:
            return None
        order = self._current
        self._dives[dive] = order
        self._refresh(order)
        self._advance(order)
        return self._entries[order]

    def skip(self) -> Entry:
        """Pass over the current entry; one that is to be repeated keeps the dive it has.

        Raises:
            UserError: there is none.
        """
        entry = self.current
        if entry is None:
            raise UserError("there is no athlete to skip: " + self._why_none())
        state = replace(entry, state="skipped" if entry.dive is None else "done")
        self._entries[entry.order] = state
        self._advance(entry.order)
        return state

    def back(self) -> Entry:
        """Go back to the entry before the current one, to be dived (again); its dive counts until then.

        Raises:
            UserError: there is none before.
        """
        orders = list(self._entries)
        before = orders if self._current is None else orders[: orders.index(self._current)]
        if not before:
            raise UserError("there is no athlete to go back to: " + (self._why_none() or "this is the first"))
        return self.go_to(before[-1])

    def go_to(self, order: int) -> Entry:
        """Make an entry the current one, whatever has become of it; its dive counts until there is another.

        Raises:
            UserError: there is no such entry.
        """
        entry = replace(self._find(order), state="waiting")
        self._entries[order] = entry
        if self._current is not None and self._current != order:
            self._refresh(self._current)
        self._current = order
        return entry

    def edit(self, order: int, changes: Mapping[str, Any]) -> Entry:
        """Correct an entry.

        Args:
            order: which.
            changes: any of athlete, club, dive_number (None: not announced) and difficulty (None: not given).

        Raises:
            UserError: no such entry, or a value that cannot be; nothing is changed then.
        """
        entry = self._find(order)
        if unknown := sorted(set(changes) - set(EDITABLE)):
            raise UserError(f"an entry has no {unknown[0]!r} to edit; allowed: {', '.join(EDITABLE)}")
        values: dict[str, Any] = dict(changes)
        if "athlete" in values:
            values["athlete"] = clean_text(values["athlete"], "athlete", required=True)
        if "club" in values:
            values["club"] = clean_text(values["club"], "club")
        if "dive_number" in values:
            values["dive_number"] = clean_number(values["dive_number"])
        if "difficulty" in values:
            values["difficulty"] = clean_difficulty(values["difficulty"])
        self._entries[order] = replace(entry, **values)
        return self._entries[order]

    def assign(self, dive: int, order: int | None) -> None:
        """Say for which entry a dive was made.

        Args:
            dive: its number.
            order: the entry; None: for none of them.

        Raises:
            UserError: there is no such entry, or the dive is void.
        """
        if dive in self._void:
            raise UserError(f"dive {dive} is void; restore it first")
        if order is not None:
            self._find(order)
        self._release(dive, self._dives)
        if order is not None:
            self._dives[dive] = order
            self._refresh(order)
            if order == self._current:
                self._advance(order)

    def void(self, dive: int) -> Entry | None:
        """A dive was none: its entry waits again, at once if no other dive has been made since.

        Returns:
            The entry that was given back; None: the dive had none.
        """
        if dive in self._dives:
            self._void[dive] = self._dives[dive]
        order = self._release(dive, self._dives)
        return None if order is None else self._entries[order]

    def restore(self, dive: int) -> Entry | None:
        """Take ``void`` back.

        Returns:
            The entry that has its dive again; None: it had none.
        """
        order = self._void.pop(dive, None)
        if order is None:
            return None
        self._dives[dive] = order
        self._refresh(order)
        if order == self._current:
            self._advance(order)
        return self._entries[order]

    def ranking(self, scores: Mapping[int, float]) -> list[RankRow]:
        """Rank the athletes by the sum of the latest valid score of each entry.

        Args:
            scores: points by dive, of all dives that have a valid score.
        """
        dives_of: dict[int, list[int]] = {}
        for dive, order in self._dives.items():
            dives_of.setdefault(order, []).append(dive)
        return rank(self.entries, dives_of, scores)

    def to_json(self) -> dict[str, Any]:
        """Return plain containers, from which ``from_json`` goes on."""
        return {
            "entries": [entry.to_json() for entry in self.entries],
            "current": self._current,
            "dives": [list(pair) for pair in self._dives.items()],
            "void": [list(pair) for pair in self._void.items()],
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Competition:
        """Read what ``to_json`` returned.

        Raises:
            UserError: it is something else.
        """
        try:
            competition = cls(Entry.from_json(entry) for entry in values["entries"])
            competition._dives = {int(dive): int(order) for dive, order in values["dives"]}
            competition._void = {int(dive): int(order) for dive, order in values["void"]}
            current = values["current"]
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise UserError(f"the saved start list cannot be read ({type(error).__name__}: {error})") from error
        orders = {*competition._dives.values(), *competition._void.values()} | ({current} - {None})
        if missing := orders - set(competition._entries):
            raise UserError(f"the saved start list has no entry {sorted(missing)[0]}, which it speaks of")
        competition._current = current
        return competition

    def _find(self, order: int) -> Entry:
        entry = self._entries.get(order) if isinstance(order, int) and not isinstance(order, bool) else None
        if entry is None:
            allowed = f"{min(self._entries)} to {max(self._entries)}" if self._entries else "there is no start list"
            raise UserError(f"the start list has no entry {order!r}; allowed: {allowed}")
        return entry

    def _advance(self, order: int) -> None:
        """Go on to the next entry that waits; after the last one, to the first that was left waiting."""
        orders = list(self._entries)
        index = orders.index(order) + 1
        rest = [*orders[index:], *orders[:index]]
        self._current = next((o for o in rest if self._entries[o].state == "waiting"), None)

    def _release(self, dive: int, dives: dict[int, int]) -> int | None:
        """Take a dive from its entry; returns the entry's order if it waits now."""
        is_latest = bool(dives) and dive == max(dives)
        order = dives.pop(dive, None)
        if order is None:
            return None
        self._refresh(order)
        if self._entries[order].state == "waiting" and (is_latest or self._current is None):
            self._current = order
        return order

    def _refresh(self, order: int) -> None:
        """Set an entry's dive and state by the dives that were made for it."""
        entry = self._entries[order]
        latest = max((dive for dive, of in self._dives.items() if of == order), default=None)
        state: EntryState = "done" if latest is not None else "skipped" if entry.state == "skipped" else "waiting"
        self._entries[order] = replace(entry, dive=latest, state=state)

    def _why_none(self) -> str:
        if not self._entries:
            return "there is no start list"
        return "all have dived; go_to an entry to repeat it" if self._current is None else ""
