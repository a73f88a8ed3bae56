"""Machines with a fake GPU and a fake TensorRT."""

from __future__ import annotations

import pytest

from tests.runtime.fake_machine import MACHINES, Machine


@pytest.fixture(params=MACHINES, ids=["-".join(machine) for machine in MACHINES])
def machine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(monkeypatch, *request.param)


@pytest.fixture
def jetson(monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(monkeypatch, "tensorrt", "cuda-python", "10.3.0")
