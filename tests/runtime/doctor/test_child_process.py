"""Probes in processes of their own: what crashes or hangs there is a finding here."""

from __future__ import annotations

import base64
import subprocess
import sys

import numpy as np
import pytest

from mcore_runtime.backends import BACKENDS
from mcore_runtime.doctor import engines
from mcore_runtime.doctor.child_process import in_child
from mcore_runtime.doctor.findings import ok

CRASHES = """
import ctypes, sys, time
from mcore_runtime.doctor import child_process
from mcore_runtime.doctor.findings import ok
def noisy():
    print("a library talks")
    return [ok("fine")]
child_process.probes = lambda: {
    "crash": lambda: ctypes.string_at(0),
    "hang": lambda: time.sleep(60),
    "leave": lambda: sys.exit(3),
    "raise": lambda: 1 / 0,
    "noisy": noisy,
    "say": lambda secret: [ok(str(sys.argv))],
}
child_process.main()
"""


@pytest.fixture
def bad_probes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Children have other probes than the doctor's."""
    real = subprocess.run

    def run(command: list[str], **options: object) -> object:
        assert command[1:] == ["-m", "mcore_runtime.doctor.child_process"]
        return real([sys.executable, "-c", CRASHES], **options)  # type: ignore[call-overload]

    monkeypatch.setattr(subprocess, "run", run)


@pytest.mark.usefixtures("bad_probes")
@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("crash", "crash ended its process: Segmentation fault (signal 11)"),
        ("hang", "hang did not answer within 1 s"),
        ("leave", "leave ended its process with exit code 3 and no answer"),
        ("raise", "raise ended its process with exit code 1 and no answer"),
    ],
)
def test_a_probe_that_does_not_end_well_is_a_finding(name: str, text: str) -> None:
    (found,) = in_child(name, timeout_s=1.0 if name == "hang" else 60.0)
    assert (found.level, found.text) == ("error", text)


@pytest.mark.usefixtures("bad_probes")
def test_what_libraries_print_is_no_answer() -> None:
    assert in_child("noisy") == [ok("fine")]


@pytest.mark.usefixtures("bad_probes")
def test_arguments_are_not_where_others_can_read_them() -> None:
    (found,) = in_child("say", secret="hunter2")
    assert "hunter2" not in found.text


def test_every_probe_answers_here() -> None:
    found = {name: in_child(name) for name in ("cuda", "video", "gstreamer")}
    assert all(finding.level != "error" for findings in found.values() for finding in findings), found
    assert any("decodes h264, hevc" in finding.text for finding in found["video"])


def test_the_smallest_graph_is_what_it_says() -> None:
    onnx = pytest.importorskip("onnx")
    kind, helper = onnx.TensorProto.FLOAT, onnx.helper
    one, other = (helper.make_tensor_value_info(name, kind, [4]) for name in "xy")
    graph = helper.make_graph([helper.make_node("Add", ["x", "x"], ["y"])], "g", [one], [other])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    assert base64.b64encode(engines.SMALLEST_GRAPH) == base64.b64encode(model.SerializeToString())


@pytest.mark.parametrize("backend", [name for name in BACKENDS if name != "auto"])
def test_every_backends_library_computes_or_what_it_lacks_is_said(backend: str) -> None:
    (found,) = in_child("library", backend=backend)
    name = {"onnxruntime": "onnx runtime"}.get(backend.partition("-")[0], backend.partition("-")[0])
    assert name in found.text.lower()
    assert found.level in ("ok", "absent", "hint")
    assert found.remedy if found.level != "ok" else "computes" in found.text or "tensorrt" in backend


def test_wrong_numbers_are_an_error() -> None:
    assert engines._judged("x", np.zeros(4, np.float32)).level == "error"


def test_a_source_is_watched_from_a_child_without_its_password() -> None:
    (found,) = in_child("source", address="synthetic://meet?seed=1&pace=fast")
    assert found.level == "ok", found
    (found,) = in_child("source", address="rtsp://user:hunter2@127.0.0.1:9/x")
    assert found.level == "error"
    assert "hunter2" not in f"{found}"
