"""Keeps torch's threads from spinning while they wait for each other.

Where another program uses a core, a thread that waits in a loop takes the time that the thread it waits for
needs: one training step of the ``tiny`` network on two busy cores took 0.6 to 6.9 s spinning and 0.35 s
sleeping.
"""

import os


def let_waiting_threads_sleep() -> None:
    """Ask OpenMP for it; only counts before torch is imported, because OpenMP reads it when it is loaded."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
