"""Probes of backends without a bundle: each really computes something, because a list of names says little."""

from __future__ import annotations

import base64
import importlib.util
from collections.abc import Callable

import numpy as np

from mcore.common.errors import MissingDependencyError, UserError, first_line
from mcore.common.optional import install_command
from mcore_runtime.backends import BFLOAT16
from mcore_runtime.backends.ort import load_onnxruntime
from mcore_runtime.doctor.findings import Finding, absent, error, hint, ok, split_advice
from mcore_runtime.doctor.jetson import is_jetson
from mcore_runtime.doctor.machine import Machine

SMALLEST_GRAPH = base64.b64decode(
    "CAg6NQoOCgF4CgF4EgF5IgNBZGQSAWdaDwoBeBIKCggIARIECgIIBGIPCgF5EgoKCAgBEgQKAggEQgQKABAR"
)
"""ONNX: y = x + x for four numbers."""
_CPU = "CPUExecutionProvider"
_BY_TENSORRT = "a Jetson's GPU is reached by TensorRT: mcore-bundle engine BUNDLE --kind tensorrt"
_INPUT = np.arange(4, dtype=np.float32)


def library(backend: str) -> list[Finding]:
    """Check that a backend's library is installed and computes.

    Args:
        backend: one of ``mcore_runtime.backends.BACKENDS``, not ``auto``.
    """
    probes: dict[str, Callable[[], Finding]] = {
        "onnxruntime": lambda: _onnxruntime(_CPU),
        "onnxruntime-cuda": lambda: _onnxruntime("CUDAExecutionProvider"),
        "openvino": lambda: _openvino("f32"),
        BFLOAT16: lambda: _openvino("bf16"),
    }
    return [probes.get(backend, lambda: _tensorrt(backend))()]


def _onnxruntime(provider: str) -> Finding:
    if importlib.util.find_spec("onnxruntime") is None:
        return absent("ONNX Runtime is not installed", install_command("runtime"))
    ort = load_onnxruntime(cuda=provider != _CPU)
    title = f"ONNX Runtime {ort.__version__}, {provider}"
    if provider not in ort.get_available_providers():
        remedy = f"for NVIDIA GPUs, in another environment: {install_command('gpu')}"
        return absent(f"{title}: not in this build", _BY_TENSORRT if is_jetson(Machine()) else remedy)
    options = ort.SessionOptions()
    options.log_severity_level = 4
    session = ort.InferenceSession(SMALLEST_GRAPH, options, providers=list(dict.fromkeys([provider, _CPU])))
    if session.get_providers()[0] != provider:
        remedy = "nvidia-smi says whether there is a driver; the package needs the CUDA and cuDNN that it was built for"
        return hint(f"{title}: listed, but it falls back to {session.get_providers()[0]}", remedy)
    session.disable_fallback()
    try:
        values = session.run(["y"], {"x": _INPUT})[0]
    except Exception as failed:  # of its own classes, such as for a GPU that the build has no kernels for
        remedy = _BY_TENSORRT if is_jetson(Machine()) else "install a build for this GPU, or take another backend"
        return hint(f"{title}: listed, but cannot compute here ({first_line(failed)})", remedy)
    return _judged(title, values)


def _openvino(precision: str) -> Finding:
    if importlib.util.find_spec("openvino") is None:
        return absent("OpenVINO is not installed", f"for faster CPUs: {install_command('openvino')}")
    import openvino

    from mcore_runtime.backends.openvino import shared_core

    core = shared_core(openvino)
    title = f"OpenVINO {openvino.__version__.partition('-')[0]} on CPU, {precision}"
    if precision == "bf16" and "BF16" not in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        return absent(f"{title}: this processor has no bfloat16", "--backend openvino needs none")
    compiled = core.compile_model(core.read_model(SMALLEST_GRAPH), "CPU", {"INFERENCE_PRECISION_HINT": precision})
    values = compiled.create_infer_request().infer({"x": _INPUT})["y"]
    return _judged(title, values)


def _tensorrt(kind: str) -> Finding:
    """TensorRT's engines are built for a GPU, so its runtime is made and asked for nothing more."""
    from mcore_runtime.backends.tensorrt.devices import open_cuda
    from mcore_runtime.backends.tensorrt.flavours import load_flavour

    try:
        flavour = load_flavour(kind)
    except UserError as refused:
        wrong, remedy = split_advice(first_line(refused))
        return absent(wrong, remedy)
    try:
        cuda = open_cuda("An engine for another machine can be built, none be run")
        try:
            with cuda.active():
                flavour.new_runtime()
        finally:
            cuda.close()
    except UserError as refused:
        wrong, remedy = split_advice(first_line(refused))
        level = hint if isinstance(refused, MissingDependencyError) else absent
        return level(f"{flavour.title}: {wrong}", remedy)
    return ok(f"{flavour.title} on {cuda.device} ({cuda.target}), through {cuda.name}")


def _judged(title: str, values: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> Finding:
    if not np.array_equal(values, 2 * _INPUT):
        return error(f"{title}: computes {values} instead of {2 * _INPUT}", "install it again")
    return ok(f"{title}: computes")
