"""One shot: a pool, a camera, somebody who dives or does not, and whatever else moves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from mcore.synthetic.camera import View
from mcore.synthetic.diver import paste_diver
from mcore.synthetic.meet.actors import Actor, Jumper, Swimmer, Towel, Walker
from mcore.synthetic.pool import SIDE_M, Ground, draw_pool, random_color, random_look
from mcore.synthetic.scene import Color, Look
from mcore.synthetic.splash import Splash, draw_splash_parameters, paste_splash
from mcore.synthetic.untrimmed.action import Action
from mcore.synthetic.untrimmed.operator import CameraKind, Path, draw_position, film, shows

Array = NDArray[np.float64]
_MOST_PIXELS_PER_M = 30.0
"""Scale of a pool's picture at most: larger views are enlarged from it."""
_TAKES = 12
"""A dive is filmed again this often, where the camera does not show it."""
_LEAST_PIXELS_PER_M = 0.5
"""Where a camera zooms out further, splashes and people are smaller than a pixel."""


@dataclass(frozen=True)
class _Bystander:
    """Somebody else in the picture."""

    actor: Actor
    first_s: float
    nearer: float
    """How much larger than a diver; above 1 for people who walk before the lens."""


@dataclass(frozen=True, eq=False)
class _Diver:
    """One who dives, alone or in a pair."""

    joints: Array
    """(N, joints, 3) in the picture plane, metres; water at 0."""
    look: Look
    splash: Splash
    aside_m: float
    """How far to the camera's side of the board."""
    late: int
    """Frames behind the action."""

    def frame(self, index: int) -> int:
        """Frame of the action that a frame of the video shows."""
        return min(max(0, index - self.late), len(self.joints) - 1)


class Shot:
    """Draws frames of one shot.

    Args:
        action: what happens.
        camera: kind of camera.
        rate: frames a second of the video.
        size: width and height of a frame, pixels, square ones.
        speed: seconds of the action for each second of the video.
        rng: decides everything else.
    """

    def __init__(
        self, action: Action, camera: CameraKind, rate: float, size: tuple[int, int], speed: float,
        rng: np.random.Generator,
    ) -> None:  # fmt: skip
        self._action, self._rate, self._size, self._speed = action, rate, size, speed
        self._position = draw_position(rng)
        # What the camera looks down on: where the diver enters is level 0 of the picture plane.
        self._water_m = float(self._position.project(np.array([1.5, 0.0, 0.0]))[1])
        wall = random_color(rng, 10, 235)
        self._divers = self._draw_divers(wall, rng)
        self._path: Path = self._film(camera, rng)
        self._board: tuple[Color, Color] = (random_color(rng), random_color(rng, 60, 255))
        self._wide_m = float(rng.uniform(0.2, 0.4) if action.height_m <= 3 else rng.uniform(0.6, 1.8))
        self._thick_m = float(rng.uniform(0.04, 0.12) if action.height_m <= 3 else rng.uniform(0.1, 0.4))
        down = max(0.0, np.radians(self._position.pitch_deg))
        ground = Ground(float(rng.uniform(0.1, 1.5) + 12 * np.sin(down)), float(-rng.uniform(0.8, 5.0)))
        self._far_edge_m = ground.far_edge_m
        self._scale = min(_MOST_PIXELS_PER_M, size[1] / float(np.median(self._path.view_m)))
        # A pool's picture takes as many random numbers as it has pixels; what happens must not depend on its size.
        self._pool = draw_pool(ground, wall, action.height_m, self._scale, rng.spawn(1)[0])
        self._bystanders = _draw_bystanders(action, ground, len(action.joints_m) / rate, rng)

    def draw(self, index: int) -> Image.Image:
        """Draw a frame."""
        view = View(self._path.center_m[index], self._size[1] / float(self._path.view_m[index]), *self._size)
        image = view.crop(self._pool, self._scale, pad_m=SIDE_M)
        now_s = (index + 0.5) / self._rate
        self._draw_bystanders(image, view, now_s, before_lens=False)
        for diver in self._divers:
            self._draw_board(image, view, float(self._action.tip_m[diver.frame(index)]), diver.aside_m)
        for diver in self._divers:
            joints = diver.joints[diver.frame(index)]
            if not np.isnan(joints[0, 0]) and _is_near(view, joints):
                paste_diver(image, view, joints, diver.look)
        if self._action.entry_s is not None and view.scale > _LEAST_PIXELS_PER_M:
            for diver in self._divers:
                since_s = (now_s - diver.late / self._rate) * self._speed - self._action.entry_s
                if 0 <= since_s < 6:
                    touched = diver.joints[self._frame(self._action.entry_s)]
                    paste_splash(image, view, diver.splash, since_s, float(touched[:, 0].mean()))
        self._draw_bystanders(image, view, now_s, before_lens=True)
        return image

    def _draw_divers(self, wall: Color, rng: np.random.Generator) -> list[_Diver]:
        """Draw who dives: one, or a pair, the one further away first."""
        action, divers = self._action, []
        partner = action.partner
        both = [(0.0, 0.0)] if partner is None else [(0.0, 0.0), (partner.aside_m, partner.late_s)]
        for aside_m, late_s in sorted(both):
            joints = self._position.project(action.joints_m + np.array([0.0, 0.0, aside_m]))
            joints[..., 1] -= self._water_m
            late = round(late_s / self._speed * self._rate)
            splash = draw_splash_parameters(action.splash, rng)
            divers.append(_Diver(joints, random_look(rng, wall), splash, aside_m, late))
        return divers

    def _film(self, camera: CameraKind, rng: np.random.Generator) -> Path:
        """Decide what the camera shows; a dive is filmed again until it is to be seen."""
        action, rate = self._action, self._rate
        focus = np.mean([diver.joints[..., :2].mean(axis=1) for diver in self._divers], axis=0)
        path = film(camera, action, focus, rate, rng)
        if action.takeoff_s is not None and action.entry_s is not None:
            flight = slice(self._frame(action.takeoff_s), self._frame(action.entry_s) + 1)
            aspect = round(self._size[0] / self._size[1], 1)  # the same for pictures of other sizes
            for _ in range(_TAKES):
                if shows(path, focus, flight, aspect):
                    break
                path = film(camera, action, focus, rate, rng)
        return path

    def _frame(self, time_s: float) -> int:
        """Frame of a time of the action."""
        return min(round(time_s / self._speed * self._rate), len(self._action.joints_m) - 1)

    def water_row(self, index: int) -> float:
        """Where the water begins in a frame, as a share of its height from the top; may be outside."""
        center, view_m = self._path.center_m[index, 1], self._path.view_m[index]
        return float(0.5 - (self._far_edge_m - center) / view_m)

    def _draw_board(self, image: Image.Image, view: View, tip_m: float, aside_m: float) -> None:
        if tip_m < -10:
            return
        draw = ImageDraw.Draw(image)
        rest, half = self._action.height_m, self._wide_m
        xs = np.array([-4.8, -2.4, 0.0])
        ys = rest + (tip_m - rest) * np.array([0.0, 0.22, 1.0]) - 0.02
        near = np.stack([xs, ys, np.full(3, half)], -1)
        far = near * [1, 1, -1]
        outline = self._position.project(np.concatenate([near, far[::-1]]) + np.array([0.0, 0.0, aside_m]))
        outline[:, 1] -= self._water_m
        x, y = view.pixel(outline[:, 0], outline[:, 1])
        thick = self._thick_m * view.scale
        for color, lower in ((self._board[0], thick), (self._board[1], 0.0)):
            points = [(float(a), float(b) + lower) for a, b in zip(x, y, strict=True)]
            draw.polygon(points, fill=color, outline=color)

    def _draw_bystanders(self, image: Image.Image, view: View, now_s: float, *, before_lens: bool) -> None:
        if view.scale <= _LEAST_PIXELS_PER_M:
            return
        for other in self._bystanders:
            since_s = now_s - other.first_s
            if since_s < 0 or (other.nearer > 1) != before_lens:
                continue
            other.actor.draw(image, replace(view, scale=view.scale * other.nearer), since_s)


def _is_near(view: View, joints: Array) -> bool:
    """Whether a body may be in the picture: drawing it elsewhere costs as much."""
    x, y = view.pixel(joints[:, 0], joints[:, 1])
    margin = view.scale * 0.5
    inside = (x.max() > -margin) & (x.min() < view.width + margin) & (y.max() > -margin)
    return bool(inside & (y.min() < view.height + margin))


def _draw_bystanders(action: Action, ground: Ground, lasts_s: float, rng: np.random.Generator) -> Sequence[_Bystander]:
    """People who walk, wait, swim, jump from the edge or throw something; the last diver's head and splash."""
    others = []

    def add(actor: Actor, first_s: float, nearer: float = 1.0) -> None:
        others.append(_Bystander(actor, first_s, nearer))

    any_time = (0, 1 << 30)
    for _ in range(int(rng.integers(0, 3))):
        level = float(rng.choice([0.35, ground.far_edge_m, ground.far_edge_m, 5.0, 3.0, 1.0]))
        left, right = rng.uniform(-9, 9, 2).tolist()
        walker = Walker(any_time, left, right, level, float(rng.uniform(0.5, 2.2)), random_look(rng))
        add(walker, float(rng.uniform(-8, lasts_s)), float(rng.uniform(0.5, 1.0)))
    if rng.random() < 0.15:  # before the lens
        side = float(rng.choice([-1, 1]) * rng.uniform(4, 9))
        ground_m = float(rng.uniform(-2.5, -0.5))
        walker = Walker(any_time, side, -side, ground_m, float(rng.uniform(0.6, 3.0)), random_look(rng))
        add(walker, float(rng.uniform(-2, lasts_s)), float(rng.uniform(1.3, 4.0)))
    for _ in range(int(rng.integers(0, 2))):
        speed = float(rng.choice([-1, 1]) * rng.uniform(0.2, 1.4))
        swimmer = Swimmer(any_time, float(rng.uniform(-6, 6)), speed, float(rng.uniform(-2, ground.far_edge_m)),
                          random_look(rng))  # fmt: skip
        add(swimmer, float(rng.uniform(-5, lasts_s)))
    if rng.random() < 0.12:
        splash = draw_splash_parameters(float(rng.uniform(0.0, 0.6)), rng)
        towel = Towel(any_time, action.height_m + 1.2, float(rng.uniform(-1.4, 1.6)), random_color(rng), splash)
        add(towel, float(rng.uniform(0, lasts_s)))
    if rng.random() < 0.12:
        jumper = Jumper(any_time, float(rng.uniform(-4, 6)), 0.35, 0.0, float(rng.uniform(0.3, 2.2)), random_look(rng),
                        draw_splash_parameters(float(rng.uniform(0.1, 0.7)), rng))  # fmt: skip
        add(jumper, float(rng.uniform(0, lasts_s)))
    if action.entry_s is None and rng.random() < 0.3:  # hops on some board, or on the ground
        level, x = float(rng.choice([action.height_m, action.height_m, 0.35])), float(rng.uniform(-1.5, -0.2))
        first_s, look = float(rng.uniform(0, lasts_s)), random_look(rng)
        for _ in range(int(rng.integers(1, 5))):
            speed = float(rng.uniform(1.0, 4.5))
            hop = Jumper((0, 1 << 30), x, level, level, speed, look, None)
            add(_Until(hop, 2 * speed / 9.81 + 0.3), first_s)
            first_s += 2 * speed / 9.81 + 0.3
    return others


@dataclass(frozen=True)
class _Until:
    """An actor that is gone after a time."""

    actor: Actor
    lasts_s: float

    @property
    def frames(self) -> tuple[int, int]:
        """As long as the shot lasts."""
        return self.actor.frames

    def draw(self, image: Image.Image, view: View, since_s: float) -> None:
        """Draw it while it is there."""
        if since_s < self.lasts_s:
            self.actor.draw(image, view, since_s)
