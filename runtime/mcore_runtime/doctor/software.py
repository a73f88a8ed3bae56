"""Probes of what is installed: packages that exclude each other, engines that really run, decoders, native code."""

from __future__ import annotations

import importlib.util

from mcore.errors import UserError, first_line
from mcore.video import native
from mcore_runtime.doctor.findings import Finding, absent, hint, ok, split_advice, trouble
from mcore_runtime.doctor.machine import Machine

_ENGINES = ("onnxruntime", "onnxruntime-gpu", "openvino", "tensorrt", "tensorrt-rtx-cu13", "pycuda", "cuda-python")
_DECODERS = ("h264", "hevc", "mjpeg", "vp9", "av1")
_NEEDED_DECODERS = ("h264", "hevc", "mjpeg")


def packages(machine: Machine) -> list[Finding]:
    """Versions of what computes, and packages that overwrite each other."""
    versions = {name: machine.version(name) for name in _ENGINES}
    found = [ok("packages", f"{name} {version}") for name, version in versions.items() if version is not None]
    if versions["onnxruntime"] and versions["onnxruntime-gpu"]:
        remedy = "pip uninstall -y onnxruntime onnxruntime-gpu, then install one: pip install onnxruntime-gpu"
        found.append(trouble("packages", "onnxruntime and onnxruntime-gpu overwrite each other's files", remedy))
    if not any(versions[name] for name in _ENGINES[:5]):
        found.append(trouble("packages", "no inference engine", "pip install '.[runtime]', see the README's table"))
    missing = [name for name in ("fastapi", "uvicorn", "websockets") if importlib.util.find_spec(name) is None]
    if missing:
        found.append(hint("packages", f"mcore-run --web needs {', '.join(missing)}", "pip install '.[web]'"))
    said = native.describe()
    slow = "native code is not used" in said
    remedy = "pip install again where there is a C++ compiler; the results are the same"
    found.append(hint("packages", f"frames: {said}", remedy) if slow else ok("packages", f"frames: {said}"))
    return found


def video(machine: Machine) -> list[Finding]:
    """Decoders, in software and hardware, and GStreamer with its plug-ins for cameras."""
    del machine
    import av

    there = [name for name in _DECODERS if name in av.codec.codecs_available]
    found = [ok("video", f"PyAV {av.__version__} decodes {', '.join(there)}")]
    lacking = [name for name in _NEEDED_DECODERS if name not in there]
    found += [trouble("video", f"it has no decoder for {name}", "pip install --upgrade av") for name in lacking]
    from av.codec.hwaccel import hwdevices_available

    hardware = ", ".join(str(name) for name in hwdevices_available())
    found.append(ok("video", f"hardware decoders in this build of PyAV, none of which is used: {hardware or 'none'}"))
    found.append(_gstreamer())
    return found


def _gstreamer() -> Finding:
    from mcore_runtime.sources.gstreamer import load_gstreamer

    try:
        gst = load_gstreamer()
    except UserError as error:
        wrong, remedy = split_advice(first_line(error))
        return absent("video", wrong, remedy)
    plugins = [name for name in ("v4l2src", "nvarguscamerasrc", "rtspsrc") if gst.ElementFactory.find(name)]
    return ok("video", f"{gst.version_string()} with {', '.join(plugins) or 'none of the camera plug-ins'}")
