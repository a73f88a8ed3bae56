"""The bundle's manifest: typed records and their trip through JSON.

``manifest.json`` is the contract between export and deployment: what the graphs compute and on which input,
the hash of every file, the figures of the export's gate, and where checkpoint and exemplars came from.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path, PurePosixPath
from typing import Any, Literal, cast, get_args

from mcore.config import STAGES, ModelConfig, from_dict, to_dict
from mcore.errors import BundleError, UserError

FORMAT = "mcore-bundle"
FORMAT_VERSION = 2
SAMPLING_RULE = "linspace-truncated, by presentation time"
"""Name of the rule that turns a clip into T frames: ``mcore.video.sample_clip``."""
PARTS = ("backbone", "segmenter", "regressor")
"""The graphs of a bundle, in the order they run."""
Precision = Literal["fp32", "fp16", "int8"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)
"""What a variant may be called; ``fp32`` is in every bundle."""
UPGRADE_COMMAND = "pip install --upgrade mcore-edge"
EXPORT_COMMAND = "mcore-export CHECKPOINT --out BUNDLE"


@dataclass(frozen=True)
class TensorSpec:
    """One input or output of a graph."""

    name: str
    """Name in the graph."""
    dtype: str
    """NumPy's name of the element type, such as ``float32``."""
    shape: tuple[int | str, ...]
    """Extents; a string names an axis that may vary, such as ``E`` exemplars."""


@dataclass(frozen=True)
class GraphRecord:
    """One exported graph."""

    file: str
    """Path below the bundle, with forward slashes."""
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]


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
    """By part: path below the bundle, with forward slashes."""
    timing_cache: str | None
    """Path below the bundle of the kernel timings that a later build starts from."""
    build_s: Mapping[str, float]
    """By part: seconds that building took."""
    graphs_sha256: str
    """``GraphSet.digest`` of the graphs it was built from."""
    max_exemplars: int
    """Most exemplars that the regressor takes at once."""
    gate: tuple[GateRow, ...] = ()
    """Comparison with PyTorch, where the machine that built it could run it; else ``--verify`` does it."""

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
    """By part; see ``standard_graphs``."""
    precision: Mapping[str, str]
    """Arithmetic of each part's graph, such as ``{"backbone": "fp32"}``."""
    variant: str = "fp32"
    """Which of a bundle's variants this is: one of ``PRECISIONS``."""
    engines: tuple[EngineRecord, ...] = ()
    """Engines built from these graphs."""

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
    """Size."""


@dataclass(frozen=True)
class CheckpointRecord:
    """Where the weights came from."""

    name: str
    """File name of the checkpoint."""
    sha256: str
    """Digest of the checkpoint's file."""
    epoch: int | None = None
    """Training epoch, where the checkpoint says."""


@dataclass(frozen=True)
class ExemplarRecord:
    """Where the exemplar bank came from."""

    count: int
    per_dive_number: Mapping[str, int]
    source: str
    """The list of dives they were taken from."""
    split: str | None = None
    """Part of that list; exemplars should come from the training split only."""
    per_number: int = 10
    """Most exemplars of one dive number."""
    seed: int = 0
    """Seed of their choice."""


@dataclass(frozen=True)
class GateLimits:
    """The most that an exported graph may differ from PyTorch in float32; the defaults are those of fp32."""

    relative: float = 3e-3
    """Features, logits and tokens: largest absolute difference over largest absolute value. Rounding alone reaches
    7e-4 where random weights amplify it, and 1e-6 on trained ones; a wrong graph is off by percents."""
    points: float = 0.01
    """Score differences, points, of dives whose transitions agree."""
    flips: float = 0.0
    """Share of transitions decoded to another frame, where PyTorch did not see the two as a near-tie."""
    tie: float = 1e-5
    """Two frames nearly tie for a transition if PyTorch's logits of them differ by less than this share of the largest
    logit: rounding decides between them."""
    srcc: float = 0.999
    """Least rank correlation between PyTorch's scores and the graphs'."""


@dataclass(frozen=True)
class GateRow:
    """One comparison of an artefact with PyTorch in float32."""

    backend: str
    """Engine that ran the artefact."""
    part: str
    """Graph that was compared, or ``whole chain``."""
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
    """Arithmetic of each part, such as ``{"backbone": "fp16"}``."""
    kept: tuple[str, ...]
    """What was left in higher precision, and why."""
    graphs: Mapping[str, GraphRecord]
    """By part; see ``standard_graphs``."""
    exemplars: ExemplarRecord | None
    """None: the bundle can encode dives but not score them."""
    limits: GateLimits
    """What the gate allowed."""
    gate: tuple[GateRow, ...] = ()
    """What the gate measured, by every engine that the exporting machine had."""
    speed: tuple[str, ...] = ()
    """Speed against fp32, measured side by side on the exporting machine, where that decided about the export."""


@dataclass(frozen=True)
class BundleManifest:
    """Everything ``manifest.json`` holds."""

    model: ModelConfig
    """The network, its input contract included."""
    opset: int
    """ONNX operator set of the graphs."""
    tools: Mapping[str, str]
    """Versions of what made the bundle."""
    checkpoint: CheckpointRecord
    variants: Mapping[Precision, VariantRecord]
    """By precision: ``fp32`` always, ``fp16`` and ``int8`` where they were exported."""
    engines: tuple[EngineRecord, ...] = ()
    """What TensorRT built from the graphs."""
    sampling: str = SAMPLING_RULE
    """Rule that picks the T frames of a clip."""
    created: str = field(default_factory=lambda: datetime.now(timezone.utc).isoformat(timespec="seconds"))
    """Time of the export, ISO 8601 in UTC."""
    files: Mapping[str, FileRecord] = field(default_factory=dict)
    """By path below the bundle; ``write_manifest`` fills it in."""

    def __post_init__(self) -> None:
        if unknown := sorted(set(self.variants) - set(PRECISIONS)):
            raise BundleError(
                f"the manifest has graphs of precision {', '.join(unknown)}; this version knows "
                f"{', '.join(PRECISIONS)}. Upgrade with: {UPGRADE_COMMAND}"
            )
        if "fp32" not in self.variants:
            raise BundleError("the manifest has no fp32 graphs; export the bundle again")
        for name, variant in self.variants.items():
            if missing := [part for part in PARTS if part not in variant.graphs or part not in variant.precision]:
                raise BundleError(
                    f"the manifest lacks graph or precision of {name} {', '.join(missing)}; export the bundle again"
                )
        if self.sampling != SAMPLING_RULE:
            raise BundleError(
                f"the bundle samples clips by the rule {self.sampling!r}; this version knows "
                f"{SAMPLING_RULE!r}. Upgrade with: {UPGRADE_COMMAND}"
            )

    def to_json(self) -> dict[str, Any]:
        """Return plain containers for ``json.dump``, format and version first."""
        values = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        plain = {name: _plain(value) for name, value in values.items() if name != "model"}
        return {"format": FORMAT, "format_version": FORMAT_VERSION, "model": to_dict(self.model), **plain}

    @classmethod
    def from_json(cls, values: object) -> BundleManifest:
        """Rebuild a manifest from parsed JSON.

        Raises:
            BundleError: not a bundle's manifest, another format version, or a missing or damaged field.
        """
        if not isinstance(values, Mapping) or values.get("format") != FORMAT:
            found = values.get("format") if isinstance(values, Mapping) else type(values).__name__
            raise BundleError(f"not a bundle's manifest: format is {found!r}, expected {FORMAT!r}")
        _check_version(values.get("format_version"))
        try:
            manifest = cls(
                model=from_dict(ModelConfig, values["model"]),
                opset=int(values["opset"]),
                tools=dict(values["tools"]),
                checkpoint=CheckpointRecord(**values["checkpoint"]),
                variants={cast("Precision", name): _variant(record) for name, record in values["variants"].items()},
                engines=tuple(_engine(engine) for engine in values["engines"]),
                sampling=str(values["sampling"]),
                created=str(values["created"]),
                files={_safe_name(name): FileRecord(**record) for name, record in values["files"].items()},
            )
        except KeyError as error:
            raise BundleError(f"the manifest has no {error.args[0]!r}; export the bundle again") from error
        except (TypeError, ValueError, AttributeError) as error:
            raise BundleError(f"the manifest is damaged ({error}); export the bundle again") from error
        except BundleError:
            raise
        except UserError as error:  # from_dict: a field of a newer version, or a value that is not allowed
            raise BundleError(f"the manifest's model cannot be used: {error}") from error
        _check_graphs(manifest)
        return manifest


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


def hash_file(path: str | Path) -> FileRecord:
    """Return size and SHA-256 digest of a file, read in pieces."""
    digest, size = hashlib.sha256(), 0
    with Path(path).open("rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
            size += len(piece)
    return FileRecord(digest.hexdigest(), size)


def _check_version(version: object) -> None:
    if not isinstance(version, int) or isinstance(version, bool):
        raise BundleError(f"the manifest's format_version is {version!r}, expected the number {FORMAT_VERSION}")
    if version > FORMAT_VERSION:
        raise BundleError(
            f"the bundle has format version {version}; this version of mcore-edge reads {FORMAT_VERSION}. "
            f"Upgrade with: {UPGRADE_COMMAND}"
        )
    if version < FORMAT_VERSION:
        raise BundleError(
            f"the bundle has the old format version {version}; this version of mcore-edge reads "
            f"{FORMAT_VERSION}. Export it again with: {EXPORT_COMMAND}"
        )


def _check_graphs(manifest: BundleManifest) -> None:
    """Clips are made as the model says and go into the graphs, so the two must agree before anything runs."""
    standard = standard_graphs(manifest.model)
    for name, variant in manifest.variants.items():
        for part, expected in standard.items():
            found = variant.graphs[part]
            if (found.inputs, found.outputs) != (expected.inputs, expected.outputs):
                raise BundleError(
                    f"the manifest contradicts itself: its model takes and gives {_tensors(expected)} in the {part}, "
                    f"its {name} graph {_tensors(found)}; copy the bundle again, or export it again"
                )


def _tensors(graph: GraphRecord) -> str:
    return ", ".join(f"{spec.name} {spec.dtype} {list(spec.shape)}" for spec in (*graph.inputs, *graph.outputs))


def _plain(value: Any) -> Any:
    """Dataclasses, mappings and tuples as dictionaries and lists."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return _plain(dataclasses.asdict(value))
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value


def _graph(values: Mapping[str, Any]) -> GraphRecord:
    def tensors(specs: list[Mapping[str, Any]]) -> tuple[TensorSpec, ...]:
        return tuple(TensorSpec(s["name"], s["dtype"], tuple(s["shape"])) for s in specs)

    return GraphRecord(_safe_name(values["file"]), tensors(values["inputs"]), tensors(values["outputs"]))


def _variant(values: Mapping[str, Any]) -> VariantRecord:
    exemplars = values["exemplars"]
    return VariantRecord(
        precision=dict(values["precision"]),
        kept=tuple(values["kept"]),
        graphs={part: _graph(graph) for part, graph in values["graphs"].items()},
        exemplars=None if exemplars is None else ExemplarRecord(**exemplars),
        limits=GateLimits(**values["limits"]),
        gate=tuple(GateRow(**row) for row in values["gate"]),
        speed=tuple(values["speed"]),
    )


def _engine(values: Mapping[str, Any]) -> EngineRecord:
    files = {part: _safe_name(name) for part, name in values["files"].items()}
    cache = None if values["timing_cache"] is None else _safe_name(values["timing_cache"])
    gate = tuple(GateRow(**row) for row in values["gate"])
    engine = EngineRecord(**{**values, "files": files, "timing_cache": cache, "gate": gate})
    if missing := [part for part in PARTS if part not in files]:
        raise BundleError(f"the manifest lacks {', '.join(missing)} of the engine {engine.name}; build it again")
    return engine


def _safe_name(name: str) -> str:
    """A path below the bundle, as it is: a manifest must not name files outside its folder."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\\" in name or not path.parts:
        raise BundleError(f"the manifest names {name!r}, which is not a file inside the bundle; export it again")
    return name
