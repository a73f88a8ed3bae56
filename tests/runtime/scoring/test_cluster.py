"""``mcore-score --ray``: every dive of a list in one Parquet file of a folder, on a local cluster."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mcore.common.errors import UserError
from mcore_runtime import Scorer
from mcore_runtime.score import main
from mcore_runtime.scoring.batch import DiveRequest, score_all
from mcore_runtime.scoring.cluster import HEAD_FILE, score_on_cluster
from mcore_runtime.scoring.parallel import WorkerSetup


@pytest.fixture(scope="module")
def local_cluster() -> Iterator[None]:
    ray = pytest.importorskip("ray", reason="needs Ray: pip install '.[ray]'")
    pytest.importorskip("pyarrow", reason="needs PyArrow: pip install '.[ray]'")
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    yield
    ray.shutdown()


def _rows(out: Path) -> list[dict[str, Any]]:
    from pyarrow import parquet

    rows = [json.loads(text) for text in parquet.read_table(out)["json"].to_pylist()]
    return sorted(({**row, "timing_ms": None} for row in rows), key=lambda row: row["index"])


@pytest.mark.slow
@pytest.mark.usefixtures("local_cluster")
def test_every_dive_is_there_once_also_after_a_part_was_lost(
    tiny_bundle: Path, tmp_path: Path, step_video: Callable[..., Path]
) -> None:
    videos = [step_video(tmp_path / f"{k}.mp4", (40 + 9 * k, 40, 120, 120, 200, 200)) for k in range(4)]
    requests = [DiveRequest(video, "407C") for video in (*videos, tmp_path / "gone.mp4")]
    setup, out = WorkerSetup(tiny_bundle, "onnxruntime"), tmp_path / "scores"
    with setup.open() as scorer:
        alone = json.loads(json.dumps([outcome.to_json() for outcome in score_all(scorer, requests)]))
    expected = [{"index": k, **row, "timing_ms": None} for k, row in enumerate(alone)]

    def run(scorer: Scorer, resume: bool) -> int:
        done = score_on_cluster(scorer, setup, requests, out, address="local", resume=resume, part_dives=2)
        assert done.is_complete
        assert done.counts == {"scored": 4, "failed": 1}
        return done.num_new

    assert run(scorer, False) == 5
    assert _rows(out) == expected
    (out / "part-000001.parquet").unlink()
    assert run(scorer, True) == 2
    assert _rows(out) == expected
    assert run(scorer, True) == 0
    with pytest.raises(UserError, match="the list has other dives"):
        score_on_cluster(scorer, setup, requests[1:], out, address="local", resume=True, part_dives=2)
    with pytest.raises(UserError, match="part_dives is another"):
        score_on_cluster(scorer, setup, requests, out, address="local", resume=True, part_dives=3)
    with pytest.raises(UserError, match="with --resume"):
        score_on_cluster(scorer, setup, requests, out, address="local", part_dives=2)
    (out / HEAD_FILE).unlink()
    with pytest.raises(UserError, match="no folder of mcore-score --ray"):
        score_on_cluster(scorer, setup, requests, out, address="local", resume=True, part_dives=2)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--list", "d.csv", "--ray", "local"], "give --out"),
        (["--list", "d.csv", "--ray", "local", "--out", "scores", "--json"], "writes no --json"),
        (["--list", "d.csv", "--out", "scores"], "ends in .jsonl"),
        (["v.mp4", "--dive", "407C", "--out", "scores.jsonl"], "of a --list"),
        (["--list", "d.csv", "--workers", "2"], "give --out"),
        (["--list", "d.csv", "--out", "s.jsonl", "--workers", "0"], "--workers 0; at least 1"),
        (["--list", "d.csv", "--out", "s.jsonl", "--time-limit", "0"], "more than 0 seconds"),
    ],
)
def test_flags_that_do_not_go_together_are_mistakes(
    arguments: list[str], reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bundle", *arguments]) == 2
    assert reason in capsys.readouterr().err
