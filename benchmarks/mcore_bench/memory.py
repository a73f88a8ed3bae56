"""Peak memory of one backend, in a process of its own, because engines share nothing and free little.

python -m mcore_bench.memory BUNDLE openvino fp32 2
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import cast

import numpy as np

from mcore.common.errors import UserError
from mcore_runtime.bundle.records import Precision
from mcore_runtime.nvml import GpuSensors
from mcore_runtime.scoring.scorer import Scorer

_CLIPS = 2
"""The second one uses the buffers of the first."""


@dataclass(frozen=True)
class Memory:
    """What one process that encodes clips had at most, megabytes."""

    resident: float
    gpu: float | None
    """By how much the memory in use on the GPU rose from before the engine was opened until clips were encoded;
    None: no GPU tells."""


def peak_memory(bundle: Path, backend: str, precision: str, threads: int) -> Memory | None:
    """Encode clips in a child process and return the most memory it had; None: it could not.

    Args:
        bundle: folder.
        backend: as ``Scorer`` takes it.
        precision: of the graphs.
        threads: CPU threads.
    """
    command = [sys.executable, "-m", "mcore_bench.memory", str(bundle), backend, precision, str(threads)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return Memory(**json.loads(done.stdout.splitlines()[-1])) if done.returncode == 0 else None  # engines may print too


def main(argv: Sequence[str] | None = None) -> int:
    """Print the memory of encoding clips as JSON."""
    sensors = GpuSensors()
    before_mb = sensors.memory_mb()
    bundle, backend, precision, threads = sys.argv[1:] if argv is None else argv
    try:
        with Scorer(bundle, backend, precision=cast("Precision", precision), threads=int(threads)) as scorer:
            c = scorer.clip_config
            for _ in range(_CLIPS):
                scorer.encode(np.zeros((3, c.num_frames, c.crop_size, c.crop_size), np.float32))
            after_mb = sensors.memory_mb()  # engines keep their buffers
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    # Not getrusage's maximum, which a process inherits from the one that started it.
    status = Path("/proc/self/status")
    peak = re.search(r"^VmHWM:\s*(\d+) kB", status.read_text(encoding="utf-8"), re.M) if status.is_file() else None
    if peak is None:
        print("this system does not tell the peak memory of a process", file=sys.stderr)
        return 2
    gpu_mb = None if before_mb is None or after_mb is None else after_mb - before_mb
    print(json.dumps(asdict(Memory(int(peak[1]) * 1024 / 1e6, gpu_mb))))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
