"""Records of a bundle's parts: graphs, variants, engines, exemplars, and the figures of its parity."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Literal, get_args

from mcore.common.conformal import ConformalInterval
from mcore.common.errors import BundleError
from mcore.common.likeness import KnownDives
from mcore.config import STAGES, ModelConfig
from mcore.data.stage_shares import StageShares

PARTS = ("backbone", "segmenter", "regressor")
"""The graphs of a bundle, in the order they run."""
STREAMING_PARTS = ("backbone_prefix", "backbone_suffix")
"""The graphs of the streaming backbone, in the order they run."""
BATCH_AXIS = "B"
"""Name of the axis that varies in graphs for servers: clips, and pairs in the regressor."""
Precision = Literal["fp32", "fp16", "int8"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)
"""Names of variants; ``fp32`` is in every bundle."""


@dataclass(frozen=True)
class TensorSpec:
    """One input or output of a graph."""

    name: str
    """Name in the graph."""
    dtype: str
    """NumPy's name of the element type, such as ``float32``."""
    shape: tuple[int | str, ...]
    """Extents; a string names an axis that may vary, such as ``E`` exemplars."""

    @property
    def is_dynamic(self) -> bool:
        """Return whether an axis varies."""
        return any(isinstance(axis, str) for axis in self.shape)

    def extent(self, varying: int) -> tuple[int, ...]:
        """Return the shape where the axes that vary have a given extent."""
        return tuple(varying if isinstance(axis, str) else axis for axis in self.shape)


@dataclass(frozen=True)
class GraphRecord:
    """One exported graph."""

    file: str
    """Path below the bundle, with forward slashes."""
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]

    def __post_init__(self) -> None:
        check_inside(self.file)


@dataclass(frozen=True)
class StreamingRecord:
    """The streaming backbone: the prefix runs on a clip's first frames before its last ones exist."""

    prefix_frames: int
    """Sampled frames that the prefix takes, H; the suffix takes the other T - H."""
    graphs: Mapping[str, GraphRecord]
    """Graphs by part; see ``streaming_graphs``."""


@dataclass(frozen=True)
class EngineRecord:
    """The three graphs of one variant, built by TensorRT for one version of it and one GPU architecture."""

    kind: str
    """``tensorrt`` or ``tensorrt-rtx``."""
    version: str
    """Version of that library, such as ``10.3.0``: another one cannot load the engine."""
    target: str
    """GPU architecture, such as ``sm87``: another one cannot run the engine."""
    precision: str
    """Variant whose graphs these are: one of ``PRECISIONS``."""
    files: Mapping[str, str]
    """File of each part: its path below the bundle, with forward slashes."""
    timing_cache: str | None
    """Path below the bundle of the kernel timings that a later build starts from."""
    build_s: Mapping[str, float]
    """Seconds that building each part took."""
    graphs_sha256: str
    """``GraphSet.digest`` of the graphs it was built from."""
    max_exemplars: int
    """Most exemplars that the regressor takes at once."""
    parity: tuple[ParityRow, ...] = ()
    """Comparison with PyTorch, where the machine that built it could run it; else ``mcore-bundle verify`` does it."""

    def __post_init__(self) -> None:
        for file in (*self.files.values(), *filter(None, [self.timing_cache])):
            check_inside(file)
        if missing := [part for part in PARTS if part not in self.files]:
            raise BundleError(f"the manifest lacks {', '.join(missing)} of the engine {self.name}; build it again")

    @property
    def name(self) -> str:
        """Folder below ``engines``, such as ``tensorrt-10.3.0-sm87-fp16``."""
        return f"{self.kind}-{self.version}-{self.target}-{self.precision}"


@dataclass(frozen=True)
class GraphSet:
    """The graphs of one network as files: what a backend opens, also before they are in a bundle."""

    folder: Path
    """Folder that the records' file names start from."""
    records: Mapping[str, GraphRecord]
    """Graphs by part; see ``standard_graphs``."""
    precision: Mapping[str, str]
    """Compute dtype of each part's graph, such as ``{"backbone": "fp32"}``."""
    variant: str = "fp32"
    """Name of the bundle's variant: one of ``PRECISIONS``."""
    engines: tuple[EngineRecord, ...] = ()
    """Engines built from these graphs."""
    streaming: StreamingRecord | None = None
    """The same backbone as prefix and suffix, where it was exported."""
    for_cpu: bool = False
    """Whether the backbone has the CPU layout, which on a GPU is more and smaller kernels."""

    def path(self, part: str) -> Path:
        """Return the file of one graph: ``backbone``, ``segmenter`` or ``regressor``."""
        return self.folder / self.records[part].file

    def digest(self) -> str:
        """Return the SHA-256 of the three files together: the identity of what they compute."""
        digest = hashlib.sha256()
        for part in PARTS:
            digest.update(hash_file(self.path(part)).sha256.encode())
        return digest.hexdigest()


@dataclass(frozen=True)
class FileRecord:
    """Fingerprint of one file."""

    sha256: str
    """Lower-case hexadecimal digest."""
    bytes: int
    """Size of the file."""


@dataclass(frozen=True)
class CheckpointRecord:
    """Checkpoint that the weights came from."""

    name: str
    """File name of the checkpoint."""
    sha256: str
    """Digest of the checkpoint's file."""
    epoch: int | None = None
    """Training epoch, where the checkpoint says."""


@dataclass(frozen=True)
class ConformalIntervals:
    """Conformal intervals of the bundle's scores, from dives that are neither learned from nor exemplars."""

    same_number: ConformalInterval | None
    """Interval for dives that are compared with exemplars of their number."""
    other_numbers: ConformalInterval | None
    """For dives that are compared with all exemplars, because their number is unknown or has none. Measured without the
    exemplars of each dive's own number."""
    source: str
    """List of the dives that set the intervals."""
    split: str
    """Part of that list."""
    possible_numbers: ConformalInterval | None = None
    """For dives whose number is unknown, compared with exemplars of the number that they look most like; None: the
    bundle cannot say which that is."""


@dataclass(frozen=True)
class RecogniserRecord:
    """Origin of what names the dive number of a clip; its arrays are in a file of its own."""

    numbers: int
    """Dive numbers that it tells apart."""
    dives: int
    """Training dives that it learned from."""
    source: str
    """List of these dives."""
    calibrated_on: int
    """Validation dives of the same list by which its answers are calibrated."""


@dataclass(frozen=True)
class ExemplarRecord:
    """Origin of the exemplar bank."""

    count: int
    per_dive_number: Mapping[str, int]
    source: str
    """The list of dives they were taken from."""
    split: str | None = None
    """Part of that list; exemplars should come from the training split only."""
    num_compared: int | None = None
    """A dive is compared with so many of them, which look most like it; None, in bundles of before: with all."""
    conformal: ConformalIntervals | None = None
    """Conformal intervals of scores from these exemplars; None: it was not measured, or on too few dives."""
    known_dives: KnownDives | None = None
    """Measures of dives, by which the runtime says whether a clip is like them; None as for ``conformal``."""
    stage_shares: StageShares | None = None
    """Which stages' shares may be shown; None: none, as their points are known of drawn dives only."""
    recogniser: RecogniserRecord | None = None
    """What names the dive number of a clip; None as for ``conformal``, or the exemplars are of one number only."""


@dataclass(frozen=True)
class ParityLimits:
    """The most that an exported graph may differ from PyTorch in float32."""

    relative: float
    """Features, logits and tokens: largest absolute difference over largest absolute value."""
    points: float
    """Score differences, points, of dives whose transitions agree."""
    flips: float
    """Share of transitions decoded to another frame, where PyTorch did not see the two as a near-tie."""
    tie: float
    """Two frames nearly tie for a transition if PyTorch's logits of them differ by less than this share of the largest
    logit: rounding decides between them."""
    srcc: float
    """Least rank correlation between PyTorch's scores and the graphs'."""


@dataclass(frozen=True)
class ParityRow:
    """One comparison of an artefact with PyTorch in float32."""

    backend: str
    """Backend that ran the artefact."""
    part: str
    """Graph that was compared, ``whole chain``, or ``in two parts``: the whole chain with the streaming backbone."""
    measure: str
    """Name of the figure, such as ``features``."""
    case: str
    """The same in words, with unit and number of clips."""
    figure: float
    limit: float | None
    """The most that was allowed (the least, for SRCC); None: for information."""
    passed: bool


@dataclass(frozen=True)
class VariantRecord:
    """One precision of the network: its graphs, how they were proven, and the exemplars that they encoded."""

    precision: Mapping[str, str]
    """Compute dtype of each part, such as ``{"backbone": "fp16"}``."""
    kept: tuple[str, ...]
    """Parts left in higher precision, with the reason."""
    graphs: Mapping[str, GraphRecord]
    """Graphs by part; see ``standard_graphs``."""
    exemplars: ExemplarRecord | None
    """None: the bundle can encode dives but not score them."""
    limits: ParityLimits
    """Limits that parity was held to."""
    parity: tuple[ParityRow, ...] = ()
    """Comparisons with PyTorch, by every backend that the exporting machine had."""
    speed: tuple[str, ...] = ()
    """Speed against fp32, measured side by side on the exporting machine, where that decided about the export."""
    streaming: StreamingRecord | None = None
    """The same backbone as prefix and suffix, for live streams; None: it was not exported."""
    for_cpu: bool = False
    """Whether the backbone has the CPU layout, which on a GPU is more and smaller kernels."""
    batched: Mapping[str, GraphRecord] | None = None
    """The same graphs with a batch axis, for servers, by part; None: they were not exported."""

    @property
    def all_graphs(self) -> tuple[GraphRecord, ...]:
        """Every graph: those for one clip, the streaming backbone's, and those with a batch axis."""
        streaming = () if self.streaming is None else self.streaming.graphs.values()
        return (*self.graphs.values(), *streaming, *(self.batched or {}).values())


def standard_graphs(model: ModelConfig, folder: str = "") -> dict[str, GraphRecord]:
    """Describe the three graphs of a network: the names, types and shapes that both sides agree on.

    Args:
        model: the network.
        folder: folder below the bundle that holds the files, such as ``fp16``; empty: the bundle itself.
    """
    clip, dim, tokens = model.clip, model.backbone.feature_dim, model.num_tokens
    frames, side = clip.num_frames, clip.crop_size
    features = TensorSpec("features", "float32", (1, frames, dim))
    query = TensorSpec("query", "float32", (1, tokens, dim))
    tensors: dict[str, tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]] = {
        "backbone": ((TensorSpec("clip", "float32", (1, 3, frames, side, side)),), (features,)),
        "segmenter": (
            (features,),
            (
                TensorSpec("logits", "float32", (1, frames, len(STAGES) - 1)),
                TensorSpec("transitions", "int64", (1, len(STAGES) - 1)),
                TensorSpec("tokens", "float32", (1, tokens, dim)),
            ),
        ),
        "regressor": (
            (query, TensorSpec("exemplars", "float32", ("E", tokens, dim))),
            (
                TensorSpec("delta", "float32", ("E",)),
                TensorSpec("stage_deltas", "float32", ("E", len(STAGES))),
            ),
        ),
    }
    prefix = f"{folder}/" if folder else ""
    return {part: GraphRecord(f"{prefix}{part}.onnx", *tensors[part]) for part in PARTS}


def streaming_graphs(
    model: ModelConfig, prefix_frames: int, state_size: int, folder: str = ""
) -> dict[str, GraphRecord]:
    """Describe the graphs of a streaming backbone.

    Args:
        model: the network.
        prefix_frames: sampled frames that the prefix takes, 1 to T - 1.
        state_size: numbers that the prefix hands over to the suffix.
        folder: folder below the bundle that holds the files; empty: the bundle itself.
    """
    clip, side = model.clip, model.clip.crop_size
    state = TensorSpec("state", "float32", (1, state_size))
    first = TensorSpec("first", "float32", (1, 3, prefix_frames, side, side))
    last = TensorSpec("last", "float32", (1, 3, clip.num_frames - prefix_frames, side, side))
    features = TensorSpec("features", "float32", (1, clip.num_frames, model.backbone.feature_dim))
    tensors = {"backbone_prefix": ((first,), (state,)), "backbone_suffix": ((last, state), (features,))}
    prefix = f"{folder}/" if folder else ""
    return {part: GraphRecord(f"{prefix}{part}.onnx", *tensors[part]) for part in STREAMING_PARTS}


def batched_graphs(model: ModelConfig, folder: str = "") -> dict[str, GraphRecord]:
    """Describe the graphs with a batch axis: ``standard_graphs`` for any number of clips, or of pairs.

    Args:
        model: the network.
        folder: of the precision below the bundle; empty: the bundle itself.
    """

    def batch(specs: tuple[TensorSpec, ...]) -> tuple[TensorSpec, ...]:
        return tuple(replace(spec, shape=(BATCH_AXIS, *spec.shape[1:])) for spec in specs)

    graphs = standard_graphs(model, f"{folder}/batched".lstrip("/"))
    return {
        part: replace(record, inputs=batch(record.inputs), outputs=batch(record.outputs))
        for part, record in graphs.items()
    }


def check_inside(name: str) -> None:
    """Refuse a file name that leads out of a bundle's folder.

    Raises:
        BundleError: it does.
    """
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\\" in name or not path.parts:
        raise BundleError(f"the manifest names {name!r}, which is not a file inside the bundle; export it again")


def hash_file(path: str | Path) -> FileRecord:
    """Return size and SHA-256 digest of a file, read in pieces."""
    digest, size = hashlib.sha256(), 0
    with Path(path).open("rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
            size += len(piece)
    return FileRecord(digest.hexdigest(), size)
