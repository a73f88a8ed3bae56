"""What an operator can ask of a session, at the terminal or on the page.

    trigger                                   a dive has just ended
    skip, back                                pass over the current athlete; go back to the one before, to repeat
    go_to(order)                              make any entry the current one
    edit(order, athlete, club, dive_number, difficulty)      all but the order can be left out
    assign(number, order)                     say for which entry a dive was made; order None: for none
    set_dive(dive_number)                     number of dives of which the start list says nothing; None: unknown
    void(number), restore(number)             a dive was none, and its entry waits again; take that back
    rescore(number)                           score a dive again, from the frames that were kept
    stop                                      end the session after the last score

A dive whose number turns out to be another is scored again by itself.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from mcore.common.errors import UserError
from mcore_runtime.live.dives import Record
from mcore_runtime.live.ledger import Ledger


class Rest(Protocol):
    """What is not for the ledger to do."""

    def trigger(self) -> None:
        """A dive has just ended."""

    def rescore(self, number: int) -> None:
        """Score a dive again."""

    def stop(self) -> None:
        """End the session."""


class Commands:
    """Checks and runs commands; for any thread.

    Args:
        ledger: dives and competition.
        rest: the session.
    """

    def __init__(self, ledger: Ledger, rest: Rest) -> None:
        self._ledger, self._rest = ledger, rest
        self._commands: Mapping[str, Callable[..., str]] = {
            "trigger": self._trigger,
            "skip": self._skip,
            "back": self._back,
            "go_to": self._go_to,
            "edit": self._edit,
            "assign": self._assign,
            "set_dive": self._set_dive,
            "void": self._void,
            "restore": self._restore,
            "rescore": self._rescore,
            "stop": self._stop,
        }

    def run(self, name: str, arguments: Mapping[str, Any]) -> None:
        """Run a command and log it.

        Raises:
            UserError: no such command, other arguments, or one that is not possible now.
        """
        command = self._commands.get(name)
        if command is None:
            raise UserError(f"there is no command {name!r}; allowed: {', '.join(self._commands)}")
        try:
            inspect.signature(command).bind(**arguments)
        except TypeError as error:
            raise UserError(f"{name}: {error}; it takes {', '.join(_parameters(command)) or 'nothing'}") from error
        for key in ("order", "number"):
            value = arguments.get(key, 1)
            if (not isinstance(value, int) or isinstance(value, bool)) and not (name == "assign" and value is None):
                raise UserError(f"{name}: {key} is {value!r}; give a whole number")
        done = command(**arguments)
        self._ledger.log("operator", done)

    def _trigger(self) -> str:
        self._rest.trigger()
        return "said that a dive has just ended"

    def _skip(self) -> str:
        entry = self._ledger.compete(lambda competition: competition.skip())
        assert entry is not None
        return f"skipped {entry.order}, {entry.athlete}"

    def _back(self) -> str:
        entry = self._ledger.compete(lambda competition: competition.back())
        assert entry is not None
        return f"went back to {entry.order}, {entry.athlete}"

    def _go_to(self, order: int) -> str:
        entry = self._ledger.compete(lambda competition: competition.go_to(order))
        assert entry is not None
        return f"went to {entry.order}, {entry.athlete}"

    def _edit(self, order: int, **changes: Any) -> str:
        if not changes:
            raise UserError("edit: nothing to change; give athlete, club, dive_number or difficulty")
        entry = self._ledger.compete(lambda competition: competition.edit(order, changes))
        assert entry is not None
        for record in self._ledger.records():
            if record["order"] == order:
                self._follow_entry(record)
        return f"edited {order}: " + ", ".join(f"{name} {getattr(entry, name)}" for name in changes)

    def _assign(self, number: int, order: int | None) -> str:
        record = self._find(number)
        self._ledger.compete(lambda competition: competition.assign(number, order))
        self._follow_entry(record)
        return f"gave dive {number} to " + ("nobody" if order is None else f"entry {order}")

    def _set_dive(self, dive_number: str | None) -> str:
        if dive_number is not None and not isinstance(dive_number, str):
            raise UserError(f"set_dive: dive_number is {dive_number!r}; give a text such as 407C, or none")
        return f"set the dive number to {self._ledger.set_default(dive_number) or 'unknown'}"

    def _void(self, number: int) -> str:
        record = self._find(number)
        if record["status"] == "void":
            raise UserError(f"dive {number} is void already")
        entry = self._ledger.compete(lambda competition: competition.void(number))
        self._ledger.update(number, lambda old: {**old, "status": "void", "status_before": old["status"]})
        return f"voided dive {number}" + ("" if entry is None else f"; {entry.order}, {entry.athlete} dives again")

    def _restore(self, number: int) -> str:
        record = self._find(number)
        if record["status"] != "void":
            raise UserError(f"dive {number} is {record['status']}, not void")
        self._ledger.compete(lambda competition: competition.restore(number))
        self._ledger.update(number, lambda old: {**old, "status": old["status_before"], "status_before": None})
        return f"restored dive {number}"

    def _rescore(self, number: int) -> str:
        self._find(number)
        self._rest.rescore(number)
        return f"had dive {number} scored again"

    def _stop(self) -> str:
        self._rest.stop()
        return "stopped the session"

    def _find(self, number: int) -> Record:
        record = self._ledger.record(number)
        if record is None:
            raise UserError(f"there is no dive {number}")
        return record

    def _follow_entry(self, before: Record) -> None:
        """Bring a dive up to date with its entry; a score by another number's exemplars is not its score."""
        number = before["number"]
        self._ledger.entry_changed(number)
        after = self._find(number)
        if after["dive_number"] == before["dive_number"] or after["status"] not in ("scored", "failed"):
            return
        try:
            self._rest.rescore(number)
        except UserError as error:
            self._ledger.log("operator", f"dive {number} keeps the score of another dive number: {error}")


def _parameters(command: Callable[..., str]) -> list[str]:
    return [name for name in inspect.signature(command).parameters if name != "changes"]
