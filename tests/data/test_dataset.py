"""Clips, cache, pairs and augmentation: what reaches the network, and that nothing but the seed decides it."""

from __future__ import annotations

import dataclasses
import shutil
import weakref
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from mcore.common.errors import ClipError, UserError
from mcore.config import ClipConfig
from mcore.data import cache
from mcore.data.cache import LoadedClip, fill_cache, load_clip
from mcore.data.exemplars import choose_exemplars, shared_exemplars
from mcore.data.manifest import DiveRecord, read_manifest, select_split
from mcore.evaluation.clips import ClipDataset, clip_loader, label_transitions, normalise
from mcore.training.pairs import EpochBatches, PairDataset, augment, pair_loader
from mcore.video import normalise as reference_normalise
from mcore.video import read_clip, sample_clip
from tests.fake_dives import CLIP, write_fake_dives


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> list[DiveRecord]:
    return read_manifest(write_fake_dives(tmp_path_factory.mktemp("dives")))


def pairs(records: list[DiveRecord], seed: int = 0, cache_dir: Path | None = None) -> PairDataset:
    training = select_split(records, "train")
    return PairDataset(training, CLIP, seed=seed, flip_probability=0.5, cache_dir=cache_dir)


def test_cached_clip_equals_decoded_clip(records: list[DiveRecord], tmp_path: Path) -> None:
    decoded = load_clip(records[0], CLIP)
    for _ in range(2):  # written, then mapped
        cached = load_clip(records[0], CLIP, tmp_path)
        np.testing.assert_array_equal(cached.frames, decoded.frames)
        np.testing.assert_array_equal(cached.indices, decoded.indices)
    assert isinstance(cached.frames, np.memmap)
    assert len(list(tmp_path.iterdir())) == 2


def test_cache_ignores_what_is_stale(records: list[DiveRecord], tmp_path: Path) -> None:
    dive, folder = tmp_path / "dive", tmp_path / "cache"
    shutil.copytree(records[0].path, dive)
    record = dataclasses.replace(records[0], path=dive)
    before = load_clip(record, CLIP, folder)
    Image.new("RGB", (18, 24), "white").save(dive / "0000.png")
    after = load_clip(record, CLIP, folder)
    assert after.frames[0].min() == 255
    assert before.frames[0].min() < 255
    other_size = dataclasses.replace(CLIP, num_frames=6)
    assert len(load_clip(record, other_size, folder).frames) == 6
    other_crop = dataclasses.replace(CLIP, crop_size=8)  # cropped later: the same file serves
    files = len(list(folder.iterdir()))
    load_clip(record, other_crop, folder)
    assert len(list(folder.iterdir())) == files


def test_cache_decodes_again_what_was_cut_short(records: list[DiveRecord], tmp_path: Path) -> None:
    whole = load_clip(records[0], CLIP, tmp_path).frames.copy()
    (file,) = tmp_path.glob("*.frames.npy")
    file.write_bytes(file.read_bytes()[:300])
    np.testing.assert_array_equal(load_clip(records[0], CLIP, tmp_path).frames, whole)


def test_filling_the_cache_keeps_no_clip_in_memory(
    records: list[DiveRecord], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alive: list[weakref.ref[LoadedClip]] = []

    def load(record: DiveRecord, config: ClipConfig, cache_dir: Path | None) -> LoadedClip:
        clip = load_clip(record, config, cache_dir)
        alive.append(weakref.ref(clip))
        return clip

    monkeypatch.setattr(cache, "load_clip", load)
    most = 0

    def on_clip() -> None:
        nonlocal most
        most = max(most, sum(clip() is not None for clip in alive))

    fill_cache(records, CLIP, tmp_path, workers=1, on_clip=on_clip)
    assert len(alive) == len(records) > 2
    assert most <= 1  # the one that is being read meanwhile


def test_fill_cache_reports_each_clip_and_checks_the_disk(
    records: list[DiveRecord], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(2):
        calls: list[None] = []
        fill_cache(records, CLIP, tmp_path, workers=2, on_clip=lambda calls=calls: calls.append(None))  # type: ignore[misc]
        assert len(calls) == len(records)
    full = shutil.disk_usage(tmp_path)._replace(free=100)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: full)
    with pytest.raises(UserError, match="--no-cache"):
        fill_cache(records, CLIP, tmp_path / "other")


def test_missing_video_is_a_clip_error(tmp_path: Path) -> None:
    with pytest.raises(ClipError, match=r"gone\.mp4"):
        load_clip(DiveRecord(tmp_path / "gone.mp4", "101A", 50.0), CLIP, tmp_path)


def test_clip_batches_are_what_read_clip_gives(records: list[DiveRecord]) -> None:
    """The engine's normalisation of batches and the video module's of clips are one definition."""
    (batch,) = clip_loader(ClipDataset(records[:3], CLIP), batch_size=3)
    expected = np.stack([read_clip(record.path, CLIP) for record in records[:3]])
    actual = normalise(batch.frames, CLIP)
    assert actual.shape == expected.shape
    np.testing.assert_allclose(actual.numpy(), expected, rtol=0, atol=1e-6)


def test_normalise_covers_every_value() -> None:
    frames = np.arange(4 * 8 * 8 * 3, dtype=np.uint32).astype(np.uint8).reshape(4, 8, 8, 3)
    actual = normalise(torch.from_numpy(frames)[None], ClipConfig())[0].numpy()
    np.testing.assert_allclose(actual, reference_normalise(frames, ClipConfig()), rtol=0, atol=1e-6)


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
