"""The spotter: what it is told, that it learns, and that the runtime computes what PyTorch does."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mcore.common.errors import UserError
from mcore.common.npz import read_arrays
from mcore.data.manifest import DiveRecord
from mcore.data.own_clips import clip_of_dive, clip_without_dive
from mcore.synthetic import write_video
from mcore.synthetic.untrimmed.kept import KeptClip
from mcore.video.spotting import COLUMNS, LOOKS_BACK, ROWS, SPOTTER_WEIGHTS
from mcore_runtime.detector.network import SpotterNetwork

torch = pytest.importorskip("torch", reason="needs torch: pip install '.[train]'")

import mcore.train_spotter as train_spotter_command  # noqa: E402
from mcore.network.spotter import Spotter  # noqa: E402
from mcore.train_spotter import main  # noqa: E402
from mcore.training.spotter import SpotterRecipe, targets, train_spotter  # noqa: E402

HALF_PRECISION = 2e-3
"""Weights are kept with 11 bits; probabilities differ by less."""


def test_targets_are_highest_at_the_events() -> None:
    times = np.arange(0, 6, 1 / 12)
    wanted = targets(times, np.array([[2.0, 3.5]]))
    assert times[wanted[:, 0].argmax()] == pytest.approx(2.0)
    assert times[wanted[:, 1].argmax()] == pytest.approx(3.5)
    assert wanted[:, 2].sum() == pytest.approx(1.5 * 12)
    assert targets(times, np.zeros((0, 2))).sum() == 0


def falling(seed: int) -> KeptClip:
    """A bright block that falls from top to bottom, and is out of the picture before and after."""
    rng = np.random.default_rng(seed)
    first, column = int(rng.integers(25, 60)), int(rng.integers(5, 40))
    pictures = rng.normal(100, 3, (110, ROWS, COLUMNS)).clip(0, 255).astype(np.uint8)
    for step in range(16):
        pictures[first + step, 6 * step : 6 * step + 8, column : column + 8] = 240
    times = np.arange(110) / 12
    return KeptClip(pictures, np.zeros((110, 2), np.int64), times, times[[[first, first + 16]]])


def test_a_few_steps_teach_it_to_see_a_fall() -> None:
    torch.manual_seed(0)
    network, losses = Spotter(), list[float]()
    recipe = SpotterRecipe(steps=15, clips_a_step=4, samples=64)
    train_spotter(network, [falling(i) for i in range(4)], recipe, losses.append)
    assert np.mean(losses[-3:]) < 0.85 * losses[0]


def test_the_runtime_says_what_the_network_says(tmp_path: Path) -> None:
    torch.manual_seed(1)
    network = Spotter()
    changes, shifts = torch.randn(2, 20, len(LOOKS_BACK), ROWS, COLUMNS), torch.randn(2, 20, 2)
    network.train()(changes, shifts)  # so that the normalisation does something
    logits = network.eval()(changes[:1], shifts[:1])
    np.savez(tmp_path / "weights.npz", allow_pickle=False, **network.arrays())
    running = SpotterNetwork(tmp_path / "weights.npz")
    for _ in range(2):
        said = [running(c, s) for c, s in zip(changes[0].numpy(), shifts[0].numpy(), strict=True)]
        np.testing.assert_allclose(said, torch.sigmoid(logits[0]).detach(), atol=HALF_PRECISION)
        running.reset()


def test_weights_that_were_written_are_trained_further(tmp_path: Path) -> None:
    torch.manual_seed(1)
    changes, shifts = torch.randn(1, 20, len(LOOKS_BACK), ROWS, COLUMNS), torch.randn(1, 20, 2)
    network = Spotter.from_arrays(read_arrays(SPOTTER_WEIGHTS))
    running = SpotterNetwork(SPOTTER_WEIGHTS)
    for mode in (network.eval(), network.train()):
        mode.dropout.eval()
        said = torch.sigmoid(mode(changes, shifts)[0]).detach()
        pictures = zip(changes[0].numpy(), shifts[0].numpy(), strict=True)
        np.testing.assert_allclose([running(*each) for each in pictures], said, atol=HALF_PRECISION)
        running.reset()
    recipe = SpotterRecipe(steps=6, clips_a_step=4, samples=64, learning_rate=5e-4)
    losses: list[float] = []
    train_spotter(network, [falling(0)], recipe, losses.append, [falling(i) for i in range(1, 4)])
    assert np.mean(losses[-2:]) < 0.9 * losses[0]
    written = network.eval().arrays()
    again = Spotter.from_arrays(written).arrays()
    assert all(np.allclose(written[name], again[name], atol=1e-3) for name in written)


@pytest.mark.parametrize("name", ["tell.weight", "norms.0.bias", "over_time.bias"])
def test_other_weights_are_not_trained_further(name: str) -> None:
    arrays = dict(Spotter().arrays())
    if arrays.pop(name, None) is None:
        arrays[f"{name}.other"] = np.zeros(3, np.float16)
    with pytest.raises(ValueError, match=r"there is no|other"):
        Spotter.from_arrays(arrays)


def test_a_spotter_learns_from_a_list_of_dives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    film = [np.full((48, 64, 3), 90 + 5 * (index % 3), np.uint8) for index in range(60)]
    write_video(tmp_path / "dive.mp4", film, 25)
    dive = {"path": "dive.mp4", "dive_number": "407C", "score": 60.0, "split": "train", "transition_frames": [20, 50]}
    listing = tmp_path / "dives.jsonl"
    listing.write_text((json.dumps(dive) + "\n") * 2, "utf-8")
    out, clips = tmp_path / "own.npz", tmp_path / "clips"
    words = ["--out", str(out), "--own", str(listing), "--no-dive", str(tmp_path / "dive.mp4"), "--clips", str(clips)]
    words += ["--num-clips", "1", "--steps", "20", "--clips-a-step", "2", "--workers", "1"]
    assert main(words) == 2
    assert "2 dives of one's own" in capsys.readouterr().err
    monkeypatch.setattr(train_spotter_command, "LEAST_OWN", 2)
    assert main(words) == 0
    assert "on 1 drawn clips and 3 of one's own" in capsys.readouterr().out
    SpotterNetwork(out)
    listing.write_text(json.dumps({**dive, "transition_frames": [20, 70]}) + "\n", "utf-8")
    monkeypatch.setattr(train_spotter_command, "LEAST_OWN", 1)
    assert main(words) == 2
    assert "labels [(20, 70)] are of another video" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--steps", "10"], "--steps is at least 20, got 10"),
        (["--num-clips", "0"], "--num-clips and --clips-a-step are at least 1"),
        (["--no-dive", "a.mp4"], "--no-dive goes with --own"),
        (["--start-from", "none.npz"], "cannot read the spotter's weights from none.npz"),
    ],
)
def test_mistakes_in_the_command(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--out", "own.npz", *words]) == 2
    assert message in capsys.readouterr().err.replace("\n", " ")


def test_a_clip_of_a_part_of_a_film_has_its_own_marks(tmp_path: Path) -> None:
    write_video(tmp_path / "film.mp4", [np.full((48, 64, 3), 90, np.uint8)] * 100, 25)
    record = DiveRecord(tmp_path / "film.mp4", "407C", 60.0, transition_frames=(5, 40), start_s=1.0, end_s=3.0)
    clip = clip_of_dive(record)
    assert clip.dives.tolist() == [[pytest.approx(1.2), pytest.approx(2.6)]]
    assert (clip.times_s[0], len(clip.pictures)) == (1.0, 24)
    assert clip_without_dive(record.path).dives.shape == (0, 2)
    with pytest.raises(UserError, match="no transition_frames"):
        clip_of_dive(replace(record, transition_frames=None))


def test_other_files_are_refused(tmp_path: Path) -> None:
    arrays = Spotter().arrays()
    arrays["tell.weight"] = arrays["tell.weight"][:, 1:]
    np.savez(tmp_path / "another.npz", allow_pickle=False, **arrays)
    with pytest.raises(UserError, match="cannot read the spotter's weights"):
        SpotterNetwork(tmp_path / "another.npz")
    np.savez(tmp_path / "other.npz", a=np.zeros(3))
    with pytest.raises(UserError, match="cannot read the spotter's weights"):
        SpotterNetwork(tmp_path / "other.npz")
    with pytest.raises(UserError, match="cannot read the spotter's weights"):
        SpotterNetwork(tmp_path / "none.npz")
