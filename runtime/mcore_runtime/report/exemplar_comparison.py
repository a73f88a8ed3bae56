"""Comparison of a dive with an exemplar in pictures, moment by moment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mcore.config import STAGES
from mcore.video import SampledClip
from mcore_runtime.bundle.exemplar_pictures import ExemplarPictures
from mcore_runtime.bundle.moments import Moment, draw_moments
from mcore_runtime.scoring.result import DiveScore

MomentPair = tuple[Moment, Moment]
"""The same point of a stage of a dive and of an exemplar."""


@dataclass(frozen=True)
class ComparedMoments:
    """Two dives at the same points of their stages."""

    exemplar_name: str
    dive: tuple[Moment, ...]
    """3K moments of the dive, stage after stage."""
    exemplar: tuple[Moment, ...]
    """As many of the exemplar."""


def compare_with_exemplar(
    exemplar_name: str, bundle_sha256: str, dive: Sequence[Moment], pictures: ExemplarPictures | None
) -> ComparedMoments | None:
    """Compare a dive with an exemplar.

    Args:
        exemplar_name: which one.
        bundle_sha256: digest of the bundle that scored the dive. Another bundle's exemplar of the same name may be
            another dive, or cut into other stages.
        dive: the dive's moments.
        pictures: of a bundle's exemplars; None: it has none.

    Returns:
        Both dives; None where there are no pictures of one of them, or they do not belong together.
    """
    if pictures is None or pictures.bundle_sha256 != bundle_sha256:
        return None
    exemplar = pictures.moments(exemplar_name)
    if exemplar is None or len(exemplar) != len(dive):
        return None
    return ComparedMoments(exemplar_name, tuple(dive), exemplar)


def compare_with_closest(
    result: DiveScore, clip: SampledClip, pictures: ExemplarPictures | None
) -> ComparedMoments | None:
    """Compare a scored dive with its closest exemplar.

    Args:
        result: the dive's score.
        clip: its sampled frames, of any size.
        pictures: of a bundle's exemplars; None: it has none.
    """
    if pictures is None:
        return None
    dive = draw_moments(clip, result.transitions, pictures.tokens_per_stage)
    return compare_with_exemplar(result.exemplars[0].name, result.backend.bundle_sha256, dive, pictures)


def pairs_by_stage(comparison: ComparedMoments | None) -> list[list[MomentPair]]:
    """Return begin, middle and end of each stage of both dives; empty where there is no comparison."""
    if comparison is None:
        return []
    per_stage = len(comparison.dive) // len(STAGES)
    # A stage of two moments has no middle.
    chosen = sorted({0, round((per_stage - 1) / 2), per_stage - 1})
    pairs = list(zip(comparison.dive, comparison.exemplar, strict=True))
    return [[pairs[stage * per_stage + place] for place in chosen] for stage in range(len(STAGES))]
