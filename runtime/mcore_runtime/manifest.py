"""The bundle's manifest: typed records and their trip through JSON.

``manifest.json`` is the contract between export and deployment: what the graphs compute and on which input,
the hash of every file, the figures of the export's gate, and where checkpoint and exemplars came from.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path, PurePosixPath
from typing import Any

from mcore.config import STAGES, ModelConfig, from_dict, to_dict
from mcore.errors import BundleError, UserError

FORMAT = "mcore-bundle"
FORMAT_VERSION = 1
SAMPLING_RULE = "linspace-truncated, by presentation time"
"""Name of the rule that turns a clip into T frames: ``mcore.video.sample_clip``."""
PARTS = ("backbone", "segmenter", "regressor")
"""The graphs of a bundle, in the order they run."""
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
class GraphSet:
    """The graphs of one network as files: what a backend opens, also before they are in a bundle."""

    folder: Path
    """Folder that the records' file names start from."""
    records: Mapping[str, GraphRecord]
    """By part; see ``standard_graphs``."""
    precision: Mapping[str, str]
    """Arithmetic of each part's graph, such as ``{"backbone": "fp32"}``."""

    def path(self, part: str) -> Path:
        """Return the file of one graph: ``backbone``, ``segmenter`` or ``regressor``."""
        return self.folder / self.records[part].file


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


@dataclass(frozen=True)
class GateRow:
    """One comparison of an exported graph with PyTorch."""

    part: str
    case: str
    """What was compared, such as ``features, 3 clips``."""
    figure: float
    """What was measured, in the unit that ``case`` names."""
    limit: float
    """The most that was allowed."""
    passed: bool


@dataclass(frozen=True)
class BundleManifest:
    """Everything ``manifest.json`` holds."""

    model: ModelConfig
    """The network, its input contract included."""
    precision: Mapping[str, str]
    """Arithmetic of each part, such as ``{"backbone": "fp32"}``."""
    opset: int
    """ONNX operator set of the graphs."""
    tools: Mapping[str, str]
    """Versions of what made the bundle."""
    graphs: Mapping[str, GraphRecord]
    """By part; see ``standard_graphs``."""
    checkpoint: CheckpointRecord
    exemplars: ExemplarRecord | None
    """None: the bundle can encode dives but not score them."""
    gate: tuple[GateRow, ...] = ()
    """Figures of the export's comparison with PyTorch."""
    sampling: str = SAMPLING_RULE
    """Rule that picks the T frames of a clip."""
    created: str = field(default_factory=lambda: datetime.now(timezone.utc).isoformat(timespec="seconds"))
    """Time of the export, ISO 8601 in UTC."""
    files: Mapping[str, FileRecord] = field(default_factory=dict)
    """By path below the bundle; ``write_manifest`` fills it in."""

    def __post_init__(self) -> None:
        if missing := [part for part in PARTS if part not in self.graphs or part not in self.precision]:
            raise BundleError(f"the manifest lacks graph or precision of {', '.join(missing)}; export the bundle again")
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
            exemplars = values["exemplars"]
            manifest = cls(
                model=from_dict(ModelConfig, values["model"]),
                precision=dict(values["precision"]),
                opset=int(values["opset"]),
                tools=dict(values["tools"]),
                graphs={part: _graph(graph) for part, graph in values["graphs"].items()},
                checkpoint=CheckpointRecord(**values["checkpoint"]),
                exemplars=None if exemplars is None else ExemplarRecord(**exemplars),
                gate=tuple(GateRow(**row) for row in values["gate"]),
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
    for part, expected in standard_graphs(manifest.model).items():
        found = manifest.graphs[part]
        if (found.inputs, found.outputs) != (expected.inputs, expected.outputs):
            raise BundleError(
                f"the manifest contradicts itself: its model takes and gives {_tensors(expected)} in the {part}, its "
                f"graph {_tensors(found)}; copy the bundle again, or export it again"
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


def _safe_name(name: str) -> str:
    """A path below the bundle, as it is: a manifest must not name files outside its folder."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\\" in name or not path.parts:
        raise BundleError(f"the manifest names {name!r}, which is not a file inside the bundle; export it again")
    return name
