"""Decoding of transition logits to two transitions, by the published rule and by others.

The published rule (``mcore.network.segmenter.decode_transitions``) looks for the first transition in the first half of
the clip and for the second in the second half, which is wrong for dives that are not cut evenly. **Ordered**
decoding takes the most probable pair t1 < t2 of the whole clip. Exported graphs hold these very functions, so they use
nothing but what every operator set from 17 on has.
"""

from __future__ import annotations

import torch
from torch import Tensor

from mcore.config import Decoding
from mcore.network.segmenter import decode_transitions


def decode_with(decoding: Decoding, logits: Tensor) -> Tensor:
    """Decode transition logits.

    Args:
        decoding: the rule.
        logits: (B, T, 2), T >= 4.

    Returns:
        (B, 2) int64: first frame of the flight and first frame of the entry, 0 < t1 < t2 < T.
    """
    if decoding == "published":
        return decode_transitions(logits)
    return decode_ordered(logits) if decoding == "ordered" else thirds(logits, logits.shape[1])


def decode_ordered(logits: Tensor) -> Tensor:
    """Choose t1 < t2 jointly so that the sum of their log-probabilities over the frames is highest.

    A channel's log-probabilities are its logits less a constant, so the sum of the logits decides. Each stage
    keeps at least one frame; ties take the earliest entry, then the earliest flight.

    Args:
        logits: (B, T, 2), T >= 3, finite.

    Returns:
        (B, 2) int64, 0 < t1 < t2 < T.
    """
    num_frames = logits.shape[1]
    flight, entry = logits[:, 1:-1, 0], logits[:, 2:, 1]  # (B, T-2): t1 in 1..T-2, t2 in 2..T-1
    frame = torch.arange(num_frames - 2, device=logits.device)  # (T-2,)
    too_late = frame > frame[:, None]  # (T-2, T-2): by t2, then t1. ONNX has no running maximum, but a few frames only
    best_flight = torch.where(too_late, -torch.inf, flight[:, None]).amax(dim=2)  # (B, T-2): the best t1 before each t2
    chosen_entry = (best_flight + entry).argmax(dim=1)  # (B,): t2 - 2
    # By the flights' own logits: sums with the entry's could round two of them to a tie.
    chosen_flight = torch.where(frame > chosen_entry[:, None], -torch.inf, flight).argmax(dim=1)  # (B,): t1 - 1
    return torch.stack([chosen_flight + 1, chosen_entry + 2], dim=1)


def thirds(like: Tensor, num_frames: int) -> Tensor:
    """Divide clips into equal thirds.

    Args:
        like: any tensor of B clips, on the device wanted.
        num_frames: T, at least 3.

    Returns:
        (B, 2) int64: T // 3 and 2 T // 3.
    """
    pair = torch.tensor([num_frames // 3, 2 * num_frames // 3], device=like.device)
    return pair.expand(like.shape[0], 2)
