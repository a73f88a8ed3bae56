"""Expected values: what PyTorch in float32 makes of clips; ``compare`` holds artefacts against them.

PyTorch is the network as it was loaded, not the copy that was rearranged for export.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from mcore.common.errors import ClipError, UserError
from mcore.config import DEFAULT_DECODING, ClipConfig, GraphDecoding
from mcore.data.manifest import Split, read_manifest, select_split
from mcore.network.model import MCoRe, stage_deltas
from mcore.synthetic import render_dive, write_video
from mcore.video import crop, normalise, resize_frame, sample_clip, sample_indices
from mcore.video.pyav_reader import frame_digests
from mcore_export.parity.compare import EXEMPLAR_COUNTS, Expected, ExpectedClip, FloatArray, IntArray, mixed_tokens

PARITY_DIVES = (
    ("107B", 1001),
    ("5253B", 1002),
    ("407C", 1003),
    ("205B", 1004),
    ("107B", 1005),
    ("5253B", 1006),
    ("407C", 1007),
    ("205B", 1008),
)
"""Rendered dives (dive number, seed) that every artefact is compared on, and that a bundle carries to its device."""


_VIDEO_SIZE = (112, 64)
"""Width and height of the video in a bundle, pixels: some 20 kB."""


@dataclass(frozen=True)
class ValidationOptions:
    """Real clips to compare on, besides the rendered ones."""

    dives: Path
    """List of dives (.jsonl or .csv)."""
    split: Split = "test"
    """Split of that list."""
    most: int = 100
    """At most this many, spread evenly over the list."""

    def __post_init__(self) -> None:
        if self.most < 1:
            raise UserError(f"{self.most} dives to validate on; at least 1")


@dataclass(frozen=True, eq=False)
class ParityClip:
    """One clip to compare on."""

    frames: NDArray[np.uint8]
    """(T, c, c, 3) RGB, centre crop."""
    score: float
    """True score, points."""


def rendered_clips(config: ClipConfig, video: Path) -> list[ParityClip]:
    """Render the dives that every artefact is compared on.

    Args:
        config: sampling contract.
        video: file to write, ending in ``.mp4``: the first dive, whose clip is read from there.
    """
    (dive_number, seed), *others = PARITY_DIVES
    dive = render_dive(dive_number, seed, width=_VIDEO_SIZE[0], height=_VIDEO_SIZE[1])
    write_video(video, dive.frames, dive.plan.fps)
    clips = [ParityClip(sample_clip(video, config, central=True).frames, dive.plan.score)]
    for dive_number, seed in others:
        dive = render_dive(dive_number, seed)
        indices = sample_indices(len(dive.frames), config.num_frames)
        frames = crop(np.stack([resize_frame(dive.frames[i], config) for i in indices]), config)
        clips.append(ParityClip(frames, dive.plan.score))
    return clips


def validation_clips(options: ValidationOptions, config: ClipConfig) -> list[ParityClip]:
    """Read the user's clips to validate on.

    Raises:
        UserError: the list cannot be read or has no dive of the split.
        ClipError: a video cannot be read: a comparison that leaves clips out would pass on what it did not see.
    """
    records = select_split(read_manifest(options.dives), options.split)
    picked = np.linspace(0, len(records) - 1, min(options.most, len(records))).round().astype(int)
    clips = []
    for record in (records[i] for i in picked):
        try:
            clip = sample_clip(record.path, config, start_s=record.start_s, end_s=record.end_s)
        except ClipError as error:
            raise ClipError(f"cannot validate on {options.dives}: {error}") from error
        clips.append(ParityClip(crop(clip.frames, config), record.score))
    return clips


def expect(
    model: MCoRe,
    clips: Sequence[ParityClip],
    video: Path | None = None,
    decoding: GraphDecoding = DEFAULT_DECODING,
) -> Expected:
    """Let PyTorch encode clips, and compare them with each other.

    Args:
        model: float32, CPU, in evaluation mode.
        clips: at least two, none of which was used for tracing.
        video: what the first one was read from; None: memory.
        decoding: of the graphs.
    """
    config = model.config.clip
    expected = tuple(_expect_clip(model, clip.frames, decoding) for clip in clips)
    tokens = np.stack([clip.tokens for clip in expected])  # (N, P, D)
    mixed = [_deltas(model, tokens[0], mixed_tokens(tokens, count)) for count in EXEMPLAR_COUNTS]
    return Expected(
        clip_config=config,
        decoding=decoding,
        clips=expected,
        scores=np.array([clip.score for clip in clips]),
        deltas=np.stack([_deltas(model, query, tokens)[0] for query in tokens]),
        mixed_deltas=tuple(delta for delta, _ in mixed),
        mixed_stage_deltas=tuple(shares for _, shares in mixed),
        video_frames=None if video is None else frame_digests(video),
    )


class TorchBackend:
    """Modules of the three graphs, run by PyTorch on the CPU; see ``Backend`` for the calls.

    It rounds after every operator as the modules log, where engines without half-precision kernels on the CPU
    compute in float32 and would hide what half precision does on a GPU.
    """

    name = "pytorch"
    provider = f"PyTorch {torch.__version__} CPU"
    notes: tuple[str, ...] = ()

    def __init__(self, modules: Mapping[str, nn.Module], precision: Mapping[str, str]) -> None:
        self.precision = precision
        self._modules = modules

    def backbone(self, clip: FloatArray) -> FloatArray:
        """Turn a clip (1, 3, T, c, c) into features (1, T, D)."""
        return self._run("backbone", clip)[0]

    def segmenter(self, features: FloatArray) -> tuple[FloatArray, IntArray, FloatArray]:
        """Turn features (1, T, D) into logits (1, T, 2), transitions (1, 2) and tokens (1, 3K, D)."""
        logits, transitions, tokens = self._run("segmenter", features)
        return logits, transitions, tokens

    def regressor(self, query: FloatArray, exemplars: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Compare tokens (1, 3K, D) with (E, 3K, D): delta (E,) and its shares by stage (E, 3), points."""
        delta, shares = self._run("regressor", query, exemplars)
        return delta, shares

    def close(self) -> None:
        """Nothing to free."""

    @torch.no_grad()
    def _run(self, part: str, *inputs: FloatArray) -> list[NDArray[Any]]:
        outputs = self._modules[part](*(torch.from_numpy(np.ascontiguousarray(x)) for x in inputs))
        return [x.numpy() for x in (outputs if isinstance(outputs, tuple) else (outputs,))]


def _expect_clip(model: MCoRe, frames: NDArray[np.uint8], decoding: GraphDecoding) -> ExpectedClip:
    e = model.encode(normalise(frames, model.config.clip)[None], decoding)
    features, logits, transitions, tokens = (x[0].numpy() for x in (e.features, e.logits, e.transitions, e.tokens))
    return ExpectedClip(frames, features, logits, transitions, tokens)


@torch.no_grad()
def _deltas(model: MCoRe, query: FloatArray, exemplars: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Compare tokens (P, D) with those of exemplars (E, P, D): delta (E,) and its shares by stage (E, 3), points."""
    q = torch.from_numpy(query)[None].expand(len(exemplars), -1, -1)
    points = model.token_deltas(q, torch.from_numpy(exemplars))
    return points.mean(1).numpy(), stage_deltas(points).numpy()
