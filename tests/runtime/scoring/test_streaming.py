"""A clip that is begun before it is over scores as the whole one does, and only if it is the one that was begun."""

from __future__ import annotations

import dataclasses
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from mcore.video import SampledClip, sample_clip
from mcore_runtime import Scorer
from mcore_runtime.backends import BackendError
from mcore_runtime.backends.streaming import open_streaming
from mcore_runtime.bundle.folder import Bundle
from tests.runtime.conftest import MODEL, PREFIX_FRAMES

ENGINES = ("onnxruntime", "openvino")


@pytest.fixture
def clip(dive_video: Path) -> SampledClip:
    return sample_clip(dive_video, MODEL.clip)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_clip_that_was_begun_scores_the_same(engine: str, split_bundle: Path, clip: SampledClip) -> None:
    pytest.importorskip(engine)
    with Scorer(split_bundle, engine, threads=1, streaming=True) as scorer:
        assert scorer.streaming_backbone is not None
        assert scorer.why_not_streaming is None
        comparison = scorer.select("407C")
        whole = scorer.score_clip(clip, comparison)
        begun = scorer.score_clip(
            clip, comparison, prefix=scorer.begin(clip.frames[: scorer.streaming_backbone.prefix_frames])
        )
    assert begun.score == pytest.approx(whole.score, abs=1e-4)
    assert begun.transitions == whole.transitions
    assert begun.notes == whole.notes
    assert begun.timing_ms["backbone_prefix"] > 0
    assert "backbone_prefix" not in whole.timing_ms
    assert "preprocess" not in {**begun.timing_ms, **whole.timing_ms}


def test_the_head_of_another_clip_is_not_used(split_bundle: Path, clip: SampledClip) -> None:
    """One pixel within the crop is enough; one outside is not looked at."""
    inside, outside = clip.frames.copy(), clip.frames.copy()
    inside[PREFIX_FRAMES - 1, 10, 5, 1] ^= 1
    outside[0, 0, 0, 0] ^= 1
    with Scorer(split_bundle, "onnxruntime", threads=1, streaming=True) as scorer:
        comparison = scorer.select("407C")
        whole = scorer.score_clip(clip, comparison)
        wrong = scorer.score_clip(clip, comparison, prefix=scorer.begin(inside[:PREFIX_FRAMES]))
        right = scorer.score_clip(clip, comparison, prefix=scorer.begin(outside[:PREFIX_FRAMES]))
    assert wrong.score == whole.score
    assert any("computed again" in note for note in wrong.notes)
    assert "backbone_prefix" not in wrong.timing_ms
    assert "backbone_prefix" in right.timing_ms


def test_the_tail_goes_on_from_the_head(split_bundle: Path, clip: SampledClip) -> None:
    """What the prefix computed is used and not computed again: another state gives another score."""
    with Scorer(split_bundle, "onnxruntime", threads=1, streaming=True) as scorer:
        comparison = scorer.select("407C")
        prefix = scorer.begin(clip.frames[:PREFIX_FRAMES])
        usual = scorer.score_clip(clip, comparison, prefix=prefix)
        brighter = dataclasses.replace(prefix, state=prefix.state + 1)
        assert scorer.score_clip(clip, comparison, prefix=brighter).score > usual.score + 1


def test_a_scorer_says_why_it_cannot_begin_early(tiny_bundle: Path, split_bundle: Path, clip: SampledClip) -> None:
    with Scorer(tiny_bundle, "onnxruntime", streaming=True) as scorer:
        assert scorer.streaming_backbone is None
        assert scorer.why_not_streaming == "the bundle has no fp32 streaming backbone"
        with pytest.raises(RuntimeError, match="no fp32 streaming backbone"):
            scorer.begin(clip.frames[:PREFIX_FRAMES])
    with Scorer(split_bundle, "onnxruntime") as scorer:
        assert (scorer.streaming_backbone, scorer.why_not_streaming) == (None, "it was not asked for")


def test_a_part_that_is_not_what_the_manifest_says_is_refused(split_bundle: Path) -> None:
    split = Bundle.open(split_bundle).graphs().streaming
    assert split is not None
    other = {"backbone_prefix": "backbone_suffix.onnx", "backbone_suffix": "backbone_prefix.onnx"}
    swapped = {part: dataclasses.replace(graph, file=other[part]) for part, graph in split.graphs.items()}
    record = dataclasses.replace(split, graphs=swapped)
    graphs = dataclasses.replace(Bundle.open(split_bundle).graphs(), streaming=record)
    with pytest.raises(BackendError, match="Export the bundle again"):
        open_streaming(graphs, "onnxruntime")


@pytest.mark.parametrize("engine", ENGINES)
def test_a_closed_backbone_says_so(engine: str, split_bundle: Path) -> None:
    pytest.importorskip(engine)
    with closing(open_streaming(Bundle.open(split_bundle).graphs(), engine, threads=1)) as split:
        shape = (1, 3, split.prefix_frames, MODEL.clip.crop_size, MODEL.clip.crop_size)
        assert split.prefix(np.zeros(shape, np.float32)).shape == (1, PREFIX_FRAMES * 8)
    with pytest.raises(RuntimeError, match="closed"):
        split.prefix(np.zeros(shape, np.float32))
