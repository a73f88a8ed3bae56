"""Exemplars of a dive: of its number, and the same for the same seed."""

from __future__ import annotations

import numpy as np

from mcore.data.exemplars import choose_exemplars, shared_exemplars


def test_exemplars_are_of_the_same_number_and_repeatable() -> None:
    pool = ["A"] * 20 + ["B"] * 3
    chosen = choose_exemplars(["A", "B", "C", "A"], pool, count=10, seed=0)
    assert [len(rows) for rows in chosen] == [10, 3, 0, 10]
    assert all(pool[row] == "A" for row in chosen[0])
    assert len(set(chosen[0].tolist())) == 10
    assert chosen[0].tolist() != chosen[3].tolist()
    again = choose_exemplars(["A", "B", "C", "A"], pool, count=10, seed=0)
    assert all(np.array_equal(a, b) for a, b in zip(chosen, again, strict=True))
    shared = choose_exemplars(["A", "B", "C", "A"], pool, count=10, seed=0, shared=True)
    assert np.array_equal(shared[0], shared[3])
    assert [len(rows) for rows in shared] == [10, 3, 0, 10]
    of_number = shared_exemplars(["D", *pool], count=10, seed=0)
    assert np.array_equal(of_number["A"], shared[0] + 1)  # another number before it changes nothing
    assert not np.array_equal(shared_exemplars(pool, count=10, seed=1)["A"], shared[0])
