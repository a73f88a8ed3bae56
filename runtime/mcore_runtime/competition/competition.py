"""A competition while it runs: whose turn it is, which dive was whose, and what an operator can put right.

A frozen record: every change returns a new competition, so whoever holds one may share it between threads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from mcore.common.errors import UserError
from mcore.common.typed_json import convert
from mcore_runtime.competition.entry import (
    Entry,
    EntryState,
    clean_difficulty,
    clean_height,
    clean_number,
    clean_text,
    with_difficulty,
)
from mcore_runtime.competition.ranking import RankRow, rank

_Pairs = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Competition:
    """A start list, and how far it has come; ``Competition.begin`` makes a new one."""

    entries: tuple[Entry, ...] = ()
    """The start list, in diving order; none: every dive is on its own."""
    current: int | None = None
    """Order of the entry whose dive comes next; None: there is no start list, or it is through."""
    dives: _Pairs = ()
    """Number of each dive, and the order of the entry for which it was made."""
    void: _Pairs = ()
    """The same of dives that were no dives."""

    def __post_init__(self) -> None:
        orders = {order for _, order in (*self.dives, *self.void)}
        if self.current is not None:
            orders.add(self.current)
        if missing := orders - {entry.order for entry in self.entries}:
            raise UserError(f"there is no entry {sorted(missing)[0]}, which it speaks of")

    @classmethod
    def begin(cls, entries: Iterable[Entry]) -> Competition:
        """Return a competition in which nobody has dived."""
        entries = tuple(entries)
        return cls(entries, entries[0].order if entries else None)

    @property
    def current_entry(self) -> Entry | None:
        """Entry whose dive comes next; None: there is no start list, or it is through."""
        return None if self.current is None else self._find(self.current)

    def entry_of(self, dive: int) -> Entry | None:
        """The entry for which a dive was made; None: for none."""
        order = dict(self.dives).get(dive)
        return None if order is None else self._find(order)

    def difficulty_of(self, dive: int) -> float | None:
        """Return the difficulty that the start list gives a dive; None: it gives none."""
        entry = self.entry_of(dive)
        return None if entry is None else entry.difficulty

    def add_dive(self, dive: int) -> Competition:
        """Give a dive to the current entry, and advance.

        Args:
            dive: its number, larger than all before.
        """
        if self.current is None:
            return self
        given = replace(self, dives=(*self.dives, (dive, self.current)))
        return given._refresh(self.current)._advance(self.current)

    def skip(self) -> Competition:
        """Pass over the current entry; one that is to be repeated keeps the dive it has.

        Raises:
            UserError: there is none.
        """
        entry = self.current_entry
        if entry is None:
            raise UserError("there is no athlete to skip: " + self._why_none())
        state = EntryState.SKIPPED if entry.dive is None else EntryState.DONE
        return self._with(replace(entry, state=state))._advance(entry.order)

    def back(self) -> Competition:
        """Go back to the entry before the current one, to be dived (again); its dive counts until then.

        Raises:
            UserError: there is none before.
        """
        orders = [entry.order for entry in self.entries]
        before = orders if self.current is None else orders[: orders.index(self.current)]
        if not before:
            raise UserError("there is no athlete to go back to: " + (self._why_none() or "this is the first"))
        return self.go_to(before[-1])

    def go_to(self, order: int) -> Competition:
        """Make an entry the current one, whatever has become of it; its dive counts until there is another.

        Raises:
            UserError: there is no such entry.
        """
        changed = self._with(replace(self._find(order), state=EntryState.WAITING))
        if self.current is not None and self.current != order:
            changed = changed._refresh(self.current)
        return replace(changed, current=order)

    def insert(self, entry: Entry, after: int | None = None) -> Competition:
        """Add an entry that the list does not have.

        Args:
            entry: of an order that no other has.
            after: the entry that it follows; None: it comes last.

        Raises:
            UserError: its order is taken, or there is no entry that it could follow.
        """
        orders = [other.order for other in self.entries]
        if entry.order in orders:
            raise UserError(f"the start list has an entry {entry.order} already")
        place = len(orders) if after is None else orders.index(self._find(after).order) + 1
        return replace(self, entries=(*self.entries[:place], entry, *self.entries[place:]))

    def pass_over(self, order: int) -> Competition:
        """Skip an entry that waits, whoever is the current one."""
        entry = self._find(order)
        waits = entry.state is EntryState.WAITING and entry.dive is None
        return self._with(replace(entry, state=EntryState.SKIPPED)) if waits else self

    def dives_of(self, order: int) -> list[int]:
        """Return the numbers of the dives that were made for an entry, void ones left out, first one first."""
        return sorted(number for number, of in self.dives if of == order)

    def edit(self, order: int, changes: Mapping[str, Any]) -> Competition:
        """Correct an entry.

        Args:
            order: which.
            changes: any of athlete, club, dive_number (None: not announced), difficulty and height_m (None: not given).

        Raises:
            UserError: no such entry, or a value that cannot be.
        """
        cleaners: Mapping[str, Callable[[Any], Any]] = {
            "athlete": lambda text: clean_text(text, "athlete", required=True),
            "club": lambda text: clean_text(text, "club"),
            "dive_number": clean_number,
            "difficulty": clean_difficulty,
            "height_m": clean_height,
        }
        values = {name: cleaners[name](value) for name, value in changes.items()}
        before = self._find(order)
        changed = replace(before, **values)
        # A difficulty that the rules gave is that of the dive and height before.
        if "difficulty" not in values and before == with_difficulty(replace(before, difficulty=None)):
            changed = with_difficulty(replace(changed, difficulty=None))
        return self._with(changed)

    def assign(self, dive: int, order: int | None) -> Competition:
        """Say for which entry a dive was made.

        Args:
            dive: its number.
            order: the entry; None: for none of them.

        Raises:
            UserError: there is no such entry, or the dive is void.
        """
        if dive in dict(self.void):
            raise UserError(f"dive {dive} is void; restore it first")
        if order is None:
            return self._release(dive)
        self._find(order)
        return self._release(dive)._give(dive, order)

    def make_void(self, dive: int) -> Competition:
        """A dive was none: its entry waits again, at once if no other dive has been made since."""
        order = dict(self.dives).get(dive)
        if order is None:
            return self
        return replace(self._release(dive), void=(*self.void, (dive, order)))

    def restore(self, dive: int) -> Competition:
        """Take ``make_void`` back."""
        order = dict(self.void).get(dive)
        if order is None:
            return self
        return replace(self, void=_without(self.void, dive))._give(dive, order)

    def ranking(self, scores: Mapping[int, float]) -> list[RankRow]:
        """Rank the athletes by the sum of the latest valid score of each entry.

        Args:
            scores: points by dive, of all dives that have a valid score.
        """
        dives_of: dict[int, list[int]] = {}
        for dive, order in self.dives:
            dives_of.setdefault(order, []).append(dive)
        return rank(self.entries, dives_of, scores)

    def to_json(self) -> dict[str, Any]:
        """Return plain containers, from which ``from_json`` goes on."""
        plain: dict[str, Any] = msgspec.to_builtins(self)
        return plain

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Competition:
        """Read what ``to_json`` returned; other keys are left out.

        Raises:
            UserError: it is something else.
        """
        return convert(cls, values, "the saved start list cannot be read")

    def _find(self, order: int) -> Entry:
        entry = next((entry for entry in self.entries if entry.order == order), None)
        if entry is None:
            orders = [entry.order for entry in self.entries]
            allowed = f"{min(orders)} to {max(orders)}" if orders else "there is no start list"
            raise UserError(f"the start list has no entry {order!r}; allowed: {allowed}")
        return entry

    def _with(self, changed: Entry) -> Competition:
        entries = tuple(changed if entry.order == changed.order else entry for entry in self.entries)
        return replace(self, entries=entries)

    def _advance(self, order: int) -> Competition:
        """Go on to the next entry that waits; after the last one, to the first that was left waiting."""
        index = [entry.order for entry in self.entries].index(order) + 1
        rest = (*self.entries[index:], *self.entries[:index])
        return replace(self, current=next((e.order for e in rest if e.state is EntryState.WAITING), None))

    def _give(self, dive: int, order: int) -> Competition:
        given = replace(self, dives=(*self.dives, (dive, order)))._refresh(order)
        return given._advance(order) if order == self.current else given

    def _release(self, dive: int) -> Competition:
        """Take a dive from its entry, which may be the current one again."""
        order = dict(self.dives).get(dive)
        if order is None:
            return self
        is_latest = dive == max(number for number, _ in self.dives)
        freed = replace(self, dives=_without(self.dives, dive))._refresh(order)
        if self._find(order).state is EntryState.WAITING:  # it is to be repeated, and still is
            freed = freed._with(replace(freed._find(order), state=EntryState.WAITING))
        if freed._find(order).state is EntryState.WAITING and (is_latest or self.current is None):
            return replace(freed, current=order)
        return freed

    def _refresh(self, order: int) -> Competition:
        """Set an entry's dive and state by the dives that were made for it."""
        entry = self._find(order)
        latest = max((dive for dive, of in self.dives if of == order), default=None)
        unmade = EntryState.SKIPPED if entry.state is EntryState.SKIPPED else EntryState.WAITING
        return self._with(replace(entry, dive=latest, state=unmade if latest is None else EntryState.DONE))

    def _why_none(self) -> str:
        if not self.entries:
            return "there is no start list"
        return "all have dived; go_to an entry to repeat it" if self.current is None else ""


def _without(pairs: _Pairs, dive: int) -> _Pairs:
    return tuple(pair for pair in pairs if pair[0] != dive)
