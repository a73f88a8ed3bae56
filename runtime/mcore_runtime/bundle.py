"""A bundle: the folder that carries a trained network to where it is used, every file hashed.

``Bundle.open`` trusts nothing it has not verified; the exporter fills a folder and ends with
``write_manifest``.

Example:
    >>> bundle = Bundle.open("demo/bundle")
    >>> bundle.manifest.model.clip.num_frames, bundle.graph_path("backbone").name
    (96, 'backbone.onnx')
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from mcore.config import ModelConfig
from mcore.errors import BundleError
from mcore.files import write_text
from mcore_runtime.exemplars import ExemplarBank
from mcore_runtime.manifest import (
    EXPORT_COMMAND,
    FORMAT,
    FORMAT_VERSION,
    PARTS,
    SAMPLING_RULE,
    BundleManifest,
    CheckpointRecord,
    ExemplarRecord,
    FileRecord,
    GateRow,
    GraphRecord,
    GraphSet,
    TensorSpec,
    standard_graphs,
)

__all__ = [
    "EXEMPLARS_FILE",
    "FORMAT",
    "FORMAT_VERSION",
    "GOLDEN_FILE",
    "MANIFEST_FILE",
    "PARTS",
    "SAMPLING_RULE",
    "Bundle",
    "BundleManifest",
    "CheckpointRecord",
    "ExemplarRecord",
    "FileRecord",
    "GateRow",
    "GraphRecord",
    "GraphSet",
    "TensorSpec",
    "hash_file",
    "standard_graphs",
    "write_manifest",
]

MANIFEST_FILE = "manifest.json"
EXEMPLARS_FILE = "exemplars.npz"
GOLDEN_FILE = "golden.npz"


@dataclass(frozen=True)
class Bundle:
    """A verified bundle."""

    path: Path
    """The folder."""
    manifest: BundleManifest
    sha256: str
    """Digest of ``manifest.json``, which holds the digest of every other file: the bundle's identity."""

    @classmethod
    def open(cls, path: str | Path) -> Bundle:
        """Read a bundle's manifest and compare every file it names with its hash.

        Args:
            path: the bundle's folder.

        Raises:
            BundleError: no such folder, no manifest, another format version, or a file that is missing or is
                not the one that was exported.
        """
        path = Path(path)
        if not path.is_dir():
            found = f"{path} is a file" if path.exists() else f"there is nothing at {path}"
            raise BundleError(f"{found}; expected a bundle's folder. Make one with: {EXPORT_COMMAND}")
        manifest_path = path / MANIFEST_FILE
        if not manifest_path.is_file():
            raise BundleError(f"{path} has no {MANIFEST_FILE}, so it is not a bundle. Make one with: {EXPORT_COMMAND}")
        content = manifest_path.read_bytes()
        try:
            manifest = BundleManifest.from_json(json.loads(content))
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            raise BundleError(f"{manifest_path} is not JSON ({error}); export the bundle again") from error
        except BundleError as error:
            raise BundleError(f"{manifest_path}: {error}") from error
        _verify_files(path, manifest)
        return cls(path, manifest, hashlib.sha256(content).hexdigest())

    @property
    def model(self) -> ModelConfig:
        """The network's configuration, its input contract included."""
        return self.manifest.model

    @property
    def graphs(self) -> GraphSet:
        """What a backend opens."""
        return GraphSet(self.path, self.manifest.graphs, self.manifest.precision)

    def graph_path(self, part: str) -> Path:
        """Return the file of one graph: ``backbone``, ``segmenter`` or ``regressor``."""
        return self.graphs.path(part)

    def load_exemplars(self) -> ExemplarBank:
        """Read the exemplar bank and check it against the network and the manifest.

        Raises:
            BundleError: the bundle was exported without exemplars, or they do not fit the network.
        """
        record = self.manifest.exemplars
        if record is None:
            raise BundleError(
                f"{self.path} has no exemplars, so it can encode dives but not score them. Give it some with: "
                f"mcore-export {self.path} --exemplars DIVES.jsonl --out NEW_BUNDLE"
            )
        bank = ExemplarBank.load(self.path / EXEMPLARS_FILE)
        model = self.model
        bank.check_shape(model.num_tokens, model.backbone.feature_dim)
        if bank.counts() != dict(record.per_dive_number):
            raise BundleError(
                f"{EXEMPLARS_FILE} holds {bank.counts()} exemplars by dive number, the manifest says "
                f"{dict(record.per_dive_number)}; export the bundle again"
            )
        return bank


def hash_file(path: str | Path) -> FileRecord:
    """Return size and SHA-256 digest of a file, read in pieces."""
    digest, size = hashlib.sha256(), 0
    with Path(path).open("rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
            size += len(piece)
    return FileRecord(digest.hexdigest(), size)


def write_manifest(folder: str | Path, manifest: BundleManifest) -> BundleManifest:
    """Hash every file below a folder and write its manifest last; the folder is then a bundle.

    Args:
        folder: holds the graphs, ``exemplars.npz`` if the manifest speaks of exemplars, and whatever else
            belongs to the bundle. Making the folder appear atomically is the exporter's part.
        manifest: its ``files`` are replaced by what is found.

    Returns:
        The manifest as written.

    Raises:
        BundleError: a file that the manifest needs is not there.
    """
    folder = Path(folder)
    paths = (path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != MANIFEST_FILE)
    files = {path.relative_to(folder).as_posix(): hash_file(path) for path in paths}
    manifest = dataclasses.replace(manifest, files=files)
    _check_listed(folder, manifest)
    write_text(folder / MANIFEST_FILE, json.dumps(manifest.to_json(), indent=2, allow_nan=False) + "\n")
    return manifest


def _check_listed(folder: Path, manifest: BundleManifest) -> None:
    """Every file that the runtime will open must be among the hashed ones."""
    needed = [graph.file for graph in manifest.graphs.values()]
    if manifest.exemplars is not None:
        needed.append(EXEMPLARS_FILE)
    if missing := [name for name in needed if name not in manifest.files]:
        raise BundleError(f"{folder}: the manifest lists no {', '.join(missing)}; export the bundle again")


def _verify_files(folder: Path, manifest: BundleManifest) -> None:
    _check_listed(folder, manifest)
    for name, expected in manifest.files.items():
        path = folder / name
        if not path.is_file():
            raise BundleError(f"{folder}: {name} is missing; copy the whole folder, or export the bundle again")
        got = hash_file(path)
        if got != expected:
            raise BundleError(
                f"{folder}: {name} is not the file that was exported: "
                f"expected {expected.bytes} bytes with SHA-256 {expected.sha256[:16]}..., "
                f"got {got.bytes} bytes with {got.sha256[:16]}...; copy it again, or export the bundle again"
            )
