"""Scoring of dives with an exported bundle: one pass over the video, then a comparison with each stored exemplar.

Example:
    >>> with Scorer("demo/bundle", backend="auto") as scorer:
    ...     result = scorer.score("dive.mp4", dive_number="407C")
    >>> result.score, result.transitions_s, result.stage_deltas
"""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mcore.common.errors import UserError
from mcore.common.likeness import Likeness
from mcore.common.recognition import Recogniser, Recognition, describe
from mcore.config import ClipConfig
from mcore.video import SampledClip, crop, normalise, sample_clip
from mcore_runtime.backends import Backend, BackendError, open_variant
from mcore_runtime.backends.streaming import STREAMING_BACKENDS, StreamingBackbone, open_streaming
from mcore_runtime.bundle.exemplars import ExemplarBank
from mcore_runtime.bundle.folder import Bundle
from mcore_runtime.bundle.records import Precision
from mcore_runtime.scoring.comparison import NO_INTERVAL, Comparison
from mcore_runtime.scoring.encoding import EncodedClip, encode_clip
from mcore_runtime.scoring.likeness import judge, measure
from mcore_runtime.scoring.notes import comparison_notes, entry_notes, flight_notes, limit_notes
from mcore_runtime.scoring.recognition import doubts, likely_numbers
from mcore_runtime.scoring.result import BackendFacts, DiveScore, VideoFacts
from mcore_runtime.scoring.streaming import EncodedPrefix, encode_prefix, encode_suffix

_PREFIX_UNUSED = "the dive did not begin with the frames that were computed beforehand, so all of it was computed again"


class Scorer:
    """Scores dives with one bundle on one backend; a context manager.

    On a CPU threads may share it, see ``Backend``. On a GPU it belongs to the thread that opened it, and other threads
    get an error.

    Args:
        bundle: folder of a bundle, verified here, or an opened one.
        backend: one of ``mcore_runtime.backends.BACKENDS``; ``self.backend`` says what really runs.
        precision: ``fp32``, ``fp16`` or ``int8``; None: the backend's best, see ``open_variant``.
        threads: CPU threads; None: the backend's choice.
        num_exemplars: compare with this many exemplars, which look most like the dive; None: as many as the bundle's
            intervals were measured with. With another number there is no conformal interval.
        streaming: load the streaming backbone too, where bundle and backend have it, so that a clip can be begun
            before it is over; ``self.streaming_backbone`` is it, or ``self.why_not_streaming`` says why there is none.

    Raises:
        BundleError: the bundle is incomplete, changed, or of another format version.
        BackendError: the backend cannot run here.
    """

    def __init__(
        self,
        bundle: str | Path | Bundle,
        backend: str = "auto",
        *,
        precision: Precision | None = None,
        threads: int | None = None,
        num_exemplars: int | None = None,
        streaming: bool = False,
    ) -> None:
        if num_exemplars is not None and num_exemplars < 1:
            raise UserError(f"the number of exemplars is {num_exemplars}; at least 1")
        self.bundle = bundle if isinstance(bundle, Bundle) else Bundle.open(bundle)
        self.backend: Backend
        self.backend, self.precision = open_variant(self.bundle.variants, backend, precision, threads=threads)
        exemplars = self.bundle.manifest.variants[self.precision].exemplars
        self._measured_with = None if exemplars is None else exemplars.num_compared
        self.num_exemplars = self._measured_with if num_exemplars is None else num_exemplars
        self.conformal = None if exemplars is None else exemplars.conformal
        self.known_dives = None if exemplars is None else exemplars.known_dives
        self.stage_shares = None if exemplars is None else exemplars.stage_shares
        self.recogniser_record = None if exemplars is None else exemplars.recogniser
        self.recogniser: Recogniser | None = None
        self.streaming_backbone: StreamingBackbone | None = None
        self.why_not_streaming: str | None = None if streaming else "it was not asked for"
        try:
            self._bank = self.bundle.load_exemplars(self.precision) if exemplars is not None else None
            self.recogniser = self.bundle.load_recogniser(self.precision)
            if streaming:
                self._open_streaming(threads)
        except UserError:
            self.close()
            raise

    def __enter__(self) -> Scorer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Free the backend; the scorer cannot be used after that."""
        if self.streaming_backbone is not None:
            self.streaming_backbone.close()
        self.backend.close()

    @property
    def clip_config(self) -> ClipConfig:
        """The bundle's input contract."""
        return self.bundle.model.clip

    @property
    def exemplars(self) -> ExemplarBank:
        """The bundle's exemplars.

        Raises:
            BundleError: the bundle has none.
        """
        # Loading what is not there raises, and says what to do.
        return self.bundle.load_exemplars(self.precision) if self._bank is None else self._bank

    def select(
        self, dive_number: str | None, *, any_exemplar: bool = False, difficulty: float | None = None
    ) -> Comparison:
        """Find what a dive of this number is compared with; cheap, so do it before decoding.

        Args:
            dive_number: such as ``407C``, in any spelling; None: unknown, which needs ``any_exemplar``.
            any_exemplar: compare with all exemplars where there is none of this number; where it is unknown and the
                bundle can say what a dive looks like, ``score_clip`` leaves the exemplars of that.
            difficulty: degree of difficulty; None: that of the exemplars, where they agree on one.

        Raises:
            DiveNumberError: not a dive number.
            UserError: the bank has no exemplar of it, and ``any_exemplar`` is not set.
        """
        return Comparison.choose(
            self.exemplars,
            dive_number,
            any_exemplar=any_exemplar,
            conformal=self.conformal,
            difficulty=difficulty,
        )

    def encode(self, clip: NDArray[np.float32]) -> EncodedClip:
        """Run backbone and segmenter on one clip.

        Args:
            clip: (3, T, c, c) float32, RGB normalised as ``mcore.read_clip`` does.

        Raises:
            ValueError: another shape or element type.
        """
        config = self.clip_config
        expected = (3, config.num_frames, config.crop_size, config.crop_size)
        if clip.shape != expected or clip.dtype != np.float32:
            raise ValueError(f"clip is {clip.dtype} {clip.shape}; expected float32 {expected}: 3, T, c, c")
        return encode_clip(self.backend, clip)

    def score(
        self,
        video: str | Path,
        dive_number: str | None = None,
        *,
        any_exemplar: bool = False,
        difficulty: float | None = None,
        start_s: float | None = None,
        end_s: float | None = None,
        detected_entry_s: float | None = None,
    ) -> DiveScore:
        """Score the dive in a video file or image folder.

        Args:
            video: anything FFmpeg reads, or a folder of images.
            dive_number: such as ``407C``; None needs ``any_exemplar``.
            any_exemplar: where there is no exemplar of this dive number compare with all; where it is unknown with
                those of what the dive looks like, if the bundle can say.
            difficulty: degree of difficulty; None: that of the exemplars, where they agree on one.
            start_s: clip start in the file, seconds; None: its first frame.
            end_s: clip end in the file, seconds; None: its end.
            detected_entry_s: when a detector saw the entry in the file, seconds; None: none looked.

        Raises:
            ClipError: missing, empty, truncated, or not a video.
            DiveNumberError: not a dive number.
            UserError: no exemplar of this number.
        """
        comparison = self.select(dive_number, any_exemplar=any_exemplar, difficulty=difficulty)
        began = time.perf_counter()
        clip = sample_clip(video, self.clip_config, start_s=start_s, end_s=end_s, central=True)
        entry_s = None if detected_entry_s is None else detected_entry_s - (start_s or 0.0)
        facts = video_facts(clip, start_s, end_s)
        return self.score_clip(clip, comparison, video=facts, began=began, entry_in_clip_s=entry_s)

    def score_clip(
        self,
        clip: SampledClip,
        comparison: Comparison,
        *,
        video: VideoFacts | None = None,
        began: float | None = None,
        prefix: EncodedPrefix | None = None,
        entry_in_clip_s: float | None = None,
    ) -> DiveScore:
        """Score a clip that is already in memory.

        Args:
            clip: sampled by this bundle's ``clip_config``.
            comparison: what ``select`` returned for the dive's number.
            video: where the clip came from, for the record; None: what the clip itself knows.
            began: ``time.perf_counter()`` when work on this dive began; None: now.
            prefix: what ``begin`` returned; it is used if the clip begins with those frames, else a note says that it
                does not. ``timing_ms`` has ``backbone_prefix`` if it was used: milliseconds spent beforehand.
            entry_in_clip_s: when a detector saw the entry, seconds from the clip's first frame; None: none looked. A
                note says where the network finds it elsewhere.

        Raises:
            BackendError: the backend computed something that is not a number.
        """
        began = time.perf_counter() if began is None else began
        decoded = time.perf_counter()
        frames = crop(clip.frames, self.clip_config)  # (T, c, c, 3)
        encoded, used = self._encode(frames, prefix)
        recognition = self._recognise(encoded, comparison.text)
        if recognition is not None:
            likely = likely_numbers(recognition, self._measured_with)
            comparison = comparison.among(self.exemplars, likely, conformal=self.conformal)
        compare_began = time.perf_counter()
        comparison = comparison.nearest(encoded.tokens, self.num_exemplars, self._measured_with)
        tokens = comparison.bank.tokens  # (E, 3K, D)
        delta, stage_deltas = self.backend.regressor(encoded.tokens[None], tokens)  # (E,), (E, 3)
        ended = time.perf_counter()

        predicted = comparison.predict(delta)  # (E,)
        # Half precision can overflow on a clip unlike all that were measured; a NaN must not become a score.
        if not (np.isfinite(predicted).all() and np.isfinite(stage_deltas).all()):
            raise BackendError(
                f"{self.backend.name} computed scores of {clip.source} that are not numbers. Find the graph that does "
                f"with: mcore-bundle verify {self.bundle.path} --backend {self.backend.name}"
            )
        score, likeness = comparison.score(predicted), self._likeness(frames, encoded, clip.pts_seconds)
        interval = comparison.interval(predicted) if likeness is None or not likeness.reasons else NO_INTERVAL
        flight, entry = (int(frame) for frame in encoded.transitions)
        return DiveScore(
            score=score,
            low=interval.low,
            high=interval.high,
            dive_number=comparison.text,
            description=None if comparison.number is None else comparison.number.describe(),
            difficulty=comparison.difficulty,
            same_dive_number=comparison.same_dive_number,
            transitions=(flight, entry),
            transitions_s=(float(clip.pts_seconds[flight]), float(clip.pts_seconds[entry])),
            stage_deltas=comparison.stage_shares(stage_deltas),
            exemplars=comparison.describe(delta),
            timing_ms={
                "decode_preprocess": (decoded - began) * 1e3 + encoded.timing_ms["preprocess"],
                **{name: ms for name, ms in encoded.timing_ms.items() if name != "preprocess"},
                "regressor": (ended - compare_began) * 1e3,
                "total": (ended - began) * 1e3,
            },
            video=video_facts(clip) if video is None else video,
            backend=self._backend_facts(),
            notes=(
                *(() if likeness is not None and likeness.reasons else doubts(recognition, comparison.text)),
                *self.backend.notes,
                *clip.notes,
                *comparison_notes(clip, comparison, self.clip_config.num_frames),
                *limit_notes(float(predicted.mean()), score),
                *flight_notes(clip, flight, entry),
                *entry_notes(float(clip.pts_seconds[entry]), entry_in_clip_s),
                *(() if prefix is None or used else (_PREFIX_UNUSED,)),
            ),
            interval_level=interval.level,
            caution=self.bundle.caution,
            likeness=likeness,
            shares_trusted=(False, False, False) if self.stage_shares is None else self.stage_shares.trusted,
            recognition=recognition,
        )

    def begin(self, first: NDArray[np.uint8]) -> EncodedPrefix:
        """Compute what can be computed of a clip that is not over; needs ``self.streaming_backbone``.

        Args:
            first: (H, h, w, 3) uint8 RGB, resized: the first H frames that will be sampled from the clip, where H is
                ``streaming_backbone.prefix_frames``.
        """
        if self.streaming_backbone is None:
            raise RuntimeError(f"this scorer has no streaming backbone: {self.why_not_streaming}")
        # Contiguous, so that the frames that are cropped away can be freed.
        return encode_prefix(
            self.streaming_backbone, np.ascontiguousarray(crop(first, self.clip_config)), self.clip_config
        )

    def _open_streaming(self, threads: int | None) -> None:
        if self.backend.name not in STREAMING_BACKENDS:
            self.why_not_streaming = f"{self.backend.name} does not run a streaming backbone"
        elif self.bundle.graphs(self.precision).streaming is None:
            self.why_not_streaming = f"the bundle has no {self.precision} streaming backbone"
        else:
            self.streaming_backbone = open_streaming(
                self.bundle.graphs(self.precision), self.backend.name, threads=threads
            )

    def _encode(self, frames: NDArray[np.uint8], prefix: EncodedPrefix | None) -> tuple[EncodedClip, bool]:
        """Encode (T, c, c, 3) RGB, from the prefix on if it is this clip's, and say whether it was."""
        if self.streaming_backbone is not None and prefix is not None and prefix.begins(frames):
            return encode_suffix(self.backend, self.streaming_backbone, prefix, frames, self.clip_config), True
        began = time.perf_counter()
        pixels = normalise(frames, self.clip_config)  # (3, T, c, c)
        preprocess_ms = (time.perf_counter() - began) * 1e3
        encoded = self.encode(pixels)
        return replace(encoded, timing_ms={"preprocess": preprocess_ms, **encoded.timing_ms}), False

    def _likeness(
        self, frames: NDArray[np.uint8], encoded: EncodedClip, pts_seconds: NDArray[np.float64]
    ) -> Likeness | None:
        """Say whether a clip (T, c, c, 3) is like the dives that the bundle knows; None: the bundle cannot say."""
        if self.known_dives is None:
            return None
        measures = measure(
            frames, encoded.logits, encoded.transitions, encoded.tokens, self.exemplars, pts_seconds=pts_seconds
        )
        return judge(self.known_dives, measures)

    def _recognise(self, encoded: EncodedClip, announced: str | None) -> Recognition | None:
        """Say which dive a clip shows, whose number was announced or is unknown; None: the bundle cannot say."""
        if self.recogniser is None:
            return None
        return self.recogniser.recognise(describe(encoded.features, encoded.transitions), announced)

    @property
    def compute_dtype(self) -> str:
        """Precision that the backend really computes in, such as ``fp32``; by part where they differ."""
        kinds = set(self.backend.precision.values())
        mixed = ", ".join(f"{part} {kind}" for part, kind in self.backend.precision.items())
        return kinds.pop() if len(kinds) == 1 else mixed

    def _backend_facts(self) -> BackendFacts:
        return BackendFacts(self.backend.name, self.backend.provider, self.compute_dtype, self.bundle.sha256)


def video_facts(clip: SampledClip, start_s: float | None = None, end_s: float | None = None) -> VideoFacts:
    """Return what is worth recording of a clip that was cut from its source at ``start_s`` and ``end_s``."""
    return VideoFacts(
        source=str(clip.source),
        reader=clip.reader,
        width=clip.source_width,
        height=clip.source_height,
        num_source_frames=clip.num_source_frames,
        duration_s=float(clip.duration_s),
        start_s=start_s,
        end_s=end_s,
    )
