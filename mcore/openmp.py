"""Import this before torch: it makes torch's threads sleep while they wait for each other, instead of spinning.

Where another program uses a core, a thread that waits in a loop takes the time that the thread it waits for
needs: one training step of the ``tiny`` network on two busy cores took 0.6 to 6.9 s spinning and 0.35 s
sleeping. OpenMP reads the variable when it is loaded, so it cannot be set later.
"""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
