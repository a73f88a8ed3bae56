"""Draw film strips of rendered dives, one a row, for the README: ``python tools/contact_sheet.py docs/dives.jpg``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import tyro
from numpy.typing import NDArray
from PIL import Image

from mcore.errors import run_command
from mcore.synthetic import RenderedDive, render_dive

DIVES = (("407C", 2), ("205B", 5), ("6243D", 6), ("5337D", 9))
FRAME_WIDTH = 150


def main(argv: Sequence[str] | None = None) -> int:
    """Write the picture; returns 0, or 2 for a mistake."""
    out = tyro.cli(_out, args=argv, description=__doc__)
    return run_command(lambda: _write(out))


def _out(out: Annotated[Path, tyro.conf.Positional]) -> Path:
    return out


def film_strip(dive: RenderedDive) -> NDArray[np.uint8]:
    """Frames of one dive side by side, most of them from the flight: (H, n * FRAME_WIDTH, 3)."""
    flight, entry = dive.plan.transition_frames
    chosen = [4, flight - 3, *np.linspace(flight + 3, entry - 1, 5).astype(int), entry + 2, entry + 7]
    middle = dive.frames.shape[2] // 2
    crop = slice(middle - FRAME_WIDTH // 2, middle + FRAME_WIDTH // 2)
    return np.concatenate([dive.frames[i][:, crop] for i in chosen], axis=1)


def _write(out: Path) -> int:
    sheet = np.concatenate([film_strip(render_dive(number, seed)) for number, seed in DIVES])
    Image.fromarray(sheet).save(out, quality=85)
    print(f"{out}: {sheet.shape[1]} x {sheet.shape[0]}, {out.stat().st_size / 1e3:.0f} kB")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
