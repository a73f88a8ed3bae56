"""Pictures of a bundle's exemplars, so that a dive can be shown beside the one that it resembles most.

One zip file, from which a dive's pictures are read when somebody looks: ``index.json`` names the exemplars as the bank
does, with the times of their moments; ``0007/03.jpg`` is moment 3 of exemplar 7.
"""

from __future__ import annotations

import functools
import json
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from mcore.common.errors import BundleError
from mcore.config import STAGES
from mcore_runtime.bundle.moments import Moment

_INDEX = "index.json"
_MAX_KEPT = 16
"""Exemplars whose pictures, some 100 kB each, stay in memory: as many dives are looked at at once."""
_ADVICE = "copy the bundle again, or export it again"


class ExemplarPictures:
    """The moments of exemplars, by their names; for any thread.

    Args:
        path: the zip file. It stays open, because reading its directory takes 0.1 s with 2,000 exemplars.
        bundle_sha256: digest of its bundle.

    Raises:
        BundleError: not such a file.
    """

    def __init__(self, path: str | Path, bundle_sha256: str) -> None:
        self.bundle_sha256 = bundle_sha256
        self._path = Path(path)
        self._read_cached = functools.lru_cache(_MAX_KEPT)(self._read)  # whoever asks for one picture asks for the next
        try:
            self._file = zipfile.ZipFile(path)
            # What is not compressed cannot inflate to more than the file.
            if any(member.compress_type != zipfile.ZIP_STORED for member in self._file.infolist()):
                raise ValueError("it is compressed")
            index = json.loads(self._file.read(_INDEX))
            self._times_s = {str(e["name"]): tuple(float(t) for t in e["pts_seconds"]) for e in index["exemplars"]}
        except (OSError, zipfile.BadZipFile, KeyError, TypeError, ValueError) as error:
            raise BundleError(f"{path} holds no pictures of exemplars ({error}); {_ADVICE}") from error
        self._places = {name: place for place, name in enumerate(self._times_s)}

    def __contains__(self, name: object) -> bool:
        return name in self._places

    def __len__(self) -> int:
        return len(self._places)

    @property
    def tokens_per_stage(self) -> int:
        """K: a third of the moments of each exemplar."""
        return max(map(len, self._times_s.values()), default=0) // len(STAGES)

    def moments(self, name: str) -> tuple[Moment, ...] | None:
        """Return an exemplar's moments; None: there are no pictures of it.

        Raises:
            BundleError: the file has changed since it was opened.
        """
        return self._read_cached(name) if name in self._places else None

    def _read(self, name: str) -> tuple[Moment, ...]:
        times_s, place = self._times_s[name], self._places[name]
        try:
            jpegs = [self._file.read(_picture(place, index)) for index in range(len(times_s))]
        except (EOFError, zipfile.BadZipFile) as error:
            raise BundleError(f"{self._path} is another file than when it was opened: start again") from error
        except (OSError, KeyError) as error:
            raise BundleError(f"{self._path} lacks pictures of {name} ({error}); {_ADVICE}") from error
        return tuple(map(Moment, times_s, jpegs))


def write_exemplar_pictures(path: str | Path, exemplars: Mapping[str, Sequence[Moment]]) -> None:
    """Write the file that ``ExemplarPictures`` reads; the same pictures make the same bytes.

    Args:
        path: the zip file; an existing one is replaced.
        exemplars: moments by the exemplar's name in the bank.
    """
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as file:  # JPEGs do not get smaller
        rows = [{"name": name, "pts_seconds": [m.pts_seconds for m in moments]} for name, moments in exemplars.items()]
        file.writestr(zipfile.ZipInfo(_INDEX), json.dumps({"exemplars": rows}, indent=1))
        for place, moments in enumerate(exemplars.values()):
            for index, moment in enumerate(moments):
                file.writestr(zipfile.ZipInfo(_picture(place, index)), moment.jpeg)


def _picture(place: int, index: int) -> str:
    return f"{place:04}/{index:02}.jpg"
