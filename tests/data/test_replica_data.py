"""``mcore-data render --labels``: from labels of every kind to videos and lists, resumable and never mixed."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import av
import pytest

from mcore.common.errors import UserError
from mcore.data.commands.main import main
from mcore.data.finediving_labels import read_finediving_labels
from mcore.data.manifest import read_manifest
from mcore.data.rendered_folder import remove_abandoned
from mcore.data.rendered_replicas import ReplicaSettings, render_replicas
from mcore.data.replica_labels import replica_labels
from mcore.data.sources import read_source
from tests.mini_finediving import EVENT, dives, write_finediving

SMALL = ["--width", "64", "--height", "48"]


def row(clip: str, number: str = "407C", **changes: Any) -> dict[str, Any]:
    """One of FineDiving's labels."""
    events = [[5, "Inward -> 3.5 Soms.Tuck"], [37, "3.5 Soms.Tuck -> Entry"]]
    values = {"split": "train", "difficulty": 3.2, "score": 76.8, "frames": 50, "events": events}
    return {"clip": clip, "dive_number": number} | values | changes


def write_labels(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(r) + "\n" for r in rows))
    return path


ROWS = [
    row("Women10m_final/0"),
    row("Women10m_final/1", score=54.4, frames=47),
    row("01/1", split="test", score=91.2),
    row("Men3mSynchronised/2", "205B", difficulty=3.0, score=72.9),
    row("01/2", "5253B", events=[[8, "Back -> 1.5 Twists"], [24, "1.5 Twists -> 2.5 Soms.Pike"], [43, "x -> Entry"]]),
]


def render(folder: Path, labels: str, *more: str) -> int:
    """Run the command on a folder that holds the labels and gets the data set."""
    return main(["render", "--labels", str(folder / labels), "--out", str(folder / "set"), *SMALL, *more])


@pytest.fixture(scope="module")
def replica(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("replica")
    write_labels(folder / "labels.jsonl", ROWS)
    assert render(folder, "labels.jsonl", "--workers", "2") == 0
    return folder


def test_the_list_is_what_the_labels_say_and_the_videos_hold(replica: Path) -> None:
    records = {record.path.stem: record for record in read_manifest(replica / "set" / "manifest.jsonl")}
    # A replica of a real dive's label shows no real dive.
    assert {(record.origin, record.event) for record in records.values()} == {("rendered", None)}
    assert set(records) == {"Women10m_final_0", "Women10m_final_1", "01_1", "Men3mSynchronised_2", "01_2"}
    for given in ROWS:
        record = records[given["clip"].replace("/", "_")]
        assert (record.dive_number, record.score, record.difficulty) == (
            given["dive_number"],
            given["score"],
            given["difficulty"],
        )
        assert (record.split == "test") == (given["split"] == "test")
        events = [frame + 1 for frame, _ in given["events"]]
        assert record.transition_frames == (events[0], events[-1])
        with av.open(str(record.path)) as container:
            assert sum(1 for _ in container.decode(video=0)) == record.num_frames == given["frames"]


def test_what_each_replica_was_made_of_is_kept(replica: Path) -> None:
    plans = [json.loads(line) for line in (replica / "set" / "plans.jsonl").read_text().splitlines()]
    by_clip = {plan["label"]["clip"]: plan for plan in plans}
    assert by_clip["Men3mSynchronised/2"]["panel"] == "synchronised"
    assert len(by_clip["Men3mSynchronised/2"]["awards"]) == 11
    assert by_clip["Men3mSynchronised/2"]["label"]["height_m"] == 3
    assert all(abs(plan["residual_points"]) < 0.02 for plan in plans)
    provenance = json.loads((replica / "set" / "provenance.json").read_text())
    assert "none shows a real dive" in provenance["about"]
    assert provenance["renderings"][0]["rendered"] == len(ROWS)
    assert {"mcore", "numpy", "Pillow", "av"} <= set(provenance["renderings"][0]["versions"])


def test_a_killed_rendering_goes_on_and_half_files_do_not_count(
    replica: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    videos = sorted((replica / "set").rglob("*.mp4"))
    kept, cut, lost = videos[0], videos[1], videos[2]
    pixels, before = cut.read_bytes(), kept.stat().st_mtime_ns
    cut.write_bytes(pixels[: len(pixels) // 2])
    lost.unlink()
    assert render(replica, "labels.jsonl", "--workers", "1") == 0
    assert "2 rendered" in (printed := capsys.readouterr().out)
    assert "3 were there" in printed
    assert cut.read_bytes() == pixels  # and exactly as the first time
    assert kept.stat().st_mtime_ns == before
    assert lost.exists()
    assert len(json.loads((replica / "set" / "provenance.json").read_text())["renderings"]) == 2


def test_other_labels_or_settings_are_not_mixed(replica: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_labels(replica / "other.jsonl", ROWS[:-1])
    for labels, more in (("other.jsonl", []), ("labels.jsonl", ["--seed", "1"])):
        assert render(replica, labels, *more) == 2
        assert "other settings" in capsys.readouterr().err
    assert main(["render", "--out", str(replica / "set")]) == 2


def test_a_limit_is_a_sample_that_a_larger_one_contains(tmp_path: Path) -> None:
    labels, _ = replica_labels(read_finediving_labels(write_labels(tmp_path / "labels.jsonl", ROWS)))
    settings = ReplicaSettings(width=64, height=48)
    two = render_replicas(labels, tmp_path / "set", settings, limit=1, workers=1)
    three = render_replicas(labels, tmp_path / "set", settings, limit=2, workers=1)
    assert (two.num_new, three.num_new) == (1, 1)
    assert two.records == three.records[:1]
    assert read_manifest(three.manifest) == three.records


def test_only_some_dive_numbers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    labels = write_labels(tmp_path / "labels.jsonl", ROWS)
    all_labels, _ = replica_labels(read_finediving_labels(labels))
    number = all_labels[-1].dive_number
    assert render(tmp_path, "labels.jsonl", "--only", number) == 0
    records = read_manifest(tmp_path / "set" / "manifest.jsonl")
    assert {record.dive_number for record in records} == {number}
    assert len(records) == sum(label.dive_number == number for label in all_labels)
    assert render(tmp_path, "labels.jsonl", "--only", number, "101A") == 2
    assert "no dive of number 101A" in capsys.readouterr().err


def test_a_killed_process_leaves_nothing_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "train").mkdir()
    left = tmp_path / "train" / ".01_1.0badcafe.mp4"
    left.write_bytes(b"half")
    remove_abandoned(tmp_path)
    assert left.exists()  # perhaps another process writes it now
    monkeypatch.setattr("mcore.data.rendered_folder.time.time", lambda: left.stat().st_mtime + 3600)
    remove_abandoned(tmp_path)
    assert not left.exists()


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--limit", "3"], "is for --labels"),
        (["--only", "107B"], "is for --labels"),
        (["--labels", "{labels}", "--dives-per-number", "3"], "do not go with --labels"),
        (["--labels", "{labels}", "--limit", "0"], "at least 1"),
        (["--labels", "{labels}", "--height", "47"], "even sizes"),
        (["--labels", "{labels}", "--workers", "0"], "at least 1"),
        (["--labels", "nowhere.jsonl"], "cannot read nowhere.jsonl"),
    ],
)
def test_errors_of_use_exit_with_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], reason: str
) -> None:
    labels = write_labels(tmp_path / "labels.jsonl", ROWS)
    given = [argument.format(labels=labels) for argument in arguments]
    assert main(["render", "--out", str(tmp_path / "set"), *given]) == 2
    assert reason in capsys.readouterr().err
    assert not (tmp_path / "set").exists()


def test_the_official_folder_has_replicas_too(tmp_path: Path) -> None:
    """Its steps are numbers without names, so the dive number says which are twists."""
    found, left_out = replica_labels(read_source(write_finediving(tmp_path / "set", dives(), frames=None)).dives)
    assert not left_out
    assert {label.clip: label.step_frames for label in found}["01/1"] == (6, 13, 22)
    assert {label.step_names for label in found} == {None}
    assert {label.height_m for label in found if label.clip.startswith(EVENT)} == {3}
    # Platform and springboard give 5253B 3.2 on one board only.
    assert {label.height_m for label in found if label.clip.startswith("01")} == {10}


def test_boards_and_steps_are_completed(tmp_path: Path) -> None:
    lost = [[51, "2.5 Soms.Pike -> Entry"], [35, "2.5 Twists -> 2.5 Soms.Pike"]]
    rows = [
        row("07/1", "5255B", difficulty=3.6, frames=86, events=lost),
        row("07/2", "301B", difficulty=1.9),  # the same from both boards: as the event's others
        row("08/1", "301B", difficulty=2.0, events=[]),
        row("08/2", "999Z"),
        row("08/3", difficulty=0.0),
    ]
    found, left_out = replica_labels(read_finediving_labels(write_labels(tmp_path / "labels.jsonl", rows)))
    first, second = (label for label in found if label.clip.startswith("07"))
    assert first.completed
    assert first.step_names == ("2.5 Twists", "2.5 Soms.Pike")
    assert 1 <= first.step_frames[0] < 20
    assert first.step_frames[1:] == (36, 52)
    assert second.height_m == 10
    assert {dive.name for dive in left_out} == {"08/1", "08/2", "08/3"}


def test_two_clips_of_one_name_are_refused(tmp_path: Path) -> None:
    rows = [row("a/b_1"), row("a_b/1")]
    labels, _ = replica_labels(read_finediving_labels(write_labels(tmp_path / "labels.jsonl", rows)))
    with pytest.raises(UserError, match=r"a_b_1\.mp4"):
        render_replicas(labels, tmp_path / "set")


@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="needs /proc to see other processes")
def test_workers_do_not_outlive_a_killed_parent() -> None:
    script = (
        "import os, signal\n"
        "from mcore.synthetic.workers import worker_pool\n"
        "if __name__ == '__main__':\n"
        "    print(worker_pool(1).submit(os.getpid).result(), flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    parent = subprocess.run([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, timeout=30)
    assert parent.returncode == -signal.SIGKILL
    command_line = Path("/proc") / parent.stdout.strip() / "cmdline"
    until = time.monotonic() + 10
    while command_line.exists() and command_line.read_bytes():  # empty for one that only waits to be buried
        assert time.monotonic() < until, "the worker still runs"
        time.sleep(0.05)
