"""A dive beside the exemplar that it resembles most, moment by moment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mcore.video import SampledClip
from mcore_runtime.bundle.exemplar_pictures import ExemplarPictures
from mcore_runtime.bundle.moments import Moment, draw_moments
from mcore_runtime.scoring.result import DiveScore


@dataclass(frozen=True)
class SideBySide:
    """Two dives at the same points of their stages."""

    exemplar: str
    """The exemplar's name."""
    dive: tuple[Moment, ...]
    """3K moments of the dive, stage after stage."""
    other: tuple[Moment, ...]
    """As many of the exemplar."""


def side_by_side(
    exemplar: str, bundle_sha256: str, dive: Sequence[Moment], pictures: ExemplarPictures | None
) -> SideBySide | None:
    """Put a dive beside an exemplar.

    Args:
        exemplar: name of the exemplar.
        bundle_sha256: digest of the bundle that scored the dive. Another bundle's exemplar of the same name may be
            another dive, or cut into other stages.
        dive: the dive's moments.
        pictures: of a bundle's exemplars; None: it has none.

    Returns:
        Both dives; None where there are no pictures of one of them, or they do not belong together.
    """
    if pictures is None or pictures.bundle_sha256 != bundle_sha256:
        return None
    other = pictures.moments(exemplar)
    return None if other is None or len(other) != len(dive) else SideBySide(exemplar, tuple(dive), other)


def beside_closest(result: DiveScore, clip: SampledClip, pictures: ExemplarPictures | None) -> SideBySide | None:
    """Put a scored dive beside its closest exemplar.

    Args:
        result: the dive's score.
        clip: its sampled frames, of any size.
        pictures: of a bundle's exemplars; None: it has none.
    """
    if pictures is None:
        return None
    dive = draw_moments(clip, result.transitions, pictures.tokens_per_stage)
    return side_by_side(result.exemplars[0].name, result.backend.bundle_sha256, dive, pictures)
