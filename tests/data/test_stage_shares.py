"""Which shares of stages may be shown."""

from __future__ import annotations

import numpy as np
import pytest

from mcore.data.stage_shares import compare_shares, describe_shares


def test_only_shares_that_follow_what_was_drawn_are_trusted() -> None:
    rng = np.random.default_rng(0)
    drawn = rng.normal(size=(200, 3))
    noise = rng.normal(size=200)
    found = np.stack([0.1 * drawn[:, 0], 0.5 * drawn[:, 1] + noise, np.full(200, 2.0)], axis=1)
    record = compare_shares(found, drawn, "dives.jsonl", "val")
    assert record.trusted == (True, False, False)  # small but right; noisy; constant
    assert record.correlations[0] == pytest.approx(1.0)
    assert record.correlations[2] == 0.0
    text = describe_shares(record)
    assert "flight and entry" in text
    assert "200 dives" in text
    assert compare_shares(-found, drawn, "", "").trusted == (False, False, False)  # against what was drawn


def test_a_bundle_without_the_record_says_why_it_shows_none() -> None:
    assert "known of drawn dives only" in describe_shares(None)
