"""Result of scoring a dive, as frozen records that turn into JSON."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from mcore.common.exemplar_scores import exemplar_range
from mcore.common.likeness import Likeness
from mcore.common.recognition import Recognition, listed
from mcore.common.typed_json import convert
from mcore.config import STAGES
from mcore.data.trained_on import caution
from mcore.diving.judging import MeanAward, mean_award


@dataclass(frozen=True)
class ExemplarComparison:
    """The dive as one exemplar sees it."""

    name: str
    """Name of the exemplar dive in the bundle."""
    dive_number: str
    score: float
    """The exemplar's true score, points."""
    delta: float
    """Predicted score(dive) - score(exemplar), points."""
    predicted_score: float
    """``score + delta``: the dive's score as this exemplar sees it, points."""


@dataclass(frozen=True)
class VideoFacts:
    """Facts of the video that was scored."""

    source: str
    """File or folder, as given."""
    reader: str
    """Decoder: for files one of ``mcore.video.Reader``, for streams as their source names it."""
    width: int
    """Pixels of a source frame."""
    height: int
    """Pixels of a source frame."""
    num_source_frames: int
    """Frames in the clip before sampling."""
    duration_s: float
    """Length of the clip, seconds."""
    start_s: float | None = None
    """Clip start in the file, seconds; None: the file's first frame."""
    end_s: float | None = None
    """Clip end in the file, seconds; None: the file's end."""


@dataclass(frozen=True)
class BackendFacts:
    """Bundle and backend that computed a score."""

    name: str
    """Backend, such as ``onnxruntime``."""
    provider: str
    """The backend's own name of what ran the graphs."""
    precision: str
    """Compute dtype, such as ``fp32``."""
    bundle_sha256: str
    """Identity of the bundle."""


@dataclass(frozen=True)
class DiveScore:
    """A scored dive."""

    score: float
    """Predicted score, points: the mean of the exemplars' ``predicted_score``, within what a dive can get."""
    low: float | None
    """Lower end of the interval around the score, points; ``interval_level`` says of which kind it is. None: a single
    exemplar, and a bundle without conformal intervals; or the clip is unlike the dives that the interval holds for."""
    high: float | None
    """Upper end, points; None as for ``low``."""
    dive_number: str | None
    """As the diving rules spell it, such as ``407C``; None: not given."""
    description: str | None
    """The dive number in words."""
    difficulty: float | None
    """Degree of difficulty: as it was given, else that on which all exemplars of this dive number agree; None: not
    known."""
    same_dive_number: bool
    """Whether the exemplars are of this dive number; if not, the score is less certain than an exemplar range says."""
    transitions: tuple[int, int]
    """First sampled frame of the flight and of the entry, 0 to T-1."""
    transitions_s: tuple[float, float]
    """Presentation times of these frames, seconds from the clip's first frame."""
    stage_deltas: tuple[float, float, float]
    """What take-off, flight and entry add, against an average exemplar of the dive number, points; their sum is the
    mean ``predicted_score`` minus ``average_score``. Below zero: worse than in the average exemplar. Show people
    ``stage_shares`` instead."""
    exemplars: tuple[ExemplarComparison, ...]
    """All that the dive was compared with; the closest (smallest absolute ``delta``) first."""
    timing_ms: Mapping[str, float]
    """Milliseconds for ``decode_preprocess``, ``backbone``, ``segmenter``, ``regressor``, and ``total``."""
    video: VideoFacts
    backend: BackendFacts
    notes: tuple[str, ...] = ()
    """Remarks for a reader of the score; empty when there is nothing unusual."""
    interval_level: float | None = None
    """Share of judges' scores that ``low`` to ``high`` holds, such as 0.8, for dives like the validation dives that the
    conformal interval was measured on. None: there is none, and ``low`` and ``high`` are ``exemplar_range``."""
    caution: str | None = caution(None)
    """What must stand beside the score of a network that is not known to have seen a real dive; None: it has. Results
    of older versions do not record it."""
    likeness: Likeness | None = None
    """Whether the clip is like the dives that the bundle knows; None: the bundle cannot say."""
    shares_trusted: tuple[bool, bool, bool] = (False, False, False)
    """Whether the bundle was found to put each stage's points where they belong."""
    recognition: Recognition | None = None
    """Which dive number the clip looks like; None: the bundle cannot say."""

    @property
    def looks_like(self) -> str | None:
        """Dive numbers that a dive looks like whose number is unknown, or is doubted, such as ``407C or 405C``.

        None: its number is known and not doubted, the bundle cannot say, or it is unlike the known dives.
        """
        if self.recognition is None or self.why_unlike:
            return None
        has_question = self.dive_number is None or self.recognition.is_doubted
        return listed(self.recognition.numbers) if has_question else None

    @property
    def dive_text(self) -> str:
        """The dive number in a few words: as it was given, else what it looks like, else that it is unknown."""
        if self.dive_number is not None:
            return self.dive_number
        return "unknown" if self.looks_like is None else f"{self.looks_like}?"

    @property
    def why_unlike(self) -> tuple[str, ...]:
        """What makes the clip unlike the dives that the bundle knows; empty: it is like them, or nobody can say."""
        return () if self.likeness is None else self.likeness.reasons

    @property
    def average_score(self) -> float:
        """Score of an average exemplar of the dive number, as the network sees it, points."""
        return sum(each.predicted_score for each in self.exemplars) / len(self.exemplars) - sum(self.stage_deltas)

    @property
    def exemplar_range(self) -> tuple[float, float] | None:
        """10th and 90th percentile of the exemplars' ``predicted_score``; None from a single exemplar."""
        return exemplar_range([exemplar.predicted_score for exemplar in self.exemplars])

    @property
    def stage_shares(self) -> dict[str, float | None]:
        """``stage_deltas`` by stage; None where the share is not to be trusted."""
        stages = zip(STAGES, self.stage_deltas, self.shares_trusted, strict=True)
        return {stage: delta if trusted else None for stage, delta, trusted in stages}

    @property
    def award(self) -> MeanAward | None:
        """Award that score and interval stand for; None: the difficulty is not known, or the dive is unlike."""
        return None if self.why_unlike else mean_award(self.score, self.low, self.high, self.difficulty)

    @property
    def interval_text(self) -> str:
        """The interval in a few words that say of which kind it is."""
        if self.why_unlike:
            return "no interval: unlike the known dives"
        if self.low is None or self.high is None:
            return "exemplar range unknown (one exemplar)"
        ends = f"{self.low:.1f} to {self.high:.1f}"
        return f"exemplars say {ends}" if self.interval_level is None else f"{percent(self.interval_level)}: {ends}"

    def to_json(self) -> dict[str, Any]:
        """Return plain containers under the field names above, and ``award`` and ``stage_shares``.

        ``stage_deltas`` is keyed by stage.
        """
        values = dataclasses.asdict(self)
        values["stage_deltas"] = dict(zip(STAGES, self.stage_deltas, strict=True))
        values["stage_shares"] = self.stage_shares
        values["award"] = None if self.award is None else self.award.to_json()
        return values

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> DiveScore:
        """Read what ``to_json`` returned, also after a way through JSON.

        Raises:
            UserError: it is something else, or of a version with other fields.
        """
        shares = values.get("stage_deltas") if isinstance(values, Mapping) else None
        if isinstance(shares, Mapping):
            values = {**values, "stage_deltas": [shares.get(stage) for stage in STAGES]}
        return convert(cls, values, "this is no result of this version")


def cautions(results: Iterable[DiveScore]) -> list[str]:
    """What must stand beside the scores of several dives, each sentence once."""
    return list(dict.fromkeys(result.caution for result in results if result.caution is not None))


def percent(level: float) -> str:
    """Write the level of an interval: ``80 %``."""
    return f"{100 * level:.0f} %"
