"""The store: what is saved is there again, and what cannot be saved waits and is said."""

from __future__ import annotations

import shutil
import sqlite3
import threading
import time
from pathlib import Path

import pytest

from mcore.common.errors import UserError
from mcore_runtime.session import DiveStatus, FoundBy, SessionStore, read_session
from mcore_runtime.session import store as store_module
from tests.runtime.session.made import FACTS, assert_same, noise, record


def test_what_was_saved_is_there_again(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "final #1? 100% é"
    with SessionStore.create(folder, FACTS) as store:
        started = store.started
        assert store.save_dive(record(2), noise(2)) is None
        assert store.save_dive(record(1), noise(1)) is None
        assert store.save_state("competition", {"order": [3, None]}) is None
        assert_same(store.load_clip(2), noise(2))
    with SessionStore.open(folder) as store:
        assert store.dives() == [record(1), record(2)]
        assert (store.facts, store.started) == (FACTS, started)
        assert store.load_state("competition") == {"order": [3, None]}
        assert store.load_state("nothing") is None
        assert_same(store.load_clip(1), noise(1))
    assert not list(folder.glob("*-wal"))


def test_a_newer_result_counts_and_the_older_is_kept(tmp_path: Path) -> None:
    with SessionStore.create(tmp_path, FACTS) as store:
        store.save_dive(record(1), noise(1))
        store.save_dive(record(1, status="invalid"))
        assert store.dives() == [record(1, status="invalid")]
        assert_same(store.load_clip(1), noise(1))
    with SessionStore.open(tmp_path) as store:
        store.save_dive(record(1, status="void"))
    history = read_session(tmp_path).revisions[1]
    assert [(h.revision, h.dive.status) for h in history] == [(1, "failed"), (2, "invalid"), (3, "void")]
    rows = sqlite3.connect(tmp_path / "session.sqlite").execute("SELECT number, revision, status FROM scores")
    assert rows.fetchall() == [(1, 3, "void")]


def test_a_session_of_the_first_schema_is_read_and_goes_on(tmp_path: Path) -> None:
    """Its dives name what found them otherwise."""
    with SessionStore.create(tmp_path, FACTS) as store:
        store.save_dive(record(1))
    with sqlite3.connect(tmp_path / "session.sqlite") as connection:
        connection.execute("UPDATE results SET record = replace(record, '\"operator\"', '\"body\"')")
        connection.execute("PRAGMA user_version = 1")
    connection.close()
    expected = [record(1, found_by=FoundBy.MOTION)]
    assert read_session(tmp_path).dives == expected
    with SessionStore.open(tmp_path) as store:
        assert store.dives() == expected
        assert store._connection.execute("PRAGMA user_version").fetchone() == (3,)


def test_a_record_of_another_version_is_named_and_not_gone_on_with(tmp_path: Path) -> None:
    with SessionStore.create(tmp_path, FACTS) as store:
        store.save_dive(record(1))
        store.save_dive(record(2))
    with sqlite3.connect(tmp_path / "session.sqlite") as connection:
        connection.execute("UPDATE results SET record = '{\"result\": {}}' WHERE number = 2")
    connection.close()
    data = read_session(tmp_path)
    assert data.dives == [record(1)]
    assert "written by another version" in data.problems[0]
    with pytest.raises(UserError, match=r"dive 2: .*read it with that one"):
        SessionStore.open(tmp_path)


def test_events_are_kept_in_order_whatever_they_say(tmp_path: Path) -> None:
    with SessionStore.create(tmp_path, FACTS) as store:
        store.log("source", "lost")
        store.log("operator", "a file named \udcff")
    with SessionStore.open(tmp_path) as store:
        store.log("source", "back")
    events = read_session(tmp_path).events
    assert [(e.kind, e.text) for e in events] == [
        ("source", "lost"),
        ("operator", "a file named ?"),
        ("source", "back"),
    ]


def test_every_commit_reaches_the_disk(tmp_path: Path) -> None:
    with SessionStore.create(tmp_path, FACTS) as store:
        settings = {
            name: store._connection.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("journal_mode", "synchronous", "foreign_keys", "user_version")
        }
    assert settings == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "user_version": 3}


def test_a_closed_store_says_so(tmp_path: Path) -> None:
    store = SessionStore.create(tmp_path, FACTS)
    assert store.close() is None
    assert store.close() is None
    with pytest.raises(ValueError, match="closed"):
        store.save_dive(record(1))
    store.log("source", "lost")


def test_threads_do_not_lose_each_others_results(tmp_path: Path) -> None:
    with SessionStore.create(tmp_path, FACTS) as store:

        def work(first: int) -> None:
            for number in range(first, first + 10):
                assert store.save_dive(record(number), noise(number)) is None
                store.log("worker", str(number))
                store.save_state(f"worker {first}", number)

        threads = [threading.Thread(target=work, args=(1 + 10 * i,)) for i in range(4)]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            assert all(dive.status is DiveStatus.FAILED for dive in store.dives())
            time.sleep(0.001)
        for thread in threads:
            thread.join()
    data = read_session(tmp_path)
    assert [dive.number for dive in data.dives] == list(range(1, 41))
    assert len(data.events) == 40
    assert data.state == {f"worker {1 + 10 * i}": 10 + 10 * i for i in range(4)}
    for number in (1, 17, 40):
        assert_same(data.load_clip(number), noise(number))


def test_a_locked_database_costs_no_score(tmp_path: Path) -> None:
    with SessionStore.create(tmp_path, FACTS) as store:
        other = sqlite3.connect(tmp_path / "session.sqlite", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        problem = store.save_dive(record(1), noise(1))
        assert problem is not None
        assert "locked" in problem
        assert store.dives() == [record(1)]
        assert_same(store.load_clip(1), noise(1))
        assert read_session(tmp_path).dives == []
        other.execute("ROLLBACK")
        assert store.save_dive(record(2)) is None
        data = read_session(tmp_path)
        assert data.dives == [record(1), record(2)]
        assert_same(data.load_clip(1), noise(1))
        other.close()


def test_what_still_waits_at_the_end_is_said(tmp_path: Path) -> None:
    store = SessionStore.create(tmp_path, FACTS)
    with sqlite3.connect(tmp_path / "session.sqlite", isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")
        store.save_dive(record(1))
        problem = store.close()
        other.execute("ROLLBACK")
    assert problem is not None
    assert "locked" in problem
    SessionStore.open(tmp_path).close()  # the folder is free all the same


def test_a_folder_that_went_away_is_noticed_and_may_come_back(tmp_path: Path) -> None:
    folder = tmp_path / "stick"
    with SessionStore.create(folder, FACTS) as store:
        folder.rename(tmp_path / "elsewhere")
        problem = store.save_dive(record(1), noise(1))
        assert problem is not None
        assert "stick" in problem
        (tmp_path / "elsewhere").rename(folder)
        assert store.save_state("key", 1) is None
    assert read_session(folder).dives == [record(1)]
    assert_same(read_session(folder).load_clip(1), noise(1))


def test_a_folder_in_whose_place_another_session_began_is_noticed(tmp_path: Path) -> None:
    folder = tmp_path / "stick"
    with SessionStore.create(folder, FACTS) as store:
        assert store.flush() is None
        folder.rename(tmp_path / "elsewhere")
        assert "no folder" in (store.flush() or ""), "also where nothing is to be written"
        time.sleep(0.002)  # sessions are told apart by when they began
        SessionStore.create(folder, FACTS).close()
        assert "another session" in (store.save_dive(record(1)) or "")
        shutil.rmtree(folder)
        shutil.copytree(tmp_path / "elsewhere", folder)  # as from another disk
        assert store.flush() is None
    assert read_session(folder).dives == [record(1)]


def test_a_connection_that_broke_is_opened_again(tmp_path: Path) -> None:
    with SessionStore.create(tmp_path, FACTS) as store:
        store._connection.close()  # as after an error of the medium: nothing works on it any more
        assert store.save_dive(record(1)) is not None
        assert store.save_dive(record(2), noise(2)) is None
    assert read_session(tmp_path).dives == [record(1), record(2)]


def test_frames_give_way_to_scores_when_memory_must_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "_MAX_INPUTS", 2)
    with SessionStore.create(tmp_path, FACTS) as store:
        (tmp_path / "inputs").touch()  # a file where the folder should be
        for number in (1, 2, 3):
            problem = store.save_dive(record(number), noise(number))
            assert problem is not None
            assert "inputs" in problem
        assert len(read_session(tmp_path).dives) == 3  # what can be written is
        (tmp_path / "inputs").unlink()
        assert store.save_state("key", 1) is None
        with pytest.raises(UserError, match="no frames of dive 1 were kept"):
            store.load_clip(1)
        assert_same(store.load_clip(3), noise(3))
        assert "frames of dive 1" in read_session(tmp_path).events[0].text


def test_a_session_is_not_begun_twice(tmp_path: Path) -> None:
    SessionStore.create(tmp_path, FACTS).close()
    with pytest.raises(UserError, match="--resume"):
        SessionStore.create(tmp_path, FACTS)
    SessionStore.open(tmp_path).close()


def test_what_is_no_session_is_said(tmp_path: Path) -> None:
    for reader in (SessionStore.open, read_session):
        with pytest.raises(UserError, match="there is no folder"):
            reader(tmp_path / "none")
        with pytest.raises(UserError, match="it is no session"):
            reader(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "never begun"), (b"no database" * 1000, "not a database"), ("CREATE TABLE t (x)", "another program")],
)
def test_another_file_of_that_name_is_refused_and_left_alone(
    tmp_path: Path, content: bytes | str, message: str
) -> None:
    path = tmp_path / "session.sqlite"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        with sqlite3.connect(path) as connection:
            connection.execute(content)
            connection.execute("PRAGMA user_version = 7")
        before = path.read_bytes()
        with pytest.raises(UserError, match="session already"):
            SessionStore.create(tmp_path, FACTS)
    with pytest.raises(UserError, match=message):
        read_session(tmp_path)
    with pytest.raises(UserError, match=message):
        SessionStore.open(tmp_path)
    if isinstance(content, str):
        assert sqlite3.connect(path).execute("SELECT count(*) FROM t").fetchone() == (0,)
        assert len(path.read_bytes()) == len(before)


def test_a_newer_schema_is_refused(tmp_path: Path) -> None:
    SessionStore.create(tmp_path, FACTS).close()
    sqlite3.connect(tmp_path / "session.sqlite").execute("PRAGMA user_version = 4")
    for reader in (SessionStore.open, read_session):
        with pytest.raises(UserError, match="newer version"):
            reader(tmp_path)


def test_a_damaged_database_is_refused_with_advice(tmp_path: Path) -> None:
    with SessionStore.create(tmp_path, FACTS) as store:
        for number in range(1, 60):
            store.save_dive(record(number, notes=["n" * 500]))
    path = tmp_path / "session.sqlite"
    content = bytearray(path.read_bytes())
    content[8192 : len(content) - 8192] = b"\xff" * (len(content) - 16384)
    path.write_bytes(content)
    with pytest.raises(UserError, match="copy the folder before anything else"):
        SessionStore.open(tmp_path)


def test_damaged_or_missing_frames_are_refused(tmp_path: Path) -> None:
    with SessionStore.create(tmp_path, FACTS) as store:
        store.save_dive(record(1), noise(1))
        store.save_dive(record(2), noise(2))
        path = tmp_path / "inputs" / "dive-0001.npz"
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
        with pytest.raises(UserError, match="is not the file that was written"):
            store.load_clip(1)
        (tmp_path / "inputs" / "dive-0002.npz").unlink()
        with pytest.raises(UserError, match="cannot read the frames of dive 2"):
            store.load_clip(2)
