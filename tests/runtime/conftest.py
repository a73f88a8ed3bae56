"""A bundle whose graphs are small enough to reckon by hand, and videos it can score."""

from __future__ import annotations

import dataclasses
import shutil
import socket
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from mcore.config import BackboneConfig, ClipConfig, ModelConfig
from mcore.data.stage_shares import StageShares
from mcore.data.trained_on import TrainedOn
from mcore_runtime.bundle.exemplar_pictures import write_exemplar_pictures
from mcore_runtime.bundle.exemplars import ExemplarBank
from mcore_runtime.bundle.folder import EXEMPLARS_FILE, PICTURES_FILE, Bundle, write_manifest
from mcore_runtime.bundle.manifest import BundleManifest
from mcore_runtime.bundle.moments import Moment, to_jpeg
from mcore_runtime.bundle.records import (
    PARTS,
    CheckpointRecord,
    ExemplarRecord,
    GraphRecord,
    GraphSet,
    ParityLimits,
    ParityRow,
    StreamingRecord,
    TensorSpec,
    VariantRecord,
    standard_graphs,
    streaming_graphs,
)

FRAMES, DIM, TOKENS, SIDE = 8, 8, 6, 12
PREFIX_FRAMES = 6
MODEL = ModelConfig(
    clip=ClipConfig(num_frames=FRAMES, resize_height=20, resize_width=SIDE, crop_size=SIDE),
    backbone=BackboneConfig(stem_width=8, widths=(DIM,), depths=(1,)),
    tokens_per_stage=TOKENS // 3,
)
POINTS_PER_BRIGHTNESS = 10.0
"""The tiny regressor's weight: a token brighter by 1 is worth this many points."""
BANK: dict[str, Any] = {
    "tokens": np.stack([np.full((TOKENS, DIM), level, np.float32) for level in (-1.0, 0.0, 1.0, 0.5)]),
    "scores": np.array([50.0, 60.0, 75.0, 80.0]),
    "dive_numbers": np.array(["407C", "407C", "407C", "5253B"]),
    "difficulties": np.array([3.2, 3.2, 3.2, np.nan]),
    "names": np.array(["heat-1", "heat-2", "heat-3", "final-1"]),
}
SHARES = StageShares((0.9, 0.5, 0.8), 40, "heats.jsonl", "val")
"""The flight's share is not to be trusted."""
FPS = 25


def _value_info(spec: TensorSpec) -> Any:
    from onnx import TensorProto, helper

    kind = {"float32": TensorProto.FLOAT, "int64": TensorProto.INT64}[spec.dtype]
    return helper.make_tensor_value_info(spec.name, kind, spec.shape)


def _save(
    path: Path, part: str, nodes: Sequence[Any], constants: dict[str, Any], record: GraphRecord | None = None
) -> None:
    import onnx
    from onnx import helper, numpy_helper

    record = standard_graphs(MODEL)[part] if record is None else record
    graph = helper.make_graph(
        list(nodes),
        part,
        [_value_info(spec) for spec in record.inputs],
        [_value_info(spec) for spec in record.outputs],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, str(path))


def _save_graphs(folder: Path) -> None:
    """Backbone: mean colour; segmenter: largest rise in brightness; regressor: weighted difference of tokens."""
    from onnx import helper

    node = helper.make_node
    _save(
        folder / "backbone.onnx",
        "backbone",
        [
            node("ReduceMean", ["clip", "pixels"], ["colour"], keepdims=0),  # (1, 3, T)
            node("Transpose", ["colour"], ["by_frame"], perm=[0, 2, 1]),
            node("MatMul", ["by_frame", "mix"], ["features"]),
        ],
        {"pixels": np.array([3, 4]), "mix": np.full((3, DIM), 1 / 3, np.float32)},
    )
    rise = np.eye(FRAMES, dtype=np.float32) - np.eye(FRAMES, k=-1, dtype=np.float32)
    rise[0] = 0
    half = FRAMES // 2
    pool = np.zeros((TOKENS, FRAMES), np.float32)
    pool[np.arange(TOKENS), np.linspace(0, FRAMES - 1, TOKENS).astype(int)] = 1
    _save(
        folder / "segmenter.onnx",
        "segmenter",
        [
            node("MatMul", ["rise", "features"], ["rises"]),
            node("MatMul", ["rises", "both"], ["logits"]),  # (1, T, 2)
            node("Slice", ["logits", "zero2", "first", "axes"], ["early"]),
            node("Slice", ["logits", "second", "all", "axes"], ["late"]),
            node("ArgMax", ["early"], ["t1"], axis=1, keepdims=0),
            node("ArgMax", ["late"], ["t2_of_half"], axis=1, keepdims=0),
            node("Add", ["t2_of_half", "half"], ["t2"]),
            node("Concat", ["t1", "t2"], ["transitions"], axis=1),
            node("MatMul", ["pool", "features"], ["tokens"]),
        ],
        {
            "rise": rise,
            "both": np.full((DIM, 2), 1 / DIM, np.float32),
            "zero2": np.array([0, 0]),
            "first": np.array([half, 1]),
            "second": np.array([half, 1]),
            "all": np.array([FRAMES, 2]),
            "axes": np.array([1, 2]),
            "half": np.array(half),
            "pool": pool,
        },
    )
    _save(
        folder / "regressor.onnx",
        "regressor",
        [
            node("Sub", ["query", "exemplars"], ["differences"]),  # (E, 3K, D)
            node("MatMul", ["differences", "weight"], ["points"]),  # (E, 3K, 1)
            node("Reshape", ["points", "by_stage"], ["stages"]),  # (E, 3, K)
            node("ReduceSum", ["stages", "last"], ["stage_deltas"], keepdims=0),
            node("ReduceSum", ["stage_deltas", "one"], ["delta"], keepdims=0),
        ],
        {
            "weight": np.full((DIM, 1), POINTS_PER_BRIGHTNESS / DIM / TOKENS, np.float32),
            "by_stage": np.array([-1, 3, TOKENS // 3]),
            "last": np.array([2]),
            "one": np.array([1]),
        },
    )


def _save_streaming(folder: Path) -> StreamingRecord:
    """The backbone in two parts: the prefix hands over its frames' features, each of which is a mean colour."""
    from onnx import helper

    node = helper.make_node
    records = streaming_graphs(MODEL, PREFIX_FRAMES, PREFIX_FRAMES * DIM)
    mean = {"pixels": np.array([3, 4]), "mix": np.full((3, DIM), 1 / 3, np.float32)}
    transposed = node("Transpose", ["colour"], ["by_frame"], perm=[0, 2, 1])
    prefix = [
        node("ReduceMean", ["first", "pixels"], ["colour"], keepdims=0),
        transposed,
        node("MatMul", ["by_frame", "mix"], ["early"]),
        node("Reshape", ["early", "flat"], ["state"]),
    ]
    suffix = [
        node("ReduceMean", ["last", "pixels"], ["colour"], keepdims=0),
        transposed,
        node("MatMul", ["by_frame", "mix"], ["late"]),
        node("Reshape", ["state", "by_frame_again"], ["early"]),
        node("Concat", ["early", "late"], ["features"], axis=1),
    ]
    for part, nodes, shape in (
        ("backbone_prefix", prefix, {"flat": np.array([1, -1])}),
        ("backbone_suffix", suffix, {"by_frame_again": np.array([1, -1, DIM])}),
    ):
        _save(folder / f"{part}.onnx", part, nodes, mean | shape, records[part])
    return StreamingRecord(PREFIX_FRAMES, records)


@pytest.fixture
def port() -> int:
    """A port on loopback at which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


@pytest.fixture
def split_bundle(bundle_copy: Path) -> Path:
    """The intact bundle with its backbone in two parts besides."""
    manifest = Bundle.open(bundle_copy).manifest
    fp32 = dataclasses.replace(manifest.variants["fp32"], streaming=_save_streaming(bundle_copy))
    write_manifest(bundle_copy, dataclasses.replace(manifest, variants={"fp32": fp32}))
    return bundle_copy


@pytest.fixture
def pictured_bundle(bundle_copy: Path) -> Path:
    """The intact bundle with pictures of the exemplars of one dive number, each of its own colour."""
    pictures = {
        name: [Moment(0.5 * i, to_jpeg(np.full((9, 16, 3), 60 * (e + 1), np.uint8), (16, 9))) for i in range(TOKENS)]
        for e, name in enumerate(BANK["names"][:3].tolist())
    }
    write_exemplar_pictures(bundle_copy / PICTURES_FILE, pictures)
    write_manifest(bundle_copy, Bundle.open(bundle_copy).manifest)
    return bundle_copy


@pytest.fixture(scope="session")
def tiny_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An intact bundle; tests that change it copy it first."""
    pytest.importorskip("onnx", reason="the tiny graphs are made with onnx: pip install '.[export]'")
    folder = tmp_path_factory.mktemp("bundle") / "tiny"
    folder.mkdir()
    _save_graphs(folder)
    graphs = GraphSet(folder, standard_graphs(MODEL), dict.fromkeys(PARTS, "fp32"))
    bank = ExemplarBank(**BANK, graphs_sha256=graphs.digest())
    bank.save(folder / EXEMPLARS_FILE)
    fp32 = VariantRecord(
        precision=graphs.precision,
        kept=(),
        graphs=graphs.records,
        exemplars=ExemplarRecord(len(bank), bank.counts(), "heats.jsonl", "train", stage_shares=SHARES),
        limits=ParityLimits(relative=3e-3, points=0.01, flips=0.0, tie=1e-5, srcc=0.999),
        parity=(ParityRow("onnxruntime", "backbone", "features", "features, relative, 1 clip", 1e-6, 1e-4, True),),
    )
    manifest = BundleManifest(
        model=MODEL,
        opset=18,
        tools={"onnx": "any"},
        checkpoint=CheckpointRecord("tiny.pt", "0" * 64, 3),
        variants={"fp32": fp32},
        trained_on=TrainedOn(real=12, events=("heats",)),
    )
    write_manifest(folder, manifest)
    return folder


@pytest.fixture
def bundle_copy(tiny_bundle: Path, tmp_path: Path) -> Path:
    """A bundle to be damaged."""
    return Path(shutil.copytree(tiny_bundle, tmp_path / "copy"))


def write_steps(path: Path, levels: Sequence[int], frames_per_level: int = 4) -> Path:
    """Encode a video whose grey level changes in steps."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FPS)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.options = {"crf": "1", "bf": "0"}
        for level in levels:
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), level, np.uint8), format="rgb24")
            for _ in range(frames_per_level):
                container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@pytest.fixture(scope="session")
def step_video() -> Callable[..., Path]:
    """``write_steps``, for tests that need a video of their own."""
    return write_steps


@pytest.fixture(scope="session")
def dive_video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 frames: dark for 8, grey for 8, bright for 8."""
    return write_steps(tmp_path_factory.mktemp("video") / "dive.mp4", (40, 40, 120, 120, 200, 200))
