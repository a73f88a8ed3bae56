"""Draw film strips of rendered dives, one a row, for the documentation.

    python tools/contact_sheet.py docs/dives.jpg
    python tools/contact_sheet.py docs/twin.jpg --labels finediving_labels.jsonl

The second shows twins of real dives: below each picture the step that the real dive is labelled with there.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import tyro
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from mcore.common.cli_help import description
from mcore.common.errors import UserError, run_command
from mcore.data.replica_labels import twin_labels
from mcore.data.sources import read_source
from mcore.synthetic import RenderedDive, render_dive
from mcore.synthetic.replica import Twin, plan_twin, render_twin

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

Image8 = NDArray[np.uint8]


def main(argv: Sequence[str] | None = None) -> int:
    """Write the picture; returns 0, or 2 for a mistake."""
    out, labels = tyro.cli(_options, args=argv, description=description(__doc__))
    return run_command(lambda: _write(out, labels))


def _options(out: Annotated[Path, tyro.conf.Positional], labels: Path | None = None) -> tuple[Path, Path | None]:
    """Parse the command line.

    Args:
        out: picture to write.
        labels: show twins of these dives.
    """
    return out, labels


def film_strip(dive: RenderedDive) -> Image8:
    """Frames of one dive side by side, most of them from the flight: (H, n * FRAME_WIDTH, 3)."""
    flight, entry = dive.plan.transition_frames
    chosen = [4, flight - 3, *np.linspace(flight + 3, entry - 1, 5).astype(int), entry + 2, entry + 7]
    return np.concatenate([_middle(dive.frames[i]) for i in chosen], axis=1)


def twin_strip(twin: Twin) -> Image8:
    """Frames of a twin side by side between a caption and its steps, each step in its colour."""
    frames, label = render_twin(twin).frames, twin.label
    flight, entry = twin.plan.transition_frames
    last = label.num_frames - 1
    chosen = [max(0, flight - 12), flight - 1, *np.linspace(flight + 2, entry - 2, 6).astype(int)]
    chosen += [min(last, entry + after) for after in (1, 5, 9)]
    columns = []
    for i in chosen:
        step = sum(i >= frame for frame in label.step_frames)
        color = STEP_COLORS[-1] if step == len(label.step_frames) else STEP_COLORS[step]
        columns.append(np.concatenate([_middle(frames[i]), np.full((_BAR_PX, FRAME_WIDTH, 3), color, np.uint8)]))
    strip = np.concatenate(columns, axis=1)
    judge = np.median(twin.plan.awards)
    text = f"{label.dive_number}   difficulty {label.difficulty}   {label.score:.2f} points   median award {judge:.1f}"
    return np.concatenate([_caption(text, strip.shape[1]), strip])


def _middle(frame: Image8) -> Image8:
    left = frame.shape[1] // 2 - FRAME_WIDTH // 2
    return frame[:, left : left + FRAME_WIDTH]


def _caption(text: str, width: int) -> Image8:
    image = Image.new("RGB", (width, _CAPTION_PX), (24, 26, 30))
    ImageDraw.Draw(image).text((6, 3), text, fill=(230, 232, 236), font=ImageFont.load_default())
    return np.asarray(image)


def _twins(labels: Path) -> list[Twin]:
    found = {label.clip: label for label in twin_labels(read_source(labels).dives)[0]}
    if missing := [clip for clip in CLIPS if clip not in found]:
        raise UserError(f"{labels} has no clip {', '.join(missing)}; give FineDiving's labels")
    return [plan_twin(found[clip], 0) for clip in CLIPS]


def _write(out: Path, labels: Path | None) -> int:
    if labels is None:
        sheet = np.concatenate([film_strip(render_dive(number, seed)) for number, seed in DIVES])
    else:
        sheet = np.concatenate([twin_strip(twin) for twin in _twins(labels)])
    Image.fromarray(sheet).save(out, quality=72 if labels else 85)
    print(f"{out}: {sheet.shape[1]} x {sheet.shape[0]}, {out.stat().st_size / 1e3:.0f} kB")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
