"""Bundles that know dives and dive numbers, made from any clips."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from mcore.common.likeness import KnownDives
from mcore.common.recognition import describe, fit_recogniser
from mcore.video import SampledClip, crop, normalise
from mcore_runtime import Scorer
from mcore_runtime.bundle.folder import RECOGNISER_FILE, Bundle, write_manifest
from mcore_runtime.bundle.recogniser import save_recogniser
from mcore_runtime.bundle.records import ConformalIntervals, RecogniserRecord
from mcore_runtime.scoring.likeness import known_dives, measure


def knowing(scorer: Scorer, clips: Iterable[SampledClip]) -> KnownDives:
    """Measures of clips, as the export takes them of validation dives."""
    measures = []
    for clip in clips:
        frames = crop(clip.frames, scorer.clip_config)
        encoded = scorer.encode(normalise(frames, scorer.clip_config))
        segmented = encoded.logits, encoded.transitions, encoded.tokens
        measures.append(measure(frames, *segmented, scorer.exemplars, pts_seconds=clip.pts_seconds))
    known = known_dives(measures, "heats.jsonl", "val")
    assert known is not None
    return known


def with_known(bundle: Path, known: KnownDives) -> Path:
    """Give a bundle dives that it knows, in place."""
    manifest = Bundle.open(bundle).manifest
    fp32 = manifest.variants["fp32"]
    assert fp32.exemplars is not None
    fp32 = replace(fp32, exemplars=replace(fp32.exemplars, known_dives=known))
    write_manifest(bundle, replace(manifest, variants={"fp32": fp32}))
    return bundle


def with_recogniser(
    bundle: Path, clips: Sequence[SampledClip], numbers: Sequence[str], conformal: ConformalIntervals | None = None
) -> Path:
    """Let a bundle learn the dive numbers of clips, in place; they calibrate it too."""
    with Scorer(bundle, "onnxruntime", threads=1) as scorer:
        pixels = [normalise(crop(clip.frames, scorer.clip_config), scorer.clip_config) for clip in clips]
        encoded = [scorer.encode(each) for each in pixels]
    measures = np.stack([describe(each.features, each.transitions) for each in encoded])
    recogniser = fit_recogniser(measures, numbers)
    assert recogniser is not None
    opened = Bundle.open(bundle)
    save_recogniser(recogniser.calibrated(measures, numbers), bundle / RECOGNISER_FILE, opened.graphs("fp32").digest())
    fp32 = opened.manifest.variants["fp32"]
    assert fp32.exemplars is not None
    learned = RecogniserRecord(len(recogniser.numbers), len(clips), "heats.jsonl", len(clips))
    fp32 = replace(fp32, exemplars=replace(fp32.exemplars, recogniser=learned, conformal=conformal))
    write_manifest(bundle, replace(opened.manifest, variants={"fp32": fp32}))
    return bundle
