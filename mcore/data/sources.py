"""Sources of labelled dives: every data set that can be read, and its way into a list of dives."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from mcore.common.errors import DiveNumberError, UserError
from mcore.common.tables import read_text
from mcore.data.finediving import is_finediving, read_finediving
from mcore.data.finediving_labels import is_e2e_spot, read_e2e_spot, read_finediving_labels
from mcore.data.labels import VALIDATION_SHARE, LabelledDive, LeftOut, with_validation
from mcore.data.manifest import MANIFEST, MAX_BYTES, DiveRecord, json_lines, list_folder, scan_manifest
from mcore.data.mtl_aqa import is_mtl_aqa, read_mtl_aqa
from mcore.diving import DiveNumber

Kind = Literal["manifest", "finediving", "finediving-labels", "e2e-spot", "mtl-aqa"]


@dataclass(frozen=True)
class Source:
    """A data set as it was found."""

    path: Path
    kind: Kind
    dives: list[LabelledDive]


def read_source(path: str | Path, frames: str | Path | None = None) -> Source:
    """Read a data set of dives, bad dives included.

    Args:
        path: a list of dives (``.jsonl``, ``.csv``), a folder that has one, FineDiving's or MTL-AQA's folder, or
            FineDiving's labels as JSON lines or in E2E-Spot's folder.
        frames: where the images are, if not where the data set has them.

    Raises:
        UserError: none of these, or a file that cannot be read at all.
    """
    path = Path(path)
    kind = _kind(path)
    if kind == "finediving":
        dives = read_finediving(path, frames)
    elif kind == "mtl-aqa":
        dives = read_mtl_aqa(path, frames)
    elif kind == "finediving-labels":
        dives = read_finediving_labels(path, frames)
    elif kind == "e2e-spot":
        dives = read_e2e_spot(path, frames)
    else:
        if frames is not None:
            raise UserError(f"{path} is a list of dives, whose paths are relative to itself; leave out --frames")
        dives = _manifest_dives(path / MANIFEST if path.is_dir() else path)
    if not dives:
        raise UserError(f"{path} lists no dives")
    return Source(path, kind, dives)


def usable_records(
    dives: Sequence[LabelledDive], validation_share: float = VALIDATION_SHARE, seed: int = 0
) -> tuple[list[DiveRecord], list[LeftOut]]:
    """Choose what training and evaluation can use, and a validation split where there is none.

    Test dives with a dive number stay, so that figures are about the whole split; training and validation dives
    without transitions go where others have them, because training refuses them.

    Args:
        dives: of a data set.
        validation_share: part of the usable training dives of each number.
        seed: of the choice of validation dives.

    Returns:
        The records with absolute paths, and the dives left out.
    """
    labelled = any(dive.record is not None and dive.record.transition_frames is not None for dive in dives)
    reasons = [(dive, _reason_to_leave_out(dive, labelled)) for dive in dives]
    usable = with_validation((dive for dive, reason in reasons if reason is None), validation_share, seed)
    records = [dive.record for dive in usable if dive.record is not None]
    absolute = [replace(record, path=Path(os.path.abspath(record.path))) for record in records]
    return absolute, [LeftOut(dive.name, reason) for dive, reason in reasons if reason is not None]


def _reason_to_leave_out(dive: LabelledDive, labelled: bool) -> str | None:
    record = dive.record
    if record is None:
        return dive.problem or "labels cannot be read"
    try:
        DiveNumber.parse(record.dive_number)
    except DiveNumberError as error:
        return str(error) if not record.listed_at else f"{record.listed_at}: {error}"
    if not math.isfinite(record.score):
        return f"a score of {record.score}"
    if labelled and record.split != "test" and record.transition_frames is None:
        return f"no two ascending transitions (steps begin at {dive.step_frames})"
    return None


def _kind(path: Path) -> Kind:
    if path.is_dir():
        if is_finediving(path):
            return "finediving"
        if is_mtl_aqa(path):
            return "mtl-aqa"
        if is_e2e_spot(path):
            return "e2e-spot"
        if (path / MANIFEST).is_file():
            return "manifest"
        raise UserError(
            f"{path} is not a data set of dives: no {MANIFEST}, no FineDiving annotations "
            "(Annotations/fine-grained_annotation_aqa.pkl), no MTL-AQA annotations (final_annotations_dict.pkl), no "
            "labels of FineDiving from E2E-Spot (train.json, val.json, test.json)"
        )
    if path.suffix not in (".jsonl", ".csv"):
        found = "no such file" if not path.exists() else f"a {path.suffix or 'nameless'} file"
        raise UserError(f"{path}: {found}; give a list of dives (.jsonl, .csv), or the folder of a data set")
    return "finediving-labels" if path.suffix == ".jsonl" and _has_events(path) else "manifest"


def _has_events(path: Path) -> bool:
    """Return whether the first line that is JSON is one of FineDiving's labels."""
    try:
        text, _ = read_text(path, max_bytes=MAX_BYTES)
    except UserError as error:
        raise UserError(f"cannot read {path}: {error}") from error
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from error
    rows = (row for _, row in json_lines(text, path) if isinstance(row, dict))
    first = next(rows, {})
    return "clip" in first and "events" in first


def _manifest_dives(path: Path) -> list[LabelledDive]:
    dives = []
    for line, found in scan_manifest(path):
        if isinstance(found, UserError):
            problem = str(found).removeprefix(f"{path}, line {line}: ")
            dives.append(LabelledDive(f"{path.name}, line {line}", None, problem=problem))
        else:
            window = "" if found.start_s is None and found.end_s is None else f" {found.start_s}-{found.end_s} s"
            base = list_folder(path)
            name = str(found.path.relative_to(base) if found.path.is_relative_to(base) else found.path) + window
            dives.append(LabelledDive(name, found, found.transition_frames))
    return dives
