"""The model repository: valid for Triton's real schema, true to its files, and scoring exactly as the runtime does."""

from __future__ import annotations

import dataclasses
import functools
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
from numpy.typing import NDArray

import mcore
from mcore.common.errors import BundleError, UserError
from mcore.common.typed_json import encode
from mcore.config import ClipConfig
from mcore.data.manifest import read_manifest
from mcore.video import denormalise, normalise, sample_clip
from mcore_export.bundle_command import main
from mcore_export.likeness.spoiled import SPOILED
from mcore_export.triton import PlanBuilder, TritonOptions, write_triton_repository
from mcore_export.triton.pbtxt import Enum, entries, render
from mcore_runtime import Scorer
from mcore_runtime.backends import ort as ort_backend
from mcore_runtime.bundle.folder import Bundle
from mcore_runtime.bundle.records import PARTS, GraphRecord
from tests.export.fake_triton import FakeTriton, InferenceResponse, RefusedError, read_config, type_name
from tests.known_dives import knowing, with_known

pytest.importorskip("tritonclient.grpc", reason="Triton's schema is not installed: pip install 'tritonclient[grpc]'")

GPU_DEFAULTS = TritonOptions(device="gpu")
ROUNDING = 1e-5
"""Points: sums of a matrix product may be taken in another order for another number of rows."""


@pytest.fixture(scope="module")
def repository(batched_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository for CPUs whose scorer needs several calls of the regressor."""
    folder = tmp_path_factory.mktemp("triton") / "models"
    flags = ["--max-pairs", "3", "--max-batch-size", "4"]
    assert main(["triton", str(batched_bundle), "--out", str(folder), *flags]) == 0
    return folder


@pytest.fixture
def server(repository: Path) -> FakeTriton:
    return FakeTriton(repository)


def write(bundle: Path, folder: Path, options: TritonOptions | None = None, **more: Any) -> list[str]:
    said: list[str] = []
    given = {"overwrite": False, **more}
    write_triton_repository(Bundle.open(bundle), folder, options or TritonOptions(), log=said.append, **given)
    return said


@pytest.fixture
def scorer(batched_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The runtime, with the kernels of a server's session: see ``mcore_export.parity.batched``."""
    make = ort_backend._session_options

    def extended(*arguments: Any) -> Any:
        options = make(*arguments)
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
        return options

    monkeypatch.setattr(ort_backend, "_session_options", extended)
    with Scorer(batched_bundle, backend="onnxruntime", threads=1) as opened:
        yield opened


@pytest.fixture(scope="module")
def clips(batched_bundle: Path, dives: Path) -> dict[Path, tuple[str, NDArray[np.float32]]]:
    """Number and pixels of each dive, by file."""
    config = Bundle.open(batched_bundle).model.clip
    return {dive.path: (dive.dive_number, mcore.read_clip(dive.path, config)) for dive in read_manifest(dives)}


def text(*values: str) -> NDArray[Any]:
    return np.array([[value.encode()] for value in values], np.object_)


def outputs(response: InferenceResponse) -> dict[str, NDArray[Any]]:
    assert not response.has_error()
    return {tensor.name(): tensor.as_numpy() for tensor in response.output_tensors()}


def check_scored(found: dict[str, NDArray[Any]], row: int, expected: Any) -> None:
    close = functools.partial(pytest.approx, rel=0, abs=ROUNDING)
    for name in ("score", "low", "high"):
        assert found[name][row, 0] == close(getattr(expected, name))
    level = expected.interval_level
    assert np.array_equal(found["interval_level"][row], [np.nan if level is None else level], equal_nan=True)
    award = expected.award
    ends = [None] * 3 if award is None else [award.value, award.low, award.high]
    assert found["award"][row] == close(np.array(ends, np.float64), nan_ok=True)
    assert found["caution"][row, 0].decode() == (expected.caution or "")
    likeness = expected.likeness
    p_value = np.nan if likeness is None else likeness.p_value
    assert np.array_equal(found["p_value"][row], [p_value], equal_nan=True)
    assert found["why_unlike"][row, 0].decode() == "; ".join(expected.why_unlike)
    assert tuple(found["transitions"][row]) == expected.transitions
    assert found["stage_deltas"][row] == close(np.array(expected.stage_deltas))
    count = len(expected.exemplars)
    assert [name.decode() for name in found["exemplar_names"][row][:count]] == [e.name for e in expected.exemplars]
    assert found["exemplar_deltas"][row][:count] == close(np.array([e.delta for e in expected.exemplars]))
    assert found["exemplar_scores"][row][:count].tolist() == [e.score for e in expected.exemplars]
    numbers = [number.decode() for number in found["exemplar_dive_numbers"][row][:count]]
    assert numbers == [e.dive_number for e in expected.exemplars]


def test_a_dive_scores_as_in_the_runtime(server: FakeTriton, scorer: Scorer, clips: Any) -> None:
    scores = set()
    for path, (number, clip) in clips.items():
        found = server.infer("mcore", {"clip": clip[None], "dive_number": text(number.lower())})
        expected = scorer.score(path, number)
        check_scored(found, 0, expected)
        scores.add(expected.score)
    assert len(scores) == len(clips)  # or equality would prove nothing


def test_a_clip_that_is_no_dive_is_unlike(batched_bundle: Path, dives: Path, tmp_path: Path) -> None:
    """As in the runtime, but for the length of the flight: a request says no times."""
    bundle = Path(shutil.copytree(batched_bundle, tmp_path / "bundle"))
    with Scorer(bundle, "onnxruntime", threads=1) as scorer:
        videos = [sample_clip(dive.path, scorer.clip_config, central=True) for dive in read_manifest(dives)]
        known = knowing(scorer, videos * 4)
    write(with_known(bundle, known), tmp_path / "models")
    server = FakeTriton(tmp_path / "models")
    config = Bundle.open(bundle).model.clip
    for video, is_unlike in ((videos[0], False), (SPOILED["black"](videos[0]), True)):
        pixels = normalise(video.frames, config)
        found = server.infer("mcore", {"clip": pixels[None], "dive_number": text("107B")})
        assert bool(found["why_unlike"][0, 0]) == is_unlike
        assert np.isnan(found["low"][0, 0]) == is_unlike
        assert np.isnan(found["award"][0, 0]) == is_unlike
        assert np.array_equal(denormalise(pixels, config), video.frames)
    assert found["why_unlike"][0, 0].decode().startswith("nothing moves in the clip")
    assert found["p_value"][0, 0] == 1 / (known.num_dives + 1)


def test_dives_that_go_together_score_as_alone(server: FakeTriton, scorer: Scorer, clips: Any) -> None:
    """Three requests become one batch: of one dive, of two, and of none that can be scored."""
    (a, (_, clip_a)), (b, (_, clip_b)), (c, (_, clip_c)) = list(clips.items())[1:4]
    requests = [
        {"clip": clip_a[None], "dive_number": text("107B"), "any_exemplar": np.array([[False]])},
        {"clip": clip_a[None], "dive_number": text("5255B"), "any_exemplar": np.array([[False]])},
        {
            "clip": np.stack([clip_b, clip_c]),
            "dive_number": text("", "407C"),
            "any_exemplar": np.array([[True], [False]]),
        },
    ]
    responses = server.infer_together("mcore", requests)
    first, third = outputs(responses[0]), outputs(responses[2])
    check_scored(first, 0, scorer.score(a, "107B"))
    error = responses[1].error()
    assert error is not None
    assert error.code == "INVALID_ARG"
    assert "no exemplars of dive number 5255B; the bundle has these" in error.text
    check_scored(third, 0, scorer.score(b, None, any_exemplar=True))
    check_scored(third, 1, scorer.score(c, "407C"))
    assert third["exemplar_names"].shape == (2, 4)  # the second has only two
    assert third["exemplar_names"][1, 2:].tolist() == [b"", b""]
    assert np.isnan(third["exemplar_deltas"][1, 2:]).all()
    # 2 + 4 + 2 exemplars, three pairs at a time; a dive that cannot be scored costs nothing.
    assert server.calls == [
        ("mcore", 4),
        ("mcore_encode", 3),
        ("mcore_backbone", 3),
        ("mcore_segmenter", 3),
        *[("mcore_regressor", size) for size in (3, 3, 2)],
    ]


def test_what_goes_wrong_behind_it_is_said(server: FakeTriton, clips: Any) -> None:
    clip = next(iter(clips.values()))[1]
    with pytest.raises(RefusedError, match="INVALID_ARG: '999Z' is not a dive number"):
        server.infer("mcore", {"clip": clip[None], "dive_number": text("999Z")})
    dives = np.stack([clip, np.full_like(clip, np.nan)])
    good, bad = server.infer_together(
        "mcore", [{"clip": dives[i : i + 1], "dive_number": text("107B")} for i in range(2)]
    )
    assert not good.has_error()
    error = bad.error()
    assert error is not None
    assert "a score that is not a number" in error.text
    server.broken["mcore_segmenter"] = "out of memory"
    with pytest.raises(RefusedError, match="INTERNAL: mcore_encode: out of memory"):
        server.infer("mcore", {"clip": clip[None], "dive_number": text("107B")})


def test_the_ensemble_gives_what_the_runtime_encodes(server: FakeTriton, scorer: Scorer, clips: Any) -> None:
    batch = np.stack([clip for _, clip in clips.values()][:4])
    found = server.infer("mcore_encode", {"clip": batch})
    for i, clip in enumerate(batch):
        expected = scorer.encode(clip)
        np.testing.assert_allclose(found["logits"][i], expected.logits, rtol=0, atol=ROUNDING)
        np.testing.assert_allclose(found["tokens"][i], expected.tokens, rtol=0, atol=ROUNDING)
        assert found["transitions"][i].tolist() == expected.transitions.tolist()


def test_configurations_say_what_the_graphs_say(repository: Path) -> None:
    dtypes = {"tensor(float)": "TYPE_FP32", "tensor(int64)": "TYPE_INT64"}
    for part in PARTS:
        folder = repository / f"mcore_{part}"
        config, session = read_config(folder), ort.InferenceSession(str(folder / "1" / "model.onnx"))
        for specs, nodes in ((config.input, session.get_inputs()), (config.output, session.get_outputs())):
            assert [(spec.name, type_name(spec)) for spec in specs] == [(n.name, dtypes[n.type]) for n in nodes]
            for spec, node in zip(specs, nodes, strict=True):
                batch, *extents = node.shape
                assert isinstance(batch, str)
                assert list(spec.dims) == (extents or [1])
                assert spec.HasField("reshape") == (not extents)
        assert [sample.batch_size for sample in config.model_warmup] == [1, config.max_batch_size]
    parameters = read_config(repository / "mcore").parameters
    assert parameters["trained_on"].string_value == "trained on 4 rendered dives"
    said = "trained on 4 rendered dives, on no real one: scores mean nothing for real dives"
    assert parameters["caution"].string_value == said


@pytest.mark.parametrize(
    "options",
    [
        GPU_DEFAULTS,
        TritonOptions(device="gpu", instances=2, preferred_batch_sizes=(2, 4), max_queue_delay_us=0),
        TritonOptions(max_batch_size=1, threads=2, max_pairs=1),
    ],
)
def test_every_option_is_in_a_configuration_that_triton_takes(
    options: TritonOptions, batched_bundle: Path, tmp_path: Path
) -> None:
    write(batched_bundle, tmp_path / "models", options)
    configs = {folder.name: read_config(folder) for folder in (tmp_path / "models").iterdir() if folder.is_dir()}
    assert set(configs) == {"mcore_backbone", "mcore_segmenter", "mcore_regressor", "mcore_encode", "mcore"}
    kind = {"cpu": 2, "gpu": 1}[options.device]  # ModelInstanceGroup.Kind
    for part in PARTS:
        config = configs[f"mcore_{part}"]
        assert config.max_batch_size == (options.max_pairs if part == "regressor" else options.max_batch_size)
        assert [(group.count, group.kind) for group in config.instance_group] == [(options.instances, kind)]
        assert config.HasField("dynamic_batching")
        accelerators = config.optimization.execution_accelerators.gpu_execution_accelerator
        tf32 = [("cuda", {"use_tf32": "0"})] if options.device == "gpu" else []
        assert [(a.name, dict(a.parameters)) for a in accelerators] == tf32
        threads = config.parameters["intra_op_thread_count"].string_value
        assert threads == ("" if options.threads is None else str(options.threads))
    batching = configs["mcore_backbone"].dynamic_batching
    delay_us = 5000 if options == GPU_DEFAULTS else options.max_queue_delay_us or 0
    assert batching.max_queue_delay_microseconds == delay_us
    assert tuple(batching.preferred_batch_size) == options.preferred_batch_sizes
    scorer = configs["mcore"]
    assert [(group.count, group.kind) for group in scorer.instance_group] == [(options.instances + 1, 2)]
    assert scorer.parameters["bundle_sha256"].string_value == Bundle.open(batched_bundle).sha256
    assert scorer.parameters["precision"].string_value == "fp32"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"max_batch_size": 0}, "--max-batch-size is 0; at least 1"),
        ({"max_queue_delay_us": -1}, "--max-queue-delay-us is -1; at least 0"),
        ({"threads": 0}, "--threads is 0; at least 1"),
        ({"preferred_batch_sizes": (4, 16)}, r"--preferred-batch-sizes has 16; allowed: 1 to --max-batch-size \(8\)"),
    ],
)
def test_options_that_triton_would_refuse_are_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        TritonOptions(**given)


def test_plans_are_built_from_the_graphs_with_a_batch_axis(batched_bundle: Path, tmp_path: Path) -> None:
    built = []

    def build(part: str, graph: Path, record: GraphRecord, largest_batch: int) -> bytes:
        names = [node.name for node in ort.InferenceSession(str(graph)).get_inputs()]
        built.append((part, names == [spec.name for spec in record.inputs], record.inputs[0].shape[0], largest_batch))
        return part.encode()

    plans = PlanBuilder("TensorRT 10.3.0 for sm87", build)
    with pytest.raises(UserError, match="engines of TensorRT run on GPUs only"):
        write(batched_bundle, tmp_path / "models", plans=plans)
    said = write(batched_bundle, tmp_path / "models", GPU_DEFAULTS, plans=plans)
    assert built == [("backbone", True, "B", 8), ("segmenter", True, "B", 8), ("regressor", True, "B", 64)]
    for part in PARTS:
        folder = tmp_path / "models" / f"mcore_{part}"
        config = read_config(folder)
        assert config.platform == "tensorrt_plan"
        assert not config.HasField("optimization")
        assert [path.name for path in (folder / "1").iterdir()] == ["model.plan"]
        assert (folder / "1" / "model.plan").read_text() == part
    assert any("TensorRT 10.3.0 for sm87, gpu" in line for line in said)


def test_only_a_repository_of_ours_is_replaced(
    repository: Path, batched_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine" / "other_model").mkdir(parents=True)
    (tmp_path / "file").touch()
    models = Path(shutil.copytree(repository, tmp_path / "models"))
    mixed = Path(shutil.copytree(repository, tmp_path / "mixed"))
    (mixed / "other_model").mkdir()
    for folder, flags, reason in (
        (tmp_path / "mine", ["--force"], "not written by mcore-bundle triton"),
        (tmp_path / "file", ["--force"], "is a file"),
        (models, [], "already exists; replace it with --force"),
        (mixed, ["--force"], "also holds other_model"),
    ):
        assert main(["triton", str(batched_bundle), "--out", str(folder), *flags]) == 2
        assert reason in capsys.readouterr().err
    assert main(["triton", str(batched_bundle), "--out", str(models), "--max-batch-size", "2", "--force"]) == 0
    assert "batches of up to 2 clips" in capsys.readouterr().out
    assert read_config(models / "mcore").max_batch_size == 2


def test_a_failure_leaves_what_was_there(repository: Path, batched_bundle: Path, tmp_path: Path) -> None:
    models = Path(shutil.copytree(repository, tmp_path / "models"))

    def fail(*arguments: Any) -> bytes:
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        write(batched_bundle, models, GPU_DEFAULTS, overwrite=True, plans=PlanBuilder("TensorRT", fail))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["models"]
    assert read_config(models / "mcore").max_batch_size == 4


def test_a_bundle_that_cannot_be_served_is_refused(bundle: Path, batched_bundle: Path, tmp_path: Path) -> None:
    opened = Bundle.open(batched_bundle)
    record = dataclasses.replace(opened.manifest.variants["fp32"], exemplars=None)
    silent = dataclasses.replace(opened, manifest=dataclasses.replace(opened.manifest, variants={"fp32": record}))
    with pytest.raises(BundleError, match="has no exemplars, so it can encode dives but not score them"):
        write_triton_repository(silent, tmp_path / "m", TritonOptions(), overwrite=False, log=print)
    with pytest.raises(BundleError, match="has no fp16 graphs"):
        write(batched_bundle, tmp_path / "m", TritonOptions(precision="fp16"))
    with pytest.raises(BundleError, match=r"no fp32 graphs with a batch axis.* mcore-export .* --batched"):
        write(bundle, tmp_path / "m")
    assert not (tmp_path / "m").exists()


def test_writing_and_serving_need_no_torch_and_no_engine(batched_bundle: Path, tmp_path: Path) -> None:
    program = f"""
import json, runpy, sys, types
for name in ("torch", "onnx", "onnxscript", "onnxruntime"):
    sys.modules[name] = None
from pathlib import Path
from mcore_export.triton import TritonOptions, write_triton_repository
from mcore_runtime.bundle.folder import Bundle
bundle, models = Bundle.open({str(batched_bundle)!r}), Path({str(tmp_path / "models")!r})
write_triton_repository(bundle, models, TritonOptions(), overwrite=False, log=print)
sys.modules["mcore_export"] = None
sys.modules["triton_python_backend_utils"] = types.ModuleType("triton_python_backend_utils")
model = runpy.run_path({str(tmp_path / "models" / "mcore" / "1" / "model.py")!r})["TritonPythonModel"]()
exemplars = json.dumps({{"count": 4, "per_dive_number": {{}}, "source": ""}})
values = {{"max_pairs": "8", "exemplars": exemplars, "caution": "", "clip": {encode(ClipConfig())!r}}}
parameters = {{name: {{"string_value": value}} for name, value in values.items()}}
model.initialize({{"model_config": json.dumps({{"parameters": parameters}})}})
print(len(model._bank), "exemplars served")
"""
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert "4 exemplars served" in result.stdout


def test_any_text_survives_the_text_form() -> None:
    from google.protobuf import text_format
    from tritonclient.grpc.model_config_pb2 import ModelConfig

    strange = 'a "quoted" \\ back\nslash, Sprünge \x00 跳水'
    message = render(
        {
            "name": strange,
            "input": [{"name": "x", "data_type": Enum("TYPE_FP32"), "dims": [-1, 3], "optional": True}],
            "parameters": entries({strange: {"string_value": "1"}}),
            "dynamic_batching": {"preferred_batch_size": []},
        }
    )
    config: Any = text_format.Parse(message, ModelConfig())
    assert config.name == strange
    assert config.parameters[strange].string_value == "1"
    assert list(config.input[0].dims) == [-1, 3]
    assert config.input[0].optional
    assert config.HasField("dynamic_batching")
