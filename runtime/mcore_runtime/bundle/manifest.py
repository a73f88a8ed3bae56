"""The bundle's manifest and its trip through JSON.

``manifest.json`` is the contract between export and deployment: what the graphs compute and on which input,
the hash of every file, the figures of the export's gate, and where checkpoint and exemplars came from.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import PurePosixPath
from typing import Any, cast

from mcore.common.conformal import Calibration
from mcore.common.errors import BundleError, UserError
from mcore.config import ModelConfig, from_dict, to_dict
from mcore_runtime.bundle.records import (
    PARTS,
    PRECISIONS,
    SPLIT_PARTS,
    BankCalibration,
    CheckpointRecord,
    EngineRecord,
    ExemplarRecord,
    FileRecord,
    GateLimits,
    GateRow,
    GraphRecord,
    Precision,
    SplitRecord,
    TensorSpec,
    VariantRecord,
    split_graphs,
    standard_graphs,
)
from mcore_runtime.typed import misfit

FORMAT = "mcore-bundle"
FORMAT_VERSION = 2
SAMPLING_RULE = "linspace-truncated, by presentation time"
"""Name of the rule that turns a clip into T frames: ``mcore.video.sample_clip``."""
UPGRADE_COMMAND = "git pull && pip install . (in your copy of mcore-edge)"
_CALIBRATIONS = ("same_number", "other_numbers")
EXPORT_COMMAND = "mcore-export CHECKPOINT --out BUNDLE"


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
        if wrong := misfit(manifest, cls, "the manifest"):
            raise BundleError(
                f"the manifest is damaged ({wrong.removeprefix('the manifest.')}); export the bundle again"
            )
        _check_graphs(manifest)
        return manifest


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
            _check_graph(name, part, variant.graphs[part], expected)
        if variant.split is not None:
            _check_split(name, variant.split, manifest.model)


def _check_split(name: str, split: SplitRecord, model: ModelConfig) -> None:
    if not 0 < split.head_frames < model.clip.num_frames or set(split.graphs) != set(SPLIT_PARTS):
        raise BundleError(
            f"the manifest's {name} backbone in two parts has {', '.join(split.graphs)} with a head of "
            f"{split.head_frames} of {model.clip.num_frames} frames; copy the bundle again, or export it again"
        )
    state = split.graphs["backbone_head"].outputs[-1:]
    size = state[0].shape[-1] if state and state[0].shape else 0
    expected = split_graphs(model, split.head_frames, size if isinstance(size, int) else 0)
    for part, graph in split.graphs.items():
        _check_graph(name, part, graph, expected[part])


def _check_graph(name: str, part: str, found: GraphRecord, expected: GraphRecord) -> None:
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
    return VariantRecord(
        precision=dict(values["precision"]),
        kept=tuple(values["kept"]),
        graphs={part: _graph(graph) for part, graph in values["graphs"].items()},
        exemplars=_exemplars(values["exemplars"]),
        limits=GateLimits(**values["limits"]),
        gate=tuple(GateRow(**row) for row in values["gate"]),
        speed=tuple(values["speed"]),
        split=_split(values.get("split")),
        for_cpu=values.get("for_cpu", False),
    )


def _exemplars(values: Mapping[str, Any] | None) -> ExemplarRecord | None:
    """Bundles without exemplars hold null; banks that were not calibrated hold null, or lack the key."""
    if values is None:
        return None
    return ExemplarRecord(**{**values, "calibration": calibration_from_json(values.get("calibration"))})


def calibration_from_json(values: Mapping[str, Any] | None) -> BankCalibration | None:
    """Rebuild a calibration from parsed JSON; null is None."""
    if values is None:
        return None
    parts = {name: None if values[name] is None else Calibration(**values[name]) for name in _CALIBRATIONS}
    return BankCalibration(**{**values, **parts})


def _split(values: Mapping[str, Any] | None) -> SplitRecord | None:
    """The optional part of a variant: bundles that were exported without it lack the key, or hold null."""
    if values is None:
        return None
    return SplitRecord(values["head_frames"], {part: _graph(graph) for part, graph in values["graphs"].items()})


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
