"""The GPU's frame benchmark: what it compares and counts, and the whole run with the processor in the GPU's place."""

from __future__ import annotations

import ctypes
import importlib
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

native = pytest.importorskip("mcore_native", reason="the native code is not built here")
FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"
SIZE = (160, 96)
SMALL = ["--width", "160", "--height", "96", "--frames", "6", "--rounds", "2", "--video-frames", "9"]


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(FOLDER)
    return importlib.import_module("gpu_frames")


@pytest.fixture
def video(bench: Any, tmp_path: Path) -> Path:
    path = tmp_path / "moving.mp4"
    bench.encode(path, bench.scene(*SIZE, 20))
    return path


# What follows does on the processor, at once, what CUDA does later.


class FakeEvent:
    def __init__(self, enable_timing: bool = False) -> None:
        self.at = 0.0

    def record(self, stream: object = None) -> None:
        self.at = time.perf_counter()

    def synchronize(self) -> None: ...

    def elapsed_time(self, end: FakeEvent) -> float:
        return (end.at - self.at) * 1e3


class FakeStream:
    cuda_stream = 0

    def wait_event(self, event: FakeEvent) -> None: ...


class FakeGraph:
    recording: list[Callable[[], None]] | None = None

    def __init__(self) -> None:
        self.calls: list[Callable[[], None]] = []

    def replay(self) -> None:
        for call in self.calls:
            call()


@contextmanager
def fake_capture(graph: FakeGraph, stream: object) -> Iterator[None]:
    FakeGraph.recording = graph.calls
    yield
    FakeGraph.recording = None


def memory(address: int, dtype: type, shape: tuple[int, ...], strides: tuple[int, ...]) -> NDArray[Any]:
    size = sum((n - 1) * step for n, step in zip(shape, strides, strict=True)) + np.dtype(dtype).itemsize
    raw = memoryview((ctypes.c_uint8 * size).from_address(address)).cast("B")
    array: NDArray[Any] = np.ndarray(shape, dtype, raw, strides=strides)
    return array


class FakeCudaPlan:
    """``CudaPlan`` of pointers to the host's memory; ``wrong`` adds to the results."""

    wrong = 0

    def __init__(self, width: int, height: int, *rest: int) -> None:
        self.plan, self.width, self.height = native.Plan(width, height, *rest), width, height

    def run(self, do: Callable[[], None]) -> None:
        (do if FakeGraph.recording is None else lambda: FakeGraph.recording.append(do))()  # type: ignore[union-attr]

    def target(self, table: int, out: int, out_strides: tuple[int, int, int], half: bool) -> tuple[Any, Any]:
        dtype = np.uint16 if half else np.float32
        item = np.dtype(dtype).itemsize
        channel, row, column = (stride * item for stride in out_strides)
        slot = memory(out, dtype, (3, 112, 112), (channel, row, column))
        return memory(table, dtype, (3, 256), (256 * item, item)), slot

    def write(self, *, frame: int, row_stride: int, pixel_stride: int, stream: int, table: int, out: int,
              out_strides: tuple[int, int, int], half: bool) -> None:  # fmt: skip
        pixels = memory(frame, np.uint8, (self.height, self.width, 3), (row_stride, pixel_stride, 1))
        values, slot = self.target(table, out, out_strides, half)
        self.run(lambda: self.plan.write(pixels, values, slot))

    def write_yuv(self, *, luma: int, luma_stride: int, u: int, v: int, chroma_stride: int, chroma_step: int,
                  table: int, out: int, out_strides: tuple[int, int, int], half: bool = False,
                  stream: int = 0) -> None:  # fmt: skip
        assert (v - u, chroma_step) == (1, 2)
        brightness = memory(luma, np.uint8, (self.height, self.width), (luma_stride, 1))
        chroma = memory(u, np.uint8, (self.height // 2, self.width // 2, 2), (chroma_stride, 2, 1))
        values, slot = self.target(table, out, out_strides, half)

        def do() -> None:
            self.plan.write_yuv(brightness, chroma, values, slot)
            slot[0, 0, 0] += self.wrong

        self.run(do)


@pytest.fixture
def gpu(bench: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A GPU that is the processor; its NVDEC is not available."""
    monkeypatch.setattr(bench, "DEVICE", "cpu")
    monkeypatch.setattr(bench, "PINNED", False)
    monkeypatch.setattr(bench, "COPIED_BYTES", 1 << 16)
    monkeypatch.setattr(bench, "NVCUVID", "libnvcuvid-that-is-nowhere.so.1")
    monkeypatch.setattr(native, "CudaPlan", FakeCudaPlan, raising=False)
    monkeypatch.setattr(native, "HAS_CUDA", True)
    for name, value in {
        "is_available": lambda: True,
        "get_device_name": lambda: "A card",
        "Stream": FakeStream,
        "Event": FakeEvent,
        "CUDAGraph": FakeGraph,
        "graph": fake_capture,
        "stream": lambda stream: nullcontext(),
        "synchronize": lambda: None,
    }.items():
        monkeypatch.setattr(torch.cuda, name, value)
    return bench


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_it_says_what_is_missing(bench: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert bench.main(["--json", str(tmp_path / "figures.json")]) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: torch ")
    assert "nothing was run" in said
    assert said.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_odd_sizes_are_refused(bench: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert bench.main(["--width", "1919"]) == 2
    assert "1919x1080; frames are even" in capsys.readouterr().err


def test_bits_are_compared_not_values(bench: Any) -> None:
    zeros = np.zeros((2, 3), np.float32)
    assert bench.differing(zeros, zeros.copy()) == 0
    assert bench.differing(zeros, -zeros) == 6
    nans = np.full(4, np.nan, np.float16)
    assert bench.differing(nans, nans.copy()) == 0
    assert bench.differing(zeros, zeros.astype(np.float16)) == 6
    assert bench.differing(zeros[:, ::2], np.ones((2, 2), np.float32)) == 4
    assert bench.differing(np.zeros(0), np.zeros(3)) == 3


def test_floors(bench: Any) -> None:
    (rows,) = bench.rows_needed("RGB", 1080)  # 112 of 200, 5.4 to the side of the outermost
    assert (rows.start, rows.stop) == (234, 846)
    assert bench.bytes_needed("RGB", 1920, 1080, whole_rows=True) == (rows.stop - rows.start) * 1920 * 3
    luma, chroma = bench.rows_needed("NV12", 1080)
    assert luma == rows
    assert (chroma.start - 1080) * 2 in (rows.start, rows.start - 1)
    assert (chroma.stop - 1080) * 2 in (rows.stop, rows.stop + 1)
    nv12_rows = luma.stop - luma.start + chroma.stop - chroma.start
    assert bench.bytes_needed("NV12", 1920, 1080, whole_rows=True) == nv12_rows * 1920
    ratio = bench.bytes_needed("NV12", 1920, 1080, whole_rows=False) / bench.bytes_needed(
        "RGB", 1920, 1080, whole_rows=False
    )
    assert ratio == pytest.approx(0.5, rel=5e-3)
    assert bench.floor_microseconds(4_000_000, 4000.0) == pytest.approx(1.0)


def test_figures_are_ratios_within_a_round(bench: Any) -> None:
    ways = [
        bench.Way("RGB", "processor", print, torch.zeros(1), None),
        bench.Way("RGB", "kernels", print, torch.zeros(1), ("device", 8_000_000)),
        bench.Way("NV12", "processor", print, torch.zeros(1), None),
    ]
    slow, fast, other = bench.figures(ways, [[4e-3, 8e-3], [1e-3, 2e-3], [1e-3, 1e-3]], 100, {"device": 1000.0})
    assert (slow.times_faster, fast.times_faster, other.times_faster) == (1.0, 4.0, 1.0)
    assert fast.microseconds == pytest.approx(15.0)
    assert (fast.floor_microseconds, fast.share) == (pytest.approx(8.0), pytest.approx(8 / 15))
    assert slow.share is None


def test_a_decoder_agrees_with_itself(bench: Any, video: Path) -> None:
    assert bench.compare_decoders(bench.decode(video), bench.decode(video, threads=0)) == 20
    as_nv12 = (frame.reformat(format="nv12") for frame in bench.decode(video))
    assert bench.compare_decoders(bench.decode(video), as_nv12) == 20
    assert all(frame.width == SIZE[0] for frame in bench.decode(video))


def test_decoders_that_differ_are_told_apart(bench: Any, video: Path) -> None:
    frames = list(bench.decode(video))
    with pytest.raises(bench.DifferentError, match="one decoder ends after 19 frames"):
        bench.compare_decoders(frames, frames[:-1])
    with pytest.raises(bench.DifferentError, match="frame 0 has the time stamp"):
        bench.compare_decoders(frames, frames[1:])
    changed = frames[3].reformat(format="nv12")
    chroma = np.frombuffer(changed.planes[1], np.uint8).copy()
    chroma[0] ^= 1
    changed.planes[1].update(chroma.tobytes())
    with pytest.raises(bench.DifferentError, match="frame 3: 1 of 23040 bytes differ"):
        bench.compare_decoders(frames, [*frames[:3], changed, *frames[4:]])


def test_planes_are_passed_on_without_a_copy(bench: Any, video: Path) -> None:
    frame = next(bench.decode(video)).reformat(format="nv12")
    luma, chroma = bench.device_planes(frame)
    assert (luma.shape, chroma.shape) == ((96, 160), (48, 80, 2))
    assert np.array_equal(np.concatenate([luma.numpy(), chroma.numpy().reshape(48, -1)]), bench.nv12(frame))
    assert luma.data_ptr() == frame.planes[0].buffer_ptr


def test_without_nvdec_it_says_why(bench: Any, video: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "NVCUVID", "libnvcuvid-that-is-nowhere.so.1")
    with pytest.raises(bench.UnavailableError, match=r"nowhere.so.1: cannot open.*CAPABILITIES=compute,utility,video"):
        bench.nvdec(video, owned=False)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
@pytest.mark.parametrize("owned", [True, False])
def test_each_context_says_why_it_fails(bench: Any, video: Path, monkeypatch: pytest.MonkeyPatch, owned: bool) -> None:
    monkeypatch.setattr(bench, "NVCUVID", "libc.so.6")
    with pytest.raises(bench.UnavailableError) as caught:
        bench.nvdec(video, owned=owned)
    assert str(caught.value).count("in torch's CUDA context: ") == 1
    assert ("of its own" in str(caught.value)) is not owned


def test_a_whole_run_without_nvdec(gpu: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    to = tmp_path / "figures.json"
    assert gpu.main([*SMALL, "--json", str(to)]) == 0
    said = capsys.readouterr().out
    document = json.loads(to.read_text())
    assert document["machine"]["gpu"] == "A card"
    assert document["failures"] == []
    assert document["checks"] == ["16 ways to network input equal the processor's, 6 frames each"]
    assert len(document["unavailable"]) == 2
    assert "not available: NVDEC, frames to the host: libnvcuvid-that-is-nowhere.so.1" in said
    assert [figure["name"] for figure in document["preprocessing"]][:3] == [
        "RGB: processor + upload, float32",
        "RGB pinned: kernels, float32",
        "RGB pinned: copy + kernels, float32",
    ]
    assert len({figure["name"] for figure in document["preprocessing"]}) == 16
    assert [speed["name"] for speed in document["decoding"]][-1].endswith("to network input")


def test_a_whole_run_with_a_decoder_in_nvdecs_place(gpu: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    planes = gpu.device_planes
    monkeypatch.setattr(gpu, "nvdec", lambda path, owned: ("a test", None))
    monkeypatch.setattr(gpu, "device_planes", lambda frame: planes(frame.reformat(format="nv12")))
    to = tmp_path / "figures.json"
    assert gpu.main([*SMALL, "--json", str(to)]) == 0
    document = json.loads(to.read_text())
    assert document["unavailable"] == []
    assert document["checks"][1:] == [
        "NVDEC to the host, in a test: 9 frames equal the processor's",
        "NVDEC on the device, in a test: 9 frames equal the processor's",
        "NVDEC to network input on the device: 9 frames equal the processor's",
    ]
    assert len(document["decoding"]) == 6
    assert all(speed["frames_per_second"] > 0 for speed in document["decoding"])


def test_wrong_results_are_not_timed_and_the_rest_is(gpu: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FakeCudaPlan, "wrong", 1)
    to = tmp_path / "figures.json"
    assert gpu.main([*SMALL, "--json", str(to)]) == 1
    document = json.loads(to.read_text())
    assert len(document["preprocessing"]) == 9
    assert len(document["failures"]) == 7
    assert "NV12, host: DifferentError: 6 of 225792 values differ" in document["failures"][0]
    assert document["decoding"]


def test_a_way_that_fails_while_it_is_timed_is_left_out(bench: Any) -> None:
    report = bench.Report({}, {})

    def fail() -> None:
        raise RuntimeError("the driver is gone\nand more")

    runs = bench.in_turns({"good": lambda: bench.Run(2, 0.5, 1.0), "bad": fail}, 2, report)
    assert list(runs) == ["good"]
    assert report.failures == ["timing, bad: RuntimeError: the driver is gone"]
    assert bench.speeds(runs)[0].frames_per_second == pytest.approx(2.0)
