"""A bundle with a spotter of one's own, which ``python -m mcore.train_spotter --own`` made. Torch-free."""

from __future__ import annotations

import shutil
from pathlib import Path

from mcore_export.folder import appearing_folder, check_target, copy_bundle
from mcore_runtime.bundle.folder import SPOTTER_FILE, Bundle, write_manifest
from mcore_runtime.detector.network import SpotterNetwork


def add_spotter(bundle_path: Path, weights: Path, out: Path, *, force: bool = False) -> Bundle:
    """Write a copy of a bundle whose dives are found with other weights.

    Args:
        bundle_path: the bundle to copy.
        weights: that ``mcore.train_spotter`` wrote.
        out: folder of the copy; appears whole or not at all.
        force: replace a bundle at ``out``.

    Raises:
        UserError: the bundle, the weights or ``out`` cannot be used.
    """
    bundle = Bundle.open(bundle_path)
    check_target(out, force=force)
    SpotterNetwork(weights)
    with appearing_folder(out) as folder:
        copy_bundle(bundle, folder)
        shutil.copyfile(weights, folder / SPOTTER_FILE)
        write_manifest(folder, bundle.manifest)
    return Bundle.open(out)
