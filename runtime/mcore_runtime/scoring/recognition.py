"""Which dive a clip shows, in words for a referee; ``mcore.common.recognition`` finds it out."""

from __future__ import annotations

from mcore.common.recognition import LEVEL, Recognition, listed
from mcore_runtime.bundle.records import RecogniserRecord


def doubts(recognition: Recognition | None, announced: str | None) -> tuple[str, ...]:
    """Say that a dive does not look like what was announced; nothing where it may be that, or nobody can say."""
    if recognition is None or not recognition.is_doubted:
        return ()
    return (f"looks like {listed(recognition.numbers)}, not {announced} (p {recognition.announced_p_value:.2g})",)


def likely_numbers(recognition: Recognition, num_compared: int | None) -> tuple[str, ...]:
    """Return the dive numbers that a dive of unknown number is compared with, the most probable first.

    It is the most probable one. In bundles of before, whose interval was measured so (``num_compared`` is None), it is
    all that are possible.
    """
    return recognition.numbers if num_compared is None else recognition.numbers[:1]


def describe_recogniser(record: RecogniserRecord | None) -> str:
    """Say what a bundle knows of dive numbers; None: nothing."""
    if record is None:
        return (
            "this bundle cannot say which dive a clip shows: it has not learned dive numbers. Let it with: "
            "mcore-bundle exemplars BUNDLE --dives DIVES.jsonl --out NEW_BUNDLE"
        )
    return (
        f"tells {record.numbers} dive numbers apart, by {record.dives} dives of {record.source}; "
        f"{100 * LEVEL:.0f} % of its sets of possible numbers hold the right one, by {record.calibrated_on} others"
    )
