"""A bundle: the folder that carries a trained network to where it is used, every file hashed.

``Bundle.open`` trusts nothing it has not verified; the exporter fills a folder and ends with
``write_manifest``.

Example:
    >>> bundle = Bundle.open("demo/bundle")
    >>> bundle.model.clip.num_frames, bundle.graphs("fp32").path("backbone").name
    (96, 'backbone.onnx')
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from mcore.common.errors import BundleError
from mcore.common.files import write_text
from mcore.common.recognition import Recogniser
from mcore.common.typed_json import decode
from mcore.config import ModelConfig
from mcore.data.trained_dives import NOT_RECORDED, TrainedDives
from mcore.data.trained_on import caution
from mcore.video.spotting import SPOTTER_WEIGHTS
from mcore_runtime.bundle.exemplar_pictures import ExemplarPictures
from mcore_runtime.bundle.exemplars import ExemplarBank
from mcore_runtime.bundle.manifest import EXPORT_COMMAND, BundleManifest
from mcore_runtime.bundle.recogniser import load_recogniser
from mcore_runtime.bundle.records import PRECISIONS, GraphSet, Precision, hash_file

MANIFEST_FILE = "manifest.json"
EXEMPLARS_FILE = "exemplars.npz"
RECOGNISER_FILE = "recogniser.npz"
PICTURES_FILE = "exemplar_pictures.zip"
SPOTTER_FILE = "spotter.npz"
GOLDEN_FILE = "golden.npz"
GOLDEN_VIDEO = "golden.mp4"
TRAINED_FILE = "trained_dives.json"


@dataclass(frozen=True)
class Bundle:
    """A verified bundle."""

    path: Path
    """Folder of the bundle."""
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
            manifest = BundleManifest.from_json(content)
        except BundleError as error:
            raise BundleError(f"{manifest_path}: {error}") from error
        _verify_files(path, manifest)
        return cls(path, manifest, hashlib.sha256(content).hexdigest())

    @property
    def model(self) -> ModelConfig:
        """The network's configuration, its input contract included."""
        return self.manifest.model

    @property
    def caution(self) -> str | None:
        """What must stand beside each of its scores; None: its network is known to have seen real dives."""
        return caution(self.manifest.trained_on)

    @property
    def variants(self) -> dict[Precision, GraphSet]:
        """The graphs of every precision that the bundle holds."""
        return {name: self.graphs(name) for name in PRECISIONS if name in self.manifest.variants}

    def graphs(self, variant: Precision = "fp32") -> GraphSet:
        """Return what a backend opens: the graphs of one precision, and the engines built from them.

        Raises:
            BundleError: the bundle was exported without this precision.
        """
        record = self.manifest.variants.get(variant)
        if record is None:
            raise BundleError(
                f"{self.path} has no {variant} graphs, only {', '.join(self.manifest.variants)}. Export them from the "
                f"checkpoint with: mcore-export {self.manifest.checkpoint.name} --out BUNDLE --{variant}"
            )
        engines = tuple(engine for engine in self.manifest.engines if engine.precision == variant)
        return GraphSet(
            self.path, record.graphs, record.precision, variant, engines, record.streaming, for_cpu=record.for_cpu
        )

    def batched_graphs(self, variant: Precision = "fp32") -> GraphSet:
        """Return the graphs of one precision with a batch axis, for servers.

        Raises:
            BundleError: the bundle was exported without them.
        """
        graphs = self.graphs(variant)
        batched = self.manifest.variants[variant].batched
        if batched is None:
            raise BundleError(
                f"{self.path} has no {variant} graphs with a batch axis. Export them from the checkpoint with: "
                f"mcore-export {self.manifest.checkpoint.name} --out BUNDLE --batched"
                f"{' --fp16' if variant == 'fp16' else ''}"
            )
        return GraphSet(self.path, batched, graphs.precision, variant)

    def load_exemplars(self, variant: Precision = "fp32") -> ExemplarBank:
        """Read the exemplar bank of one precision and check it against graphs, network and manifest.

        Raises:
            BundleError: the bundle was exported without exemplars, or they do not fit the network, or were encoded
                by other graphs.
        """
        graphs = self.graphs(variant)
        record = self.manifest.variants[variant].exemplars
        if record is None:
            raise BundleError(
                f"{self.path} has no exemplars, so it can encode dives but not score them. Give it some with: "
                f"mcore-bundle exemplars {self.path} --dives DIVES.jsonl --out NEW_BUNDLE"
            )
        bank = ExemplarBank.load(self.path / exemplars_file(variant))
        bank.check_shape(self.model.num_tokens, self.model.backbone.feature_dim)
        if bank.graphs_sha256 != graphs.digest():
            raise BundleError(
                f"{exemplars_file(variant)} was encoded by other graphs than the {variant} ones of this bundle, so its "
                f"tokens mean something else. Encode them again with: mcore-bundle exemplars {self.path} "
                "--dives DIVES.jsonl --out NEW_BUNDLE"
            )
        if bank.counts() != dict(record.per_dive_number):
            raise BundleError(
                f"{exemplars_file(variant)} holds {bank.counts()} exemplars by dive number, the manifest says "
                f"{dict(record.per_dive_number)}; export the bundle again"
            )
        return bank

    def load_recogniser(self, variant: Precision = "fp32") -> Recogniser | None:
        """Read what names the dive number of a clip in one precision; None: the bundle cannot.

        Raises:
            BundleError: the file is something else, or of other graphs.
        """
        exemplars = self.manifest.variants[variant].exemplars
        if exemplars is None or exemplars.recogniser is None:
            return None
        path, dim = self.path / recogniser_file(variant), self.model.backbone.feature_dim
        return load_recogniser(path, self.graphs(variant).digest(), dim)

    def exemplar_pictures(self) -> ExemplarPictures | None:
        """Open the pictures of the exemplars; None: the bundle was exported without them.

        Raises:
            BundleError: the file is something else.
        """
        has_pictures = PICTURES_FILE in self.manifest.files
        return ExemplarPictures(self.path / PICTURES_FILE, self.sha256) if has_pictures else None

    @property
    def spotter(self) -> Path:
        """Return the weights with which dives are found: those that the bundle was given, or the package's."""
        return self.path / SPOTTER_FILE if SPOTTER_FILE in self.manifest.files else SPOTTER_WEIGHTS

    def trained_dives(self) -> TrainedDives:
        """Read which dives the network was trained on, as far as its checkpoint says.

        Raises:
            BundleError: the file is something else.
        """
        if TRAINED_FILE not in self.manifest.files:
            return NOT_RECORDED
        path = self.path / TRAINED_FILE
        return decode(TrainedDives, path.read_bytes(), str(path), error=BundleError)


def variant_folder(variant: str) -> str:
    """Return the folder below a bundle that holds a precision's files: fp32 lies at the top."""
    return "" if variant == "fp32" else variant


def exemplars_file(variant: str) -> str:
    """Return the path below a bundle of a precision's exemplar bank."""
    return f"{variant_folder(variant)}/{EXEMPLARS_FILE}".lstrip("/")


def recogniser_file(variant: str) -> str:
    """Return the path below a bundle of what tells dive numbers in a precision."""
    return f"{variant_folder(variant)}/{RECOGNISER_FILE}".lstrip("/")


def write_manifest(folder: str | Path, manifest: BundleManifest, names: Iterable[str] | None = None) -> BundleManifest:
    """Hash the files below a folder and write its manifest last; the folder is then a bundle.

    Args:
        folder: holds the graphs, ``exemplars.npz`` if the manifest speaks of exemplars, and whatever else
            belongs to the bundle. Making the folder appear atomically is the exporter's part.
        manifest: its ``files`` are replaced by what is found.
        names: paths below the folder of what belongs to the bundle; None: every file that is there.

    Returns:
        The manifest as written.

    Raises:
        BundleError: a file that the manifest needs is not there.
    """
    folder = Path(folder)
    if names is None:
        paths = (path for path in folder.rglob("*") if path.is_file() and path.name != MANIFEST_FILE)
        names = (path.relative_to(folder).as_posix() for path in paths)
    files = {name: hash_file(folder / name) for name in sorted(names)}
    manifest = dataclasses.replace(manifest, files=files)
    _check_listed(folder, manifest)
    write_text(folder / MANIFEST_FILE, manifest.to_json())
    return manifest


def _check_listed(folder: Path, manifest: BundleManifest) -> None:
    """Every file that the runtime will open must be among the hashed ones."""
    needed = [graph.file for variant in manifest.variants.values() for graph in variant.all_graphs]
    needed += [exemplars_file(name) for name, variant in manifest.variants.items() if variant.exemplars is not None]
    needed += [
        recogniser_file(name)
        for name, variant in manifest.variants.items()
        if variant.exemplars is not None and variant.exemplars.recogniser is not None
    ]
    needed += [name for engine in manifest.engines for name in engine.files.values()]
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
