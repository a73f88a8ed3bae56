"""Fixtures shared by all tests."""

from __future__ import annotations

import importlib.util
import os
import signal
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import HealthCheck, settings

from mcore.config import BackboneConfig, ClipConfig, ModelConfig

# Tests are small and cores are shared: threads that wait for each other would take most of the time.
os.environ.setdefault("OMP_NUM_THREADS", "1")
settings.register_profile("shared cores", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("shared cores")
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as a shell starts what runs behind it; tests press Ctrl-C
    signal.signal(signal.SIGINT, signal.default_int_handler)

HAS_TORCH = importlib.util.find_spec("torch") is not None
OF_TORCH = {Path(__file__).parent / name for name in ("benchmarks", "evaluation", "export", "network", "training")}
"""Folders of what needs PyTorch. All else runs where a bundle does: without."""
REFERENCE = Path(os.environ.get("MCORE_REFERENCE", Path(__file__).parents[2] / "shared" / "reference"))


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """Leave out what cannot be imported without PyTorch."""
    return True if not HAS_TORCH and collection_path in OF_TORCH else None


def pytest_report_header() -> str | None:
    """Say what was left out."""
    left_out = ", ".join(sorted(f"tests/{path.name}" for path in OF_TORCH))
    return None if HAS_TORCH else f"PyTorch is not installed: without {left_out}"


@pytest.fixture(scope="session")
def reference_dir() -> Path:
    """Folder with golden values of the published network; set MCORE_REFERENCE to point elsewhere."""
    if not (REFERENCE / "golden.py").is_file():
        pytest.skip(f"no golden values of the published network at {REFERENCE} (set MCORE_REFERENCE)")
    return REFERENCE


@pytest.fixture(scope="session")
def labels_file(reference_dir: Path) -> Path:
    """Labels of all 3,000 FineDiving dives, as JSON lines."""
    path = reference_dir.parent / "data" / "finediving_labels.jsonl"
    if not path.is_file():
        pytest.skip(f"no FineDiving labels at {path}")
    return path


@pytest.fixture(scope="session")
def golden(reference_dir: Path) -> ModuleType:
    """The module that makes the golden weights and frames."""
    from tools.check_published import load_golden  # loads torch, which reads OMP_NUM_THREADS

    return load_golden(reference_dir)


@pytest.fixture(scope="session")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """List of eight fake dives of each of two numbers; the clips that one test decodes serve the others."""
    from tests.fake_dives import write_fake_dives

    return write_fake_dives(tmp_path_factory.mktemp("dives"))


@pytest.fixture(scope="session")
def tiny_config() -> ModelConfig:
    """The whole network, small enough for tests."""
    return ModelConfig(
        clip=ClipConfig(num_frames=12, resize_height=40, resize_width=32, crop_size=32),
        backbone=BackboneConfig(stem_width=16, widths=(16, 32), depths=(1, 2)),
        tokens_per_stage=3,
        decoder_layers=2,
        decoder_heads=4,
        regressor_hidden=(16, 8),
    )
