"""The C++ scorer on streams of every format: the same scores as the Python runtime, and refusals that help."""

from __future__ import annotations

import dataclasses
import itertools
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from mcore.common.conformal import Calibration
from mcore.video import resize_frame, sample_indices
from mcore.video.clip import SampledClip
from mcore_runtime.bundle.exemplars import ExemplarBank
from mcore_runtime.bundle.folder import Bundle, write_manifest
from mcore_runtime.bundle.records import ConformalIntervals, GraphSet
from mcore_runtime.scoring.result import DiveScore
from mcore_runtime.scoring.scorer import Scorer
from tests.native_scorer import build, engines, run, score
from tests.runtime.conftest import FRAMES, MODEL, SIDE

POINTS = 1e-3
"""Both run the same graphs on the same pixels, in another build of the engine perhaps."""
TWO_LEVELS = 0.4
"""Points of the tiny network for two grey levels, by which FFmpeg's conversion is off."""
RATE = 25
WIDTH, HEIGHT = 30, 22


@pytest.fixture(autouse=True, scope="module")
def _is_built() -> None:
    build()


@pytest.fixture
def frames() -> NDArray[np.uint8]:
    """A clip of 19 random frames that get brighter."""
    noise = np.random.default_rng(4).integers(0, 60, (19, HEIGHT, WIDTH, 3))
    return (noise + 10 * np.arange(19)[:, None, None, None]).astype(np.uint8)


def clip_of(frames: NDArray[np.uint8]) -> SampledClip:
    indices = sample_indices(len(frames), FRAMES)
    return SampledClip(
        frames=np.stack([resize_frame(frames[i], MODEL.clip) for i in indices]),
        pts_seconds=indices / RATE,
        indices=indices,
        num_source_frames=len(frames),
        duration_s=len(frames) / RATE,
        source_width=frames.shape[2],
        source_height=frames.shape[1],
        source="frames",
        reader="none",
    )


def check(got: dict[str, Any], expected: DiveScore) -> None:
    """Compare what both say, but for times, places and engines; and read the one as the other's record."""
    record = DiveScore.from_json({k: v for k, v in got.items() if k not in ("status", "error", "true_score")})
    assert record.transitions == expected.transitions
    for name in ("score", "low", "high", "interval_level", "difficulty", "transitions_s", "stage_deltas"):
        value, wanted = getattr(record, name), getattr(expected, name)
        assert (value is None) == (wanted is None), name
        if wanted is not None:
            np.testing.assert_allclose(value, wanted, atol=POINTS, err_msg=name)
    assert [(e.name, e.dive_number, e.score) for e in record.exemplars] == [
        (e.name, e.dive_number, e.score) for e in expected.exemplars
    ]
    np.testing.assert_allclose([e.delta for e in record.exemplars], [e.delta for e in expected.exemplars], atol=POINTS)
    assert (record.dive_number, record.same_dive_number) == (expected.dive_number, expected.same_dive_number)
    assert (record.video.num_source_frames, record.video.duration_s) == (
        expected.video.num_source_frames,
        expected.video.duration_s,
    )
    assert record.notes == expected.notes
    assert record.backend.bundle_sha256 == expected.backend.bundle_sha256
    assert set(record.timing_ms) == set(expected.timing_ms)


def in_python(bundle: Path, frames: NDArray[np.uint8], number: str | None = "407C", **options: Any) -> DiveScore:
    with Scorer(bundle, backend="onnxruntime") as scorer:
        return scorer.score_clip(clip_of(frames), scorer.select(number, **options))


def planes(frames: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint8]]:
    """Luma (N, H, W) and both chromas (N, h, w), any: their channels, where they are."""
    return frames[..., 0], frames[:, ::2, ::2, 1], frames[:, ::2, ::2, 2]


def i420(frames: NDArray[np.uint8]) -> list[bytes]:
    return [b"".join(np.ascontiguousarray(p[i]).tobytes() for p in planes(frames)) for i in range(len(frames))]


def converted(frames: NDArray[np.uint8], matrix: Any, full_range: bool) -> NDArray[np.uint8]:
    """What the native code makes of YUV frames, at their own size."""
    import mcore_native

    plan = mcore_native.Plan(WIDTH, HEIGHT, WIDTH, HEIGHT, 0, 0, WIDTH, HEIGHT)
    out = np.empty_like(frames)
    luma, u, v = planes(frames)
    for i in range(len(frames)):
        plan.resize_yuv(np.ascontiguousarray(luma[i]), np.stack([u[i], v[i]]), out[i], matrix, full_range)
    return out


@pytest.mark.parametrize("number", ["407C", "5253B", "107B", None])
@pytest.mark.parametrize("others", [Calibration(0.9, 12.5, 40), None])
def test_calibrated_intervals_are_those_of_python(
    bundle_copy: Path, frames: NDArray[np.uint8], number: str | None, others: Calibration | None
) -> None:
    manifest = Bundle.open(bundle_copy).manifest
    fp32 = manifest.variants["fp32"]
    assert fp32.exemplars is not None
    measured = ConformalIntervals(Calibration(0.8, 3.25, 40), others, "heats.jsonl", "val")
    fp32 = dataclasses.replace(fp32, exemplars=dataclasses.replace(fp32.exemplars, calibration=measured))
    write_manifest(bundle_copy, dataclasses.replace(manifest, variants={"fp32": fp32}))
    expected = in_python(bundle_copy, frames, number, any_exemplar=True)
    assert expected.interval_level in (0.8, others and 0.9)
    raw = ("--raw", "rgb24", "--size", f"{WIDTH}x{HEIGHT}", "--rate", RATE, "--any-exemplar")
    dive = () if number is None else ("--dive", number)
    check(score(bundle_copy, "-", *dive, *raw, stdin=frames.tobytes()), expected)


@pytest.mark.parametrize(
    ("pixels", "pack"),
    [
        ("rgb24", lambda f: f),
        ("bgr24", lambda f: f[..., ::-1]),
        ("rgba", lambda f: np.concatenate([f, f[..., :1]], -1)),
        ("bgra", lambda f: np.concatenate([f[..., ::-1], f[..., :1]], -1)),
    ],
)
def test_packed_frames_score_as_in_python(
    tiny_bundle: Path, frames: NDArray[np.uint8], pixels: str, pack: Callable[[NDArray[np.uint8]], NDArray[np.uint8]]
) -> None:
    expected = in_python(tiny_bundle, frames)
    raw = ("--raw", pixels, "--size", f"{WIDTH}x{HEIGHT}", "--rate", RATE)
    for engine in engines():
        got = score(tiny_bundle, "-", "--dive", "407c", *raw, "--engine", engine, stdin=pack(frames).tobytes())
        check(got, expected)
        assert (got["backend"]["name"], got["video"]["reader"]) == (engine, f"raw {pixels}")


@pytest.mark.parametrize(
    ("matrix", "full_range", "options"),
    [("bt601", False, ()), ("bt709", False, ("--matrix", "bt709")), ("bt601", True, ("--range", "full"))],
)
def test_yuv_frames_score_as_in_python(
    tiny_bundle: Path,
    frames: NDArray[np.uint8],
    matrix: str,
    full_range: bool,
    options: tuple[str, ...],
    tmp_path: Path,
) -> None:
    expected = in_python(tiny_bundle, converted(frames, matrix, full_range))
    raw = ("--size", f"{WIDTH}x{HEIGHT}", "--rate", RATE, *options)
    planar = i420(frames)
    _, u, v = planes(frames)
    luma = WIDTH * HEIGHT
    semi = [planar[i][:luma] + np.stack([u[i], v[i]], -1).tobytes() for i in range(len(frames))]
    check(score(tiny_bundle, "-", "--dive", "407C", "--raw", "i420", *raw, stdin=b"".join(planar)), expected)
    check(score(tiny_bundle, "-", "--dive", "407C", "--raw", "nv12", *raw, stdin=b"".join(semi)), expected)
    header = (
        f"YUV4MPEG2 W{WIDTH} H{HEIGHT} F{RATE}:1 Ip C420mpeg2{' XCOLORRANGE=FULL' if full_range else ''}\n".encode()
    )
    stream = tmp_path / "dive.y4m"
    stream.write_bytes(header + b"".join(b"FRAME\n" + frame for frame in planar))
    check(score(tiny_bundle, stream, "--dive", "407C", "--matrix", matrix), expected)


def test_the_y4m_that_ffmpeg_writes_is_read(tiny_bundle: Path, tmp_path: Path) -> None:
    levels = np.array([40] * 8 + [120] * 8 + [200] * 8, np.uint8)
    frames = np.repeat(levels, WIDTH * HEIGHT * 3).reshape(-1, HEIGHT, WIDTH, 3)
    stream = tmp_path / "dive.y4m"
    with av.open(str(stream), "w", format="yuv4mpegpipe") as container:
        video = container.add_stream("wrapped_avframe", rate=RATE)
        video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for i, picture in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format="yuv420p")
            frame.pts = i
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
    got, expected = score(tiny_bundle, stream, "--dive", "407C"), in_python(tiny_bundle, frames)
    assert tuple(got["transitions"]) == expected.transitions
    assert got["score"] == pytest.approx(expected.score, abs=TWO_LEVELS)


@pytest.mark.parametrize("count", [2, 5, 8, 9, 100, 143])
def test_frames_are_sampled_by_the_published_rule(tiny_bundle: Path, count: int) -> None:
    """Each frame has a grey level of its own, so a frame beside the right one changes the score."""
    levels = np.random.default_rng(count).permutation(256)[:count].astype(np.uint8)
    frames = np.repeat(levels, WIDTH * HEIGHT * 3).reshape(count, HEIGHT, WIDTH, 3)
    raw = ("--raw", "rgb24", "--size", f"{WIDTH}x{HEIGHT}", "--rate", RATE)
    got = score(tiny_bundle, "-", "--dive", "407C", *raw, stdin=frames.tobytes())
    check(got, in_python(tiny_bundle, frames))


@pytest.mark.parametrize(
    ("number", "any_exemplar"), [("5253B", False), ("101A", True), (None, True)], ids=["one", "others", "unknown"]
)
def test_exemplars_are_chosen_as_in_python(
    tiny_bundle: Path, frames: NDArray[np.uint8], number: str | None, any_exemplar: bool
) -> None:
    options = [*(("--dive", number) if number else ()), *(("--any-exemplar",) if any_exemplar else ())]
    raw = ("--raw", "rgb24", "--size", f"{WIDTH}x{HEIGHT}", "--rate", RATE)
    got = score(tiny_bundle, "-", *options, *raw, stdin=frames.tobytes())
    check(got, in_python(tiny_bundle, frames, number, any_exemplar=any_exemplar))


def test_another_precision_is_another_set_of_graphs_and_exemplars(bundle_copy: Path, frames: NDArray[np.uint8]) -> None:
    manifest = Bundle.open(bundle_copy).manifest
    fp32 = manifest.variants["fp32"]
    (bundle_copy / "fp16").mkdir()
    graphs = {part: dataclasses.replace(graph, file=f"fp16/{part}.onnx") for part, graph in fp32.graphs.items()}
    for part in graphs:
        shutil.copy(bundle_copy / f"{part}.onnx", bundle_copy / "fp16")
    bank = ExemplarBank.load(bundle_copy / "exemplars.npz")
    digest = GraphSet(bundle_copy, graphs, fp32.precision).digest()
    dataclasses.replace(bank, scores=bank.scores + 7, graphs_sha256=digest).save(bundle_copy / "fp16" / "exemplars.npz")
    fp16 = dataclasses.replace(fp32, graphs=graphs, precision=dict.fromkeys(graphs, "fp16"))
    write_manifest(bundle_copy, dataclasses.replace(manifest, variants={"fp32": fp32, "fp16": fp16}))
    raw = ("--raw", "rgb24", "--size", f"{WIDTH}x{HEIGHT}", "--rate", RATE)
    single, half = (
        score(bundle_copy, "-", "--dive", "407C", *raw, "--precision", precision, stdin=frames.tobytes())
        for precision in ("fp32", "fp16")
    )
    assert half["score"] - single["score"] == pytest.approx(7)
    assert (single["backend"]["precision"], half["backend"]["precision"]) == ("fp32", "fp16")


def test_without_json_a_line_says_it(tiny_bundle: Path, frames: NDArray[np.uint8]) -> None:
    raw = ("--raw", "rgb24", "--size", f"{WIDTH}x{HEIGHT}", "--rate", RATE)
    done = run(tiny_bundle, "-", "--dive", "5253B", *raw, stdin=frames[:3].tobytes())
    line, *notes = done.stdout.decode().splitlines()
    assert line.startswith(f"-: {in_python(tiny_bundle, frames[:3], '5253B').score:.2f} points; flight from 0.0")
    assert len(notes) == 2
    assert "single exemplar" in notes[0]
    assert "the clip has 3 frames, the network looks at 8" in notes[1]


Y4M = b"YUV4MPEG2 W4 H2 F25:1 Ip C420\n"
FRAME = b"FRAME\n" + bytes(12)


@pytest.mark.parametrize(
    ("arguments", "stdin", "message"),
    [
        ((), b"", "this is no Y4M stream. Make one with: ffmpeg"),
        ((), b"RIFF....AVI LIST", "the stream ends inside a header"),
        ((), b"x" * 600, "the stream's header does not end; is it Y4M?"),
        ((), Y4M, "the clip has 0 frames; a dive has at least two"),
        ((), Y4M + FRAME, "the clip has 1 frames"),
        ((), Y4M + FRAME + FRAME[:-1], "frame 1 is cut off: it has 11 of 12 bytes"),
        ((), Y4M + FRAME + b"NO\n", "frame 1 does not begin with FRAME"),
        ((), Y4M.replace(b"C420", b"C444") + FRAME, "pixels are 444; allowed: 8-bit 4:2:0. Ask FFmpeg for: -pix_fmt"),
        ((), Y4M.replace(b"Ip", b"It") + FRAME, "interlaced"),
        ((), Y4M.replace(b"25:1", b"0:0") + FRAME, "constant rate"),
        ((), Y4M.replace(b"W4", b"W-4") + FRAME, "field W is not a number"),
        ((), Y4M.replace(b"W4", b"W99999") + FRAME, "frames are 99999 x 2; allowed: 1 to 16384"),
        ((), Y4M + FRAME * 3601, "more than 3600 frames; cut the dive out of it"),
        (("--raw", "nv12"), b"", "give --size WxH and --rate R too"),
        (("--raw", "p010", "--size", "4x2", "--rate", 25), b"", "no raw format 'p010'; allowed: rgb24, bgr24"),
        (("--raw", "nv12", "--size", "4", "--rate", 25), b"", "--size is '4'; expected width x height"),
        (("--raw", "nv12", "--size", "4x2", "--rate", "-1"), b"", "--rate is '-1'; give a number above 0"),
        (("--raw", "nv12", "--size", "4x2", "--rate", "1e9"), b"", "the rate is 1000000000"),
        (("--matrix", "bt2020"), Y4M, "--matrix is 'bt2020'; allowed: bt601, bt709"),
        (("--raw", "nv12", "--size", "4x2", "--rate", 25, "--range", "tv"), b"", "allowed: limited, full"),
        (
            ("--dive", "101A"),
            b"",
            "no exemplars of dive number 101A; the bundle has these (with how many exemplars): 407C",
        ),
        (("--engine", "abacus"), b"", "built without an engine 'abacus'; it has: "),
        (("--precision", "int8"), b"", "it has no int8 graphs; it has: fp32"),
        (("--rate",), b"", "--rate needs a value"),
        (("--fast",), b"", "no option --fast; see mcore-native-score --help"),
        (("another",), b"", "give a bundle and a clip, got 3 names"),
    ],
    ids=itertools.count(),
)
def test_mistakes_are_said(tiny_bundle: Path, arguments: tuple[object, ...], stdin: bytes, message: str) -> None:
    done = run(tiny_bundle, "-", "--dive", "407C", *arguments, stdin=stdin)
    assert done.returncode == 2, done.stderr.decode()
    assert message in done.stderr.decode()
    assert done.stdout == b""


def changed(folder: Path, **values: Any) -> None:
    path = folder / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda b: shutil.rmtree(b), "has no manifest.json, so it is not a bundle. Make one with: mcore-export"),
        (lambda b: (b / "manifest.json").write_text("{"), "it is damaged ("),
        (lambda b: (b / "manifest.json").write_text("[]"), "it is not a bundle's manifest"),
        (lambda b: changed(b, format_version=3), "it has format version 3, this program reads 2"),
        (lambda b: changed(b, sampling="all of them"), 'by the rule "all of them"; this program knows'),
        (lambda b: changed(b, model={}), "it is damaged ("),
        (lambda b: changed(b, files={"../else": {"sha256": ""}}), "'../else', which is not a file inside the bundle"),
        (lambda b: changed(b, files={}), "it lists no backbone.onnx"),
        (lambda b: (b / "backbone.onnx").write_bytes(b"else"), "backbone.onnx is not the file that was exported"),
        (lambda b: (b / "exemplars.npz").unlink(), "exemplars.npz cannot be read"),
    ],
    ids=itertools.count(),
)
def test_damaged_bundles_are_refused(bundle_copy: Path, damage: Callable[[Path], object], message: str) -> None:
    damage(bundle_copy)
    done = run(bundle_copy, "-", "--dive", "407C")
    assert done.returncode == 2, done.stderr.decode()
    assert message in done.stderr.decode()


def with_backbone(folder: Path, content: bytes) -> None:
    """Replace a graph in a bundle that agrees with itself all the same."""
    manifest = Bundle.open(folder).manifest
    (folder / "backbone.onnx").write_bytes(content)
    bank = ExemplarBank.load(folder / "exemplars.npz")
    digest = GraphSet(folder, manifest.variants["fp32"].graphs, {}).digest()
    dataclasses.replace(bank, graphs_sha256=digest).save(folder / "exemplars.npz")
    write_manifest(folder, manifest)


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (lambda path: path.write_bytes(b"PK"), "too short for a ZIP archive"),
        (
            lambda path: np.savez_compressed(path, tokens=np.zeros(3)),
            "it is compressed; expected what numpy.savez writes",
        ),
        (lambda path: np.savez(path, scores=np.zeros(3)), "it has no tokens"),
        (lambda path: np.savez(path, tokens=np.zeros((2, 6, 8), ">f4")), "elements of type >f4; this reader knows"),
    ],
    ids=itertools.count(),
)
def test_other_files_are_no_exemplar_bank(bundle_copy: Path, write: Callable[[Path], object], message: str) -> None:
    manifest = Bundle.open(bundle_copy).manifest
    write(bundle_copy / "exemplars.npz")
    write_manifest(bundle_copy, manifest)
    done = run(bundle_copy, "-", "--dive", "407C")
    assert done.returncode == 2
    assert "exemplars.npz is not an exemplar bank of this bundle: " in done.stderr.decode()
    assert message in done.stderr.decode()


def test_exemplars_of_other_graphs_are_refused(bundle_copy: Path) -> None:
    manifest = Bundle.open(bundle_copy).manifest
    bank = ExemplarBank.load(bundle_copy / "exemplars.npz")
    dataclasses.replace(bank, graphs_sha256="0" * 64).save(bundle_copy / "exemplars.npz")
    write_manifest(bundle_copy, manifest)
    done = run(bundle_copy, "-", "--dive", "407C")
    assert done.returncode == 2
    assert "was encoded by other graphs than those of this bundle" in done.stderr.decode()


def test_graphs_of_another_network_are_refused(bundle_copy: Path) -> None:
    """The manifest says what goes into a graph and comes out of it; the engine says what really does."""
    with_backbone(bundle_copy, (bundle_copy / "segmenter.onnx").read_bytes())
    for engine in engines():
        done = run(bundle_copy, "-", "--dive", "407C", "--engine", engine)
        assert done.returncode == 2, done.stderr.decode()
        assert "backbone.onnx has no tensor clip; export the bundle again" in done.stderr.decode()


def test_what_is_no_graph_is_refused(bundle_copy: Path) -> None:
    with_backbone(bundle_copy, b"no graph at all")
    for engine in engines():
        done = run(bundle_copy, "-", "--dive", "407C", "--engine", engine)
        assert done.returncode == 2, done.stderr.decode()
        assert "cannot load" in done.stderr.decode()
        assert "backbone.onnx" in done.stderr.decode()


def test_an_array_must_be_the_networks_clip(tiny_bundle: Path, tmp_path: Path) -> None:
    path = tmp_path / "clip.npy"
    np.save(path, np.zeros((FRAMES, SIDE, SIDE, 3), np.float32))
    done = run(tiny_bundle, path, "--dive", "407C", "--rate", 25)
    assert (done.returncode, done.stdout) == (2, b"")
    assert f"the array must hold bytes, {FRAMES} x {SIDE} x {SIDE} x 3" in done.stderr.decode()
    done = run(tiny_bundle, path, "--dive", "407C")
    assert "give --rate R" in done.stderr.decode()
