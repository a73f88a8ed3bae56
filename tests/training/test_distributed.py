"""Training in two processes, started by torchrun as a user would: the numbers of one, files by one, one end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from mcore.common.errors import UserError
from mcore.data.manifest import read_manifest, select_split
from mcore.devices.distributed import Item, Processes, joined_processes
from mcore.network.checkpoint import read_checkpoint
from mcore.network.model import MCoRe
from mcore.train import main
from mcore.training.config import TrainingConfig
from mcore.training.pairs import EpochBatches
from mcore.training.run import prepare
from mcore.training.trainer import Trainer, TrainingData
from tests.fake_dives import MODEL, MODEL_FLAGS
from tests.training.command_line import parse, wait_for_an_epoch

# Two processes add the same float32 gradients in another order, and Adam divides by their small second moments.
WEIGHT_TOLERANCE = 2e-4
RECIPE = [
    *("--epochs", "2", "--batch-size", "3", "--batch-norm", "estimated", "--device", "cpu"),
    *("--model.segmenter-dropout", "0", "--gradient-clip-norm", "10"),  # each process drops out other units
]


def arguments(manifest: Path, out: Path, *more: str) -> list[str]:
    return ["--data", str(manifest), "--out", str(out), *RECIPE, *MODEL_FLAGS, *more]


def launch(argv: list[str], count: int = 2) -> subprocess.Popen[str]:
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(count)]
    return subprocess.Popen(
        [*torchrun, "-m", "mcore.train", *argv],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        start_new_session=True,
    )


def finish(process: subprocess.Popen[str]) -> tuple[str, str]:
    """Output and errors of a launched training, which is not left behind."""
    try:
        return process.communicate(timeout=90)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)


def assert_close(one: Path, two: Path) -> None:
    a, b = read_checkpoint(one).state_dict, read_checkpoint(two).state_dict
    assert a.keys() == b.keys()
    for name in a.keys() - {
        "segmenter.output.bias"
    }:  # moves all logits alike: its gradient is rounding, Adam's step not
        values = a[name]
        torch.testing.assert_close(values, b[name], rtol=WEIGHT_TOLERANCE, atol=WEIGHT_TOLERANCE, msg=name)


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_processes_together_see_what_one_sees(count: int) -> None:
    alone = EpochBatches(11, 4, seed=3)
    shares = [EpochBatches(11, 4, 3, Processes(rank, count)) for rank in range(count)]
    seen = []
    for step, parts in enumerate(zip(alone, *shares, strict=True)):
        whole, *own = parts
        counted = [keys for rank, keys in enumerate(own) if rank < shares[0].pairs_in_step(step)]
        assert all(own)
        assert sorted(key for keys in counted for key in keys) == sorted(whole)
        seen += whole
    assert sorted(query for _, query in seen) == list(range(11))
    assert [shares[0].pairs_in_step(step) for step in range(3)] == [4, 4, 3]


def test_two_processes_go_on_to_the_numbers_of_one(manifest: Path, tmp_path: Path) -> None:
    """One process makes the first epoch, two the second; batches of 3, 3 and 2 give uneven shares."""
    assert main(arguments(manifest, tmp_path / "one")) == 0
    assert main(arguments(manifest, tmp_path / "two", "--epochs", "1")) == 0
    output, errors = finish(process := launch(arguments(manifest, tmp_path / "two", "--resume")))
    assert process.returncode == 0, errors
    assert output.count("best.pt: epoch") == 1
    assert errors.count("epoch 2/2") == 1
    assert "2 processes" in errors
    assert "Warning" not in errors
    saved = read_checkpoint(tmp_path / "two" / "last.pt").extra
    assert saved["compute"]["world_size"] == len(saved["state"]["random"]) == 2
    assert_close(tmp_path / "one" / "last.pt", tmp_path / "two" / "last.pt")
    one, two = ((tmp_path / name / "metrics.csv").read_text().splitlines() for name in ("one", "two"))
    for a, b in zip(one[1:], two[1:], strict=True):
        figures = [[float(cell) if cell else -1.0 for cell in row.split(",")] for row in (a, b)]
        assert figures[0] == pytest.approx(figures[1], rel=1e-3)


def test_each_process_goes_on_with_its_own_random_numbers(manifest: Path, tmp_path: Path) -> None:
    records = read_manifest(manifest)
    data = TrainingData(select_split(records, "train"), select_split(records, "val"), {}, None)
    trainer = Trainer(MCoRe(MODEL), TrainingConfig(), data, tmp_path, processes=Processes(1, 2))
    states = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        states.append([torch.get_rng_state()])
    trainer._restore_random_state({"random": states})
    assert torch.equal(torch.get_rng_state(), states[1][0])
    trainer._restore_random_state({"random": states[:1]})  # saved by one process: a new stream, the same each time
    first = torch.rand(3)
    torch.manual_seed(2)
    trainer._restore_random_state({"random": states[:1]})
    assert torch.equal(torch.rand(3), first)


def test_a_process_that_dies_ends_the_others(manifest: Path, tmp_path: Path) -> None:
    argv = arguments(manifest, tmp_path / "run", "--epochs", "1000", "--save-every-steps", "1")
    process = launch(argv)
    try:
        wait_for_an_epoch(process, tmp_path / "run")
        workers = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        victim = next(pid for pid in workers if "RANK=1" in Path(f"/proc/{pid}/environ").read_text().split("\0"))
        os.kill(int(victim), signal.SIGKILL)
    finally:
        _, errors = finish(process)
    assert process.returncode != 0
    assert "another process of this training has ended" in errors
    epoch = read_checkpoint(tmp_path / "run" / "last.pt").extra["state"]["progress"]["epoch"]
    assert epoch >= 1
    assert main([*argv, "--resume", "--epochs", str(epoch + 1)]) == 0  # alone, from the last save


class Alike(Processes):
    """One of two processes that meet the same."""

    def gather(self, item: Item) -> list[Item]:
        return [item, item]


def test_an_error_is_said_once(manifest: Path, tmp_path: Path) -> None:
    options, _ = parse(arguments(manifest, tmp_path / "run", "--batch-norm", "trained"))
    with pytest.raises(UserError, match="--batch-norm trained takes its statistics from whole batches"):
        prepare(options, processes=Alike(0, 2))
    with pytest.raises(SystemExit, match="2"):
        prepare(options, processes=Alike(1, 2))
    assert not (tmp_path / "run").exists()


def test_one_named_gpu_is_refused_for_several_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UserError, match="one GPU for several processes"), joined_processes("cuda:0"):
        pass


def test_a_launcher_that_does_not_say_where_the_others_are_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.delenv("MASTER_ADDR", raising=False)
    with pytest.raises(UserError, match="cannot join the other processes"), joined_processes("cpu"):
        pass
