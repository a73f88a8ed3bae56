"""Untrimmed clips of random pools: a pure function of a seed, exact in take-off and entry.

clip = render_clip(seed=7)
clip.pictures, clip.times_s, clip.dives
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from mcore.diving.physics import LONGEST_FLIGHT_S
from mcore.synthetic.meet.course import plan_meet
from mcore.synthetic.meet.scene import Scene
from mcore.synthetic.meet.settings import DEFAULT_RATE, MeetSettings
from mcore.synthetic.pool import random_color
from mcore.synthetic.untrimmed.action import Action, draw_broken_off, draw_dive, draw_on_land, nobody
from mcore.synthetic.untrimmed.operator import CameraKind
from mcore.synthetic.untrimmed.shot import Shot
from mcore.video.spotting import COLUMNS, ROWS, SAMPLES_PER_S, Pace

ClipKind = Literal["dive", "slow motion", "no dive", "meet"]
_KIND_SHARES = {"dive": 0.58, "slow motion": 0.07, "no dive": 0.23, "meet": 0.12}
_RATES = (16, 20, 24, 25, 25, 30, 30, 50, 60)
_ASPECTS = (16 / 9, 16 / 9, 16 / 9, 4 / 3, 4 / 3, 1.0, 9 / 16)
_CAMERAS: tuple[CameraKind, ...] = get_args(CameraKind)
_CAMERA_SHARES = (0.35, 0.4, 0.25)


@dataclass(frozen=True)
class SpottedDive:
    """Ground truth of one dive of a clip."""

    takeoff_s: float
    """Last contact with the board, seconds of the clip."""
    entry_s: float
    """First contact with the water."""

    @property
    def is_live(self) -> bool:
        """Return whether a fall can last that long: slower ones are slow motion."""
        return self.entry_s - self.takeoff_s <= LONGEST_FLIGHT_S


@dataclass(frozen=True)
class ClipForm:
    """Size and pace of a clip's pictures."""

    rows: int = ROWS
    columns: int = COLUMNS
    every_frame: bool = False
    """Every frame of the source, not only those that the spotter looks at."""


STREAM = ClipForm(2 * ROWS, 2 * COLUMNS, every_frame=True)
"""Pictures as a detector gets them from a live stream: of the networks' size."""


@dataclass(frozen=True, eq=False)
class UntrimmedClip:
    """One clip as it is seen after it was reduced."""

    kind: ClipKind
    pictures: NDArray[np.uint8]
    """(T, rows, columns) grey."""
    times_s: NDArray[np.float64]
    """(T,) seconds, ascending."""
    dives: tuple[SpottedDive, ...]
    camera: CameraKind | None = None
    """Of the clip's first dive."""
    height_m: float | None = None
    """Of the board of that dive."""


@dataclass(frozen=True, eq=False)
class _Take:
    """One shot's place in a clip."""

    shot: Shot
    num_frames: int
    action: Action
    speed: float


def render_clip(seed: int, kind: ClipKind | None = None, form: ClipForm = ClipForm()) -> UntrimmedClip:
    """Draw a clip; the same arguments give the same pixels, anywhere.

    Args:
        seed: not negative.
        kind: of clip; None: as the seed decides.
        form: size and pace of the pictures; what happens does not depend on it.
    """
    rng = np.random.default_rng([seed, 20])
    drawn: ClipKind = rng.choice(list(_KIND_SHARES), p=list(_KIND_SHARES.values()))
    kind = kind or drawn
    return _meet_clip(rng, form) if kind == "meet" else _pool_clip(kind, rng, form)


def _meet_clip(rng: np.random.Generator, form: ClipForm) -> UntrimmedClip:
    """One dive of a rendered meet with everything that moves beside it."""
    settings = MeetSettings(
        seed=int(rng.integers(1 << 30)), dives=1, pause_s=1.0, height_m=10 if rng.choice([3, 10]) == 10 else 3,
        camera="follow" if rng.random() < 0.5 else "fixed", width=2 * round(form.rows * 8 / 9), height=form.rows,
        rate=DEFAULT_RATE if form.every_frame else round(SAMPLES_PER_S),
    )  # fmt: skip
    meet = plan_meet(settings)
    frames = [_reduced(Image.fromarray(frame), np.array([1, 2, 1]) / 4, form) for frame in Scene(meet).frames()]
    times = np.arange(len(frames)) / settings.rate
    dives = tuple(SpottedDive(dive.takeoff_s, dive.entry_s) for dive in meet.truth)
    return UntrimmedClip("meet", np.stack(frames), times, dives)


def _pool_clip(kind: ClipKind, rng: np.random.Generator, form: ClipForm) -> UntrimmedClip:
    rate = int(rng.choice(_RATES))
    rows = round(form.rows * float(rng.choice([1.0, 0.72, 0.72, 0.52])))
    size = (round(rows * float(rng.choice(_ASPECTS))), rows)
    camera: CameraKind = rng.choice(_CAMERAS, p=_CAMERA_SHARES)
    takes = _plan(kind, camera, rate, size, rng)
    ends = np.cumsum([take.num_frames for take in takes])
    develop = _Film(rng, form)
    pace, pictures, times, water = Pace(), [], [], []
    for index in range(int(ends[-1])):
        if form.every_frame or pace.takes(index / rate):
            which = int(np.searchsorted(ends, index, side="right"))
            shot, local = takes[which].shot, index - int(ends[which] - takes[which].num_frames)
            pictures.append(develop.frame(shot.draw(local)))
            water.append(shot.water_row(local))
            times.append(index / rate)
    dives = []
    for take, end in zip(takes, ends, strict=True):
        begin_s = (end - take.num_frames) / rate
        if take.action.takeoff_s is not None and take.action.entry_s is not None:
            takeoff_s, entry_s = take.action.takeoff_s / take.speed, take.action.entry_s / take.speed
            dives.append(SpottedDive(begin_s + takeoff_s, begin_s + entry_s))
    stack = develop.clip(np.stack(pictures), np.array(water), np.array(times))
    height = next((take.action.height_m for take in takes if take.action.entry_s is not None), None)
    return UntrimmedClip(kind, stack, np.array(times), tuple(dives), camera, height)


def _plan(
    kind: ClipKind, camera: CameraKind, rate: int, size: tuple[int, int], rng: np.random.Generator
) -> list[_Take]:
    """Decide the shots of a clip: before the dive, the dive, and its replay or something else."""
    takes = []

    def other(most_s: float) -> None:
        frames = round(rng.uniform(1.0, most_s) * rate)
        makers: list[Callable[[], Action]] = [
            lambda: draw_broken_off(frames, rate, rng), lambda: draw_on_land(frames, rate, rng),
            lambda: nobody(frames, rng),
        ]  # fmt: skip
        action = makers[int(rng.choice(3, p=(0.45, 0.25, 0.3)))]()
        takes.append(_Take(Shot(action, camera, rate, size, 1.0, rng), frames, action, 1.0))

    def dive(speed: float) -> None:
        before_s = min(9.0, float(rng.exponential(3.5)) + rng.uniform(0.2, 2.0))
        if speed < 1:  # a replay begins shortly before the dive
            before_s = min(before_s, 0.6 / speed)
        after_s = float(rng.uniform(0.8, 4.5))
        frames = round((before_s + 1.5 / speed + after_s) * rate)
        action = draw_dive(frames, rate / speed, before_s * speed, rng)
        takes.append(_Take(Shot(action, camera, rate, size, speed, rng), frames, action, speed))

    if kind == "no dive":
        other(13.0)
        if rng.random() < 0.4:
            other(8.0)
        return takes
    if rng.random() < 0.2:
        other(4.0)
    slow = float(rng.uniform(0.15, 0.5))
    dive(slow if kind == "slow motion" else 1.0)
    if rng.random() < 0.25:
        camera = rng.choice(_CAMERAS, p=_CAMERA_SHARES)
        if kind == "dive" and rng.random() < 0.5:
            dive(slow)
        else:
            other(6.0)
    return takes


class _Film:
    """Lens, sensor and recorder of a clip."""

    def __init__(self, rng: np.random.Generator, form: ClipForm) -> None:
        self._rng, self._form = rng, form
        self._weights = rng.dirichlet([2.0, 4.0, 2.0])  # of red, green and blue: a cast of colour, seen in grey
        self._blur = float(rng.uniform(0.4, 1.6)) if rng.random() < 0.35 else 0.0
        self._quality = int(rng.integers(6, 50)) if rng.random() < 0.4 else 0
        self._bars = rng.uniform(0, 0.14, 2) * (rng.random(2) < 0.12)  # black at top and bottom, left and right
        self._marks = [
            (rng.uniform(0, 1, 2), rng.uniform(0.02, 0.3, 2), random_color(rng)) for _ in range(int(rng.poisson(0.5)))
        ]

    def frame(self, image: Image.Image) -> NDArray[np.uint8]:
        """Record one picture, before noise: (rows, columns) grey."""
        draw = ImageDraw.Draw(image)
        for corner, extent, color in self._marks:  # a channel's mark, a clock
            edge = 0.02 + 0.96 * np.where(corner < 0.5, corner * 0.3, 1 - (1 - corner) * 0.3 - extent)
            box = np.concatenate([edge, edge + extent]) * np.tile(image.size, 2)
            draw.rectangle(box.tolist(), fill=color)
        if self._blur:
            image = image.filter(ImageFilter.GaussianBlur(self._blur * image.height / 100))
        if self._quality:
            packed = io.BytesIO()
            image.save(packed, "JPEG", quality=self._quality)
            image = Image.open(packed)
        return _reduced(image, self._weights, self._form)

    def clip(
        self, pictures: NDArray[np.uint8], water: NDArray[np.float64], times_s: NDArray[np.float64]
    ) -> NDArray[np.uint8]:
        """Add what changes from picture to picture: waves, light, noise, pictures shown twice.

        Args:
            pictures: (T, rows, columns).
            water: (T,) where the water begins, as a share of the height.
            times_s: (T,) seconds.
        """
        rng, (count, rows, columns) = self._rng, pictures.shape
        pixels = pictures.astype(np.float32)
        below = np.arange(rows)[None, :, None] >= (water * rows)[:, None, None]
        pixels += below * _waves(times_s, (rows, columns), rng.choice([0.0, 4.0, 12.0]) * rng.random(), rng)
        if rng.random() < 0.3:  # a crowd, or leaves
            pixels += ~below * _waves(times_s, (rows, columns), rng.uniform(0, 8), rng)
        light = 1 + rng.choice([0.0, 0.03, 0.12]) * np.cumsum(rng.normal(0, 0.15, count)).clip(-2, 2)
        light += rng.choice([0.0, 0.0, 0.02, 0.06]) * rng.normal(0, 1, count)
        light[rng.random(count) < rng.choice([0.0, 0.0, 0.004])] *= 1.6  # flashes
        pixels = 255 * np.clip(pixels / 255, 0, 1) ** np.exp(rng.normal(0, 0.25))
        pixels *= light[:, None, None].astype(np.float32) * rng.uniform(0.6, 1.12)
        pixels += rng.uniform(0, 40) * (rng.random() < 0.3)  # haze
        noise = rng.normal(0, rng.exponential(3.0), (16, rows, columns)).astype(np.float32)
        pixels += noise[rng.integers(0, 16, count)]
        high, wide = (self._bars * (rows, columns) / 2).astype(int).tolist()
        pixels[:, :high], pixels[:, rows - high :] = 0, 0
        pixels[:, :, :wide], pixels[:, :, columns - wide :] = 0, 0
        recorded: NDArray[np.uint8] = np.clip(pixels, 0, 255).astype(np.uint8)
        if rng.random() < 0.1:
            for index in np.flatnonzero(rng.random(count) < rng.uniform(0.05, 0.4)).tolist():
                recorded[index] = recorded[max(0, index - 1)]
        return recorded


def _waves(
    times_s: NDArray[np.float64], size: tuple[int, int], strength: float, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Patterns that come and go, each at its own pace: (T, rows, columns) grey levels."""
    fields = []
    for _ in range(4):
        cells = (int(rng.integers(10, 60)), int(rng.integers(4, 40)))
        noise = Image.fromarray(rng.normal(0, 1, cells).astype(np.float32))
        fields.append(np.asarray(noise.resize(size[::-1], Image.Resampling.BILINEAR)))
    pace = 2 * np.pi * rng.uniform(0.2, 3.0, 4)
    swing = np.sin(pace * times_s[:, None] + rng.uniform(0, 6.28, 4)).astype(np.float32)
    return np.asarray(strength * np.tensordot(swing, np.stack(fields), axes=1), np.float32)


def _reduced(image: Image.Image, weights: NDArray[np.float64], form: ClipForm) -> NDArray[np.uint8]:
    """Reduce a drawn picture to a form's size, in grey."""
    filter_ = Image.Resampling.BOX if image.width > form.columns else Image.Resampling.BILINEAR
    small = np.asarray(image.resize((form.columns, form.rows), filter_))
    return np.asarray(small @ weights, np.float64).astype(np.uint8)
