"""The words for what a network was trained on, which stand beside its scores."""

from __future__ import annotations

import pytest

from mcore.data.trained_on import TrainedOn, caution, describe_training

SHOWS_NOTHING = ": nothing shows that scores mean anything for real dives"


@pytest.mark.parametrize(
    ("trained_on", "text"),
    [
        (TrainedOn(real=1), "trained on 1 real dive"),
        (TrainedOn(real=2251, events=("a", "b")), "trained on 2,251 real dives of 2 events"),
        (
            TrainedOn(real=30, rendered=240, events=("a",)),
            "trained on 30 real dives of 1 event and 240 rendered dives",
        ),
        (TrainedOn(real=3, not_stated=20), "trained on 3 real dives and 20 dives of an origin that is not stated"),
        (TrainedOn(real=3, is_whole=False), "trained on 3 real dives and others that are not recorded"),
    ],
)
def test_a_network_that_saw_real_dives_says_which(trained_on: TrainedOn, text: str) -> None:
    assert describe_training(trained_on) == text
    assert caution(trained_on) is None


@pytest.mark.parametrize(
    ("trained_on", "text"),
    [
        (TrainedOn(rendered=240), "trained on 240 rendered dives, on no real one: scores mean nothing for real dives"),
        (TrainedOn(rendered=1), "trained on 1 rendered dive, on no real one: scores mean nothing for real dives"),
        (None, "what the network was trained on is not recorded" + SHOWS_NOTHING),
        (TrainedOn(not_stated=20), "trained on 20 dives of an origin that is not stated" + SHOWS_NOTHING),
        (
            TrainedOn(rendered=5, is_whole=False),
            "trained on 5 rendered dives and others that are not recorded" + SHOWS_NOTHING,
        ),
        (
            TrainedOn(rendered=5, not_stated=1),
            "trained on 5 rendered dives and 1 dive of an origin that is not stated" + SHOWS_NOTHING,
        ),
    ],
)
def test_a_network_without_known_real_dives_has_a_caution(trained_on: TrainedOn | None, text: str) -> None:
    assert caution(trained_on) == text
    assert text.startswith(describe_training(trained_on))
