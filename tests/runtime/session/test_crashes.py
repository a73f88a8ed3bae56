"""Processes are killed, disks filled and logs torn for real: no dive is lost for which save_dive had returned."""

from __future__ import annotations

import random
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from mcore.common.errors import UserError
from mcore_runtime.session import SessionStore, read_session
from mcore_runtime.session.database import is_begun
from tests.runtime.session.made import FACTS, assert_same, noise, record

WRITER = """
import sys
from pathlib import Path
from mcore.common.errors import UserError
from mcore_runtime.session import SessionStore
from tests.runtime.session.made import FACTS, noise, record
folder = Path(sys.argv[1])
print("ready", flush=True)
try:
    store = SessionStore.open(folder)
except UserError:
    store = SessionStore.create(folder, FACTS)
number = len(store.dives())
while True:
    number += 1
    assert store.save_dive(record(number), noise(number)) is None
    print(number, flush=True)
    store.save_dive(record(number, status="void"))
    store.save_state("competition", number)
"""
ROUNDS = 7


def integrity(folder: Path) -> list[str]:
    with sqlite3.connect(f"{(folder / 'session.sqlite').as_uri()}?mode=rw", uri=True) as connection:
        found = [row[0] for row in connection.execute("PRAGMA integrity_check")]
        assert not connection.execute("PRAGMA foreign_key_check").fetchall()
    connection.close()
    return found


def run_python(code: str, *arguments: str | Path, prefix: Sequence[str] = ()) -> subprocess.CompletedProcess[str]:
    command = [*prefix, sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_a_process_that_is_killed_at_any_moment_loses_no_finished_dive(tmp_path: Path) -> None:
    moments = random.Random(4)
    promised: list[int] = []
    for turn in range(ROUNDS):
        process = subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        process.stdout.readline()
        if turn % 3:  # else while the session is made or opened
            promised += [int(process.stdout.readline()) for _ in range(moments.randint(1, 9))]
        time.sleep(moments.uniform(0, 0.02))
        process.send_signal(signal.SIGKILL)
        # A line that the pipe did not take whole ends without a line feed: nobody was told of that dive.
        promised += [int(line) for line in process.stdout if line.endswith("\n")]
        process.wait()
        process.stdout.close()
        if not (tmp_path / "session.sqlite").exists():
            continue
        assert integrity(tmp_path) == ["ok"]
        if not promised and not is_begun(tmp_path):
            continue
        data = read_session(tmp_path)
        numbers = [dive.number for dive in data.dives]
        assert numbers == list(range(1, len(numbers) + 1))
        assert set(promised) <= set(numbers)
    with SessionStore.open(tmp_path) as store:
        for number in promised:
            assert_same(store.load_clip(number), noise(number))
    assert not list((tmp_path / "inputs").glob(".*"))


def test_frames_that_a_killed_process_could_not_enter_are_adopted(tmp_path: Path) -> None:
    code = """
import os, sys, signal
from mcore_runtime.session import SessionStore, store
from tests.runtime.session.made import FACTS, noise, record
write = store.write_input
def killed(*arguments):
    write(*arguments)
    os.kill(os.getpid(), signal.SIGKILL)
store.write_input = killed
SessionStore.create(sys.argv[1], FACTS).save_dive(record(1), noise(1))
"""
    assert run_python(code, tmp_path).returncode == -signal.SIGKILL
    (tmp_path / "inputs" / ".dive-0002.1234abcd.npz").write_bytes(b"half")
    assert read_session(tmp_path).inputs == {}
    with SessionStore.open(tmp_path) as store:
        assert_same(store.load_clip(1), noise(1))
    assert_same(read_session(tmp_path).load_clip(1), noise(1))
    assert [path.name for path in (tmp_path / "inputs").iterdir()] == ["dive-0001.npz"]


@pytest.mark.parametrize("damage", ["cut", "zeros", "noise"])
def test_a_torn_log_costs_the_torn_end_only(tmp_path: Path, damage: str) -> None:
    """As after a power cut: the log ends anywhere, or its last blocks hold something else."""
    folder = tmp_path / "live"
    with SessionStore.create(folder, FACTS) as store:
        sizes = []
        for number in range(1, 7):
            assert store.save_dive(record(number, notes=["n" * 3000])) is None
            sizes.append((folder / "session.sqlite-wal").stat().st_size)
        log = (folder / "session.sqlite-wal").read_bytes()
        database = (folder / "session.sqlite").read_bytes()
    assert len(log) == sizes[-1]
    moments = random.Random(5)
    for keep in [0, 31, sizes[0], sizes[2] - 1, sizes[2], *(moments.randrange(len(log)) for _ in range(12))]:
        torn = tmp_path / f"torn-{keep}"
        torn.mkdir()
        (torn / "session.sqlite").write_bytes(database)
        tail = {
            "cut": b"",
            "zeros": bytes(len(log) - keep),
            "noise": moments.randbytes(len(log) - keep),
        }[damage]
        (torn / "session.sqlite-wal").write_bytes(log[:keep] + tail)
        whole = sum(size <= keep for size in sizes)
        if whole == 0:
            continue  # the session itself may have been in the log
        with SessionStore.open(torn) as store:
            assert [dive.number for dive in store.dives()] == list(range(1, whole + 1))
            assert store.save_dive(record(whole + 1)) is None
        assert integrity(torn) == ["ok"]
        shutil.rmtree(torn)


FULL_DISK = """
import sys
from pathlib import Path
from mcore_runtime.session import SessionStore, read_session
from tests.runtime.session.made import FACTS, assert_same, noise, record
folder = Path(sys.argv[1]) / "session"
large = (40, 60, 60)
def saved(store, number):
    return store.save_dive(record(number, notes=["n" * 4000]), noise(number, large))
with SessionStore.create(folder, FACTS) as store:
    assert saved(store, 1) is None
    FILL
    problems = [saved(store, number) for number in range(2, 8)]
    assert all(problems), problems
    assert [dive.number for dive in store.dives()] == list(range(1, 8))
    assert_same(store.load_clip(5), noise(5, large))
    on_disk = read_session(folder)
    assert on_disk.dives[0].number == 1
    assert_same(on_disk.load_clip(1), noise(1, large))
    files = {f"inputs/{path.name}" for path in (folder / "inputs").iterdir()}
    assert files == {row.file for row in on_disk.inputs.values()}  # nothing half
    FREE
    assert store.save_dive(record(8)) is None
data = read_session(folder)
assert [dive.number for dive in data.dives] == list(range(1, 9))
for number in range(1, 8):
    assert_same(data.load_clip(number), noise(number, large))
with SessionStore.open(folder) as store:
    assert len(store.dives()) == 8
print(problems[-1])
"""


def test_a_full_disk_loses_nothing_once_there_is_room(tmp_path: Path) -> None:
    """A small file system of its own, really filled."""
    mount = ["unshare", "--mount", "--map-root-user", "sh", "-c", 'mount -t tmpfs -o size=4m none "$0" && exec "$@"']
    mount.append(str(tmp_path))
    if shutil.which("unshare") is None or subprocess.run([*mount, "true"], capture_output=True).returncode != 0:
        pytest.skip("no file system of its own can be mounted here (unshare)")
    fill = """
    ballast = open(Path(sys.argv[1]) / "ballast", "wb", buffering=0)
    try:
        while True:
            ballast.write(bytes(4096))
    except OSError:
        ballast.truncate(ballast.tell() - 32_000)  # room for a record or two, and for no frames
"""
    code = FULL_DISK.replace("    FILL", fill).replace("FREE", "ballast.truncate(0)")
    done = run_python(code, tmp_path, prefix=mount)
    assert done.returncode == 0, done.stderr
    assert "full" in done.stdout or "No space left on device" in done.stdout


def test_a_file_that_may_not_grow_loses_nothing_either(tmp_path: Path) -> None:
    """The limit of the process on the size of its files: writes end in the middle."""
    fill = """
    import resource, signal
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    limit = (folder / "session.sqlite-wal").stat().st_size + 32_000
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
"""
    free = "resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))"
    if resource.getrlimit(resource.RLIMIT_FSIZE)[0] != resource.RLIM_INFINITY:
        pytest.skip("the size of files is limited here already")
    done = run_python(FULL_DISK.replace("    FILL", fill).replace("FREE", free), tmp_path)
    assert done.returncode == 0, done.stderr


READ_ONLY = """
import sys
from mcore.common.errors import UserError
from mcore_runtime.session import SessionStore, read_session
try:
    SessionStore.open(sys.argv[1])
except UserError as error:
    print(error, file=sys.stderr)
else:
    sys.exit("it was opened for writing")
try:
    SessionStore.create(sys.argv[1] + "/new", {})
except UserError as error:
    print(error, file=sys.stderr)
else:
    sys.exit("it was made")
print([dive.number for dive in read_session(sys.argv[1]).dives])
"""


def test_a_read_only_folder_is_read_its_log_included_and_not_written(tmp_path: Path) -> None:
    """As a card from a device that lost its power, with the lock switch on."""
    folder = tmp_path / "card"
    with SessionStore.create(tmp_path / "live", FACTS) as store:
        store.save_dive(record(1))
        shutil.copytree(tmp_path / "live", folder)
    (folder / "session.sqlite-shm").unlink()
    mount = ["unshare", "--mount", "--map-root-user", "sh", "-c"]
    mount += ['mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && exec "$@"', str(folder)]
    if shutil.which("unshare") is None or subprocess.run([*mount, "true"], capture_output=True).returncode != 0:
        pytest.skip("no folder can be made read-only here (unshare)")
    before = sorted((path.name, path.stat().st_size) for path in folder.iterdir())
    done = run_python(READ_ONLY, folder, prefix=mount)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[1]"
    assert done.stderr.count("cannot") == 2, done.stderr
    assert sorted((path.name, path.stat().st_size) for path in folder.iterdir()) == before


HOLDER = """
import sys
from mcore_runtime.session import SessionStore
from tests.runtime.session.made import FACTS, record
store = SessionStore.create(sys.argv[1], FACTS)
store.save_dive(record(1))
print("open", flush=True)
sys.stdin.read()
"""


def test_a_second_process_may_read_but_not_write_until_the_first_is_gone(tmp_path: Path) -> None:
    pipe = subprocess.PIPE
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path)], stdin=pipe, stdout=pipe, text=True)
    assert holder.stdout is not None
    assert holder.stdin is not None
    try:
        assert holder.stdout.readline() == "open\n"
        with pytest.raises(UserError, match="in use by another"):
            SessionStore.open(tmp_path)
        with pytest.raises(UserError, match="in use by another"):
            SessionStore.create(tmp_path, FACTS)
        assert [dive.number for dive in read_session(tmp_path).dives] == [1]
    finally:
        holder.kill()
        holder.wait()
        holder.stdin.close()
        holder.stdout.close()
    with SessionStore.open(tmp_path) as store:
        assert [dive.number for dive in store.dives()] == [1]
