"""The GPU's frame benchmark: what it compares and counts, and the whole run with the processor in the GPU's place."""

from __future__ import annotations

import ctypes
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
from torch.overrides import TorchFunctionMode

from mcore_bench.gpu_frames import decoding, network, nvdec, preprocess_step
from mcore_bench.gpu_frames.__main__ import main
from mcore_bench.gpu_frames.frames import bytes_needed, differing, rows_needed, scene
from mcore_bench.gpu_frames.preprocess_step import figures
from mcore_bench.gpu_frames.preprocessing import Way
from mcore_bench.gpu_frames.result import DifferentError, Report, UnavailableError
from mcore_bench.gpu_frames.video import compare_decoders, decode, device_planes, encode, planes

native = pytest.importorskip("mcore_native", reason="the native code is not built here")
NOWHERE = "libnvcuvid-that-is-nowhere.so.1"
SIZE = (160, 96)
SMALL = ["--width", "160", "--height", "96", "--frames", "6", "--rounds", "2", "--video-frames", "9"]


@pytest.fixture
def video(tmp_path: Path) -> Path:
    path = tmp_path / "moving.mp4"
    encode(path, scene(*SIZE, 20))
    return path


# What follows does on the processor, at once, what CUDA does later.


class HostMemory(TorchFunctionMode):
    """Tensors that are asked for on the GPU, or in pinned memory, are made in the processor's."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        moved = {"device": "cpu"} if (kwargs or {}).get("device") == "cuda" else {}
        kwargs = {name: value for name, value in (kwargs or {}).items() if name != "pin_memory"}
        args = tuple("cpu" if isinstance(value, str) and value == "cuda" else value for value in args)
        return func(*args, **{**kwargs, **moved})


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
def gpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A GPU that is the processor; its NVDEC is not available."""
    monkeypatch.setattr(preprocess_step, "COPIED_BYTES", 1 << 16)
    monkeypatch.setattr(nvdec, "NVCUVID", NOWHERE)
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
    with HostMemory():
        yield


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_it_says_what_is_missing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--json", str(tmp_path / "figures.json")]) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: torch ")
    assert "nothing was run" in said
    assert said.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_odd_sizes_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--width", "1919"]) == 2
    assert "1919x1080; frames are even" in capsys.readouterr().err


def test_bits_are_compared_not_values() -> None:
    zeros = np.zeros((2, 3), np.float32)
    assert differing(zeros, zeros.copy()) == 0
    assert differing(zeros, -zeros) == 6
    nans = np.full(4, np.nan, np.float16)
    assert differing(nans, nans.copy()) == 0
    assert differing(zeros, zeros.astype(np.float16)) == 6
    assert differing(zeros[:, ::2], np.ones((2, 2), np.float32)) == 4
    assert differing(np.zeros(0), np.zeros(3)) == 3


def test_floors() -> None:
    (rows,) = rows_needed("RGB", 1080)  # 112 of 200, 5.4 to the side of the outermost
    assert (rows.start, rows.stop) == (234, 846)
    assert bytes_needed("RGB", 1920, 1080, whole_rows=True) == (rows.stop - rows.start) * 1920 * 3
    luma, chroma = rows_needed("NV12", 1080)
    assert luma == rows
    assert (chroma.start - 1080) * 2 in (rows.start, rows.start - 1)
    assert (chroma.stop - 1080) * 2 in (rows.stop, rows.stop + 1)
    nv12_rows = luma.stop - luma.start + chroma.stop - chroma.start
    assert bytes_needed("NV12", 1920, 1080, whole_rows=True) == nv12_rows * 1920
    ratio = bytes_needed("NV12", 1920, 1080, whole_rows=False) / bytes_needed("RGB", 1920, 1080, whole_rows=False)
    assert ratio == pytest.approx(0.5, rel=5e-3)


def test_figures_are_ratios_within_a_round() -> None:
    ways = [
        Way("RGB", "processor", print, torch.zeros(1), None),
        Way("RGB", "kernels", print, torch.zeros(1), ("device", 8_000_000)),
        Way("NV12", "processor", print, torch.zeros(1), None),
    ]
    slow, fast, other = figures(ways, [[4e-3, 8e-3], [1e-3, 2e-3], [1e-3, 1e-3]], 100, {"device": 1000.0})
    assert (slow.times_faster, fast.times_faster, other.times_faster) == (1.0, 4.0, 1.0)
    assert fast.microseconds == pytest.approx(15.0)
    assert fast.floor_microseconds == pytest.approx(8.0)
    assert fast.share == pytest.approx(8 / 15)
    assert slow.share is None


def test_a_decoder_agrees_with_itself(video: Path) -> None:
    assert compare_decoders(decode(video), decode(video, threads=0)) == 20
    as_nv12 = (frame.reformat(format="nv12") for frame in decode(video))
    assert compare_decoders(decode(video), as_nv12) == 20
    assert all(frame.width == SIZE[0] for frame in decode(video))


def test_decoders_that_differ_are_told_apart(video: Path) -> None:
    frames = list(decode(video))
    with pytest.raises(DifferentError, match="one decoder ends after 19 frames"):
        compare_decoders(frames, frames[:-1])
    with pytest.raises(DifferentError, match="frame 0 has the time stamp"):
        compare_decoders(frames, frames[1:])
    changed = frames[3].reformat(format="nv12")
    chroma = np.frombuffer(memoryview(changed.planes[1]), np.uint8).copy()
    chroma[0] ^= 1
    changed.planes[1].update(chroma.tobytes())
    with pytest.raises(DifferentError, match="frame 3: 1 of 23040 bytes differ"):
        compare_decoders(frames, [*frames[:3], changed, *frames[4:]])


def test_planes_are_passed_on_without_a_copy(video: Path) -> None:
    frame = next(decode(video)).reformat(format="nv12")
    luma, chroma = device_planes(frame)
    assert (luma.shape, chroma.shape) == ((96, 160), (48, 80, 2))
    assert np.array_equal(np.concatenate([luma.numpy(), chroma.numpy().reshape(48, -1)]), planes(frame))
    assert luma.data_ptr() == frame.planes[0].buffer_ptr


def test_without_nvdec_it_says_why(video: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nvdec, "NVCUVID", NOWHERE)
    with pytest.raises(UnavailableError, match=r"nowhere.so.1: cannot open.*CAPABILITIES=compute,utility,video"):
        nvdec.find_context(video, owned=False)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
@pytest.mark.parametrize("owned", [True, False])
def test_each_context_says_why_it_fails(video: Path, monkeypatch: pytest.MonkeyPatch, owned: bool) -> None:
    monkeypatch.setattr(nvdec, "NVCUVID", "libc.so.6")
    with pytest.raises(UnavailableError) as caught:
        nvdec.find_context(video, owned=owned)
    assert str(caught.value).count("in torch's CUDA context: ") == 1
    assert ("of its own" in str(caught.value)) is not owned


@pytest.mark.usefixtures("gpu")
def test_a_whole_run_without_nvdec(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    to = tmp_path / "figures.json"
    assert main([*SMALL, "--json", str(to)]) == 0
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


@pytest.mark.usefixtures("gpu")
def test_a_whole_run_with_a_decoder_in_nvdecs_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding, "find_context", lambda path, owned: ("a test", None))
    monkeypatch.setattr(network, "device_planes", lambda frame: device_planes(frame.reformat(format="nv12")))
    to = tmp_path / "figures.json"
    assert main([*SMALL, "--json", str(to)]) == 0
    document = json.loads(to.read_text())
    assert document["unavailable"] == []
    assert document["checks"][1:] == [
        "NVDEC to the host, in a test: 9 frames equal the processor's",
        "NVDEC on the device, in a test: 9 frames equal the processor's",
        "NVDEC to network input on the device: 9 frames equal the processor's",
    ]
    assert len(document["decoding"]) == 6
    assert all(speed["frames_per_second"] > 0 for speed in document["decoding"])


@pytest.mark.usefixtures("gpu")
def test_wrong_results_are_not_timed_and_the_rest_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FakeCudaPlan, "wrong", 1)
    to = tmp_path / "figures.json"
    assert main([*SMALL, "--json", str(to)]) == 1
    document = json.loads(to.read_text())
    assert len(document["preprocessing"]) == 9
    assert len(document["failures"]) == 7
    assert "NV12, host: DifferentError: 6 of 225792 values differ" in document["failures"][0]
    assert document["decoding"]


def test_a_way_that_fails_while_it_is_timed_is_left_out() -> None:
    report = Report({}, {})

    def fail() -> decoding.Run:
        raise RuntimeError("the driver is gone\nand more")

    runs = decoding.in_turns({"good": lambda: decoding.Run(2, 0.5, 1.0), "bad": fail}, 2, report)
    assert list(runs) == ["good"]
    assert report.failures == ["timing, bad: RuntimeError: the driver is gone"]
    assert decoding.speeds(runs)[0].frames_per_second == pytest.approx(2.0)
