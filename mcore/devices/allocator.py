"""Keep freed memory for the next tensor instead of giving it back to the system after every operation.

glibc maps blocks of more than 32 MB anew each time, and the kernel clears them page by page: on CPUs that
costs a small network a third of its training time.
"""

from __future__ import annotations

import ctypes

# Parameters of mallopt(3).
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX = -1, -2, -4
_TOP_PAD_BYTES = 64 * 2**20
_NEVER = 2**31 - 1


def keep_freed_memory() -> bool:
    """Ask the C library to reuse large blocks; says whether it has such a setting (glibc has)."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):  # musl, macOS, Windows
        return False
    settings = ((_MMAP_MAX, 0), (_TRIM_THRESHOLD, _NEVER), (_TOP_PAD, _TOP_PAD_BYTES))
    accepted = [mallopt(parameter, value) for parameter, value in settings]
    return all(result == 1 for result in accepted)
