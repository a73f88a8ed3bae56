"""A bundle is read only if every file is the one that was exported."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mcore.config import to_dict
from mcore.errors import BundleError, UserError
from mcore_runtime.bundle import EXEMPLARS_FILE, Bundle, BundleManifest, write_manifest
from mcore_runtime.exemplars import ExemplarBank
from tests.runtime.conftest import BANK, MODEL


def change_manifest(bundle: Path, **changes: Any) -> None:
    path = bundle / "manifest.json"
    values = json.loads(path.read_text())
    path.write_text(json.dumps({**values, **changes}))


def test_manifest_survives_its_trip_through_json(tiny_bundle: Path) -> None:
    bundle = Bundle.open(tiny_bundle)
    assert bundle.model == MODEL
    assert BundleManifest.from_json(json.loads(json.dumps(bundle.manifest.to_json()))) == bundle.manifest
    assert set(bundle.manifest.files) == {"backbone.onnx", "segmenter.onnx", "regressor.onnx", EXEMPLARS_FILE}
    assert len(bundle.sha256) == 64


@pytest.mark.parametrize("name", ["backbone.onnx", "regressor.onnx", EXEMPLARS_FILE])
def test_a_changed_file_is_named(bundle_copy: Path, name: str) -> None:
    content = bytearray((bundle_copy / name).read_bytes())
    content[len(content) // 2] ^= 1
    (bundle_copy / name).write_bytes(content)
    with pytest.raises(BundleError, match=f"{name} is not the file that was exported: expected"):
        Bundle.open(bundle_copy)


def test_a_missing_file_is_named(bundle_copy: Path) -> None:
    (bundle_copy / "segmenter.onnx").unlink()
    with pytest.raises(BundleError, match=r"segmenter.onnx is missing; copy the whole folder"):
        Bundle.open(bundle_copy)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"format_version": 2}, "format version 2; .* Upgrade with: pip install"),
        ({"format_version": 0}, "old format version 0; .* Export it again"),
        ({"format_version": "1"}, "expected the number 1"),
        ({"format": "something else"}, "not a bundle's manifest"),
        ({"sampling": "every tenth frame"}, "samples clips by the rule 'every tenth frame'"),
        ({"model": {"wings": 2}}, "no field wings"),
        ({"graphs": {}}, "lacks graph or precision of backbone, segmenter, regressor"),
        ({"files": {"../../etc/passwd": {"sha256": "0", "bytes": 1}}}, "not a file inside the bundle"),
        ({"files": {}}, "lists no backbone.onnx"),
        ({"gate": [{"part": "backbone"}]}, "damaged"),
    ],
)
def test_manifests_of_other_kinds_are_refused(bundle_copy: Path, changes: dict[str, Any], reason: str) -> None:
    change_manifest(bundle_copy, **changes)
    with pytest.raises(BundleError, match=reason):
        Bundle.open(bundle_copy)


def test_a_model_that_the_graphs_contradict_is_refused(bundle_copy: Path) -> None:
    model = to_dict(MODEL)
    model["clip"]["num_frames"] *= 2
    change_manifest(bundle_copy, model=model)
    with pytest.raises(BundleError, match=r"contradicts itself: .* in the backbone, its graph clip float32"):
        Bundle.open(bundle_copy)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[]"])
def test_broken_manifests_are_refused(bundle_copy: Path, content: bytes) -> None:
    (bundle_copy / "manifest.json").write_bytes(content)
    with pytest.raises(BundleError, match="manifest"):
        Bundle.open(bundle_copy)


def test_places_that_are_no_bundle(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"there is nothing at .*; expected a bundle's folder"):
        Bundle.open(tmp_path / "missing")
    (tmp_path / "file").touch()
    with pytest.raises(BundleError, match="is a file; expected a bundle's folder"):
        Bundle.open(tmp_path / "file")
    with pytest.raises(BundleError, match=r"has no manifest.json"):
        Bundle.open(tmp_path)


def test_a_manifest_that_promises_more_than_there_is_cannot_be_written(bundle_copy: Path) -> None:
    manifest = Bundle.open(bundle_copy).manifest
    (bundle_copy / EXEMPLARS_FILE).unlink()
    with pytest.raises(BundleError, match=EXEMPLARS_FILE):
        write_manifest(bundle_copy, manifest)


def test_bank_round_trip_and_selection(tmp_path: Path) -> None:
    ExemplarBank(**BANK).save(tmp_path / "bank")
    bank = ExemplarBank.load(tmp_path / "bank")
    assert bank.counts() == {"407C": 3, "5253B": 1}
    assert bank.select("407C").names.tolist() == ["heat-1", "heat-2", "heat-3"]
    assert bank.select("407C", limit=2).names.tolist() == ["heat-1", "heat-3"]
    assert len(bank.select("107B", any_exemplar=True)) == 4
    assert len(bank.select(None, any_exemplar=True)) == 4
    with pytest.raises(
        UserError, match=r"no exemplars of dive number 107B; .* 407C \(3\), 5253B \(1\).*--any-exemplar"
    ):
        bank.select("107B")
    with pytest.raises(UserError, match="at least 1"):
        bank.select("407C", limit=0)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("scores", np.zeros(3)),
        ("tokens", np.zeros((4, 6), np.float32)),
        ("tokens", np.full((4, 6, 8), np.nan, np.float32)),
        ("names", np.zeros(4)),
    ],
)
def test_banks_that_do_not_fit_together_are_refused(field: str, value: Any) -> None:
    with pytest.raises(BundleError):
        ExemplarBank(**{**BANK, field: value})


def test_a_bank_with_a_pickle_inside_is_refused(tmp_path: Path) -> None:
    with (tmp_path / "bank").open("wb") as file:
        arrays: dict[str, Any] = {**BANK, "names": np.array([print] * 4, dtype=object)}
        np.savez(file, **arrays)
    with pytest.raises(BundleError, match="is not an exemplar bank"):
        ExemplarBank.load(tmp_path / "bank")


def test_a_bank_other_than_the_manifest_says_is_refused(bundle_copy: Path) -> None:
    manifest = Bundle.open(bundle_copy).manifest
    ExemplarBank(**BANK).select("407C").save(bundle_copy / EXEMPLARS_FILE)
    write_manifest(bundle_copy, manifest)
    with pytest.raises(BundleError, match="the manifest says"):
        Bundle.open(bundle_copy).load_exemplars()
