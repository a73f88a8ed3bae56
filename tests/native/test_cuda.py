"""The GPU's part: the same numbers where there is a GPU, a clear error where there is none."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from mcore.config import ClipConfig
from mcore.video import normalise
from mcore.video.yuv import conversion
from tests.hardware import needs_gpu

if TYPE_CHECKING:
    import torch

    import mcore_native as native
else:
    native = pytest.importorskip("mcore_native", reason="the native code is not built here")
    torch = pytest.importorskip("torch", reason="PyTorch puts frames on the GPU")

pytestmark = pytest.mark.skipif(not native.HAS_CUDA, reason="the native code was built without a CUDA compiler")
BT709 = conversion(0.2126, 0.0722)
GEOMETRY = (480, 270, 200, 112, 44, 0, 112, 112)


def strides(slot: torch.Tensor) -> tuple[int, int, int]:
    channel, row, column = slot.stride()
    return channel, row, column


def test_impossible_geometry_is_refused_before_cuda_is_asked() -> None:
    with pytest.raises(ValueError, match="the crop does not lie"):
        native.CudaPlan(10, 10, 5, 5, 0, 0, 6, 5)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_cuda_says_why() -> None:
    with pytest.raises(RuntimeError, match="CUDA cannot allocate memory: "):
        native.CudaPlan(*GEOMETRY)


@needs_gpu()
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_a_gpu_computes_the_same_numbers(dtype: torch.dtype) -> None:
    half = dtype is torch.float16
    random = np.random.default_rng(4)
    frame = random.integers(0, 256, (270, 480, 3), np.uint8)
    values = np.arange(256, dtype=np.uint8)[None, None, :, None].repeat(3, -1)
    table = torch.from_numpy(normalise(values, ClipConfig())[:, 0, 0]).to(dtype)
    clip = torch.zeros((3, 4, 112, 112), dtype=dtype, device="cuda")
    slot, table_there, frame_there = clip[:, 1], table.cuda(), torch.from_numpy(frame).cuda()
    stream = torch.cuda.Stream()
    plan = native.CudaPlan(*GEOMETRY)
    with torch.cuda.stream(stream):
        for bgr in (False, True):
            plan.write(
                frame=frame_there.data_ptr(),
                row_stride=480 * 3,
                pixel_stride=3,
                table=table_there.data_ptr(),
                out=slot.data_ptr(),
                out_strides=strides(slot),
                half=half,
                bgr=bgr,
                stream=stream.cuda_stream,
            )
            stream.synchronize()
            expected = np.empty((112, 112, 3), np.uint8)
            native.Plan(*GEOMETRY).resize(frame, expected, bgr=bgr)
            wanted = torch.stack([table[c][torch.from_numpy(expected[..., c]).long()] for c in range(3)])
            assert torch.equal(slot.cpu(), wanted)
    assert not clip[:, [0, 2, 3]].any()


@needs_gpu()
@pytest.mark.parametrize("interleaved", [True, False])
def test_a_gpu_converts_yuv_as_the_cpu_does(interleaved: bool) -> None:
    random = np.random.default_rng(5)
    luma = random.integers(0, 256, (270, 480), np.uint8)
    chroma = random.integers(0, 256, (135, 240, 2) if interleaved else (2, 135, 240), np.uint8)
    table = torch.arange(256, dtype=torch.float32).repeat(3, 1)
    out = torch.zeros((3, 112, 112), device="cuda")
    luma_there, chroma_there, table_there = (
        x.cuda() for x in (torch.from_numpy(luma), torch.from_numpy(chroma), table)
    )
    base = chroma_there.data_ptr()
    native.CudaPlan(*GEOMETRY).write_yuv(
        luma=luma_there.data_ptr(),
        luma_stride=480,
        u=base,
        v=base + (1 if interleaved else 135 * 240),
        chroma_stride=480 if interleaved else 240,
        chroma_step=2 if interleaved else 1,
        conversion=BT709,
        table=table_there.data_ptr(),
        out=out.data_ptr(),
        out_strides=strides(out),
    )
    torch.cuda.synchronize()
    expected = np.empty((112, 112, 3), np.uint8)
    u, v = (chroma[..., 0], chroma[..., 1]) if interleaved else chroma
    native.Plan(*GEOMETRY).resize_yuv(luma, u, v, BT709, expected)
    np.testing.assert_array_equal(out.cpu().numpy().transpose(1, 2, 0), expected)
