"""Sensors of NVIDIA's GPUs, where the package nvidia-ml-py is installed; a Jetson's are elsewhere (``health``)."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from contextlib import suppress
from typing import Any

_CORE_SENSOR = 0
"""NVML_TEMPERATURE_GPU."""


class GpuSensors:
    """Sensors of all GPUs that NVML knows; nothing where there is no NVML. Never raises.

    Args:
        ask: whether to look for NVML at all.
    """

    def __init__(self, ask: bool = True) -> None:
        self._nvml: Any = None
        self._gpus: list[Any] = []
        if not ask:
            return
        try:
            self._nvml = importlib.import_module("pynvml")
            self._nvml.nvmlInit()
            self._gpus = [self._nvml.nvmlDeviceGetHandleByIndex(i) for i in range(self._nvml.nvmlDeviceGetCount())]
        except Exception:  # not installed, no driver, or one that does not fit: each with an exception of its own
            self._gpus = []

    def temperatures_c(self) -> list[float]:
        """Temperature of each GPU that tells."""
        return self._ask(lambda gpu: float(self._nvml.nvmlDeviceGetTemperature(gpu, _CORE_SENSOR)))

    def power_w(self) -> float | None:
        """Power of all GPUs; None: none tells."""
        watts = self._ask(lambda gpu: self._nvml.nvmlDeviceGetPowerUsage(gpu) / 1e3)
        return sum(watts) if watts else None

    def memory_mb(self) -> float | None:
        """Memory in use on all GPUs, by whomever; None: none tells."""
        used = self._ask(lambda gpu: self._nvml.nvmlDeviceGetMemoryInfo(gpu).used / 1e6)
        return sum(used) if used else None

    def _ask(self, question: Callable[[Any], float]) -> list[float]:
        answers = []
        for gpu in self._gpus:
            with suppress(Exception):  # this GPU lacks the sensor, or has fallen off the bus
                answers.append(question(gpu))
        return answers
