"""Ordered decoding against trying every pair; nearest exemplars against sorting by hand; both from the command line."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from mcore.config import to_dict
from mcore.data.manifest import read_manifest, select_split
from mcore.devices.distributed import Processes
from mcore.evaluate import main
from mcore.evaluation.scoring import encode_records, plan_scoring, predict
from mcore.network.checkpoint import save_checkpoint
from mcore.network.decoding import decode_ordered, decode_with, thirds
from mcore.network.model import MCoRe
from mcore.network.segmenter import decode_transitions
from mcore.training.config import TrainingConfig
from tests.fake_dives import MODEL
from tests.reference_network import random_model


@pytest.fixture(scope="module")
def model() -> MCoRe:
    return random_model(MCoRe(MODEL))


def by_trying_all(logits: torch.Tensor) -> tuple[int, int]:
    """The most probable pair; of equals the one with the earliest entry, then the earliest flight."""
    log_p = logits.double().log_softmax(0)
    frames = range(len(logits))
    pairs = [(t1, t2) for t2, t1 in itertools.product(frames, frames) if 0 < t1 < t2]
    return max(pairs, key=lambda pair: float(log_p[pair[0], 0] + log_p[pair[1], 1]))


@pytest.mark.parametrize("num_frames", [3, 4, 9, 24])
def test_ordered_decoding_equals_trying_every_pair(num_frames: int) -> None:
    logits = torch.randn(60, num_frames, 2, generator=torch.Generator().manual_seed(num_frames)) * 3
    assert [tuple(pair) for pair in decode_ordered(logits).tolist()] == [by_trying_all(each) for each in logits]


def test_ties_take_the_earliest() -> None:
    assert decode_ordered(torch.zeros(2, 8, 2)).tolist() == [[1, 2]] * 2
    logits = torch.zeros(1, 8, 2)
    logits[0, [3, 5], 0] = logits[0, [6, 7], 1] = 1.0
    assert decode_ordered(logits).tolist() == [[3, 6]]


def test_ordered_decoding_reaches_what_halves_cannot() -> None:
    """Both transitions in the second half: the published rule must miss the first."""
    logits = torch.zeros(1, 12, 2)
    logits[0, 7, 0] = logits[0, 10, 1] = 9.0
    assert decode_with("ordered", logits).tolist() == [[7, 10]]
    assert decode_with("published", logits).tolist() == decode_transitions(logits).tolist() != [[7, 10]]


def test_ordered_and_published_agree_where_both_can_be_right() -> None:
    logits = torch.randn(20, 12, 2)
    logits[:, 4, 0] = logits[:, 8, 1] = 20.0
    assert torch.equal(decode_ordered(logits), decode_transitions(logits))


def test_thirds() -> None:
    assert decode_with("thirds", torch.zeros(2, 8, 2)).tolist() == thirds(torch.zeros(2, 1), 8).tolist() == [[2, 5]] * 2


def test_all_exemplars_and_as_many_nearest_ones_are_the_same(model: MCoRe, manifest: Path) -> None:
    records = read_manifest(manifest)
    plan = plan_scoring(select_split(records, "test"), select_split(records, "train"), num_exemplars=None, seed=0)
    assert [len(rows) for rows in plan.exemplars] == [4] * 4
    everything = predict(model, plan)
    assert np.array_equal(predict(model, plan, num_nearest=4).scores, everything.scores)
    assert not np.array_equal(predict(model, plan, num_nearest=1).scores, everything.scores)


def test_clips_shared_among_processes_come_back_in_order(model: MCoRe, manifest: Path) -> None:
    """Three processes for two clips: one has none. What they would send is collected first, then handed to each."""
    records = select_split(read_manifest(manifest), "test")[:2]
    sent: list[object] = []

    class Collecting(Processes):
        def gather(self, item):  # type: ignore[no-untyped-def]
            sent.append(item)
            return sent if len(sent) == 3 else [*sent, *[item] * (3 - len(sent))]

    for rank in range(2):
        encode_records(model, records, processes=Collecting(rank, 3))
    joined = encode_records(model, records, processes=Collecting(2, 3))
    alone = encode_records(model, records)
    torch.testing.assert_close(joined.tokens, alone.tokens)
    assert joined.transitions.tolist() == alone.transitions.tolist()
    assert joined.true_transitions.tolist() == alone.true_transitions.tolist()


def test_evaluate_takes_and_records_the_choices(
    model: MCoRe, manifest: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trained = {"plain": TrainingConfig(), "thirds": TrainingConfig(stages="thirds")}
    for name, recipe in trained.items():
        save_checkpoint(tmp_path / f"{name}.pt", model, extra={"training": to_dict(recipe)})
    cases: list[tuple[str, tuple[str, ...], tuple[object, ...]]] = [
        ("plain", (), ("ordered", "random", 10)),
        ("thirds", (), ("thirds", "random", 10)),
        ("plain", ("--decoding", "published"), ("published", "random", 10)),
        ("plain", ("--exemplars", "nearest", "--num-exemplars", "1"), ("ordered", "nearest", 1)),
        ("plain", ("--num-exemplars", "all"), ("ordered", "random", "all")),
    ]
    predictions = []
    for name, flags, wanted in cases:
        out = tmp_path / "out"
        argv = [str(tmp_path / f"{name}.pt"), "--data", str(manifest), "--out", str(out), "--num-resamples", "2"]
        assert main([*argv, *flags]) == 0
        printed = capsys.readouterr().out
        assert ("transitions: published" in printed) == ("published" in flags)
        summary = json.loads((out / "metrics.json").read_text())
        assert (summary["decoding"], summary["exemplars"], summary["num_exemplars"]) == wanted
        predictions.append((out / "predictions.csv").read_text())
    assert predictions[0] == predictions[4]  # four dives of a number: ten are all
    assert len(set(predictions)) == 4
