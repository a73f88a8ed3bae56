"""Settings of a rendered meet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from mcore.common.errors import UserError
from mcore.synthetic.heights import DrawnHeightM, check_drawn
from mcore.synthetic.plan import DEMO_NUMBERS

CameraKind = Literal["follow", "fixed"]
MeetWorld = Literal["standard", "other"]
"""Of ``mcore.synthetic.worlds`` those with a venue of their own."""
Distractor = Literal[
    "walkers", "swimmers", "ripples", "shake", "scoreboard", "light", "towels", "bounces", "jumpers", "pans"
]
DISTRACTORS: tuple[Distractor, ...] = get_args(Distractor)
DEFAULT_SIZE = (320, 180)
"""Width and height of a frame, pixels."""
DEFAULT_RATE = 25


@dataclass(frozen=True)
class MeetSettings:
    """Everything that decides the pixels of a rendered meet."""

    seed: int = 0
    dives: int = 20
    """Dives until it ends."""
    pause_s: float = 6.0
    """Time from one dive's splash to the next diver's coming, seconds; each between half and one and a half of it."""
    height_m: DrawnHeightM = 3
    """Height of the board: 3 (springboard) or 10 (platform)."""
    camera: CameraKind = "follow"
    """``follow``: an operator follows the diver, as in the dives that networks are trained on; ``fixed``: a camera
    on a tripod sees board and water at once."""
    distractors: frozenset[Distractor] = frozenset(DISTRACTORS)
    """Things that move besides the divers."""
    dive_numbers: tuple[str, ...] = DEMO_NUMBERS
    """Dive numbers to draw from."""
    world: MeetWorld = "standard"
    """Where it takes place: other is another pool, with a camera, people and judges of its own."""
    width: int = DEFAULT_SIZE[0]
    """Width of a frame, pixels, even."""
    height: int = DEFAULT_SIZE[1]
    """Height of a frame, pixels, even."""
    rate: int = DEFAULT_RATE
    """Frames a second."""

    def __post_init__(self) -> None:
        check_drawn(self.height_m)
        if min(self.width, self.height) < 64 or self.width % 2 or self.height % 2:
            raise UserError(f"a rendered meet of {self.width} x {self.height}; allowed: even sizes from 64 on")
        if not 10 <= self.rate <= 120:
            raise UserError(f"a rendered meet of {self.rate} frames a second; allowed: 10 to 120")
