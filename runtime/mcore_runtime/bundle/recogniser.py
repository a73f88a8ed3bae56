"""The file that holds a bundle's recogniser of dive numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mcore.common.errors import BundleError
from mcore.common.npz import read_arrays
from mcore.common.recognition import Recogniser, num_measures

_AGAIN = "fit it again with: mcore-bundle exemplars BUNDLE --dives DIVES.jsonl --out NEW_BUNDLE"


def save_recogniser(recogniser: Recogniser, path: Path, graphs_sha256: str) -> None:
    """Write a calibrated recogniser as an ``.npz`` file that loads without pickles.

    Args:
        recogniser: of what these graphs compute.
        path: of the file.
        graphs_sha256: ``GraphSet.digest`` of the graphs.
    """
    assert recogniser.own_probabilities is not None
    assert recogniser.is_calibrated is not None
    with path.open("wb") as file:  # a path would get a second ".npz" appended
        np.savez(
            file,
            allow_pickle=False,
            numbers=recogniser.numbers,
            weights=recogniser.weights,
            biases=recogniser.biases,
            temperature=np.array(recogniser.temperature),
            own_probabilities=recogniser.own_probabilities,
            is_calibrated=recogniser.is_calibrated,
            graphs_sha256=np.array(graphs_sha256),
        )


def load_recogniser(path: Path, graphs_sha256: str, feature_dim: int) -> Recogniser:
    """Read what ``save_recogniser`` wrote, and check it against the bundle.

    Raises:
        BundleError: not such a file, or of other graphs.
    """
    recogniser, made_by = read_recogniser(path)
    if made_by != graphs_sha256 or len(recogniser.weights) != num_measures(feature_dim):
        raise BundleError(f"{path} was fitted to what other graphs than those of this bundle compute; {_AGAIN}")
    return recogniser


def read_recogniser(path: Path) -> tuple[Recogniser, str]:
    """Read what ``save_recogniser`` wrote: a calibrated recogniser, and the digest of the graphs.

    Raises:
        BundleError: not such a file.
    """
    try:
        found = read_arrays(path)
        recogniser = Recogniser(
            found["numbers"],
            found["weights"].astype(np.float32, copy=False),
            found["biases"].astype(np.float64, copy=False),
            float(found["temperature"]),
            found["own_probabilities"].astype(np.float64, copy=False),
            found["is_calibrated"].astype(bool, copy=False),
        )
        return recogniser, str(found["graphs_sha256"])
    except (ValueError, KeyError, TypeError) as error:
        raise BundleError(f"{path} does not hold what names dive numbers ({error}); {_AGAIN}") from error
