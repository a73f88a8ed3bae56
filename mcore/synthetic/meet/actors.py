"""Actors of a rendered meet: people and things besides the dives, which know when they are there and draw themselves.

Positions are metres: x away from the board's tip, heights above the water.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Protocol

import numpy as np
from PIL import Image, ImageDraw

from mcore.diving.physics import GRAVITY_M_S2
from mcore.synthetic import body, choreography
from mcore.synthetic.camera import Array, View
from mcore.synthetic.diver import paste_diver
from mcore.synthetic.meet.course import WALK_S, Meet, event_frames, stream
from mcore.synthetic.motion import flight_seconds
from mcore.synthetic.scene import Look, draw_look
from mcore.synthetic.splash import Splash, draw_splash_parameters, paste_splash

_STEP_S = 0.55
_WALK_PHASES = 16
_WHITE = (236, 244, 248)


class Actor(Protocol):
    """Something that moves."""

    @property
    def frames(self) -> tuple[int, int]:
        """First frame in which it is there, and the first in which it is not any more."""
        ...

    def draw(self, image: Image.Image, view: View, since_s: float) -> None:
        """Draw it as it is ``since_s`` seconds after its first frame."""
        ...


@dataclass(frozen=True, eq=False)
class Walker:
    """Somebody who walks, or stands once arrived."""

    frames: tuple[int, int]
    from_x: float
    to_x: float
    ground_m: float
    speed: float
    """Metres a second."""
    look: Look

    def draw(self, image: Image.Image, view: View, since_s: float) -> None:
        """Draw the person."""
        away = 1 if self.to_x > self.from_x else -1
        walked = self.speed * since_s
        arrived = walked >= abs(self.to_x - self.from_x)
        x = self.to_x if arrived else self.from_x + away * walked
        pose = _standing(away) if arrived else _walking(away)[int(since_s / _STEP_S / 2 * _WALK_PHASES) % _WALK_PHASES]
        paste_diver(image, view, _placed(pose, x, self.ground_m), self.look)


@dataclass(frozen=True, eq=False)
class Jumper:
    """Somebody who jumps up straight: back onto the board, or down into the water."""

    frames: tuple[int, int]
    x: float
    from_m: float
    to_m: float
    speed: float
    """Upward, metres a second."""
    look: Look
    splash: Splash | None

    def draw(self, image: Image.Image, view: View, since_s: float) -> None:
        """Draw the person, and the splash where there is one."""
        lands_s = flight_seconds(self.from_m, self.to_m, self.speed)
        t = min(since_s, lands_s)
        x = self.x + (0.8 * t if self.from_m > self.to_m else 0.0)  # into the water, away from the edge
        feet = self.from_m + self.speed * t - GRAVITY_M_S2 * t**2 / 2
        if self.splash is not None and since_s > lands_s:
            feet -= 4.0 * (since_s - lands_s)  # sinks
        paste_diver(image, view, _placed(_standing(1), x, feet), self.look)
        if self.splash is not None:
            paste_splash(image, view, self.splash, since_s - lands_s, x, self.to_m)


@dataclass(frozen=True, eq=False)
class Towel:
    """A towel that a diver throws down before the dive: a free fall without a diver."""

    frames: tuple[int, int]
    from_m: float
    speed: float
    """Away from the board, metres a second."""
    color: tuple[int, int, int]
    splash: Splash

    def draw(self, image: Image.Image, view: View, since_s: float) -> None:
        """Draw the towel, and its small splash."""
        y = self.from_m + 1.0 * since_s - GRAVITY_M_S2 * since_s**2 / 2  # thrown up at 1 m/s
        x = -0.4 + self.speed * since_s
        if y > 0:
            half = np.array([0.16, 0.16]) * (1 + 0.4 * np.array([np.sin(9 * since_s), np.cos(9 * since_s)]))
            left, top = view.pixel(x - half[0], y + half[1])
            right, bottom = view.pixel(x + half[0], y - half[1])
            ImageDraw.Draw(image).ellipse([left, top, right, bottom], fill=self.color)
        lands_s = flight_seconds(self.from_m, 0.0, 1.0)
        paste_splash(image, view, self.splash, since_s - lands_s, -0.4 + self.speed * lands_s)


@dataclass(frozen=True, eq=False)
class Swimmer:
    """Somebody who swims: head, arms and some foam."""

    frames: tuple[int, int]
    from_x: float
    speed: float
    """Metres a second, negative to the board."""
    depth_m: float
    """Where across the pool: 0 where divers enter, negative nearer to the camera."""
    look: Look

    def draw(self, image: Image.Image, view: View, since_s: float) -> None:
        """Draw what is above the water."""
        x, y = self.from_x + self.speed * since_s, self.depth_m
        draw = ImageDraw.Draw(image)
        foam = 0.25 + 0.15 * np.sin(7.3 * since_s)
        side = -np.sign(self.speed)
        for center, half_x, half_y, color in (
            (x + 0.7 * side, 0.45 + foam, 0.05 + 0.05 * foam, _WHITE),
            (x + 0.4 * np.sin(6 * since_s), 0.16, 0.14 * abs(np.sin(6 * since_s)) + 0.02, self.look.skin),
            (x, 0.13, 0.12, self.look.hair),
        ):
            left, top = view.pixel(center - half_x, y + 2 * half_y)
            right, bottom = view.pixel(center + half_x, y)
            draw.ellipse([left, top, max(left + 1, right), max(top + 1, bottom)], fill=color)


def cast_actors(meet: Meet) -> list[Actor]:
    """List everybody besides the divers in flight, by first frame; the divers' coming and swimming off included."""
    wanted = meet.settings.distractors
    actors: list[Actor] = []
    looks = _looks(meet, "people")
    rng = stream(meet.settings, "actors")
    for dive in meet.dives:
        actors += _before_and_after_dive(meet, dive.first_frame, dive.first_frame + dive.plan.num_frames, looks, rng)
    casts: dict[str, Callable[..., Sequence[Actor]]] = {
        "walkers": _walkers, "swimmers": _swimmers, "towels": _towels, "bounces": _bounces, "jumpers": _jumpers
    }  # fmt: skip
    for name, cast in casts.items():
        rng = stream(meet.settings, name)  # each its own numbers: leaving one out does not move the others
        if name in wanted:
            actors += cast(meet, rng, looks)
    return sorted(actors, key=lambda actor: actor.frames)


def _looks(meet: Meet, purpose: str) -> Callable[[], Look]:
    rng = stream(meet.settings, purpose)
    return lambda: draw_look(rng)


def _before_and_after_dive(
    meet: Meet, first: int, end: int, looks: Callable[[], Look], rng: np.random.Generator
) -> Sequence[Actor]:
    rate, height = meet.settings.rate, float(meet.settings.height_m)
    walk = Walker((first - round(WALK_S * rate), first), -6.5, -1.75, height, 1.9, looks())
    away = float(rng.choice([-0.7, 0.8]))
    swim = Swimmer((end - round(0.5 * rate), end + round(rng.uniform(4, 9) * rate)), 1.6, away, 0.0, looks())
    return [walk, swim]


def _walkers(meet: Meet, rng: np.random.Generator, looks: Callable[[], Look]) -> Sequence[Actor]:
    """On the pool deck beside the tower, beyond the pool, and on the platforms below."""
    rate = meet.settings.rate
    walkers = []
    for first in event_frames(rng, meet.num_frames, rate, 5.0).tolist():
        ground, left, right = [(0.35, -7.4, -2.3), (1.35, -7.5, 9.5), (1.35, -7.5, 9.5), (5.0, -7.5, -2.8)][
            int(rng.integers(4 if meet.settings.height_m == 10 else 3))
        ]
        start, end = (left, right) if rng.random() < 0.5 else (right, left)
        speed, lasts = float(rng.uniform(0.8, 1.8)), round(rng.uniform(4, 14) * rate)
        walkers.append(Walker((first, first + lasts), start, end, ground, speed, looks()))
    return walkers


def _swimmers(meet: Meet, rng: np.random.Generator, looks: Callable[[], Look]) -> Sequence[Actor]:
    rate = meet.settings.rate
    return [
        Swimmer(
            (first, first + round(rng.uniform(6, 16) * rate)),
            float(rng.uniform(-2, 8)),
            float(rng.choice([-1, 1]) * rng.uniform(0.5, 1.3)),
            float(rng.uniform(-0.9, 0.8)),
            looks(),
        )
        for first in event_frames(rng, meet.num_frames, rate, 12.0).tolist()
    ]


def _towels(meet: Meet, rng: np.random.Generator, looks: Callable[[], Look]) -> Sequence[Actor]:
    rate, height = meet.settings.rate, meet.settings.height_m
    return [
        Towel(
            (first, first + 4 * rate),
            height + 1.2,
            float(rng.uniform(0.4, 1.4)),
            looks().suit,
            draw_splash_parameters(0.0, rng),
        )
        for first in _between_dives(meet, rng, 0.4)
    ]


def _bounces(meet: Meet, rng: np.random.Generator, looks: Callable[[], Look]) -> Sequence[Actor]:
    """Somebody tries the board: jumps on it two or three times, and does not dive."""
    height, rate = float(meet.settings.height_m), meet.settings.rate
    actors: list[Actor] = []
    for first in _between_dives(meet, rng, 0.4):
        speed = float(rng.uniform(2.5, 4.2) if height == 3 else rng.uniform(1.0, 2.0))
        hop = round(2 * speed / GRAVITY_M_S2 * rate)
        look = looks()
        for k in range(int(rng.integers(2, 4))):
            start = first + k * (hop + round(0.3 * rate))
            actors.append(Jumper((start, start + hop + round(0.3 * rate)), -0.3, height, height, speed, look, None))
    return actors


def _jumpers(meet: Meet, rng: np.random.Generator, looks: Callable[[], Look]) -> Sequence[Actor]:
    """Somebody jumps into the water from the edge of the pool."""
    rate = meet.settings.rate
    return [
        Jumper(
            (first, first + 3 * rate),
            -2.0,
            0.35,
            0.0,
            float(rng.uniform(0.5, 2.0)),
            looks(),
            draw_splash_parameters(float(rng.uniform(0.2, 0.6)), rng),
        )
        for first in event_frames(rng, meet.num_frames, rate, 60.0).tolist()
    ]


def _between_dives(meet: Meet, rng: np.random.Generator, share: float) -> list[int]:
    """Frames before a diver comes, for a share of the dives: what happens on the board happens when it is free."""
    rate = meet.settings.rate
    return [
        dive.first_frame - round((WALK_S + rng.uniform(3.0, 4.0)) * rate)
        for dive in meet.dives
        if rng.random() < share and dive.first_frame > 8 * rate
    ]


@cache
def _walking(away: int) -> Array:
    """Joints (phases, joints, 3) of two steps."""
    left, right = choreography.STEP_LEFT, choreography.STEP_RIGHT
    phase = (1 - np.cos(np.arange(_WALK_PHASES) * 2 * np.pi / _WALK_PHASES)) / 2
    angles = left + (right - left) * phase[:, None]
    zero = np.zeros(_WALK_PHASES)
    return body.turn(body.joints(angles), zero, zero, away)


@cache
def _standing(away: int) -> Array:
    """Joints (joints, 3) of a person who stands."""
    zero = np.zeros(1)
    joints: Array = body.turn(body.joints(choreography.STAND[None]), zero, zero, away)[0]
    return joints


def _placed(pose: Array, x: float, ground_m: float) -> Array:
    """Stand a body (joints, 3) with its lowest joint at a height."""
    joints: Array = pose.copy()
    joints[:, 0] += x
    joints[:, 1] += ground_m - joints[:, 1].min()
    return joints


def dressed_like(look: Look, person: Look) -> Look:
    """Give a person's appearance to a venue's look."""
    return replace(
        look, suit=person.suit, full_suit=person.full_suit, skin=person.skin, hair=person.hair, build=person.build
    )
