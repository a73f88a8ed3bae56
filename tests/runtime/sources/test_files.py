"""Video files as sources: one rule for their times and rates, here and where they are read as clips."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mcore.common.errors import ClipError
from mcore_runtime.sources.source import SourceState, open_source
from tests.numbered_video import FPS, HEVC, write_numbered
from tests.runtime.sources.reading import numbers_of

NUM_FRAMES = 40


@pytest.mark.parametrize(("name", "codec"), [("raw.h264", "libx264"), ("raw.hevc", "libx265")])
@pytest.mark.parametrize("rate", [25, 50, 120])
def test_raw_streams_have_the_rate_of_their_codec(tmp_path: Path, name: str, codec: str, rate: int) -> None:
    path = write_numbered(tmp_path / name, NUM_FRAMES, codec=codec, params=HEVC, rate=rate)
    with open_source(str(path)) as source:
        times_s = [frame.time_s for frame in source]
    np.testing.assert_allclose(times_s, np.arange(NUM_FRAMES) / rate)


def test_times_that_stand_still_find_no_dives(tmp_path: Path) -> None:
    ticks = [*range(20), *[20] * 30, *range(21, 31)]
    path = write_numbered(tmp_path / "v.mkv", 60, params="bframes=0", ticks=ticks)
    with open_source(str(path)) as source, pytest.raises(ClipError, match=r"stand still \(30 frames"):
        source.read(10.0)


def test_a_guessed_rate_finds_no_dives(tmp_path: Path) -> None:
    path = write_numbered(tmp_path / "raw.hevc", 40, codec="libx265", params=HEVC + ":vui-timing-info=0", rate=50)
    with open_source(str(path)) as source, pytest.raises(ClipError, match=r"nor a frame rate.*ffmpeg -r RATE"):
        list(source)


@pytest.mark.parametrize("audio_s", [0.0, 1.5])
def test_joined_transport_streams_end_well(tmp_path: Path, audio_s: float) -> None:
    path = write_numbered(tmp_path / "joined.ts", NUM_FRAMES, audio_s=audio_s)
    path.write_bytes(path.read_bytes() * 2)
    with open_source(str(path)) as source:
        frames = list(source)
    assert source.status().state is SourceState.ENDED
    assert numbers_of(frames) == [*range(NUM_FRAMES)] * 2
    np.testing.assert_allclose([frame.time_s for frame in frames], np.arange(2 * NUM_FRAMES) / FPS, atol=1e-4)
    assert [frame.sequence for frame in frames if frame.gap] == [NUM_FRAMES]


def test_damage_within_a_transport_stream_is_still_damage(tmp_path: Path) -> None:
    data = write_numbered(tmp_path / "whole.ts", NUM_FRAMES).read_bytes()
    packets = len(data) // 188
    path = tmp_path / "lost.ts"
    for lost in (packets // 3, packets // 2):
        path.write_bytes(data[: 188 * lost] + data[188 * (lost + 2) :])
        with open_source(str(path)) as source, pytest.raises(ClipError, match="is damaged"):
            list(source)


def test_a_playlist_opens_no_other_file(tmp_path: Path) -> None:
    write_numbered(tmp_path / "secret.ts", NUM_FRAMES)
    (tmp_path / "list.m3u8").write_text("#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\nsecret.ts\n#EXT-X-ENDLIST\n")
    with open_source(str(tmp_path / "list.m3u8")) as source, pytest.raises(ClipError, match="not a video file"):
        list(source)
