"""Bundles that know dives, made from any clips."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from mcore.common.likeness import KnownDives
from mcore.video import SampledClip, crop, normalise
from mcore_runtime import Scorer
from mcore_runtime.bundle.folder import Bundle, write_manifest
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
