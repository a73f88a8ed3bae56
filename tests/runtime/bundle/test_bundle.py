"""A bundle is read only if every file is the one that was exported."""

from __future__ import annotations

import copy
import functools
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mcore.common.conformal import ConformalInterval
from mcore.common.errors import BundleError, UserError
from mcore.config import to_dict
from mcore_runtime.bundle.exemplars import ExemplarBank
from mcore_runtime.bundle.folder import EXEMPLARS_FILE, MANIFEST_FILE, Bundle, write_manifest
from mcore_runtime.bundle.manifest import BundleManifest
from tests.runtime.conftest import BANK, MODEL

FP32: dict[str, Any] = {
    "precision": {},
    "kept": [],
    "graphs": {},
    "exemplars": None,
    "limits": {"relative": 3e-3, "points": 0.01, "flips": 0.0, "tie": 1e-5, "srcc": 0.999},
    "parity": [],
    "speed": [],
}
ENGINE: dict[str, Any] = {
    "kind": "tensorrt",
    "version": "10.3.0",
    "target": "sm87",
    "precision": "fp16",
    "timing_cache": None,
    "build_s": {},
    "graphs_sha256": "0",
    "max_exemplars": 64,
    "parity": [],
}


def change_manifest(bundle: Path, **changes: Any) -> None:
    path = bundle / "manifest.json"
    values = json.loads(path.read_text())
    path.write_text(json.dumps({**values, **changes}))


def test_manifest_survives_its_trip_through_json(tiny_bundle: Path) -> None:
    bundle = Bundle.open(tiny_bundle)
    assert bundle.model == MODEL
    assert BundleManifest.from_json(bundle.manifest.to_json()) == bundle.manifest
    assert set(bundle.manifest.files) == {"backbone.onnx", "segmenter.onnx", "regressor.onnx", EXEMPLARS_FILE}
    assert len(bundle.sha256) == 64


INTERVALS = {
    "same_number": {"level": 0.8, "half_width_points": 4.5, "num_dives": 30, "half_width_per_difficulty": 1.4},
    "other_numbers": None,
    "source": "dives.jsonl",
    "split": "val",
}


def change_exemplars(bundle: Path, **changes: Any) -> None:
    variants = json.loads((bundle / MANIFEST_FILE).read_text())["variants"]
    variants["fp32"]["exemplars"] = {**variants["fp32"]["exemplars"], **changes}
    change_manifest(bundle, variants=variants)


@pytest.mark.parametrize("intervals", [INTERVALS, {**INTERVALS, "same_number": None}, None])
def test_intervals_are_read_as_they_were_written(bundle_copy: Path, intervals: dict[str, Any] | None) -> None:
    change_exemplars(bundle_copy, conformal=intervals)
    manifest = Bundle.open(bundle_copy).manifest
    assert manifest.variants["fp32"].exemplars is not None
    assert (manifest.variants["fp32"].exemplars.conformal is None) == (intervals is None)
    written = json.loads(manifest.to_json())
    assert written["variants"]["fp32"]["exemplars"]["conformal"] == intervals


def test_intervals_of_older_bundles_follow_nothing(bundle_copy: Path) -> None:
    older = {"level": 0.8, "half_width_points": 4.5, "num_dives": 30}
    change_exemplars(bundle_copy, conformal={**INTERVALS, "same_number": older})
    exemplars = Bundle.open(bundle_copy).manifest.variants["fp32"].exemplars
    assert exemplars is not None
    assert exemplars.conformal is not None
    assert exemplars.conformal.same_number == ConformalInterval(0.8, 4.5, 30)


@pytest.mark.parametrize(
    "damage",
    [
        {"same_number": {**INTERVALS["same_number"], "level": 80}},  # type: ignore[dict-item]
        {"same_number": {**INTERVALS["same_number"], "half_width_points": "wide"}},  # type: ignore[dict-item]
        {"same_number": {"level": 0.8}},
        {"split": 3},
    ],
)
def test_damaged_intervals_are_refused(bundle_copy: Path, damage: dict[str, Any]) -> None:
    change_exemplars(bundle_copy, conformal={**INTERVALS, **damage})
    with pytest.raises(BundleError, match="damaged"):
        Bundle.open(bundle_copy)


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
        ({"format_version": 4}, "format version 4; .* Upgrade with: git pull"),
        ({"format_version": 1}, "old format version 1; .* Export it again"),
        ({"format_version": "2"}, "expected the number 3"),
        ({"format": "something else"}, "not a bundle's manifest"),
        ({"sampling": "every tenth frame"}, "samples clips by the rule 'every tenth frame'"),
        ({"model": {"wings": 2}}, "no field wings"),
        ({"variants": {}}, "no fp32 graphs"),
        ({"variants": {"fp32": {**FP32, "graphs": {}}}}, "lacks the precision of fp32 backbone, segmenter, regr"),
        ({"variants": {"fp32": FP32, "fp8": FP32}}, "precision fp8; this version knows fp32, fp16, int8. Upgrade"),
        ({"engines": [{**ENGINE, "files": {}}]}, "lacks backbone, .* of the engine tensorrt-10.3.0-sm87-fp16"),
        ({"engines": [{**ENGINE, "files": {"backbone": "/lib/x"}}]}, "not a file inside the bundle"),
        ({"files": {"../../etc/passwd": {"sha256": "0", "bytes": 1}}}, "not a file inside the bundle"),
        ({"files": {}}, "lists no backbone.onnx"),
        ({"variants": {"fp32": {**FP32, "parity": [{"part": "backbone"}]}}}, "damaged"),
    ],
)
def test_manifests_of_other_kinds_are_refused(bundle_copy: Path, changes: dict[str, Any], reason: str) -> None:
    change_manifest(bundle_copy, **changes)
    with pytest.raises(BundleError, match=reason):
        Bundle.open(bundle_copy)


JSON_VALUES: tuple[Any, ...] = (None, "x", 5, -0.5, True, [], {}, [{}])


def places(value: Any, *path: Any) -> Iterator[tuple[Any, ...]]:
    """Where something could stand instead; of a list, its first item stands for all."""
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value[:1]) if isinstance(value, list) else ()
    for key, item in items:
        yield from places(item, *path, key)


def test_values_of_another_type_are_refused_or_harmless(bundle_copy: Path) -> None:
    """Never a traceback: not while a damaged manifest is read, and not where its values are used."""
    manifest = json.loads((bundle_copy / MANIFEST_FILE).read_text())
    refused = 0
    for path in list(places(manifest))[1:]:
        for value in JSON_VALUES:
            changed = copy.deepcopy(manifest)
            parent = functools.reduce(lambda at, key: at[key], path[:-1], changed)
            parent[path[-1]] = value
            (bundle_copy / MANIFEST_FILE).write_text(json.dumps(changed))
            try:
                Bundle.open(bundle_copy).load_exemplars()
            except BundleError:
                refused += 1
    assert refused > 100


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"sha256": 5, "bytes": 1}, "Expected `str`, got `int` - at `files.*sha256`"),
        ({"sha256": "0", "bytes": True}, "Expected `int`, got `bool` - at `files.*bytes`"),
    ],
)
def test_a_value_of_another_type_is_named(bundle_copy: Path, values: dict[str, Any], reason: str) -> None:
    files = json.loads((bundle_copy / MANIFEST_FILE).read_text())["files"]
    change_manifest(bundle_copy, files={**files, "golden.npz": values})
    with pytest.raises(BundleError, match=reason):
        Bundle.open(bundle_copy)


def test_bundles_of_version_2_are_read(split_bundle: Path) -> None:
    """They named the streaming backbone, parity and intervals otherwise."""
    change_exemplars(split_bundle, conformal=INTERVALS)
    expected = Bundle.open(split_bundle).manifest
    text = (split_bundle / MANIFEST_FILE).read_text()
    for old, new in {
        "gate": "parity",
        "calibration": "conformal",
        "split": "streaming",
        "head_frames": "prefix_frames",
        "backbone_head": "backbone_prefix",
        "backbone_tail": "backbone_suffix",
    }.items():
        assert f'"{new}":' in text
        text = text.replace(f'"{new}":', f'"{old}":')
    text = text.replace('"format_version": 3', '"format_version": 2')
    (split_bundle / MANIFEST_FILE).write_text(text)
    assert Bundle.open(split_bundle).manifest == expected


def test_a_model_that_the_graphs_contradict_is_refused(bundle_copy: Path) -> None:
    model = to_dict(MODEL)
    model["clip"]["num_frames"] *= 2
    change_manifest(bundle_copy, model=model)
    with pytest.raises(BundleError, match=r"contradicts itself: .* in the backbone, its fp32 graph clip float32"):
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
    assert len(bank.select("107B", any_exemplar=True)) == 4
    assert len(bank.select(None, any_exemplar=True)) == 4
    with pytest.raises(
        UserError, match=r"no exemplars of dive number 107B; .* 407C \(3\), 5253B \(1\).*--any-exemplar"
    ):
        bank.select("107B")
    alike = bank.nearest(bank.tokens[2], 2)
    assert "heat-3" in alike.names
    assert len(alike) == 2
    assert bank.nearest(bank.tokens[2], None).names.tolist() == bank.nearest(bank.tokens[0], 9).names.tolist()


@pytest.mark.parametrize("count", [1, 5, 300])
def test_distances_of_stages_are_those_to_the_nearest_exemplars(count: int) -> None:
    rng = np.random.default_rng(count)
    tokens = rng.normal(3.0, 1.0, (count, 6, 32)).astype(np.float32)
    names = np.array([f"dive-{number}" for number in range(count)])
    bank = ExemplarBank(tokens, np.zeros(count), np.array(["407C"] * count), np.full(count, np.nan), names)
    other = rng.normal(3.0, 1.0, (6, 32)).astype(np.float32)
    for dive in (other, tokens[-1], tokens[0] + np.float32(1e-4), np.zeros_like(other)):
        apart = (tokens - dive).reshape(count, 3, -1).astype(np.float64)
        expected = np.sqrt(np.square(apart).mean(axis=-1)).min(axis=0)
        np.testing.assert_allclose(bank.stage_distances(dive), expected, rtol=1e-6)


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
    bank = Bundle.open(bundle_copy).load_exemplars()
    bank.select("407C").save(bundle_copy / EXEMPLARS_FILE)
    write_manifest(bundle_copy, manifest)
    with pytest.raises(BundleError, match="the manifest says"):
        Bundle.open(bundle_copy).load_exemplars()


def test_a_bank_that_other_graphs_encoded_is_refused(bundle_copy: Path) -> None:
    bundle = Bundle.open(bundle_copy)
    bank = bundle.load_exemplars()
    assert bank.graphs_sha256 == bundle.graphs().digest()
    replace(bank, graphs_sha256="0" * 64).save(bundle_copy / EXEMPLARS_FILE)
    write_manifest(bundle_copy, bundle.manifest)
    with pytest.raises(BundleError, match=r"exemplars.npz was encoded by other graphs .* mcore-bundle exemplars"):
        Bundle.open(bundle_copy).load_exemplars()


def test_graphs_changed_after_the_bank_are_found_even_if_the_manifest_agrees(bundle_copy: Path) -> None:
    manifest = Bundle.open(bundle_copy).manifest
    with (bundle_copy / "segmenter.onnx").open("ab") as file:
        file.write(b" ")
    write_manifest(bundle_copy, manifest)
    with pytest.raises(BundleError, match="encoded by other graphs"):
        Bundle.open(bundle_copy).load_exemplars()


def test_a_precision_that_was_not_exported_is_named_with_its_command(tiny_bundle: Path) -> None:
    with pytest.raises(
        BundleError, match=r"has no fp16 graphs, only fp32. .* mcore-export tiny.pt --out BUNDLE --fp16"
    ):
        Bundle.open(tiny_bundle).graphs("fp16")
