"""Worker processes that fail: the run ends with a message, soon, and what was saved is kept."""

from __future__ import annotations

import gc
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor
from torch.utils.data import Dataset

from mcore.common.errors import ClipError, UserError
from mcore.devices import loader
from mcore.devices.loader import ClipLoader, LoaderError, check_shared_memory
from mcore.network.checkpoint import read_checkpoint
from mcore.train import main
from mcore.training.pairs import PairBatch, PairDataset
from tests.fake_dives import MODEL_FLAGS


@dataclass(frozen=True)
class Batch:
    numbers: Tensor


class Numbers(Dataset[Batch]):
    """Eight numbers; the sixth is trouble."""

    def __init__(self, trouble: Callable[[], object] = lambda: None) -> None:
        self.trouble = trouble

    def __len__(self) -> int:
        return 8

    def __getitem__(self, number: int) -> Batch:
        if number == 5:
            self.trouble()
        return Batch(torch.tensor([number]))


def join(parts: Sequence[Batch]) -> Batch:
    return Batch(torch.cat([part.numbers for part in parts]))


def read(dataset: Numbers, workers: int = 2) -> list[list[int]]:
    clips: ClipLoader[Batch] = ClipLoader(dataset, join, workers, 16, batch_size=2)
    return [batch.numbers.tolist() for batch in clips]


def fail(error: Exception) -> Callable[[], None]:
    def trouble() -> None:
        raise error

    return trouble


NO_ROOM = "unable to allocate shared memory(shm) for file </torch_1_2_0>: No space left on device (28)"


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(loader, "_POLL_S", 1)
    monkeypatch.setattr(torch.utils.data._utils, "MP_STATUS_CHECK_INTERVAL", 0.2)  # waits for workers that hang
    yield
    gc.collect()  # a loader that failed waits for its workers when it is freed: now, and not five seconds for each


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_workers_change_nothing(workers: int) -> None:
    assert read(Numbers(), workers) == [[0, 1], [2, 3], [4, 5], [6, 7]]


def test_a_slow_batch_is_waited_for() -> None:
    assert len(read(Numbers(lambda: time.sleep(1.4)))) == 4  # longer than PyTorch looks for dead workers


@pytest.mark.parametrize(
    ("trouble", "words"),
    [
        (lambda: os._exit(1), ("one of these processes died", "--workers 0")),
        (lambda: os.kill(os.getpid(), 9), ("one of these processes died", "memory is used up")),
        (lambda: time.sleep(8), ("nothing came from them for ", "--workers 0")),
        (fail(RuntimeError(NO_ROOM)), ("no shared memory left", "docker run --shm-size", "--workers 0")),
        (fail(RuntimeError("of its own")), ("failed: RuntimeError: of its own; ", "--workers 0")),
    ],
    ids=["exit", "killed", "hangs", "no room", "fault"],
)
def test_what_ends_a_worker_is_said(
    monkeypatch: pytest.MonkeyPatch, trouble: Callable[[], object], words: tuple[str, ...]
) -> None:
    if "nothing came" in words[0]:  # elsewhere a busy machine may take longer
        monkeypatch.setattr(loader, "TIMEOUT_S", 2.0)
    with pytest.raises(LoaderError) as caught:
        read(Numbers(trouble))
    for word in ("--workers 2", *words):
        assert word in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("error", [EOFError(), ConnectionResetError(104, "reset"), FileNotFoundError(2, "no socket")])
def test_a_worker_that_dies_while_its_batch_is_fetched_is_said_to_be_dead(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loader, "_next_or_none", lambda *_: fail(error)())
    with pytest.raises(LoaderError, match="--workers 2: one of these processes died"):
        read(Numbers())


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("kind", [ClipError, UserError])
def test_a_dive_that_cannot_be_read_is_named_alike(kind: type[UserError], workers: int) -> None:
    with pytest.raises(kind) as caught:
        read(Numbers(fail(kind("cannot read a: b: c; check its path"))), workers)
    assert str(caught.value) == "cannot read a: b: c; check its path"


@pytest.mark.parametrize(
    ("batch_bytes", "workers", "processes", "fits"),
    [
        (12_000_000, 2, "1", True),  # five batches
        (13_500_000, 2, "1", False),
        (20_000_000, 1, "1", True),
        (20_000_000, 1, "2", False),
        (10**12, 0, "1", True),
    ],
)
def test_room_is_looked_at_before_the_start(
    batch_bytes: int, workers: int, processes: str, fits: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loader, "SHARED_MEMORY", tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=64 << 20))
    monkeypatch.setenv("LOCAL_WORLD_SIZE", processes)
    if fits:
        check_shared_memory(batch_bytes, workers)
        return
    with pytest.raises(UserError, match=r"need \d+ MB of shared memory.* has 67 MB free; .*--shm-size 1g.*--workers 0"):
        check_shared_memory(batch_bytes, workers)


CODE = """
import sys
from mcore.common.errors import run_command
from mcore.devices import loader
from tests.training.test_loader import Batch, Numbers, join
import torch
class Large(Numbers):
    def __getitem__(self, number): return Batch(torch.zeros(1, 1_000_000, dtype=torch.uint8))
if sys.argv[1] == "unchecked":
    loader.check_shared_memory = lambda *given: None
def read():
    return len(list(loader.ClipLoader(Large(), join, 2, 4_000_000, batch_size=4)))
sys.exit(run_command(read))
"""


@pytest.mark.parametrize(
    ("how", "words"), [("checked", "need 20 MB of shared memory"), ("unchecked", "there is no shared memory left")]
)
def test_a_container_with_little_shared_memory(how: str, words: str) -> None:
    mount = ["unshare", "--mount", "--map-root-user", "sh", "-c"]
    mount += ['mount -t tmpfs -o size=3m tmpfs /dev/shm && exec "$@"', "sh"]
    if shutil.which("unshare") is None or subprocess.run([*mount, "true"], capture_output=True).returncode != 0:
        pytest.skip("no file system can be mounted here (unshare)")
    done = subprocess.run([*mount, sys.executable, "-c", CODE, how], capture_output=True, text=True, timeout=120)
    assert done.returncode == 2, done.stderr
    assert words in done.stderr
    assert "--shm-size" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_run_keeps_what_it_saved(
    manifest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["--data", str(manifest), "--out", str(tmp_path / "run"), "--batch-size", "3", "--batch-norm", "trained"]
    given += ["--device", "cpu", "--workers", "1", *MODEL_FLAGS]
    healthy = PairDataset.__getitem__

    def dies(self: PairDataset, key: tuple[int, int]) -> PairBatch:
        if key[0] == 1:
            os._exit(1)
        return healthy(self, key)

    monkeypatch.setattr(PairDataset, "__getitem__", dies)
    assert main([*given, "--epochs", "2"]) == 2
    said = capsys.readouterr().err
    assert f"{tmp_path / 'run' / 'last.pt'} holds the run up to its last save: go on with --resume" in said
    assert "Traceback" not in said
    monkeypatch.undo()
    assert main([*given, "--epochs", "2", "--resume"]) == 0
    assert read_checkpoint(tmp_path / "run" / "last.pt").extra["epoch"] == 2
