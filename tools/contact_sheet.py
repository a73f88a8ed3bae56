"""Film strips of rendered dives, one a row, for the documentation.

    python tools/contact_sheet.py docs/images/dives.jpg
    python tools/contact_sheet.py docs/images/replica.jpg --labels finediving_labels.jsonl
    python tools/contact_sheet.py docs/images/random_pools.jpg --random-pools 14
    python tools/contact_sheet.py docs/images/missed_pools.jpg --pools 1000100 1000101 1000104 1000106

The second shows replicas of real dives: below each picture the step that the real dive is labelled with there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from mcore.common.command_line import run_command_line
from mcore.common.errors import UserError
from mcore.data.replica_labels import replica_labels
from mcore.data.sources import read_source
from mcore.synthetic import RenderedDive, render_dive
from mcore.synthetic.replica import Replica, plan_replica, render_replica
from mcore.synthetic.untrimmed import STREAM, render_clip

DIVES = (("407C", 2), ("205B", 5), ("6243D", 6), ("5337D", 9))
CLIPS = (
    "01/87",
    "FINADivingWorldCup2021_Men10m_final_r1/9",
    "FINADivingWorldCup2021_Women10m_semifinal_r3/17",
    "FINAWorldChampionships2019_Men10m_final_r2/10",
    "FINAWorldChampionships2019_Men3m_final_r1/9",
    "01/37",
    "18/71",
)
"""A dive number at three scores, then one with two, one with three steps in flight, an armstand, a springboard."""
FRAME_WIDTH = 150
STEP_COLORS = ((96, 140, 190), (214, 150, 60), (190, 90, 120), (130, 110, 190), (80, 160, 110))
_BAR_PX, _CAPTION_PX = 6, 18
_POOL_FRAMES, _POOL_SIZE = 9, (142, 106)

Image8 = NDArray[np.uint8]


@dataclass(frozen=True)
class Arguments:
    """Options of a contact sheet."""

    out: tyro.conf.Positional[Path]
    """Picture to write."""
    labels: Path | None = None
    """Show replicas of these dives."""
    random_pools: int = 0
    """Show this many dives in random pools."""
    pools: tuple[int, ...] = ()
    """Show the dives in the random pools of these seeds."""


def main(argv: Sequence[str] | None = None) -> int:
    """Write the picture; returns 0, or 2 for a mistake."""
    return run_command_line(Arguments, _write, prog="contact_sheet.py", doc=__doc__, argv=argv)


def film_strip(dive: RenderedDive) -> Image8:
    """Frames of one dive side by side, most of them from the flight: (H, n * FRAME_WIDTH, 3)."""
    flight, entry = dive.plan.transition_frames
    chosen = [4, flight - 3, *np.linspace(flight + 3, entry - 1, 5).astype(int), entry + 2, entry + 7]
    return np.concatenate([_middle(dive.frames[i]) for i in chosen], axis=1)


def replica_strip(replica: Replica) -> Image8:
    """Frames of a replica side by side between a caption and its steps, each step in its colour."""
    frames, label = render_replica(replica).frames, replica.label
    flight, entry = replica.plan.transition_frames
    last = label.num_frames - 1
    chosen = [max(0, flight - 12), flight - 1, *np.linspace(flight + 2, entry - 2, 6).astype(int)]
    chosen += [min(last, entry + after) for after in (1, 5, 9)]
    columns = []
    for i in chosen:
        step = sum(i >= frame for frame in label.step_frames)
        color = STEP_COLORS[-1] if step == len(label.step_frames) else STEP_COLORS[step]
        columns.append(np.concatenate([_middle(frames[i]), np.full((_BAR_PX, FRAME_WIDTH, 3), color, np.uint8)]))
    strip = np.concatenate(columns, axis=1)
    judge = np.median(replica.plan.awards)
    text = f"{label.dive_number}   difficulty {label.difficulty}   {label.score:.2f} points   median award {judge:.1f}"
    return np.concatenate([_caption(text, strip.shape[1]), strip])


def pool_strip(seed: int) -> Image8:
    """Frames of a dive in a random pool side by side, from before the take-off to after the entry."""
    clip = render_clip(seed, "dive", STREAM)
    dive = clip.dives[0]
    times = np.linspace(dive.takeoff_s - 0.5, dive.entry_s + 0.5, _POOL_FRAMES)
    chosen = [int(np.abs(clip.times_s - time_s).argmin()) for time_s in times]
    pictures = [Image.fromarray(clip.pictures[i]).resize(_POOL_SIZE).convert("RGB") for i in chosen]
    return np.concatenate([np.asarray(picture) for picture in pictures], axis=1)


def _middle(frame: Image8) -> Image8:
    left = frame.shape[1] // 2 - FRAME_WIDTH // 2
    return frame[:, left : left + FRAME_WIDTH]


def _caption(text: str, width: int) -> Image8:
    image = Image.new("RGB", (width, _CAPTION_PX), (24, 26, 30))
    ImageDraw.Draw(image).text((6, 3), text, fill=(230, 232, 236), font=ImageFont.load_default())
    return np.asarray(image)


def _replicas(labels: Path) -> list[Replica]:
    found = {label.clip: label for label in replica_labels(read_source(labels).dives)[0]}
    if missing := [clip for clip in CLIPS if clip not in found]:
        raise UserError(f"{labels} has no clip {', '.join(missing)}; give FineDiving's labels")
    return [plan_replica(found[clip], 0) for clip in CLIPS]


def _write(arguments: Arguments) -> int:
    out, labels = arguments.out, arguments.labels
    if pools := arguments.pools or tuple(range(arguments.random_pools)):
        sheet = np.concatenate([pool_strip(seed) for seed in pools])
    elif labels is None:
        sheet = np.concatenate([film_strip(render_dive(number, seed)) for number, seed in DIVES])
    else:
        sheet = np.concatenate([replica_strip(replica) for replica in _replicas(labels)])
    Image.fromarray(sheet).save(out, quality=85 if labels is None and not pools else 72)
    print(f"{out}: {sheet.shape[1]} x {sheet.shape[0]}, {out.stat().st_size / 1e3:.0f} kB")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
