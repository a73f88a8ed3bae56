"""Peak memory of one backend, in a process of its own, because engines share nothing and free little.

python -m mcore_bench.memory BUNDLE openvino fp32 2
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import numpy as np

from mcore.errors import UserError
from mcore_runtime.records import Precision
from mcore_runtime.scorer import Scorer

_CLIPS = 2
"""The second one uses the buffers of the first."""


def peak_memory_mb(bundle: Path, backend: str, precision: str, threads: int) -> float | None:
    """Encode a clip in a child process and return the most memory it had; None: it could not.

    Args:
        bundle: folder.
        backend: as ``Scorer`` takes it.
        precision: of the graphs.
        threads: CPU threads.
    """
    command = [sys.executable, "-m", "mcore_bench.memory", str(bundle), backend, precision, str(threads)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return float(done.stdout) if done.returncode == 0 else None


def main(argv: Sequence[str] | None = None) -> int:
    """Print the peak resident size of encoding a clip, megabytes."""
    bundle, backend, precision, threads = sys.argv[1:] if argv is None else argv
    try:
        with Scorer(bundle, backend, precision=cast("Precision", precision), threads=int(threads)) as scorer:
            c = scorer.clip_config
            for _ in range(_CLIPS):
                scorer.encode(np.zeros((3, c.num_frames, c.crop_size, c.crop_size), np.float32))
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    # Not getrusage's maximum, which a process inherits from the one that started it.
    status = Path("/proc/self/status")
    peak = re.search(r"^VmHWM:\s*(\d+) kB", status.read_text(encoding="utf-8"), re.M) if status.is_file() else None
    if peak is None:
        print("this system does not tell the peak memory of a process", file=sys.stderr)
        return 2
    print(int(peak[1]) * 1024 / 1e6)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
