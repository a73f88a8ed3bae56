"""Scores of a list on a Ray cluster: each part of the list becomes a Parquet file, which is whole or not there.

Ray Data gives parts to nodes, and those of a lost node to others. Within a node ``score_in_parallel`` decodes and
scores, because only a process of its own keeps a decoder's crash to one dive. Needs the extra ``ray``, and list,
videos, bundle and output at the same paths on every node.
"""

from __future__ import annotations

import json
import logging
import os
import pickle
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mcore.common.errors import UserError, first_line
from mcore.common.files import replacing, sync_folder, write_text
from mcore.common.optional import require, require_all
from mcore.common.typed_json import decode_object
from mcore_runtime.scoring.archive import ArchiveProgress, ArchiveRun, head_of
from mcore_runtime.scoring.batch import DiveOutcome, DiveRequest
from mcore_runtime.scoring.parallel import TIME_LIMIT_S, WorkerSetup, score_in_parallel
from mcore_runtime.scoring.rows import check_head
from mcore_runtime.scoring.scorer import Scorer

PART_DIVES = 200
"""A part takes a minute or two, which is what the loss of a node costs."""
HEAD_FILE = "_head.json"
"""Readers of Parquet folders pass over names that begin so."""
_COLUMNS = (
    ("index", "int64"), ("status", "string"), ("error", "string"), ("video", "string"), ("dive_number", "string"),
    ("true_score", "float64"), ("score", "float64"), ("low", "float64"), ("high", "float64"), ("json", "string"),
)  # fmt: skip
"""Of the files; ``json`` holds all that a row of ``mcore-score --out`` has."""


def score_on_cluster(
    scorer: Scorer,
    setup: WorkerSetup,
    requests: Sequence[DiveRequest],
    out: Path,
    *,
    address: str,
    resume: bool = False,
    workers: int = 1,
    time_limit_s: float = TIME_LIMIT_S,
    part_dives: int = PART_DIVES,
) -> ArchiveRun:
    """Score those parts of a list that are not in the folder yet.

    Args:
        scorer: opened with ``setup`` on this machine; it may be closed.
        setup: how the processes score.
        requests: the list.
        out: folder of the Parquet files.
        address: of the cluster, as ``ray.init`` takes it; ``local`` starts one on this machine.
        resume: go on with the folder.
        workers: processes of one task, and the processors that Ray counts for it.
        time_limit_s: for one dive.
        part_dives: dives of a file.

    Raises:
        UserError: of the folder, the cluster, or a task.
    """
    require_all("ray.data", "pyarrow.parquet", extra="ray", purpose="Scoring on a cluster")
    head = head_of(scorer, setup, requests)
    _prepare(out, {**head, "options": {**head["options"], "part_dives": part_dives}}, resume)
    parts = range((len(requests) + part_dives - 1) // part_dives)
    counts: Counter[str] = Counter()
    left: list[dict[str, Any]] = []
    for part in parts:
        path = out / f"part-{part:06d}.parquet"
        if path.exists():
            counts += _count(path)
            continue
        begin = part * part_dives
        dives = list(enumerate(requests[begin : begin + part_dives], begin))
        left.append({"path": str(path), "dives": pickle.dumps(dives)})
    with ArchiveProgress(len(requests), counts.total()) as progress:
        for status in _run(left, setup, address, workers, time_limit_s):
            counts.update(status)
            progress.add_many(sum(status.values()))
    return ArchiveRun(len(requests), counts, progress.num_new, progress.dives_per_hour)


def _prepare(out: Path, head: Mapping[str, Any], resume: bool) -> None:
    """Make the folder say what it is of, or see that it is of the same."""
    path = out / HEAD_FILE
    if not path.exists():
        if out.exists() and any(out.iterdir()):
            raise UserError(f"{out} is no folder of mcore-score --ray; choose another name")
        write_text(path, json.dumps(head, indent=1) + "\n")
        return
    if not resume:
        raise UserError(f"{out} is there already; go on with it with --resume, or choose another name")
    check_head(out, decode_object(path.read_text(encoding="utf-8"), str(path)), head)


def _count(path: Path) -> Counter[str]:
    """Count the dives of a part by their status."""
    parquet = require("pyarrow.parquet", "ray", "Scoring on a cluster")
    return Counter(parquet.read_table(path, columns=["status"])["status"].to_pylist())


def _run(
    parts: list[dict[str, Any]], setup: WorkerSetup, address: str, workers: int, time_limit_s: float
) -> Iterator[dict[str, int]]:
    """Have parts scored, each by a task; yield how many dives of each status one has, as they are finished."""
    if not parts:
        return
    import ray

    began_here = not ray.is_initialized()
    try:
        if began_here:
            ray.init(address, log_to_driver=False, logging_level="ERROR")
        ray.data.DataContext.get_current().enable_progress_bars = False
        logging.getLogger("ray.data").setLevel(logging.ERROR)
        dataset = ray.data.from_items(parts, override_num_blocks=len(parts)).map(
            _score_part, fn_args=(setup, workers, time_limit_s), num_cpus=workers
        )
        for row in dataset.iter_rows():
            yield json.loads(row["counts"])
    except (ray.exceptions.RayError, ConnectionError, ValueError, RuntimeError) as error:
        cause = error.as_instanceof_cause() if isinstance(error, ray.exceptions.RayTaskError) else error
        raise UserError(f"the cluster at {address} stopped: {first_line(cause)}. Go on with --resume") from error
    finally:
        if began_here:
            ray.shutdown()


def _score_part(row: dict[str, Any], setup: WorkerSetup, workers: int, time_limit_s: float) -> dict[str, str]:
    """Score a part and write its file; runs on a node, and again on another one where that is lost."""
    dives: list[tuple[int, DiveRequest]] = pickle.loads(row["dives"])
    outcomes = dict(score_in_parallel(setup, dives, workers=min(workers, len(dives)), time_limit_s=time_limit_s))
    _write(Path(row["path"]), [(index, outcomes[index]) for index, _ in dives])
    return {"counts": json.dumps(Counter(outcome.status for outcome in outcomes.values()))}


def _write(path: Path, outcomes: Sequence[tuple[int, DiveOutcome]]) -> None:
    """Write a part whole; whoever is the last of several that write it wins, with the same dives."""
    import pyarrow
    from pyarrow import parquet

    rows = []
    for index, outcome in outcomes:
        row = {"index": index, **outcome.to_json()}
        names = {name: row.get(name) for name, _ in _COLUMNS}
        rows.append({**names, "video": row["video"]["source"], "json": json.dumps(row, allow_nan=False)})
    schema = pyarrow.schema([(name, getattr(pyarrow, kind)()) for name, kind in _COLUMNS])
    with replacing(path) as temporary:
        parquet.write_table(pyarrow.Table.from_pylist(rows, schema), temporary)
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
    sync_folder(path.parent)
