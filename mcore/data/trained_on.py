"""Summary of the dives that a network was trained on, and the words for it beside each of its scores.

Example:
    >>> caution(TrainedOn(rendered=240))
    'trained on 240 rendered dives, on no real one: scores mean nothing for real dives'
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class TrainedOn:
    """Dives that a network was trained on, by the origin that their lists state."""

    real: int = 0
    rendered: int = 0
    not_stated: int = 0
    """Dives whose list does not say which of the two they are."""
    events: tuple[str, ...] = ()
    """Competitions of the real ones, sorted, as far as their lists name them."""
    is_whole: bool = True
    """False: it began with the weights of a network that does not record its dives."""


def describe_training(trained_on: TrainedOn | None) -> str:
    """Say what a network was trained on; None: nobody recorded it."""
    if trained_on is None:
        return "what the network was trained on is not recorded"
    events = f" of {_count(len(trained_on.events), 'event')}" if trained_on.events else ""
    parts = [
        f"{_count(trained_on.real, 'real dive')}{events}" if trained_on.real else "",
        _count(trained_on.rendered, "rendered dive") if trained_on.rendered else "",
        f"{_count(trained_on.not_stated, 'dive')} of an origin that is not stated" if trained_on.not_stated else "",
        "" if trained_on.is_whole else "others that are not recorded",
    ]
    return f"trained on {' and '.join(filter(None, parts)) or 'no dive'}"


def caution(trained_on: TrainedOn | None) -> str | None:
    """Say what must stand beside each score of a network that is not known to have seen a real dive.

    Args:
        trained_on: its record; None: there is none.

    Returns:
        A sentence without its stop, or None for a network that was trained on real dives.
    """
    text = describe_training(trained_on)
    if trained_on is not None and trained_on.real:
        return None
    if trained_on is not None and trained_on.rendered and trained_on.is_whole and not trained_on.not_stated:
        return f"{text}, on no real one: scores mean nothing for real dives"
    return f"{text}: nothing shows that scores mean anything for real dives"


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
