"""Without the native code everything computes the same, and says so."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

from mcore.config import ClipConfig
from mcore.video import crop, native, normalise, resize_frame

PROGRAM = """
import sys, numpy as np
from mcore.config import ClipConfig
from mcore.video import crop, native, normalise, resize_frame
config, random = ClipConfig(), np.random.default_rng(3)
sizes = [(1080, 1920), (2340, 1080), (256, 455), (50, 60)]  # the second is one that Pillow 13 resizes vertically first
frames = np.stack([resize_frame(random.integers(0, 256, (*size, 3), np.uint8), config) for size in sizes])
print(native.describe(), file=sys.stderr)
sys.stdout.buffer.write(frames.tobytes() + normalise(crop(frames, config), config).tobytes())
"""


def run(value: str) -> tuple[bytes, str]:
    environment = {**os.environ, "MCORE_NATIVE": value}
    done = subprocess.run([sys.executable, "-c", PROGRAM], env=environment, capture_output=True, check=True)
    return done.stdout, done.stderr.decode()


def test_both_ways_compute_the_same() -> None:
    pytest.importorskip("mcore_native", reason="the native code is not built here")
    with_native, said = run("1")
    assert "native code, " in said
    without, said = run("0")
    assert "Pillow and NumPy (native code is not used: MCORE_NATIVE=0)" in said
    assert len(with_native) == 4 * 112 * 200 * 3 + 4 * 4 * 112 * 112 * 3
    assert with_native == without


def test_many_sizes_of_video_are_resized_in_turn() -> None:
    """More than are remembered."""
    config = ClipConfig()
    pictures = {size: np.full((size, 2 * size, 3), size, np.uint8) for size in range(40, 60)}
    for _ in range(2):
        for size, picture in pictures.items():
            assert (resize_frame(picture, config) == size).all()
    assert crop(resize_frame(pictures[40], config)[None], config).shape == (1, 112, 112, 3)
    assert normalise(crop(resize_frame(pictures[40], config)[None], config), config).dtype == np.float32
    assert native.describe()


@pytest.mark.parametrize(("built", "variable", "warned"), [(False, "1", True), (False, "0", False), (True, "1", False)])
def test_what_was_not_built_is_said(monkeypatch: pytest.MonkeyPatch, built: bool, variable: str, warned: bool) -> None:
    """pip builds nothing without a compiler, and says nothing."""
    monkeypatch.setattr(native, "_module", object() if built else None)
    monkeypatch.setattr(native, "_reason", "" if built else "No module named 'mcore_native'")
    monkeypatch.setenv(native.VARIABLE, variable)
    said = native.warning()
    assert (said is not None) == warned
    assert said is None or ("No module named 'mcore_native'" in said and "apt install g++" in said)
