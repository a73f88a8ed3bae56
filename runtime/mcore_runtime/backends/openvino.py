"""OpenVINO on the CPU, held to the precision that was asked for and read back; it opens ONNX Runtime's ONNX files."""

from __future__ import annotations

import functools
import importlib.util
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mcore.common.errors import first_line
from mcore.common.optional import require
from mcore_runtime.backends.base import BFLOAT16, BackendError, NamedGraphsBackend
from mcore_runtime.backends.ort import OrtSessions
from mcore_runtime.backends.signature import check_signature
from mcore_runtime.bundle.records import GraphRecord, GraphSet, TensorSpec

DEVICE = "CPU"
INFERENCE_PRECISION = "f32"
"""OpenVINO would compute float32 graphs in bfloat16 where the CPU has it: 8 bits of mantissa instead of 24."""
_OPTIONS = {
    "PERFORMANCE_HINT": "LATENCY",  # one clip at a time, on all the threads
    "NUM_STREAMS": "1",
    # Pinned threads start at the first core in every process: two of one thread each shared it and took twice as long.
    "ENABLE_CPU_PINNING": "NO",
}

_HALF_PRECISION = "fp32 (weights rounded to fp16)"
_HALF_NOTE = "OpenVINO computes fp16 graphs in float32 on this device: they are smaller, not faster than the fp32 ones"


_AFTER_BACKBONE = ("segmenter", "regressor")
_BORROWED = "onnxruntime"
"""Runs what follows the backbone where it is installed: its GRU takes three fifths of the time of OpenVINO's."""


class OpenVinoBackend(NamedGraphsBackend):
    """The backbone compiled by OpenVINO, the rest by ONNX Runtime or OpenVINO; see ``Backend`` for the calls.

    Half-precision graphs are computed in float32, which ``precision`` and a note say; int8 graphs in int8, and in
    float32 between. ``provider`` names the processor, the precision of all that is not int8, and who runs the rest.

    Args:
        graphs: files to load.
        threads: CPU threads of one graph; None: one for each physical core.
        notes: what a person should know about this choice.
        bfloat16: compute the backbone in bfloat16, which has eight bits of mantissa; takes float32 graphs.
        mixed: let ONNX Runtime, where it is installed, run the float32 graphs that follow the backbone.

    Raises:
        BackendError: OpenVINO cannot load a graph, or would compute it elsewhere or in another precision than asked;
            a graph's inputs and outputs are not those of its record; or other graphs than float32 for bfloat16.
        MissingDependencyError: OpenVINO is not installed.
    """

    def __init__(
        self,
        graphs: GraphSet,
        *,
        threads: int | None = None,
        notes: tuple[str, ...] = (),
        bfloat16: bool = False,
        mixed: bool = True,
    ) -> None:
        self.name = BFLOAT16 if bfloat16 else "openvino"
        if bfloat16 and graphs.variant != "fp32":
            raise BackendError(
                f"{self.name} computes the fp32 graphs, not the {graphs.variant} ones; leave --precision out, or take "
                "--backend openvino"
            )
        halves = [part for part, kind in graphs.precision.items() if kind == "fp16"]
        self.notes = (*notes, _HALF_NOTE) if halves else notes
        self.precision: Mapping[str, str] = {**graphs.precision, **dict.fromkeys(halves, _HALF_PRECISION)}
        mixed = mixed and not halves and _is_installed(_BORROWED)
        rest = {part: graphs.records[part] for part in _AFTER_BACKBONE}
        first = {"backbone": graphs.records["backbone"]}
        wanted_by = f"The backend {self.name}"
        if bfloat16:
            self.precision = {**self.precision, "backbone": "bf16"}
            self._models = OpenVinoModels(graphs.folder, first, threads, wanted_by, precision="bf16")
        else:
            self._models = OpenVinoModels(graphs.folder, first if mixed else first | rest, threads, wanted_by)
        self.provider = self._models.provider
        self._rest: OpenVinoModels | OrtSessions = self._models
        if mixed:
            self._rest = OrtSessions(graphs.folder, rest, _BORROWED, threads)
            self.provider += f"; {' and '.join(_AFTER_BACKBONE)} on ONNX Runtime"
        elif bfloat16:
            self._rest = OpenVinoModels(graphs.folder, rest, threads, wanted_by)

    def close(self) -> None:
        """Drop the compiled graphs, and with them their memory and threads."""
        self._models.close()
        self._rest.close()

    def _run(self, part: str, inputs: dict[str, Any], outputs: Sequence[str]) -> list[Any]:
        graphs = self._models if part == "backbone" else self._rest
        return graphs.run(part, inputs, outputs)


class OpenVinoModels:
    """Graphs compiled for the CPU, by part; calls from several threads wait for each other.

    Args:
        folder: of the bundle.
        records: the graphs.
        threads: CPU threads of one graph; None: one for each physical core.
        wanted_by: who needs OpenVINO, for the message where it is not installed.
        precision: compute dtype of float32 graphs, in OpenVINO's words: ``f32`` or ``bf16``.

    Raises:
        BackendError: see ``OpenVinoBackend``.
        MissingDependencyError: OpenVINO is not installed.
    """

    def __init__(
        self,
        folder: Path,
        records: Mapping[str, GraphRecord],
        threads: int | None,
        wanted_by: str,
        *,
        precision: str = INFERENCE_PRECISION,
    ) -> None:
        openvino = require("openvino", "openvino", wanted_by)
        core = shared_core(openvino)
        options = {**_OPTIONS, "INFERENCE_PRECISION_HINT": precision}
        if threads is not None:
            options["INFERENCE_NUM_THREADS"] = str(threads)
        compiled = {}
        for part, record in records.items():
            path = folder / record.file
            compiled[part] = _compile(openvino, core, path, options)
            names = {spec.name for spec in (*record.inputs, *record.outputs)}
            inputs, outputs = (
                [_spec(port, names) for port in ports] for ports in (compiled[part].inputs, compiled[part].outputs)
            )
            check_signature(record, path.name, inputs, outputs)
        self.provider = _read_back(core, compiled, precision)
        """The processor's name, and the precision that is really used."""
        self._lock = threading.Lock()
        # A request keeps its graph alive, and its buffers from call to call.
        self._requests = {part: model.create_infer_request() for part, model in compiled.items()}

    def run(self, part: str, inputs: dict[str, Any], outputs: Sequence[str]) -> list[Any]:
        """Run one graph: arrays by name in, arrays in the order of ``outputs`` out."""
        request = self._requests.get(part)
        if request is None:
            raise RuntimeError("this backend is closed")
        # One request is one set of buffers. Without the lock two threads got each other's results, and no error.
        # Inputs are read where they are; outputs are copied, because the next call overwrites the request's buffers.
        with self._lock:
            values = request.infer(inputs, share_inputs=True, share_outputs=False)
        return [values[name] for name in outputs]

    def close(self) -> None:
        """Drop the compiled graphs."""
        self._requests.clear()


def _is_installed(package: str) -> bool:
    """Return whether a package is there, not only the folder that an uninstalled one leaves."""
    spec = importlib.util.find_spec(package)
    return spec is not None and spec.origin is not None


@functools.cache
def shared_core(openvino: Any) -> Any:
    """The one ``Core`` of this process, kept to its end.

    The CPU plug-in gives the thread that loads it a stack for signal handlers, and puts the former one back when it is
    unloaded. Of two cores that are not dropped in reverse order, the second puts back the stack that the first has
    freed: the next signal, such as the end of a child process, would then kill the process.
    """
    return openvino.Core()


def _compile(openvino: Any, core: Any, path: Path, options: Mapping[str, str]) -> Any:
    try:
        return core.compile_model(core.read_model(str(path)), DEVICE, options)
    except Exception as error:  # a bare RuntimeError, or whatever a frontend of another format raises
        raise BackendError(
            f"OpenVINO {openvino.__version__} cannot load {path.name} on {DEVICE}: {_reason(error)}. "
            "Upgrade it with: pip install --upgrade openvino, or export the bundle again"
        ) from error


def _reason(error: Exception) -> str:
    """The cause in OpenVINO's message, whose first lines name places in its source."""
    lines = [line.strip() for line in str(error).splitlines()]
    causes = [
        line for line in lines if line and not line.startswith(("Exception from", "Check '", "FrontEnd API failed"))
    ]
    return causes[0] if causes else first_line(error)


def _read_back(core: Any, compiled: Mapping[str, Any], asked: str) -> str:
    """Name the device and the precision that the graphs really got."""
    # From 2026.4 on a graph reports the bf16 that was asked for on processors without it: the processor is asked too.
    lacks_bfloat16 = asked == "bf16" and "BF16" not in core.get_property(DEVICE, "OPTIMIZATION_CAPABILITIES")
    for part, model in compiled.items():
        devices = list(model.get_property("EXECUTION_DEVICES"))
        precision = model.get_property("INFERENCE_PRECISION_HINT").get_type_name()
        if lacks_bfloat16:
            precision = INFERENCE_PRECISION
        if (devices, precision) != ([DEVICE], asked):
            raise BackendError(
                f"asked OpenVINO for {asked} on {DEVICE}, got {precision} on {', '.join(devices)} for "
                f"the {part}: scores would not be those that were verified. Use another backend: --backend onnxruntime"
            )
    name = str(core.get_property(DEVICE, "FULL_DEVICE_NAME")).strip()
    return f"{name}, {asked}"


def _spec(port: Any, names: set[str]) -> TensorSpec:
    """Describe a port by the name that the bundle's contract knows; OpenVINO may have given it others besides."""
    dtypes = {"f32": "float32", "f16": "float16", "i64": "int64"}
    kind = port.element_type.get_type_name()
    shape = tuple(axis.get_length() if axis.is_static else str(axis) for axis in port.partial_shape)
    known = sorted(port.get_names() & names) or sorted(port.get_names())
    return TensorSpec(known[0] if known else "(no name)", dtypes.get(kind, kind), shape)
