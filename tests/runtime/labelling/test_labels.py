"""From a session to a list: clips and proposals, the rules, labels on the disk, and what is trusted without a page."""

from __future__ import annotations

import io
import sqlite3
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from mcore.common.errors import UserError
from mcore.common.likeness import Likeness
from mcore.data.check import check_source
from mcore.data.manifest import read_manifest
from mcore.data.sources import read_source
from mcore.diving import NEWEST, dive_score
from mcore_runtime.labelling import store as store_module
from mcore_runtime.labelling.clips import LabelSession, propose, read_sessions
from mcore_runtime.labelling.command import main
from mcore_runtime.labelling.label import ClipFacts, Label, check, score_of
from mcore_runtime.labelling.pairs import pair_views
from mcore_runtime.labelling.store import SHARES, ConflictError, LabelStore
from mcore_runtime.session import DiveStatus
from tests.numbered_video import frame_numbers
from tests.runtime.labelling.made import ENTRY, FIRST, NUM_FRAMES, POINTS, TAKEOFF, dive, judges, make_session

FACTS = ClipFacts(Path("clips/dive-0001.mp4"), 0.328, 3.305, NUM_FRAMES, "real", "final")
GOOD = Label("dive", TAKEOFF, ENTRY, "107B", 3.1, "7 7.5 7 7 6.5 7 8")


@pytest.fixture(scope="module")
def meet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two sessions of three dives."""
    folder = tmp_path_factory.mktemp("meet")
    for name in ("heat", "final"):
        make_session(folder / name, dive(1), dive(2), dive(3, takeoff_s=None, entry_s=None, judges=None))
    return folder


def only(session: Path) -> Any:
    """The one clip of a session."""
    ((clip,),) = [each.clips for each in read_sessions(session)]
    return clip


def test_a_clip_has_the_frames_that_were_scored(meet: Path) -> None:
    heat, final = read_sessions(meet)
    assert (heat.name, final.name) == ("heat", "final")  # as they began
    frames = heat.clips[0].frames()
    assert len(frames.times_s) == len(frames.jpegs) == NUM_FRAMES
    pictures = np.stack([np.asarray(Image.open(io.BytesIO(jpeg))) for jpeg in frames.jpegs])
    assert frame_numbers(pictures).tolist() == list(range(FIRST, FIRST + NUM_FRAMES))
    assert heat.clips[0].frames(pictures=False).times_s == frames.times_s


def test_what_is_proposed(meet: Path) -> None:
    heat, _ = read_sessions(meet)
    times_s = heat.clips[0].frames().times_s
    assert propose(heat.clips[0], times_s) == Label("open", TAKEOFF, ENTRY, "107B", 3.1, "7 7.5 7 7 6.5 7 8")
    assert propose(heat.clips[2], times_s).judged == ""


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"takeoff_s": 100.5}, {"takeoff_frame": 15, "entry_frame": 75}),  # they differ: the detector's
        ({"takeoff_s": None}, {"takeoff_frame": TAKEOFF, "entry_frame": ENTRY}),
        ({"judges": judges(points=60.0)}, {"judged": "60"}),
        ({"judges": judges(penalty="restart")}, {"judged": ""}),
        ({"dive_number": None}, {"dive_number": "", "difficulty": None}),
    ],
)
def test_proposals_of_doubtful_dives(changes: dict[str, Any], expected: dict[str, Any], tmp_path: Path) -> None:
    clip = only(make_session(tmp_path / "s", dive(1, **changes)))
    proposed = propose(clip, clip.frames().times_s)
    assert {name: getattr(proposed, name) for name in expected} == expected


def test_in_a_strange_pool_the_detectors_moments_are_proposed(tmp_path: Path) -> None:
    known = dive(1, takeoff_s=100.9)  # a little before the network's
    assert known.result is not None
    unlike = replace(known, result=replace(known.result, likeness=Likeness(0.04, 0.04, 50.0, ("no entry found",))))
    for name, made, expected in (("known", known, TAKEOFF), ("unlike", unlike, 27)):
        clip = only(make_session(tmp_path / name, made))
        assert clip.moments_agree
        assert propose(clip, clip.frames().times_s).takeoff_frame == expected


def test_dives_without_a_clip_are_counted(tmp_path: Path) -> None:
    void = replace(dive(2), status=DiveStatus.VOID, status_before=DiveStatus.SCORED)
    make_session(tmp_path / "s", dive(1, has_video=False), void)
    (session,) = read_sessions(tmp_path / "s")
    assert session == LabelSession("s", session.started, (), {"no video": 1, "void": 1})
    assert main([str(tmp_path / "s")]) == 2


def test_a_label_becomes_a_line() -> None:
    record = check(GOOD, FACTS, NEWEST).record
    assert record is not None
    assert (record.score, record.transition_frames, record.origin, record.event) == (POINTS, (36, 78), "real", "final")
    assert (record.num_frames, record.start_s, record.end_s) == (NUM_FRAMES, 0.328, 3.305)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"takeoff_frame": None}, "mark the take-off"),
        ({"takeoff_frame": 0}, "each stage needs a frame"),
        ({"takeoff_frame": 78}, "each stage needs a frame"),
        ({"entry_frame": NUM_FRAMES}, "each stage needs a frame"),
        ({"dive_number": " "}, "give the dive number"),
        ({"dive_number": "107Z"}, "not a dive number"),
        ({"judged": ""}, "give the awards"),
        ({"judged": "7 7 7 7"}, "4 awards"),
        ({"judged": "7 7 7.3"}, "7.3"),
        ({"judged": "seven"}, "give a number"),
        ({"difficulty": None}, "give the difficulty"),
        ({"judged": "99.5"}, "allowed"),
        ({"difficulty": -1.0, "judged": "60"}, "difficulty"),
    ],
)
def test_what_is_no_line(changes: dict[str, Any], words: str) -> None:
    checked = check(Label(**{**vars(GOOD), **changes}), FACTS, NEWEST)
    assert checked.record is None
    assert words in "; ".join(checked.faults)


@pytest.mark.parametrize(
    ("changes", "words"), [({"judged": "65.3"}, "no awards make"), ({"difficulty": 2.9}, "107B at 2.9")]
)
def test_what_is_unusual_by_the_rules(changes: dict[str, Any], words: str) -> None:
    checked = check(Label(**{**vars(GOOD), **changes}), FACTS, NEWEST)
    assert checked.record is not None
    assert words in "; ".join(checked.warnings)


@given(
    halves=st.sampled_from([3, 5, 7, 9, 11]).flatmap(lambda n: st.lists(st.integers(0, 20), min_size=n, max_size=n)),
    tenths=st.integers(9, 60),
    gap=st.sampled_from([" ", "  ", " / ", "; "]),
    is_comma=st.booleans(),
)
def test_typed_awards_make_the_points_of_the_rules(halves: list[int], tenths: int, gap: str, is_comma: bool) -> None:
    awards = [half / 2 for half in halves]
    text = gap.join(f"{award:g}" for award in awards)
    assert score_of(text.replace(".", ",") if is_comma else text, tenths / 10) == dive_score(awards, tenths / 10)


@given(st.lists(st.integers(1, 60), min_size=1, max_size=40))
def test_no_split_is_over_its_share_by_more_than_a_session(counts: list[int]) -> None:
    taken: list[tuple[str, int, Any]] = []
    for count in counts:
        taken.append(("", count, store_module._lacking(taken)))
    sums = {split: sum(count for _, count, each in taken if each == split) for split in SHARES}
    assert all(sums[split] - share * sum(counts) <= max(counts) for split, share in SHARES.items())


def test_a_version_is_saved_once_only(tmp_path: Path) -> None:
    store = LabelStore(tmp_path / "own/dives.jsonl")
    assert store.add_session("final", "today", 3) == "train"
    record = check(GOOD, ClipFacts(tmp_path / "x/a.mp4", 0.3, 3.0, NUM_FRAMES, "real", "final"), NEWEST).record
    assert store.newest("final/1").version == 0
    assert store.save("final", "final/1", 0, GOOD, record) == 1
    other = LabelStore(tmp_path / "own/dives.jsonl")  # as another process
    with pytest.raises(ConflictError, match="somebody else"):
        other.save("final", "final/1", 0, Label("no-dive"), None)
    assert other.newest("final/1").label == GOOD
    (listed,) = read_manifest(store.listing)
    assert (listed.split, listed.event, listed.origin, listed.path.name) == ("train", "final", "real", "a.mp4")
    assert other.save("final", "final/1", 1, Label("no-dive"), None) == 2
    assert store.verdicts() == {"final/1": "no-dive"}
    assert not store.listing.exists()  # nothing is left to list


def test_nothing_is_saved_where_the_list_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = LabelStore(tmp_path / "dives.jsonl")
    store.add_session("final", "today", 3)
    record = check(GOOD, FACTS, NEWEST).record

    def fail(*_: Any) -> None:
        raise UserError("cannot write")

    with monkeypatch.context() as patched:
        patched.setattr(store_module, "write_manifest", fail)
        with pytest.raises(UserError, match="cannot write"):
            store.save("final", "final/1", 0, GOOD, record)
    assert store.newest("final/1").version == 0
    assert store.save("final", "final/1", 0, GOOD, record) == 1


def test_lists_of_others_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.jsonl").write_text("{}\n")
    with pytest.raises(UserError, match="another --out"):
        LabelStore(tmp_path / "mine.jsonl")
    with sqlite3.connect(tmp_path / "other.labels.sqlite") as connection:
        connection.execute("CREATE TABLE t (x)")
    connection.close()
    with pytest.raises(UserError, match="holds no labels"):
        LabelStore(tmp_path / "other.jsonl")
    (tmp_path / "broken.labels.sqlite").write_bytes(b"no database at all" * 100)
    with pytest.raises(UserError, match="not saved"):
        LabelStore(tmp_path / "broken.jsonl")


def test_a_session_is_in_one_split_and_stays_there(tmp_path: Path) -> None:
    store = LabelStore(tmp_path / "dives.jsonl")
    assert [store.add_session(name, name, 10) for name in "abcd"] == ["train", "val", "train", "test"]
    assert store.add_session("b", "b", 30) == "val"
    assert store.add_session("b", "b", 30, "test") == "test"
    with pytest.raises(UserError, match="another session"):
        store.add_session("a", "another day", 10)


def test_without_a_page(meet: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    listing = tmp_path / "own/dives.jsonl"
    command = [str(meet), "--no-page", "--out", str(listing)]
    assert main(command) == 0
    assert "4 dives (train 2, val 2); left out: 2 (no awards from the meet)" in capsys.readouterr().out
    dives = read_manifest(listing)
    assert [(each.event, each.split) for each in dives] == [("heat", "train")] * 2 + [("final", "val")] * 2
    assert {each.transition_frames for each in dives} == {(TAKEOFF, ENTRY)}
    store = LabelStore(listing)
    store.save("heat", "heat/1", 1, Label("bad-clip"), None)
    assert main(command) == 0  # a person's word stays
    assert "3 dives (train 1, val 2); left out: 2 (no awards from the meet), 1 (labelled by" in capsys.readouterr().out
    errors = [each for each in check_source(read_source(listing), decode=True).findings if each.severity == "error"]
    assert {each.check for each in errors} <= {"across-splits", "duplicate"}  # all videos here are alike


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"status": "unlike"}, "its status is unlike"),
        ({"judges": None}, "no awards from the meet"),
        ({"judges": judges(penalty="restart")}, "a penalty"),
        ({"judges": judges(points=60.0)}, "awards and points do not fit"),
        ({"judges": judges(doubts=("the total",))}, "awards and points do not fit"),
        ({"dive_number": None}, "dive number not announced"),
        ({"entry_s": 103.2}, "network and detector disagree"),
        ({"takeoff_s": None}, "network and detector disagree"),
    ],
)
def test_what_is_not_trusted(
    changes: dict[str, Any], reason: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_session(tmp_path / "s", dive(1, **changes))
    assert main([str(tmp_path / "s"), "--no-page"]) == 1
    assert f"1 ({reason}" in capsys.readouterr().out
    assert not (tmp_path / "s/dives.jsonl").exists()


def test_two_views_of_a_dive_are_paired_by_what_was_announced(tmp_path: Path) -> None:
    again = dive(3, order=2)  # dived by another diver in the start list, and repeated
    names = {2: "DIVER 2", 4: "2 Díver"}
    others = [replace(dive(number + 1), athlete=names.get(number, f"Diver {number}")) for number in (2, 1, 5)]
    make_session(tmp_path / "front", dive(1), dive(2), again, dive(4))
    make_session(tmp_path / "side", replace(dive(1), athlete="Somebody"), *others)
    (front,), (side,) = (read_sessions(tmp_path / name) for name in ("front", "side"))
    assert {name: clip.name for name, clip in pair_views(front, side).items()} == {
        "front/1": "side/2", "front/2": "side/3",
    }  # fmt: skip


def test_both_views_are_in_one_split(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("front", "side"):
        make_session(tmp_path / name, dive(1), dive(2))
    command = [str(tmp_path / "front"), "--second-view", str(tmp_path / "side"), "--no-page"]
    assert main(command) == 0
    assert "2 dives are seen by both cameras" in capsys.readouterr().out
    assert [each.split for each in read_manifest(tmp_path / "front/dives.jsonl")] == ["train"] * 4
    assert main([str(tmp_path), "--second-view", str(tmp_path / "side"), "--no-page"]) == 2
    assert "one session of each camera, got front, side, side" in capsys.readouterr().err


def test_a_drawn_meet_is_rendered(tmp_path: Path) -> None:
    make_session(tmp_path / "s", dive(1, source="synthetic://meet"))
    assert main([str(tmp_path / "s"), "--no-page", "--split", "test"]) == 0
    (listed,) = read_manifest(tmp_path / "s/dives.jsonl")
    assert (listed.origin, listed.event, listed.split) == ("rendered", None, "test")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["{tmp}/nowhere"], "there is no folder"),
        (["{tmp}"], "holds no session"),
        (["{tmp}", "--out", "dives.csv"], "ends in .jsonl"),
        (["{tmp}", "--web", "a b"], "not an address"),
    ],
)
def test_mistakes_in_the_command(
    words: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([word.replace("{tmp}", str(tmp_path)) for word in words]) == 2
    assert message in capsys.readouterr().err


def test_an_accepted_unlike_dive_is_not_trusted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = dive(1)
    assert made.result is not None
    unlike = replace(made.result, likeness=Likeness(0.04, 0.04, 50.0, ("nothing moves",)))
    make_session(tmp_path / "s", replace(made, result=unlike))
    assert main([str(tmp_path / "s"), "--no-page"]) == 1
    assert "1 (unlike the known dives)" in capsys.readouterr().out
