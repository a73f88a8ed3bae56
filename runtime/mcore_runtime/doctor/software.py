"""Probes of what is installed: packages that exclude each other, backends that really run, decoders, native code."""

from __future__ import annotations

import importlib.util
from typing import Any

import mcore
from mcore.common.errors import UserError, first_line
from mcore.common.optional import install_command
from mcore.video import native
from mcore_runtime.doctor.findings import Finding, absent, error, hint, ok, split_advice
from mcore_runtime.doctor.jetson import is_jetson, system_packages
from mcore_runtime.doctor.machine import Machine

_ENGINES = ("onnxruntime", "onnxruntime-gpu", "openvino", "tensorrt", "tensorrt-rtx-cu13", "pycuda", "cuda-python")
_EXCLUSIVE = (
    {"onnxruntime", "onnxruntime-gpu", "onnxruntime-openvino", "onnxruntime-directml", "onnxruntime-training"},
)
"""Packages that write the same files: of each group, only one may be installed."""
_DECODERS = ("h264", "hevc", "mjpeg", "vp9", "av1")
_NEEDED_DECODERS = ("h264", "hevc", "mjpeg")
_NEEDED_ELEMENTS = ("videoconvert", "appsink")
_CSI_ELEMENTS = ("nvarguscamerasrc", "nvvidconv")
_CAMERA_ELEMENTS = ("v4l2src", "nvarguscamerasrc", "rtspsrc")
_HARDWARE_DECODERS = ("nvv4l2decoder", "nvh264dec", "vah264dec", "vaapih264dec", "v4l2h264dec")


def packages(machine: Machine) -> list[Finding]:
    """Versions of what computes, and packages that overwrite each other."""
    versions = {name: machine.version(name) for name in _ENGINES}
    installed = [f"{name} {version}" for name, version in versions.items() if version is not None]
    found = [ok(", ".join([f"mcore-edge {mcore.__version__}", *installed]))]
    for group in _EXCLUSIVE:
        several = sorted(name for name in group if machine.version(name) is not None)
        if len(several) > 1:
            remedy = f"pip uninstall -y {' '.join(several)}, then install one of them again: pip install {several[-1]}"
            found.append(error(f"{' and '.join(several)} overwrite each other's files", remedy))
    if not any(versions[name] for name in _ENGINES[:5]):
        command = install_command("jetson" if is_jetson(machine) else "runtime")
        found.append(error("no backend is installed", f"{command}, see the README's table"))
    missing = [name for name in ("starlette", "uvicorn", "websockets") if importlib.util.find_spec(name) is None]
    if missing:
        found.append(hint(f"mcore-run --web needs {', '.join(missing)}", install_command("web")))
    description = native.describe()
    slow = "native code is not used" in description
    found.append(hint(f"frames: {description}", native.REMEDY) if slow else ok(f"frames: {description}"))
    return [*found, *system_packages(machine)]


def video() -> list[Finding]:
    """Decoders of PyAV, in software and hardware."""
    import av

    there = [name for name in _DECODERS if name in av.codec.codecs_available]
    found = [ok(f"PyAV {av.__version__} decodes {', '.join(there)}")]
    lacking = [name for name in _NEEDED_DECODERS if name not in there]
    found += [error(f"it has no decoder for {name}", "pip install --upgrade av") for name in lacking]
    from mcore.video.hardware import find_device

    device, reason = find_device(None)
    text = f"none ({reason})" if device is None else f"{device}; mcore-run --decoder hardware uses it"
    found.append(ok(f"hardware decoder for PyAV: {text}"))
    return found


def gstreamer() -> list[Finding]:
    """GStreamer with its plug-ins: for cameras, and for decoding on hardware."""
    from mcore_runtime.sources.gstreamer_library import load_gstreamer

    try:
        gst = load_gstreamer()
    except UserError as refused:
        wrong, remedy = split_advice(first_line(refused))
        return [absent(wrong, remedy)]
    return plugins(gst, is_jetson(Machine()))


def plugins(gst: Any, on_jetson: bool) -> list[Finding]:
    """What of GStreamer's plug-ins is there; each package of them has its own name."""

    def there(names: tuple[str, ...]) -> list[str]:
        return [name for name in names if gst.ElementFactory.find(name)]

    found = []
    if missing := [name for name in _NEEDED_ELEMENTS if name not in there(_NEEDED_ELEMENTS)]:
        remedy = "sudo apt install gstreamer1.0-plugins-base gstreamer1.0-plugins-good"
        found.append(hint(f"GStreamer lacks {', '.join(missing)}, which csi:// and gst:// sources need", remedy))
    if on_jetson and len(there(_CSI_ELEMENTS)) < len(_CSI_ELEMENTS):
        remedy = "sudo apt install nvidia-l4t-gstreamer"
        found.append(hint(f"GStreamer lacks {' or '.join(_CSI_ELEMENTS)}, which csi:// sources need", remedy))
    if there(_HARDWARE_DECODERS) and not there(("h264parse",)):
        remedy = "sudo apt install gstreamer1.0-plugins-bad"
        found.append(hint("GStreamer lacks h264parse, which decoders in hardware need before them", remedy))
    cameras, decoders = there(_CAMERA_ELEMENTS), there(_HARDWARE_DECODERS)
    text = f"{gst.version_string()} with {', '.join(cameras) or 'none of the camera plug-ins'}"
    hardware = f"; decoders in hardware, for gst:// sources: {', '.join(decoders)}" if decoders else ""
    return [*found, ok(text + hardware)]
