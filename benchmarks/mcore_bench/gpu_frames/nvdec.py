"""Where NVDEC, the decoder in NVIDIA's GPUs, works on this machine; where it does not, why.

Whether frames can stay on the device depends on the CUDA context that FFmpeg's decoder works in.
"""

from __future__ import annotations

import ctypes
from pathlib import Path

import av
from av.codec.hwaccel import HWAccel

from mcore.common.errors import first_line
from mcore_bench.gpu_frames.result import UnavailableError
from mcore_bench.gpu_frames.video import decode, planes

CONTEXTS = {
    # torch's, which pointers can be shared with. FFmpeg does not join it as "primary": its flags are others.
    "torch's CUDA context": {"primary_ctx": "0", "current_ctx": "1"},
    "the primary CUDA context": {"primary_ctx": "1"},
    "a CUDA context of its own": {"primary_ctx": "0"},
}
"""Where NVDEC may work, the best first; frames of the last cannot stay on the device."""
NVCUVID = "libnvcuvid.so.1"


def find_context(path: Path, *, owned: bool) -> tuple[str, HWAccel]:
    """Find a context in which NVDEC decodes this video's first frame.

    Args:
        path: of the video.
        owned: frames stay on the device.

    Returns:
        Name of the context, and what to open the video with.

    Raises:
        UnavailableError: there is none; says why.
    """
    try:
        ctypes.CDLL(NVCUVID)
    except OSError as error:
        raise UnavailableError(
            f"{first_line(error)}; the driver's video part is missing: install it (libnvidia-decode), or give the "
            "container NVIDIA_DRIVER_CAPABILITIES=compute,utility,video"
        ) from error
    reasons = []
    for name, options in list(CONTEXTS.items())[: 2 if owned else None]:
        accelerator = HWAccel("cuda", allow_software_fallback=False, options=dict(options), is_hw_owned=owned)
        level = av.logging.get_level()
        av.logging.set_level(av.logging.ERROR)
        try:
            with av.logging.Capture() as said:
                try:
                    frame = next(decode(path, accelerator), None)
                    if frame is not None and frame.format.name == ("cuda" if owned else "nv12"):
                        planes(frame)
                        return name, accelerator
                    reason = f"it gave {'no frame' if frame is None else frame.format.name}"
                except Exception as error:  # whatever it is, the next context may do
                    reason = first_line(error)
        finally:
            av.logging.set_level(level)
        reasons.append(f"in {name}: {'; '.join([reason, *(text.strip() for _, _, text in said)])}")
    raise UnavailableError(". ".join(reasons))
