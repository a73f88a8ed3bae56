"""Engines join a bundle, which is a valid bundle at every moment, whatever happens to the build."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from mcore.common.errors import ExportError
from mcore_export.bundle_command import main
from mcore_export.cli import main as export
from mcore_export.engines import add as module
from mcore_export.engines.add import EngineOptions, add_engines
from mcore_export.engines.build import ENGINES_FOLDER
from mcore_export.parity.compare import FloatArray
from mcore_runtime import Scorer
from mcore_runtime.backends import BackendError
from mcore_runtime.backends.ort import OrtBackend
from mcore_runtime.bundle.folder import Bundle
from mcore_runtime.bundle.records import PARTS, EngineRecord, GraphSet

FLAVOUR = type("Flavour", (), {"kind": "tensorrt", "version": "10.3.0"})()
NAME = "tensorrt-10.3.0-sm87-fp32"


@pytest.fixture
def copy(bundle: Path, tmp_path: Path) -> Path:
    """A bundle that is to get engines."""
    return Path(shutil.copytree(bundle, tmp_path / "copy"))


class Build:
    """Stands in for ``build_engines``: writes files of a known content, or fails where it is told to."""

    def __init__(self) -> None:
        self.content = b"engine"
        self.error: BaseException | None = None
        self.look: Callable[[], object] = lambda: None
        self.caches: list[Path | None] = []

    def __call__(self, graphs: GraphSet, kind: str, folder: Path, **options: object) -> EngineRecord:
        cache = options["timing_cache"]
        assert cache is None or isinstance(cache, Path)
        self.caches.append(cache)
        self.look()
        if self.error is not None:
            raise self.error
        out = folder / ENGINES_FOLDER / NAME
        out.mkdir(parents=True, exist_ok=True)
        for name in (*(f"{part}.engine" for part in PARTS), "timing.cache"):
            (out / name).write_bytes(self.content)
        files = {part: f"{ENGINES_FOLDER}/{NAME}/{part}.engine" for part in PARTS}
        cache_file = f"{ENGINES_FOLDER}/{NAME}/timing.cache"
        return EngineRecord(kind, "10.3.0", "sm87", graphs.variant, files, cache_file, {}, graphs.digest(), 64)


@pytest.fixture
def build(monkeypatch: pytest.MonkeyPatch) -> Build:
    """A machine with a GPU and TensorRT 10.3, whose engines are run by ONNX Runtime."""
    build = Build()
    monkeypatch.setattr(module, "load_flavour", lambda kind: FLAVOUR)
    monkeypatch.setattr(module, "resolve_target", lambda flavour, target: ("sm87", None))
    monkeypatch.setattr(module, "build_engines", build)
    monkeypatch.setattr(module, "open_backend", lambda graphs, kind: OrtBackend(graphs, "onnxruntime"))
    return build


def add(bundle: Path, out: Path | None = None) -> Bundle:
    return add_engines(bundle, out, EngineOptions("tensorrt"), force=False, log=print)


def test_an_engine_is_listed_with_its_proof_and_the_users_files_stay(copy: Path, build: Build) -> None:
    (copy / "notes.txt").write_text("of the user")
    (engine,) = add(copy).manifest.engines
    assert engine.name == NAME
    assert engine.parity
    assert all(row.passed for row in engine.parity)
    manifest = Bundle.open(copy).manifest
    assert {*engine.files.values(), engine.timing_cache} <= set(manifest.files)
    assert "notes.txt" not in manifest.files
    assert (copy / "notes.txt").read_text() == "of the user"


def test_building_again_replaces_the_engine_and_starts_from_its_timings(copy: Path, build: Build) -> None:
    add(copy)
    build.content = b"newer"
    build.look = lambda: Bundle.open(copy)  # a valid bundle also while files are being replaced
    (engine,) = add(copy).manifest.engines
    assert (copy / engine.files["backbone"]).read_bytes() == b"newer"
    assert build.caches == [None, copy / ENGINES_FOLDER / NAME / "timing.cache"]


@pytest.mark.parametrize("error", [BackendError("unsupported node"), KeyboardInterrupt()])
def test_a_build_that_fails_leaves_what_was(copy: Path, build: Build, error: BaseException) -> None:
    add(copy)
    before = Bundle.open(copy).sha256
    build.error = error
    with pytest.raises(type(error)):
        add(copy)
    assert Bundle.open(copy).sha256 == before


def test_two_builds_at_once_lose_no_engine(copy: Path, build: Build, capsys: pytest.CaptureFixture[str]) -> None:
    codes: list[int] = []
    build.look = lambda: codes.append(main(["engine", str(copy)])) if not codes else None
    (engine,) = add(copy).manifest.engines
    assert codes == [2]
    assert f"another mcore-bundle is adding engines to {copy}; wait" in capsys.readouterr().err
    assert add(copy).manifest.engines[0].name == engine.name  # the lock is gone


def test_an_engine_that_computes_something_else_is_not_kept(
    copy: Path, build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Wrong(OrtBackend):
        def backbone(self, clip: FloatArray) -> FloatArray:
            return super().backbone(clip)[:, ::-1]

    monkeypatch.setattr(module, "open_backend", lambda graphs, kind: Wrong(graphs, "onnxruntime"))
    with pytest.raises(ExportError, match=r"backbone on onnxruntime: features, relative.*allowed 0.003"):
        add(copy)
    assert Bundle.open(copy).manifest.engines == ()
    assert not (copy / ENGINES_FOLDER / NAME).exists()


def test_a_copy_gets_the_engine_and_the_bundle_stays(copy: Path, build: Build, tmp_path: Path) -> None:
    before = Bundle.open(copy).sha256
    assert len(add(copy, tmp_path / "other").manifest.engines) == 1
    assert Bundle.open(copy).sha256 == before
    build.error = BackendError("no memory")
    with pytest.raises(BackendError):
        add(copy, tmp_path / "third")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["copy", "other"]


def test_tensorrt_rtx_joins_a_bundle_without_a_gpu(
    copy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("tensorrt_rtx", reason="needs TensorRT-RTX: pip install '.[rtx]'")
    assert main(["engine", str(copy), "--kind", "tensorrt-rtx", "--target", "sm89", "sm120"]) == 0
    out = capsys.readouterr().out
    names = [engine.name for engine in Bundle.open(copy).manifest.engines]
    assert [name.split("-")[-2:] for name in names] == [["sm89", "fp32"], ["sm120", "fp32"]]
    assert all(f"{name}: not run here" in out for name in names)
    with Scorer(copy) as scorer:  # no such GPU here, or another: said, and scored all the same
        assert scorer.backend.notes or scorer.backend.name == "tensorrt-rtx"


@pytest.mark.parametrize(
    ("command", "arguments", "reason"),
    [
        (export, ["{checkpoint}", "--out", "x", "--target", "sm89"], "it needs --engine"),
        (export, ["{checkpoint}", "--out", "x", "--engine", "tensorrt", "--max-exemplars", "0"], "allowed: 1 to 1024"),
        (main, ["engine", "{bundle}", "--precision", "fp16"], "has no fp16 graphs, only fp32"),
        (main, ["engine", "{bundle}", "--max-exemplars", "0"], "allowed: 1 to 1024"),
        (main, ["engine", "missing"], "there is nothing at missing"),
    ],
)
def test_mistakes_are_named(
    bundle: Path,
    checkpoint: Path,
    capsys: pytest.CaptureFixture[str],
    command: Callable[[list[str]], int],
    arguments: list[str],
    reason: str,
) -> None:
    assert command([a.format(bundle=bundle, checkpoint=checkpoint) for a in arguments]) == 2
    assert reason in capsys.readouterr().err


@pytest.mark.parametrize("source", ["checkpoint", "bundle"])
def test_what_cannot_be_built_is_refused_before_the_work(
    bundle: Path, checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], source: str
) -> None:
    pytest.importorskip("tensorrt_rtx", reason="tensorrt-rtx is not installed: pip install '.[rtx]'")
    targets = ["--target", "sm89", "sm87", "--out", str(tmp_path / "out")]  # the first could be built
    if source == "checkpoint":
        assert export([str(checkpoint), "--engine", "tensorrt-rtx", *targets]) == 2
    else:
        assert main(["engine", str(bundle), "--kind", "tensorrt-rtx", *targets]) == 2
    captured = capsys.readouterr()
    assert "does not build for sm87" in captured.err
    assert captured.out == ""
    assert list(tmp_path.iterdir()) == []
