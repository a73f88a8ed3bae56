"""TensorRT engines from a bundle's ONNX graphs, built where they will run or, for TensorRT-RTX, ahead of time.

Needs no torch: a Jetson builds from the bundle it was given.

Example:
    >>> record = build_engines(bundle.graphs("fp16"), "tensorrt", bundle.path, log=print)
    >>> record.name
    'tensorrt-10.3.0-sm87-fp16'
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mcore.common.errors import UserError
from mcore_export.engines.targets import resolve_target
from mcore_export.folder import appearing_folder
from mcore_export.log import Log
from mcore_runtime.backends.base import BackendError
from mcore_runtime.backends.signature import check_signature
from mcore_runtime.backends.tensorrt.engine import tensor_spec
from mcore_runtime.backends.tensorrt.flavours import Flavour, load_flavour
from mcore_runtime.backends.tensorrt.messages import complaints, describe_errors
from mcore_runtime.bundle.records import PARTS, EngineRecord, GraphRecord, GraphSet

if TYPE_CHECKING:
    import tensorrt as trt

ENGINES_FOLDER = "engines"
"""Folder below a bundle that holds one folder for each ``EngineRecord.name``."""
TIMING_CACHE_FILE = "timing.cache"
USUAL_EXEMPLARS = 10
MOST_EXEMPLARS = 1024
"""Number of exemplars that kernels are chosen for; others work as well."""


def check_max_exemplars(most: int) -> None:
    """Refuse numbers of exemplars that no bank has: memory for the most is set aside on the device.

    Raises:
        UserError: out of range.
    """
    if not 1 <= most <= MOST_EXEMPLARS:
        raise UserError(f"engines for {most} exemplars at once (--max-exemplars); allowed: 1 to {MOST_EXEMPLARS}")


def build_engines(
    graphs: GraphSet,
    kind: str,
    folder: Path,
    *,
    target: str | None = None,
    max_exemplars: int = 64,
    timing_cache: Path | None = None,
    before_move: Callable[[], object] = lambda: None,
    log: Log,
) -> EngineRecord:
    """Build the three graphs of one precision for one GPU architecture.

    The folder ``engines/NAME`` appears whole or not at all, and replaces an older one of the same name. The manifest
    is the caller's part.

    Args:
        graphs: one precision's graphs.
        kind: ``tensorrt`` or ``tensorrt-rtx``.
        folder: the bundle's folder, also where it is not ``graphs.folder``.
        target: architecture such as ``sm89``, which TensorRT-RTX builds for without such a GPU; None: this
            machine's GPU, the only one that TensorRT can build for.
        max_exemplars: most exemplars that the regressor takes at once; more are compared in several runs.
        timing_cache: an earlier build's kernel timings, to start from; one that does not fit is said and left out.
        before_move: called when everything is built, just before the engine takes the place of an older one.
        log: gets every warning and error of the library, and one line for each engine.

    Returns:
        What was built, with paths below ``folder``.

    Raises:
        BackendError: there is no such GPU, or the library cannot read or build a graph; names the nodes.
        MissingDependencyError: the library, or what reaches the GPU, is not installed.
        UserError: no such kind or target, or a ``max_exemplars`` that is out of range.
    """
    check_max_exemplars(max_exemplars)
    flavour = load_flavour(kind)
    target, capability = resolve_target(flavour, target)
    name = f"{ENGINES_FOLDER}/{flavour.kind}-{flavour.version}-{target}-{graphs.variant}"
    cache = timing_cache.read_bytes() if timing_cache is not None and flavour.api.timing_cache else b""
    if flavour.api.timing_cache:
        log(f"{flavour.title} builds for {target} by timing kernels, which takes minutes")
    build_s: dict[str, float] = {}
    with appearing_folder(folder / name) as out:
        for part in PARTS:
            builder = EngineBuilder(flavour, part, capability, log)
            began = time.perf_counter()
            try:
                content, cache = builder.build(graphs.path(part), graphs.records[part], max_exemplars, cache)
            except BackendError as error:
                raise BackendError(f"{str(error).rstrip('.')}. {_remedy(flavour, graphs, target)}") from error
            build_s[part] = round(time.perf_counter() - began, 3)
            (out / f"{part}.engine").write_bytes(content)
            log(
                f"{part:10} {len(content) / 1e6:6.1f} MB  {build_s[part]:6.1f} s  {graphs.variant}, {flavour.title}, "
                f"{target}"
            )
        if flavour.api.timing_cache:
            (out / TIMING_CACHE_FILE).write_bytes(cache)
        before_move()
    return EngineRecord(
        kind=flavour.kind,
        version=flavour.version,
        target=target,
        precision=graphs.variant,
        files={part: f"{name}/{part}.engine" for part in PARTS},
        timing_cache=f"{name}/{TIMING_CACHE_FILE}" if flavour.api.timing_cache else None,
        build_s=build_s,
        graphs_sha256=graphs.digest(),
        max_exemplars=max_exemplars,
    )


class EngineBuilder:
    """Builds one graph.

    Args:
        flavour: the library.
        part: which graph it is, for messages.
        capability: member of TensorRT-RTX's ``ComputeCapability``, by name; None: the GPU of this machine.
        log: gets what the library says.
    """

    def __init__(self, flavour: Flavour, part: str, capability: str | None, log: Log) -> None:
        self._flavour, self._part, self._capability, self._log = flavour, part, capability, log
        self._builder = flavour.new_builder()

    def build(self, path: Path, record: GraphRecord, max_exemplars: int, cache: bytes) -> tuple[bytes, bytes]:
        """Return the serialised engine and the timing cache after it.

        Raises:
            BackendError: the library cannot read or build the graph, or it has other inputs and outputs than its
                record says.
        """
        network = self._parse(path)
        self._check(path, record, network)
        config = self._builder.create_builder_config()
        # Ten bits of mantissa instead of 23 would make "fp32" untrue; TensorRT takes them by default.
        config.clear_flag(self._flavour.module.BuilderFlag.TF32)
        self._set_profile(config, record, max_exemplars)
        if self._capability is not None:
            self._set_capability(config, self._capability)
        if self._flavour.api.timing_cache:
            self._set_timing_cache(config, cache)
        with _deferred_interrupt(self._log), self._flavour.journal.listen() as messages:
            engine: trt.IHostMemory | None = self._builder.build_serialized_network(network, config)
        self._repeat(complaints(messages))
        if engine is None:  # it raises nothing
            raise BackendError(f"{self._flavour.title} cannot build the {self._part}: {describe_errors(messages)}")
        if self._flavour.api.timing_cache:
            cache = bytes(config.get_timing_cache().serialize())
        return bytes(engine), cache

    def _parse(self, path: Path) -> trt.INetworkDefinition:
        module = self._flavour.module
        flags = 0
        if self._flavour.api.typing_flag:
            flags = 1 << int(module.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
        network: trt.INetworkDefinition = self._builder.create_network(flags)
        parser = module.OnnxParser(network, self._flavour.journal.logger)
        with self._flavour.journal.listen() as messages:
            readable = parser.parse_from_file(str(path))
        self._repeat(complaints(messages))
        problems = [_describe_problem(parser.get_error(index)) for index in range(parser.num_errors)]
        self._repeat(problems)
        if not readable:
            raise BackendError(
                f"{self._flavour.title} cannot read {path}: {'; '.join(problems) or describe_errors(messages)}"
            )
        return network

    def _check(self, path: Path, record: GraphRecord, network: trt.INetworkDefinition) -> None:
        inputs = [network.get_input(index) for index in range(network.num_inputs)]
        outputs = [network.get_output(index) for index in range(network.num_outputs)]
        check_signature(
            record,
            path,
            [tensor_spec(tensor.name, tensor.dtype, tensor.shape) for tensor in inputs],
            [tensor_spec(tensor.name, tensor.dtype, tensor.shape) for tensor in outputs],
            is_engine=True,
        )

    def _set_profile(self, config: trt.IBuilderConfig, record: GraphRecord, most: int) -> None:
        dynamic = [spec for spec in record.inputs if spec.is_dynamic]
        if not dynamic:
            return
        profile = self._builder.create_optimization_profile()
        for spec in dynamic:
            counts = (1, min(USUAL_EXEMPLARS, most), most)
            profile.set_shape(spec.name, *(self._flavour.module.Dims(list(spec.extent(count))) for count in counts))
        if config.add_optimization_profile(profile) < 0:
            raise BackendError(f"{self._flavour.title} refuses 1 to {most} exemplars for the {self._part}")

    def _set_capability(self, config: trt.IBuilderConfig, capability: str) -> None:
        rtx: Any = config  # TensorRT-RTX only
        rtx.num_compute_capabilities = 1
        if not rtx.set_compute_capability(getattr(self._flavour.module.ComputeCapability, capability), 0):
            raise BackendError(f"{self._flavour.title} refuses to build for {capability}")

    def _set_timing_cache(self, config: trt.IBuilderConfig, content: bytes) -> None:
        cache: trt.ITimingCache | None = config.create_timing_cache(content)
        if cache is None or not config.set_timing_cache(cache, False):
            self._log("note: the timing cache is of another version or GPU, so kernels are timed anew")
            config.set_timing_cache(config.create_timing_cache(b""), False)

    def _repeat(self, lines: list[str]) -> None:
        for line in lines:
            self._log(f"{self._part}: {line}")


@contextmanager
def _deferred_interrupt(log: Log) -> Iterator[None]:
    """Let Ctrl-C come when the library is done.

    Python would raise it in the middle of the library's log, whose bindings drop every exception: the build went on
    and ended as if nothing had been asked.
    """
    in_main_thread = threading.current_thread() is threading.main_thread()
    if not in_main_thread or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    came: list[int] = []

    def remember(number: int, _: object) -> None:
        if not came:
            log("stopping as soon as this graph is done")
        came.append(number)

    signal.signal(signal.SIGINT, remember)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if came:
        raise KeyboardInterrupt


def _describe_problem(error: Any) -> str:
    """One message of the ONNX parser, with the node it is about."""
    node = f"node {error.node_name()!r} ({error.node_operator()}): " if error.node_operator() else ""
    where = " > ".join(error.local_function_stack())
    return f"{node}{error.desc()}{f' (in {where})' if where else ''}"


def _remedy(flavour: Flavour, graphs: GraphSet, target: str) -> str:
    """Advice for a graph that cannot be built."""
    # The folder's own name would mislead: it is a hidden one where a whole bundle is being made.
    fp16 = (
        "build from fp16 graphs, of a bundle that was exported with --fp16: "
        f"mcore-bundle engine BUNDLE --kind {flavour.kind} --precision fp16"
    )
    if flavour.kind == "tensorrt-rtx" and target == "sm75" and graphs.variant != "fp16":
        return (
            "TensorRT-RTX has no float32 matrix products on Turing (sm75), which segmenter and regressor need; "
            f"{fp16} --target sm75"
        )
    if graphs.variant == "int8":
        return (
            "TensorRT reads signed, symmetric int8 only, not the uint8 activations that suit CPUs; quantise with: "
            f"mcore-export CHECKPOINT --out BUNDLE --int8 --engine {flavour.kind}; or {fp16}"
        )
    return "Export the bundle again with another --opset, or run it on another backend: --backend onnxruntime"
