"""Records of a meet: a dive as the meet's software tells of it, its result, and how network and judges compare."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np

from mcore.common.errors import UserError
from mcore.diving import Penalty
from mcore.diving.judging import PANELS
from mcore.metrics import srcc
from mcore_runtime.meet.message import RefereeMessage

_MIN_CORRELATION_DIVES = 3
"""Two dives always have a rank correlation of 1 or -1, which says nothing."""


@dataclass(frozen=True)
class JudgesResult:
    """What the judges gave a dive, as the meet's software sent it."""

    points: float
    awards: tuple[float, ...]
    """Award of each judge in the panel's order, 0 to 10; some may be missing of a failed dive."""
    panel: tuple[str, ...]
    """Name of each judge: J1 ...; of a pair E1 ... for execution, S1 ... for synchronisation."""
    judged: str
    """Time at which the last of it came, ISO 8601, UTC."""
    event_name: str = ""
    total: float | None = None
    """Running total of the diver, points."""
    rank: int | None = None
    penalty: Penalty | None = None
    doubts: tuple[str, ...] = ()
    """What does not fit together in it."""

    @property
    def is_comparable(self) -> bool:
        """Return whether the points are for the dive alone: a referee's deduction is for what no picture shows."""
        return self.penalty is None

    @property
    def cancelled(self) -> tuple[bool, ...]:
        """Say of each award whether the rules cancel it; all False where the panel is not one of the rules'."""
        panel = PANELS.get(len(self.awards))
        if panel is None or panel.synchronised != (self.panel[:1] == ("E1",)):
            return (False,) * len(self.awards)
        out = [False] * len(self.awards)
        first = 0
        for size, cancelled in panel.groups:
            by_value = sorted(range(first, first + size), key=lambda place: self.awards[place])
            for place in (*by_value[:cancelled], *by_value[size - cancelled :]):
                out[place] = True
            first += size
        return tuple(out)

    @property
    def awards_text(self) -> str:
        """Awards in a row, the cancelled ones in brackets."""
        shown = zip(self.awards, self.cancelled, strict=True)
        return " ".join(f"({award:g})" if cancelled else f"{award:g}" for award, cancelled in shown)

    def to_json(self) -> dict[str, Any]:
        """Return plain containers: the fields, ``cancelled`` and ``awards_text``."""
        plain: dict[str, Any] = msgspec.to_builtins(self)
        return plain | {"cancelled": list(self.cancelled), "awards_text": self.awards_text}

    def is_same(self, other: JudgesResult | None) -> bool:
        """Return whether it says the same, whenever it came."""
        return other is not None and (self.points, self.awards, self.penalty) == (
            other.points,
            other.awards,
            other.penalty,
        )


def result_of(message: RefereeMessage, time: str) -> JudgesResult | None:
    """Read the result out of a message; None: the dive is not judged yet."""
    if not message.is_judged or message.points is None:
        return None
    return JudgesResult(
        points=message.points,
        awards=tuple(award for award in message.awards if award is not None),
        panel=tuple(name for name, award in zip(message.panel, message.awards, strict=True) if award is not None),
        judged=time,
        event_name=message.event_name,
        total=message.total,
        rank=message.rank,
        penalty=message.penalty,
        doubts=message.doubts,
    )


@dataclass(frozen=True)
class MeetDive:
    """A dive as the meet's software tells of it, from its announcement on."""

    place: int
    """Its place in the order of announcement, from 1."""
    event_name: str
    round: int | None
    athlete: str
    """Name of the diver; of a pair both, with a slash between."""
    club: str
    dive_number: str | None
    difficulty: float | None
    height_m: float | None
    """Height of the board, metres."""
    announced: str
    """Time at which it was announced first, ISO 8601, UTC."""
    order: int
    """Its entry of the session's start list."""
    attempt: int | None = None
    start_number: int | None = None
    is_synchro: bool = False
    result: JudgesResult | None = None
    """None: not judged yet."""
    withdrawn: JudgesResult | None = None
    """Result that was taken back when the dive was announced anew; None: none was."""
    withdrawn_from: tuple[int, ...] = ()
    """Numbers of the camera's dives that it may have been of."""
    superseded: tuple[int, ...] = ()
    """Numbers of the camera's dives that were made before it was announced anew."""
    notes: tuple[str, ...] = ()
    """Where the meet says something else than the start list did."""

    @property
    def is_open(self) -> bool:
        """Return whether its awards are still to come."""
        return self.result is None

    def to_json(self) -> dict[str, Any]:
        """Return plain containers."""
        plain: dict[str, Any] = msgspec.to_builtins(self)
        return plain | {"result": None if self.result is None else self.result.to_json()}


@dataclass(frozen=True)
class MeetProgress:
    """All that the meet's software has said so far."""

    dives: tuple[MeetDive, ...] = ()
    """Dives in the order of their first announcement."""
    announced: int | None = None
    """Place of the dive that is announced now; None: none is."""
    leads: bool = False
    """Whether the meet says whose turn it is; False: it has said nothing yet, or the operator has taken over until its
    next announcement."""
    is_over: bool = False
    """Whether the event is over."""
    sender: str | None = None
    """Address of the one computer that is believed; None: none was heard."""
    others: tuple[str, ...] = ()
    """Addresses of other computers that send too, and are not believed."""
    event_name: str = ""
    meet_title: str = ""
    rounds: int | None = None
    """How many rounds the event has."""
    divers: int | None = None
    """How many divers or pairs the event has."""

    @property
    def current(self) -> MeetDive | None:
        """The dive that is announced now; None: none is."""
        return None if self.announced is None else self.dives[self.announced - 1]


@dataclass(frozen=True)
class Agreement:
    """Network and judges over the dives of an event that both have given points, so far."""

    dives: int
    bias: float | None
    """Mean of network less judges, points; None: no dive yet."""
    mean_absolute_error: float | None
    """Points; None: no dive yet."""
    rank_correlation: float | None
    """SRCC; None: fewer than three dives, or all alike."""
    left_out: int = 0
    """Dives with a penalty, whose points say what no picture shows."""


def agreement(pairs: Iterable[tuple[float, JudgesResult]]) -> Agreement:
    """Compare scores of the network with what the judges gave the same dives."""
    all_pairs = list(pairs)
    compared = [(score, judges.points) for score, judges in all_pairs if judges.is_comparable]
    left_out = len(all_pairs) - len(compared)
    if not compared:
        return Agreement(0, None, None, None, left_out)
    network, judges = np.array(compared).T
    return Agreement(
        dives=len(compared),
        bias=float((network - judges).mean()),
        mean_absolute_error=float(np.abs(network - judges).mean()),
        rank_correlation=_correlation(network.tolist(), judges.tolist()),
        left_out=left_out,
    )


def _correlation(network: Sequence[float], judges: Sequence[float]) -> float | None:
    if len(network) < _MIN_CORRELATION_DIVES:
        return None
    try:
        return srcc(network, judges)
    except UserError:
        return None
