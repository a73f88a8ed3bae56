"""Checkpoints: round trips, the published layout, safety, and errors that help."""

from __future__ import annotations

import json
import os
import pickle
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from torch import Tensor

import mcore
from mcore.common.errors import CheckpointError, UserError
from mcore.config import BACKBONES, ModelConfig, from_dict, to_dict
from mcore.network.backbone import RegNetY
from mcore.network.checkpoint import FORMAT, read_checkpoint, save_checkpoint
from mcore.network.model import MCoRe
from mcore.network.pretrained import load_pretrained
from tests.reference_network import random_model


def published_layout(golden: ModuleType, seed: int) -> dict[str, object]:
    parts = golden.state(seed)
    return {
        part: {f"module.{name}": torch.from_numpy(value) for name, value in weights.items()}
        for part, weights in parts.items()
    }


def test_round_trip_keeps_weights_configuration_and_extras(tmp_path: Path, tiny_config: ModelConfig) -> None:
    model = random_model(MCoRe(tiny_config))
    path = tmp_path / "new folder" / "last.pt"
    save_checkpoint(path, model, extra={"epoch": 3, "optimizer": {"step": torch.tensor(2.0)}, "name": "å"})
    checkpoint = read_checkpoint(path)
    assert checkpoint.config == tiny_config
    assert checkpoint.extra["epoch"] == 3
    loaded = mcore.load_checkpoint(path)
    assert not loaded.training
    clips = torch.randn(1, 3, 12, 32, 32)
    assert torch.equal(loaded.encode(clips).tokens, model.encode(clips).tokens)
    assert [p.name for p in path.parent.iterdir()] == ["last.pt"]


def test_failed_write_keeps_the_old_file(
    tmp_path: Path, tiny_config: ModelConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "last.pt"
    save_checkpoint(path, MCoRe(tiny_config), extra={"epoch": 1})

    def fail(*_: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="no space"):
        save_checkpoint(path, MCoRe(tiny_config), extra={"epoch": 2})
    assert read_checkpoint(path).extra["epoch"] == 1
    assert [p.name for p in tmp_path.iterdir()] == ["last.pt"]


@pytest.mark.parametrize("scalar", [np.float64(0.9232), np.float32(0.5), 0.5])
def test_published_layout_loads_with_its_metrics(tmp_path: Path, golden: ModuleType, scalar: object) -> None:
    content = {**published_layout(golden, 3), "epoch": 7, "rho_best": scalar, "optimizer": {"state": {}}}
    torch.save(content, tmp_path / "published.pth")
    checkpoint = read_checkpoint(tmp_path / "published.pth")
    assert checkpoint.config == ModelConfig()
    assert checkpoint.extra["epoch"] == 7
    mcore.load_checkpoint(tmp_path / "published.pth")


def test_every_published_name_is_taken(golden: ModuleType, reference_dir: Path) -> None:
    keys = json.loads((reference_dir / "checkpoint_keys.json").read_text())
    published = {part: {name: torch.zeros(shape) for name, shape in names.items()} for part, names in keys.items()}
    from mcore.network.published import convert

    _, state = convert(published, Path("x.pth"))
    assert set(state) == set(MCoRe().state_dict())


class Evil:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("touch /tmp/mcore-evil-was-here",)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("protocol", [2, 4])
def test_code_in_a_checkpoint_is_not_run(tmp_path: Path, protocol: int) -> None:
    marker = Path("/tmp/mcore-evil-was-here")
    torch.save({"format": FORMAT, "evil": Evil()}, tmp_path / "zip.pt", pickle_protocol=protocol)
    (tmp_path / "plain.pt").write_bytes(pickle.dumps(Evil(), protocol=protocol))
    for name in ("zip.pt", "plain.pt"):
        with pytest.raises(CheckpointError, match="never run") as refused:
            mcore.load_checkpoint(tmp_path / name)
        assert "weights_only" not in str(refused.value)  # torch's text advises to load it unsafely
    assert not marker.exists()


OURS = {"format": FORMAT, "version": 1, "config": {}, "model": {}, "extra": {}}
PUBLISHED: dict[str, object] = {"base_model": {}, "psnet_model": {}, "decoder": {}, "regressor_delta": {}}


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ({"state_dict": {}}, "not a checkpoint of this network: it holds state_dict"),
        ({}, "it holds nothing"),
        ([1, 2], "holds a list"),
        ({**OURS, "version": 99}, "version 99.*upgrade"),
        ({**OURS, "version": "a"}, "is damaged"),
        ({"format": FORMAT}, "no 'version'"),
        ({"format": FORMAT, "version": 1, "config": {}}, "no 'model'"),
        ({**OURS, "config": 3}, "is damaged"),
        ({**OURS, "config": {"wings": 2}}, "no field wings"),
        (OURS, "does not fit the network"),
        ({**PUBLISHED, "base_model": {"a": 3}}, "a is no tensor"),
        ({"base_model": {}, "psnet_model": {}, "regressor_delta": {}}, "has no decoder"),
        (PUBLISHED, "no known backbone has stages of widths"),
        (b"", "cannot be loaded"),
        (b"hello", "cannot be loaded"),
        (b"PK\x03\x04 cut short", "cannot be loaded"),
        (None, "; train one with: python -m mcore.train"),
    ],
)
def test_other_files_are_refused_with_the_reason(tmp_path: Path, content: object, reason: str) -> None:
    if isinstance(content, bytes):
        (tmp_path / "x.pt").write_bytes(content)
    elif content is not None:
        torch.save(content, tmp_path / "x.pt")
    with pytest.raises(CheckpointError, match=rf"x\.pt.*{reason}"):
        mcore.load_checkpoint(tmp_path / "x.pt")


def test_configuration_survives_json(tiny_config: ModelConfig) -> None:
    assert from_dict(ModelConfig, json.loads(json.dumps(to_dict(tiny_config)))) == tiny_config


def timm_weights(backbone: RegNetY) -> dict[str, Tensor]:
    names = {n: torch.randn_like(v) for n, v in backbone.state_dict().items() if ".shift." not in n and v.ndim}
    return {**names, "head.fc.weight": torch.zeros(1000, 368), "head.fc.bias": torch.zeros(1000)}


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_imagenet_weights_load_and_leave_the_shift_alone(tmp_path: Path, suffix: str) -> None:
    backbone = RegNetY(BACKBONES["regnety_002"].config)
    weights = timm_weights(backbone)
    path = tmp_path / f"regnety_002{suffix}"
    if suffix == ".safetensors":
        from safetensors.torch import save_file

        save_file(weights, path)
    else:
        torch.save({"state_dict": weights}, path)
    before = {n: v.clone() for n, v in backbone.state_dict().items() if ".shift." in n}
    load_pretrained(backbone, path)
    after = backbone.state_dict()
    assert all(torch.equal(after[name], value) for name, value in weights.items() if not name.startswith("head."))
    assert all(torch.equal(after[name], value) for name, value in before.items())


def test_imagenet_weights_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    torch.save(timm_weights(RegNetY(BACKBONES["regnety_008"].config)), tmp_path / "other.pth")
    for name in ("text.pth", "text.safetensors"):
        (tmp_path / name).write_bytes(b"hello" * 10)
    reasons = {
        "other.pth": "does not fit this backbone",
        "missing.pth": "no weights at",
        "text.pth": "cannot be read as weights",
        "text.safetensors": "cannot be read as weights",
    }
    for name, reason in reasons.items():
        with pytest.raises(CheckpointError, match=reason):
            load_pretrained(RegNetY(BACKBONES["regnety_002"].config), tmp_path / name)


def test_fetching_offline_says_what_to_do_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    hub = pytest.importorskip("huggingface_hub")

    def offline(*_: object, **__: object) -> object:
        raise ConnectionError("no route to host")

    def download(*_: object, **__: object) -> str:
        raise AssertionError("the download retries for half a minute; it must not begin without a connection")

    monkeypatch.setattr(hub, "try_to_load_from_cache", lambda *_: None)
    monkeypatch.setattr(hub, "get_hf_file_metadata", offline)
    monkeypatch.setattr(hub, "hf_hub_download", download)
    with pytest.raises(UserError, match=r"ConnectionError.*pass the file: --pretrained model.safetensors"):
        load_pretrained(RegNetY(BACKBONES["regnety_002"].config), "auto")


def test_weights_fetched_before_need_no_connection(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub = pytest.importorskip("huggingface_hub")
    backbone = RegNetY(BACKBONES["regnety_002"].config)
    cached = tmp_path / "model.pth"
    torch.save({name: tensor for name, tensor in backbone.state_dict().items() if ".shift." not in name}, cached)
    monkeypatch.setattr(hub, "try_to_load_from_cache", lambda *_: str(cached))
    assert load_pretrained(backbone, "auto") == str(cached)


def test_fetching_for_a_made_up_backbone(tiny_config: ModelConfig) -> None:
    with pytest.raises(UserError, match="no ImageNet weights are published"):
        load_pretrained(RegNetY(tiny_config.backbone), "auto")


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_no_damage_escapes_as_another_error(tmp_path: Path) -> None:
    """Torch's safe unpickler raises IndexError, struct.error and others on bytes that are no pickle."""
    path, rng = tmp_path / "bad.pt", np.random.default_rng(0)
    whole = pickle.dumps({"format": FORMAT, "a": [1, 2.5, "x", {"k": (1, 2)}]}, 2)
    for _ in range(200):
        content = np.frombuffer(whole, np.uint8)[: rng.integers(1, len(whole) + 1)].copy()
        content[rng.integers(0, len(content), 2)] = rng.integers(0, 256, 2)
        path.write_bytes(content.tobytes())
        with pytest.raises(CheckpointError):
            read_checkpoint(path)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_noticed(tmp_path: Path, tiny_config: ModelConfig, value: float) -> None:
    model = random_model(MCoRe(tiny_config))
    with torch.no_grad():
        model.regressor.layer1.weight[0, 1] = value
    save_checkpoint(tmp_path / "bad.pt", model)
    with pytest.raises(CheckpointError, match=r"bad\.pt: regressor\.\S+ holds values that are no finite numbers"):
        read_checkpoint(tmp_path / "bad.pt")


def test_a_flipped_bit_is_noticed(tmp_path: Path, tiny_config: ModelConfig) -> None:
    path, model = tmp_path / "flipped.pt", random_model(MCoRe(tiny_config))
    save_checkpoint(path, model)
    content = path.read_bytes()
    for weight in (model.regressor.layer1.weight, model.regressor.layer2.bias):
        values = weight.detach().numpy().tobytes()
        damaged = bytearray(content)
        damaged[content.index(values) + len(values) // 2] ^= 1
        path.write_bytes(damaged)
        with pytest.raises(CheckpointError, match=r"cannot be loaded as a checkpoint: .*changed after it was written"):
            read_checkpoint(path)
