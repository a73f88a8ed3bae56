"""The bundle's manifest, as a typed record and as JSON.

``manifest.json`` is the contract between export and deployment: what the graphs compute and on which input,
the hash of every file, the figures of the export's parity, and where checkpoint and exemplars came from.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any, get_args

from mcore.common.errors import BundleError, UserError
from mcore.common.typed_json import convert, decode, encode
from mcore.config import GraphDecoding, ModelConfig, from_dict
from mcore.data.trained_on import TrainedOn
from mcore_runtime.bundle.records import (
    PARTS,
    PRECISIONS,
    STREAMING_PARTS,
    CheckpointRecord,
    EngineRecord,
    FileRecord,
    GraphRecord,
    Precision,
    StreamingRecord,
    VariantRecord,
    batched_graphs,
    check_inside,
    standard_graphs,
    streaming_graphs,
)

FORMAT = "mcore-bundle"
FORMAT_VERSION = 3
SAMPLING_RULE = "linspace-truncated, by presentation time"
"""Name of the rule that turns a clip into T frames: ``mcore.video.sample_clip``."""
UPGRADE_COMMAND = "git pull && pip install . (in your copy of mcore-edge)"
EXPORT_COMMAND = "mcore-export CHECKPOINT --out BUNDLE"
_DAMAGED = "the manifest is damaged, so copy the bundle again or export it again"
_RENAMED_VERSION = 2
"""Older version that differs from today's in the names of keys only."""
_RENAMED = {
    "gate": "parity",
    "calibration": "conformal",
    "split": "streaming",
    "head_frames": "prefix_frames",
    "backbone_head": "backbone_prefix",
    "backbone_tail": "backbone_suffix",
}


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
    """Variants by precision: ``fp32`` always, ``fp16`` and ``int8`` where they were exported."""
    engines: tuple[EngineRecord, ...] = ()
    """Engines that TensorRT built from the graphs."""
    trained_on: TrainedOn | None = None
    """Dives that the network was trained on; None: its checkpoint, or an older export, does not record it."""
    decoding: GraphDecoding = "published"
    """How the graphs find transitions; bundles of older versions do not say it, and are published."""
    sampling: str = SAMPLING_RULE
    """Rule that picks the T frames of a clip."""
    conversion: int = 0
    """``CONVERSION_VERSION`` of the frames that the exemplars were encoded from; 0: FFmpeg's conversion, by older
    versions of this program."""
    created: str = field(default_factory=lambda: datetime.now(timezone.utc).isoformat(timespec="seconds"))
    """Time of the export, ISO 8601 in UTC."""
    files: Mapping[str, FileRecord] = field(default_factory=dict)
    """Fingerprints by path below the bundle; ``write_manifest`` fills them in."""

    def to_json(self) -> str:
        """Write the manifest, format and version first."""
        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return encode({"format": FORMAT, "format_version": FORMAT_VERSION, **fields}, indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes) -> BundleManifest:
        """Read what ``to_json`` wrote.

        Raises:
            BundleError: not a bundle's manifest, another format version, or a missing or damaged field.
        """
        values = decode(dict[str, Any], text, "it is not a bundle's manifest", error=BundleError)
        if values.get("format") != FORMAT:
            raise BundleError(f"not a bundle's manifest: format is {values.get('format')!r}, expected {FORMAT!r}")
        _check_version(values.get("format_version"))
        if values["format_version"] == _RENAMED_VERSION:
            values = _rename(values)
        _refuse_newer(values)
        manifest = convert(cls, values, _DAMAGED, error=BundleError)
        _check_graphs(manifest)
        return manifest


def _refuse_newer(values: dict[str, Any]) -> None:
    """Name what a newer version wrote, which the decoder would skip or call damage."""
    sampling, variants, model = (values.get(name) for name in ("sampling", "variants", "model"))
    if isinstance(sampling, str) and sampling != SAMPLING_RULE:
        raise BundleError(
            f"the bundle samples clips by the rule {sampling!r}; this version knows {SAMPLING_RULE!r}. Upgrade with: "
            f"{UPGRADE_COMMAND}"
        )
    decoding = values.get("decoding", "published")
    if isinstance(decoding, str) and decoding not in get_args(GraphDecoding):
        raise BundleError(
            f"the bundle finds transitions by the rule {decoding!r}; this version knows "
            f"{', '.join(get_args(GraphDecoding))}. Upgrade with: {UPGRADE_COMMAND}"
        )
    if isinstance(variants, dict) and (unknown := sorted(set(variants) - set(PRECISIONS))):
        raise BundleError(
            f"the manifest has graphs of precision {', '.join(unknown)}; this version knows {', '.join(PRECISIONS)}. "
            f"Upgrade with: {UPGRADE_COMMAND}"
        )
    if isinstance(model, dict):
        try:
            from_dict(ModelConfig, model)
        except UserError as error:
            raise BundleError(f"the manifest's model cannot be used: {error}") from error
        except (AttributeError, TypeError, ValueError):
            pass  # the decoder says what is wrong


def _rename(value: Any) -> Any:
    """Give the keys of version 2 the names of version 3, wherever they are."""
    if isinstance(value, list):
        return [_rename(item) for item in value]
    if not isinstance(value, dict):
        return value
    # "split" was both the streaming backbone and, as a text, part of a list of dives.
    names = {key: key if isinstance(item, str) else _RENAMED.get(key, key) for key, item in value.items()}
    return {names[key]: _rename(item) for key, item in value.items()}


def _check_version(version: object) -> None:
    if not isinstance(version, int) or isinstance(version, bool):
        raise BundleError(f"the manifest's format_version is {version!r}, expected the number {FORMAT_VERSION}")
    if version > FORMAT_VERSION:
        raise BundleError(
            f"the bundle has format version {version}; this version of mcore-edge reads {FORMAT_VERSION}. "
            f"Upgrade with: {UPGRADE_COMMAND}"
        )
    if version < _RENAMED_VERSION:
        raise BundleError(
            f"the bundle has the old format version {version}; this version of mcore-edge reads {_RENAMED_VERSION} "
            f"and {FORMAT_VERSION}. Export it again with: {EXPORT_COMMAND}"
        )


def _check_graphs(manifest: BundleManifest) -> None:
    """Clips are made as the model says and go into the graphs, so the two must agree before anything runs."""
    if "fp32" not in manifest.variants:
        raise BundleError("the manifest has no fp32 graphs; export the bundle again")
    for file in manifest.files:
        check_inside(file)
    standard, batched = standard_graphs(manifest.model), batched_graphs(manifest.model)
    for name, variant in manifest.variants.items():
        if missing := [part for part in PARTS if part not in variant.precision]:
            raise BundleError(f"the manifest lacks the precision of {name} {', '.join(missing)}; export it again")
        expected = [(variant.graphs, standard)]
        if variant.batched is not None:
            expected.append((variant.batched, batched))
        if variant.streaming is not None:
            expected.append((variant.streaming.graphs, _expected_streaming(name, variant.streaming, manifest.model)))
        for found, wanted in expected:
            if missing := [part for part in wanted if part not in found]:
                raise BundleError(f"the manifest lacks the {name} graph {', '.join(missing)}; export the bundle again")
            for part, record in wanted.items():
                _check_graph(name, part, found[part], record)


def _expected_streaming(name: str, record: StreamingRecord, model: ModelConfig) -> dict[str, GraphRecord]:
    if not 0 < record.prefix_frames < model.clip.num_frames or set(record.graphs) != set(STREAMING_PARTS):
        raise BundleError(
            f"the manifest's {name} streaming backbone has {', '.join(record.graphs)} with a prefix of "
            f"{record.prefix_frames} of {model.clip.num_frames} frames; copy the bundle again, or export it again"
        )
    state = record.graphs[STREAMING_PARTS[0]].outputs[-1:]
    size = state[0].shape[-1] if state and state[0].shape else 0
    return streaming_graphs(model, record.prefix_frames, size if isinstance(size, int) else 0)


def _check_graph(name: str, part: str, found: GraphRecord, expected: GraphRecord) -> None:
    if (found.inputs, found.outputs) != (expected.inputs, expected.outputs):
        raise BundleError(
            f"the manifest contradicts itself: its model takes and gives {_tensors(expected)} in the {part}, "
            f"its {name} graph {_tensors(found)}; copy the bundle again, or export it again"
        )


def _tensors(graph: GraphRecord) -> str:
    return ", ".join(f"{spec.name} {spec.dtype} {list(spec.shape)}" for spec in (*graph.inputs, *graph.outputs))
