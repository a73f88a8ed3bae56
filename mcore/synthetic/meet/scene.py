"""Frames of a rendered meet: venue, camera, divers, everything that moves besides, and the sensor's noise."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from mcore.synthetic.camera import Array, Sensor, View, seen_from
from mcore.synthetic.diver import draw_springboard, paste_diver
from mcore.synthetic.meet.actors import Actor, cast_actors, dressed_like
from mcore.synthetic.meet.camera import camera_path, view_height_m
from mcore.synthetic.meet.course import Meet, MeetDive, event_frames, stream
from mcore.synthetic.scene import FAR_EDGE_M, draw_venue
from mcore.synthetic.splash import draw_splash_parameters, paste_splash
from mcore.synthetic.worlds import draw_world_look

_NOISE_PATTERNS = 8
_BOARD = (3.6, 4.3, 6.4, 5.5)
"""Scoreboard on the wall: left, bottom, right, top, metres."""
_PAGE_S = 7.0
_SPLASH_S = 5.0
_SIDE_M = 8.0
"""Wall, stand and water go on beyond what is drawn of the venue."""


class Scene:
    """Renders the frames of a meet one after the other.

    Args:
        meet: what happens.
    """

    def __init__(self, meet: Meet) -> None:
        settings = meet.settings
        rng = stream(settings, "venue")
        self._meet = meet
        self._look = draw_world_look(settings.world, rng)
        self._scale = settings.height / view_height_m(meet, self._look)
        # The order of these draws decides the pixels: look, venue, noise.
        venue = draw_venue(settings.height_m, self._look, self._scale, rng)
        self._side_px = round(_SIDE_M * self._scale)
        padding = ((0, 0), (self._side_px, self._side_px), (0, 0))
        self._venue = Image.fromarray(np.pad(np.asarray(venue), padding, mode="edge"))
        self._camera = camera_path(meet, self._look)
        self._actors = cast_actors(meet)
        self._sensor = Sensor(self._look, settings.width, settings.height, _NOISE_PATTERNS, rng)
        people, splashes = stream(settings, "divers"), stream(settings, "splashes")
        self._divers = [dressed_like(self._look, draw_world_look(settings.world, people)) for _ in meet.dives]
        self._splashes = [draw_splash_parameters(dive.plan.faults.splash, splashes) for dive in meet.dives]
        self._light = _light(meet)

    def frames(self) -> Iterator[NDArray[np.uint8]]:
        """Yield (H, W, 3) RGB frames."""
        settings = self._meet.settings
        patterns = stream(settings, "noise")
        glitter = stream(settings, "ripples")
        # Actors by first frame, the next one last: each is taken once, and dropped when it has left.
        waiting, present = list(reversed(self._actors)), list[Actor]()
        for index in range(self._meet.num_frames):
            while waiting and waiting[-1].frames[0] <= index:
                present.append(waiting.pop())
            present = [actor for actor in present if index < actor.frames[1]]
            image, view = self._background(index)
            self._draw_people(image, view, index, present)
            pixels = self._sensor.expose(image)
            if "ripples" in settings.distractors:
                _add_ripples(pixels, view, index / settings.rate, glitter)
            if self._light[index] != 1.0:
                pixels = (pixels * self._light[index]).astype(np.int16)
            frame = self._sensor.record(pixels, patterns)
            yield np.ascontiguousarray(frame[:, ::-1]) if self._look.mirrored else frame

    def _background(self, index: int) -> tuple[Image.Image, View]:
        settings = self._meet.settings
        view = View(self._camera[index], self._scale, settings.width, settings.height)
        image = view.crop(self._venue, self._scale, pad_m=self._side_px / self._scale)
        if "scoreboard" in settings.distractors:
            _draw_scoreboard(image, view, index / settings.rate)
        return image, view

    def _draw_people(self, image: Image.Image, view: View, index: int, present: list[Actor]) -> None:
        rate = self._meet.settings.rate
        shown = [(dive, i) for dive in self._meet.dives if 0 <= (i := index - dive.first_frame) < self._num_shown(dive)]
        if self._meet.settings.height_m == 3:
            tips = [float(dive.plan.motion.board_tip_m[i]) for dive, i in shown if i < dive.plan.num_frames]
            draw_springboard(image, view, min(tips, default=3.0), self._look)
        for actor in present:
            actor.draw(image, view, (index - actor.frames[0] + 0.5) / rate)
        for dive, i in shown:
            self._draw_dive(image, view, dive, i)

    def _num_shown(self, dive: MeetDive) -> int:
        """Frames for which a dive, or what its splash leaves, is seen."""
        return dive.plan.num_frames + round(_SPLASH_S * self._meet.settings.rate)

    def _draw_dive(self, image: Image.Image, view: View, dive: MeetDive, i: int) -> None:
        """Draw frame ``i`` of a dive."""
        joints = seen_from(dive.plan.motion.joints_m, self._look.camera_yaw_deg)
        entry = dive.plan.transition_frames[1]
        if i < dive.plan.num_frames:
            paste_diver(image, view, joints[i], self._divers[dive.truth.index])
        entry_x = float(joints[entry, joints[entry, :, 1].argmin(), 0])
        since_s = (i - entry + 0.5) / dive.plan.frames_per_second
        paste_splash(image, view, self._splashes[dive.truth.index], since_s, entry_x)


def _light(meet: Meet) -> Array:
    """Gain of every frame: the camera's exposure wanders, and spectators take pictures with a flash."""
    gain = np.ones(meet.num_frames)
    if "light" not in meet.settings.distractors:
        return gain
    rng, rate = stream(meet.settings, "light"), meet.settings.rate
    t = np.arange(meet.num_frames) / rate
    gain += 0.05 * np.sin(2 * np.pi * (t / rng.uniform(15, 30) + rng.random()))
    for first in event_frames(rng, meet.num_frames, rate, 20.0).tolist():
        gain[first : first + max(1, rate // 25)] *= rng.uniform(1.15, 1.5)
    return gain


def _add_ripples(pixels: NDArray[np.int16], view: View, seconds: float, rng: np.random.Generator) -> None:
    """Waves that travel over the water, and reflections that flash on them; in place."""
    top = max(0, round(float(view.pixel(0.0, FAR_EDGE_M)[1])))
    if top >= len(pixels):
        return
    water = pixels[top:]
    rows, columns = water.shape[:2]
    y = np.arange(rows) / view.scale
    x = np.arange(columns) / view.scale + view.center[0]
    # Three travelling waves; sin(a + b) is written as products, so that each is two vectors and not a picture.
    waves = np.zeros((rows, columns), np.float32)
    for along, across, per_s in ((1.1, 5.0, 3.1), (-2.3, 8.5, 4.4), (0.4, 12.0, 6.1)):
        a, b = (across * y + per_s * seconds)[:, None], (along * x)[None]
        waves += np.sin(a).astype(np.float32) * np.cos(b).astype(np.float32)
        waves += np.cos(a).astype(np.float32) * np.sin(b).astype(np.float32)
    water += (4.0 * waves).astype(np.int16)[..., None]
    count = rows * columns // 500
    water[rng.integers(0, rows, count), rng.integers(0, columns, count)] += 45


def _draw_scoreboard(image: Image.Image, view: View, seconds: float) -> None:
    """A board with a running clock whose pages change."""
    left, bottom, right, top = _BOARD
    page = int(seconds / _PAGE_S)
    draw = ImageDraw.Draw(image)
    x0, y0 = view.pixel(left, top).tolist()
    x1, y1 = view.pixel(right, bottom).tolist()
    draw.rectangle((x0, y0, x1, y1), fill=[(14, 16, 24), (20, 40, 110), (150, 150, 155)][page % 3])
    lines = 4
    for line in range(lines):
        value = int(seconds * 10) if line == 0 else (page * 7919 + line * 104_729)
        for digit in range(8):
            if value * (digit + 3) // (digit + 1) % 5:
                x = x0 + (x1 - x0) * (digit + 0.5) / 9
                y = y0 + (y1 - y0) * (line + 0.3) / lines
                draw.rectangle((x, y, x + (x1 - x0) / 14, y + (y1 - y0) / lines * 0.5), fill=(250, 200, 40))
