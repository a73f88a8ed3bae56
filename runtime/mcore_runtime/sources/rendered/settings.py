"""What a rendered meet is like, from the options of its address."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from mcore.diving.difficulty import HeightM
from mcore.errors import UserError
from mcore_runtime.sources.errors import SourceError
from mcore_runtime.sources.options import read_choice, read_integer, read_number
from mcore_runtime.sources.uri import SourceURI

CameraKind = Literal["follow", "fixed"]
Distractor = Literal[
    "walkers", "swimmers", "ripples", "shake", "scoreboard", "light", "towels", "bounces", "jumpers", "pans"
]
DISTRACTORS: tuple[Distractor, ...] = get_args(Distractor)
DIVE_NUMBERS = ("107B", "407C", "307C", "5253B", "205B", "6243D")
_SIZE, _RATE = (320, 180), 25


@dataclass(frozen=True)
class MeetSettings:
    """Everything that decides the pixels of a rendered meet."""

    seed: int = 0
    dives: int = 20
    """Dives until it ends."""
    pause_s: float = 6.0
    """Time from one dive's splash to the next diver's coming, seconds; each between half and one and a half of it."""
    height_m: HeightM = 3
    """Height of the board: 3 (springboard) or 10 (platform)."""
    camera: CameraKind = "follow"
    """``follow``: an operator follows the diver, as in the dives that networks are trained on; ``fixed``: a camera
    on a tripod sees board and water at once."""
    distractors: frozenset[Distractor] = frozenset(DISTRACTORS)
    """What moves besides the divers."""
    dive_numbers: tuple[str, ...] = DIVE_NUMBERS
    """Dive numbers to draw from."""
    width: int = _SIZE[0]
    """Of a frame, pixels, even."""
    height: int = _SIZE[1]
    """Of a frame, pixels, even."""
    rate: int = _RATE
    """Frames a second."""

    def __post_init__(self) -> None:
        if min(self.width, self.height) < 64 or self.width % 2 or self.height % 2:
            raise UserError(f"a rendered meet of {self.width} x {self.height}; allowed: even sizes from 64 on")
        if not 10 <= self.rate <= 120:
            raise UserError(f"a rendered meet of {self.rate} frames a second; allowed: 10 to 120")


def settings_of(uri: SourceURI) -> MeetSettings:
    """Read the settings from a ``synthetic://`` address.

    Raises:
        SourceError: an option that there is not, or a value that cannot be.
    """
    unknown = sorted(set(uri.extra) - set(_READERS))
    if unknown:
        raise SourceError(
            f"a synthetic source has no option {unknown[0]!r}; allowed: {', '.join(sorted(_READERS))}, name, pace, "
            "queue, rate, rotation, size"
        )
    values: dict[str, Any] = {_FIELDS.get(key, key): _READERS[key](key, text) for key, text in uri.extra.items()}
    width, height = uri.options.size or _SIZE
    rate = uri.options.rate or _RATE
    if rate != int(rate):
        raise SourceError(f"the option rate is {rate:g}; a synthetic source takes whole frames a second")
    return MeetSettings(**values, width=width, height=height, rate=int(rate))


def _read_distractors(key: str, text: str) -> frozenset[str]:
    if text in ("all", "none"):
        return frozenset(DISTRACTORS if text == "all" else ())
    return frozenset(read_choice(key, word, DISTRACTORS) for word in text.split(","))


_FIELDS = {"pause": "pause_s", "height": "height_m", "numbers": "dive_numbers"}
_READERS: Mapping[str, Callable[[str, str], Any]] = {
    "seed": lambda key, text: read_integer(key, text, 0, 2**31),
    "dives": lambda key, text: read_integer(key, text, 1, 100_000),
    "pause": lambda key, text: read_number(key, text, 0.0, 600.0),
    "height": lambda key, text: int(read_choice(key, text, ("3", "10"))),
    "camera": lambda key, text: read_choice(key, text, get_args(CameraKind)),
    "distractors": _read_distractors,
    "numbers": lambda key, text: tuple(text.split(",")),
}
