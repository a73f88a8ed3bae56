"""A dive's first samples are known before it is over, and are computed when nobody else waits."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from numpy.typing import NDArray

from mcore.config import ClipConfig
from mcore.video import sample_indices_by_time
from mcore.video.sampling import clip_window
from mcore_runtime.live.cut_dive import CutDive
from mcore_runtime.live.pipeline import LivePipeline, LiveSettings
from mcore_runtime.live.predicted_grid import expected_times, frame_period, predicted_end
from mcore_runtime.live.prefix import PrefixJob, PrefixScheduler
from mcore_runtime.live.ring import FrameRing
from mcore_runtime.live.run_settings import RunSettings
from mcore_runtime.live.scoring import score_cut
from mcore_runtime.scoring.result import DiveScore
from mcore_runtime.scoring.scorer import Scorer
from mcore_runtime.sources import Source, open_source
from mcore_runtime.sources.frame import Frame
from tests.runtime.conftest import MODEL, PREFIX_FRAMES
from tests.runtime.live.at import At

RATES = (24.0, 25.0, 30000 / 1001, 30.0, 50.0, 60.0, 119.88)
CONFIG = ClipConfig(num_frames=96, resize_height=4, resize_width=4, crop_size=4)


def stamps(rate: float, seconds: float, jitter: float = 0.0, decimals: int = 9) -> NDArray[np.float64]:
    """Times of a stream's frames; jitter as a share of a period."""
    times = np.arange(int(seconds * rate)) / rate
    noise = np.random.default_rng(7).uniform(-jitter, jitter, len(times)) / rate
    return np.round(times + noise, decimals)


@given(
    rate=st.sampled_from(RATES),
    start_s=st.floats(0.0, 2.0),
    length_s=st.floats(1.5, 6.0),
    known=st.floats(0.6, 0.95),
    jitter=st.floats(0.0, 0.1),
)
def test_the_grid_is_known_beforehand_where_the_rate_is_steady(
    rate: float, start_s: float, length_s: float, known: float, jitter: float
) -> None:
    """From six tenths of a clip on, whatever its ends, the number of its frames is certain, and so every sample."""
    times = stamps(rate, 9.0, jitter, decimals=3)
    end_s = start_s + length_s
    seen = times[times <= start_s + known * length_s]
    # A line through 64 noisy times can be continued only so far: four standard errors, and the noise of the frame at
    # the end itself, must stay within half a period. Where the grid is another, the whole clip is computed.
    used, to_come = min(64, len(seen)), (1 - known) * length_s * rate
    largest = jitter + 0.0005 * rate  # of a time, periods: its own, and the rounding to milliseconds
    standard_error = largest / math.sqrt(3) * math.sqrt(12) / used**1.5 * (to_come + used / 2)
    assume(largest + 4 * standard_error < 0.5)
    settled = predicted_end(seen[-64:], end_s)
    assert abs(settled - end_s) <= 0.75 / rate
    clip = times[clip_window(times, start_s, settled)]
    expected = expected_times(seen[clip_window(seen, start_s, None)], settled)
    assert len(expected) == len(clip)
    np.testing.assert_array_equal(sample_indices_by_time(expected, 96), sample_indices_by_time(clip, 96))


@pytest.mark.parametrize("rate", RATES)
def test_a_rate_is_told_from_rounded_times_with_frames_missing(rate: float) -> None:
    times = stamps(rate, 3.0, decimals=3)
    assert frame_period(np.delete(times, [5, 20, 21, 40])) == pytest.approx(1 / rate, rel=1e-3)


def test_an_end_that_is_past_or_of_an_unknown_rate_stays() -> None:
    times = np.arange(10) / 25
    assert predicted_end(times, 0.2) == 0.2
    assert predicted_end(times[:1], 3.0) == 3.0
    assert predicted_end(times, times[-1] + 0.04) == pytest.approx(times[-1] + 0.02)  # a frame is due at this very time


def filled(ring: FrameRing, times: NDArray[np.float64]) -> None:
    for number, time_s in enumerate(times.tolist()):
        picture = np.full((4, 4, 3), number % 251, np.uint8)
        ring.add(Frame(rgb=picture, time_s=time_s, sequence=number, captured_s=0.0, gap=None))


def test_the_ring_foresees_what_it_will_cut() -> None:
    ring, times, end_s = FrameRing(CONFIG, capacity=256), stamps(25.0, 12.0), 9.31
    for number, time_s in enumerate(times[times < end_s].tolist()):
        assert not ring.ends_before_next(end_s), time_s
        ring.add(Frame(np.full((4, 4, 3), number % 251, np.uint8), time_s, number, 0.0, None))
        first = ring.predict_first(5.0, end_s, 84)
        # 108 frames from 5.0 s on: sample 83 is frame 93 of them.
        assert (first is not None) == (time_s >= 5.0 + 93 / 25), time_s
    assert ring.ends_before_next(end_s)
    assert first is not None
    np.testing.assert_array_equal(first, ring.cut(5.0, end_s).clip.frames[:84])


def test_nothing_is_foreseen_of_a_clip_without_an_end_or_without_frames() -> None:
    ring = FrameRing(CONFIG, capacity=256)
    assert ring.predict_first(0.0, 1.0, 84) is None
    filled(ring, stamps(25.0, 4.0))
    assert ring.predict_first(0.0, None, 84) is None
    assert ring.predict_first(3.95, 8.0, 84) is None
    assert ring.predict_first(9.0, 12.0, 84) is None


class Offers:
    """Takes jobs, or refuses them, and runs none."""

    def __init__(self, *, accepts: bool = True) -> None:
        self.jobs: list[PrefixJob] = []
        self.accepts = accepts

    def __call__(self, job: PrefixJob) -> bool:
        self.jobs.append(job)
        return self.accepts


def test_each_clip_is_begun_once_and_forgotten_when_it_is_over() -> None:
    ring, offers = FrameRing(CONFIG, capacity=256), Offers()
    start = PrefixScheduler(84, offers)
    filled(ring, stamps(25.0, 4.0))
    windows = [(0.0, 4.2), (0.5, 4.3), (3.0, 7.0)]
    start.update(ring, windows)
    start.update(ring, windows)
    assert len(offers.jobs) == 2  # the third has hardly begun
    assert start.take(windows[0]) is not None
    assert start.take(windows[0]) is None
    start.update(ring, windows[2:])
    assert start.take(windows[1]) is None


def test_a_job_that_was_refused_is_offered_again() -> None:
    ring, offers = FrameRing(CONFIG, capacity=256), Offers(accepts=False)
    start = PrefixScheduler(84, offers)
    filled(ring, stamps(25.0, 4.0))
    start.update(ring, [(0.0, 4.2)])
    start.update(ring, [(0.0, 4.2)])
    assert len(offers.jobs) == 2
    assert start.take((0.0, 4.2)) is None


def test_what_is_taken_before_it_ran_never_runs(split_bundle: Path) -> None:
    first = np.zeros((PREFIX_FRAMES, MODEL.clip.resize_height, MODEL.clip.resize_width, 3), np.uint8)
    with Scorer(split_bundle, "onnxruntime", threads=1, streaming=True) as scorer:
        late, early = PrefixJob(first), PrefixJob(first)
        assert late.take() is None
        late.run(scorer)
        assert late.take() is None
        early.run(scorer)
        assert early.take() is not None
        assert early.take() is None


class _Lossy:
    """A source some of whose frames are never shown, and the others as a grey of their own."""

    def __init__(self, source: Source, shown: Callable[[Frame], bool]) -> None:
        self._source, self._shown = source, shown

    def __getattr__(self, name: str) -> Any:
        return getattr(self._source, name)

    def read(self, timeout_s: float) -> Frame | None:
        frame = self._source.read(timeout_s)
        if frame is None or not self._shown(frame):
            return None
        return replace(frame, rgb=np.full_like(frame.rgb, frame.sequence % 251))


def watch(video: Path, bundle: Path, *, streaming: bool, shown: Callable[[Frame], bool] | None = None) -> DiveScore:
    """Score the dive of a file, with the scorer waiting for nothing, as it does at a pool."""
    cuts: list[CutDive] = []
    with Scorer(bundle, "onnxruntime", threads=1, streaming=streaming) as scorer, open_source(str(video)) as source:

        def at_once(job: PrefixJob) -> bool:
            job.run(scorer)
            return True

        prefixes = (
            None
            if scorer.streaming_backbone is None
            else PrefixScheduler(scorer.streaming_backbone.prefix_frames, at_once)
        )
        pipeline = LivePipeline(
            source if shown is None else cast("Source", _Lossy(source, shown)),
            scorer.clip_config,
            LiveSettings(record=False),
            cuts.append,
            prefixes=prefixes,
            detector=At((2.0, 3.5)),
        )
        pipeline.run()
        (cut,) = cuts
        return score_cut(scorer, cut, "407C")


def test_a_dive_in_a_stream_has_a_head_start_and_scores_the_same(video: Path, split_bundle: Path) -> None:
    early, whole = (watch(video, split_bundle, streaming=streaming) for streaming in (True, False))
    assert early.timing_ms["backbone_prefix"] > 0
    assert early.notes == whole.notes == ()
    assert early.score == pytest.approx(whole.score, abs=1e-4)
    assert early.transitions_s == whole.transitions_s
    assert early.video == whole.video


def test_a_dive_whose_last_frames_are_lost_is_computed_whole(video: Path, split_bundle: Path) -> None:
    """The clip was expected to end with frame 149; as it ends earlier, all of its samples move."""
    lost = (147, 148, 149)
    result = watch(video, split_bundle, streaming=True, shown=lambda frame: frame.sequence not in lost)
    whole = watch(video, split_bundle, streaming=False, shown=lambda frame: frame.sequence not in lost)
    assert "backbone_prefix" not in result.timing_ms
    assert any("computed again" in note for note in result.notes)
    assert result.score == whole.score


def test_a_frame_lost_on_the_way_moves_no_sample_before_it(video: Path, split_bundle: Path) -> None:
    """The clip is then sampled by time, and the head stays what it was."""
    result = watch(video, split_bundle, streaming=True, shown=lambda frame: frame.sequence != 140)
    assert "backbone_prefix" in result.timing_ms


def test_the_clip_is_over_with_its_last_frame(video: Path, tiny_bundle: Path) -> None:
    """Not a frame later, which would be 33 ms lost: it need not be seen that the next one lies outside."""
    cuts: list[tuple[CutDive, int]] = []
    with Scorer(tiny_bundle, "onnxruntime", threads=1) as scorer, open_source(str(video)) as source:

        def take(cut: CutDive) -> None:
            frame = pipeline.frame
            assert frame is not None
            cuts.append((cut, frame.sequence))

        pipeline = LivePipeline(
            source, scorer.clip_config, LiveSettings(record=False), take, detector=At((2.0, 3.5), (4.0, 5.25))
        )
        pipeline.run()
    for (cut, sequence), end_s in zip(cuts, (5.0, 6.75), strict=True):
        assert cut.end_s == sequence / 30
        assert end_s - 1.5 / 30 <= cut.end_s < end_s


def test_exact_begins_nothing(split_bundle: Path) -> None:
    settings = RunSettings("camera://0", split_bundle, backend="onnxruntime", threads=1)
    with settings.open_scorer() as early, replace(settings, exact=True).open_scorer() as exact:
        assert early.streaming_backbone is not None
        assert exact.streaming_backbone is None
