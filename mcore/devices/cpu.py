"""Settings of memory and threads that decide how fast torch computes on a CPU."""

from __future__ import annotations

import ctypes
import os

# Parameters of mallopt(3).
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX = -1, -2, -4
_TOP_PAD_BYTES = 64 * 2**20
_NEVER = 2**31 - 1


def turn_malloc_trimming_off() -> bool:
    """Keep freed memory for the next tensor; says whether the C library can (glibc can).

    glibc maps blocks of more than 32 MB anew each time, and the kernel clears them page by page: that costs a small
    network a third of its training time.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):  # musl, macOS, Windows
        return False
    settings = ((_MMAP_MAX, 0), (_TRIM_THRESHOLD, _NEVER), (_TOP_PAD, _TOP_PAD_BYTES))
    accepted = [mallopt(parameter, value) for parameter, value in settings]
    return all(result == 1 for result in accepted)


def let_waiting_threads_sleep() -> None:
    """Keep torch's threads from spinning while they wait; only counts before torch is imported.

    Where another program uses a core, a thread that waits in a loop takes the time that the thread it waits for
    needs: one training step of the ``tiny`` network on two busy cores took up to 20 times as long.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
