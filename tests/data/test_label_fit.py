"""Labels that do not fit their clips: found by the check and before the first step, with their list and line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mcore.common.errors import UserError
from mcore.config import ClipConfig
from mcore.data.check import check_source
from mcore.data.label_fit import check_labels_fit
from mcore.data.manifest import read_manifest
from mcore.data.sources import read_source
from mcore.synthetic import write_video
from tests.mini_finediving import write_images
from tests.numbered_video import numbered_frame

CLIP = ClipConfig(num_frames=8, resize_height=20, resize_width=16, crop_size=16)


@pytest.fixture
def listing(tmp_path: Path) -> Path:
    write_video(tmp_path / "a.mp4", [numbered_frame(n) for n in range(30)], 25)
    write_images(tmp_path / "b", 30)
    return tmp_path / "dives.jsonl"


def write(listing: Path, path: str, transitions: tuple[int, int], **more: float) -> None:
    row = {"path": path, "dive_number": "407C", "score": 60, "split": "train"}
    good = row | {"transition_frames": [8, 20], "num_frames": 30, "path": "b" if path == "a.mp4" else "a.mp4"}
    listing.write_text(f"{json.dumps(good)}\n{json.dumps(row | {'transition_frames': transitions} | more)}\n")


@pytest.mark.parametrize("path", ["a.mp4", "b"])
@pytest.mark.parametrize(
    ("transitions", "window", "reason"),
    [
        ((8, 45), {}, "whose frames are 0..29"),
        ((20, 8), {}, "in this order"),
        ((-3, 8), {}, "do not fit the clip"),
        ((8, 8), {}, "leaves a stage empty"),
        ((0, 8), {}, "leaves a stage empty"),
        ((8, 20), {"start_s": 0.4}, "whose frames are 0..19"),
    ],
)
def test_labels_beyond_the_clip(
    listing: Path, path: str, transitions: tuple[int, int], window: dict[str, float], reason: str
) -> None:
    write(listing, path, transitions, **window)
    findings = [each for each in check_source(read_source(listing), decode=True).findings if each.check == "label-fit"]
    assert len(findings) == 1
    for cache in (None, listing.parent / "cache"):
        with pytest.raises(UserError, match=reason) as caught:
            check_labels_fit(read_manifest(listing), CLIP, cache, workers=1)
        assert f"{listing}, line 2: " in str(caught.value)
    assert reason in findings[0].message
    assert f"{listing}, line 2: " in findings[0].message


def test_labels_that_fit(listing: Path) -> None:
    write(listing, "a.mp4", (8, 20))
    check_labels_fit(read_manifest(listing), CLIP, None, workers=1)
    assert "label-fit" not in {each.check for each in check_source(read_source(listing), decode=True).findings}


def test_the_length_of_a_video_is_compared_with_its_label(listing: Path) -> None:
    write(listing, "a.mp4", (8, 20), num_frames=31)
    (found,) = [
        each for each in check_source(read_source(listing), decode=True).findings if each.check == "frame-count"
    ]
    assert found.message == "30 frames and 31 in the labels"
