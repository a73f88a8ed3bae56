"""Clips, pairs and augmentation: nothing but the seed decides what reaches the network."""

from __future__ import annotations

import dataclasses
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch

from mcore.common.errors import UserError
from mcore.config import ClipConfig
from mcore.data.cache import LoadedClip, load_clip
from mcore.data.label_fit import label_transitions
from mcore.data.manifest import DiveRecord, read_manifest, select_split
from mcore.evaluation.clips import ClipDataset, clip_loader, normalise
from mcore.training.pairs import EpochBatches, Mix, PairDataset, augment, pair_loader
from mcore.video import read_clip, sample_clip
from tests.fake_dives import CLIP


@pytest.fixture(scope="module")
def records(manifest: Path) -> list[DiveRecord]:
    return read_manifest(manifest)


def pairs(records: list[DiveRecord], seed: int = 0, cache_dir: Path | None = None) -> PairDataset:
    training = select_split(records, "train")
    return PairDataset(training, CLIP, seed=seed, flip_probability=0.5, cache_dir=cache_dir)


def test_clip_batches_are_what_read_clip_gives(records: list[DiveRecord]) -> None:
    """Normalisation of batches and the video module's of clips are one definition."""
    (batch,) = clip_loader(ClipDataset(records[:3], CLIP), batch_size=3)
    expected = np.stack([read_clip(record.path, CLIP) for record in records[:3]])
    actual = normalise(batch.frames, CLIP)
    assert actual.shape == expected.shape
    np.testing.assert_allclose(actual.numpy(), expected, rtol=0, atol=1e-6)


def test_augmentation_crops_and_flips_whole_clips() -> None:
    config = ClipConfig(num_frames=4, resize_height=9, resize_width=7, crop_size=5)
    rows, columns = np.mgrid[:9, :7]
    picture = np.stack([rows, columns, rows * 0], axis=-1).astype(np.uint8)
    frames = np.stack([picture] * 4)
    seen = set()
    for seed in range(300):
        cut = augment(frames, config, np.random.default_rng(seed), 0.5)
        assert cut.shape == (4, 5, 5, 3)
        assert (cut == cut[:1]).all()  # one position and one flip for all frames
        top, left, right = int(cut[0, 0, 0, 0]), int(cut[0, 0, 0, 1]), int(cut[0, 0, -1, 1])
        assert abs(right - left) == 4
        seen.add((top, min(left, right), left > right))
    assert len(seen) == 5 * 3 * 2  # every position, both ways round


def test_pairs_join_two_dives_of_one_number(records: list[DiveRecord]) -> None:
    dataset = pairs(records)
    batches = EpochBatches(len(dataset), batch_size=3, seed=0)
    (first, second, third) = pair_loader(dataset, batches)
    assert [batch.num_pairs for batch in (first, second, third)] == [3, 3, 2]
    assert first.frames.shape == (6, 8, 16, 16, 3)
    assert first.frames.dtype == torch.uint8
    numbers = {record.score: record.dive_number for record in records}
    by_score = {float(np.float32(score)): number for score, number in numbers.items()}
    for batch in (first, second, third):
        queries, exemplars = (half.tolist() for half in batch.scores.chunk(2))
        for query, exemplar in zip(queries, exemplars, strict=True):
            assert query != exemplar
            assert by_score[query] == by_score[exemplar]


def test_pairs_depend_on_seed_epoch_and_item_only(records: list[DiveRecord], tmp_path: Path) -> None:
    one, two = pairs(records), pairs(records, cache_dir=tmp_path)
    for key in ((0, 3), (7, 1)):
        first = one[key]
        two[(1, 2)]  # something else in between changes nothing
        again = two[key]
        assert torch.equal(first.frames, again.frames)
        assert torch.equal(first.scores, again.scores)
    later = [one[(epoch, 3)] for epoch in range(12)]
    assert len({item.scores[1].item() for item in later}) == 3  # all three partners come up
    assert not all(torch.equal(later[0].frames[0], item.frames[0]) for item in later)
    assert not torch.equal(pairs(records, seed=1)[(0, 3)].frames, one[(0, 3)].frames)


def test_epoch_batches_resume_in_the_middle() -> None:
    batches = EpochBatches(10, batch_size=3, seed=4)
    batches.epoch = 2
    whole = list(batches)
    assert sorted(query for batch in whole for _, query in batch) == list(range(10))
    assert len(whole) == len(batches) == 4
    batches.first_step = 2
    assert list(batches) == whole[2:]
    batches.first_step = 4
    assert list(batches) == []
    batches.epoch, batches.first_step = 3, 0
    assert list(batches) != [[(3, query) for _, query in batch] for batch in whole]


def test_labels_follow_the_sampled_frames(records: list[DiveRecord]) -> None:
    record = records[0]
    assert record.transition_frames is not None
    clip = load_clip(record, CLIP)
    indices = sample_clip(record.path, CLIP).indices
    t1, t2 = label_transitions(record, clip)
    for sampled, source in zip((t1, t2), record.transition_frames, strict=True):
        assert indices[sampled - 1] < source <= indices[sampled]
    beyond = dataclasses.replace(record, transition_frames=(0, 5))
    with pytest.raises(UserError, match="leaves a stage empty"):
        label_transitions(beyond, clip)


def test_dives_that_cannot_be_learned_from(records: list[DiveRecord]) -> None:
    training = select_split(records, "train")
    lonely = dataclasses.replace(training[0], dive_number="307C")
    dataset = PairDataset([*training, lonely], CLIP, seed=0, flip_probability=0)
    assert dataset.single_numbers == ["307C"]
    assert len(dataset) == len(training)
    with pytest.raises(UserError, match="another dive of its number"):
        PairDataset([lonely], CLIP, seed=0, flip_probability=0)
    bare = dataclasses.replace(training[0], transition_frames=None)
    with pytest.raises(UserError, match="1 of 2 dives have no transition_frames"):
        PairDataset([bare, training[1]], CLIP, seed=0, flip_probability=0)
    (batch,) = clip_loader(ClipDataset([bare], CLIP), 1)
    assert batch.transitions.tolist() == [[-1, -1]]


@pytest.mark.parametrize("share", [0.25, 0.5, 0.8])
def test_a_list_that_is_mixed_in_gives_its_share_of_pairs_and_none_of_both_lists(
    records: list[DiveRecord], monkeypatch: pytest.MonkeyPatch, share: float
) -> None:
    own = select_split(records, "train")
    mixed = [dataclasses.replace(record, score=-record.score) for record in own]
    dataset = PairDataset(own, CLIP, seed=0, flip_probability=0.0, mix=Mix([*mixed, *mixed[:1]], share))
    read: list[float] = []

    def load(record: DiveRecord, *_: object) -> LoadedClip:
        read.append(record.score)
        return load_clip(record, CLIP)

    monkeypatch.setattr("mcore.training.pairs.load_clip", load)
    epochs = 9
    for epoch in range(epochs):
        batches = EpochBatches(len(dataset), batch_size=3, seed=0)
        batches.epoch = epoch
        for batch in pair_loader(dataset, batches):
            queries, exemplars = batch.scores.chunk(2)
            assert (queries.sign() == exemplars.sign()).all()
    queries_of_mix = sum(score < 0 for score in read[::2])
    assert queries_of_mix / (len(read) / 2) == pytest.approx(share, abs=0.03)  # of eight own dives, in whole pairs
    assert queries_of_mix == epochs * dataset.num_mixed
    assert sum(score > 0 for score in read[::2]) == epochs * len(own)  # each own dive once an epoch
    counts = Counter(score for score in read[::2] if score < 0)
    assert len(counts) == len(mixed)
    assert max(counts.values()) <= 2 * min(counts.values()) + 2  # the one that is listed twice comes twice as often
