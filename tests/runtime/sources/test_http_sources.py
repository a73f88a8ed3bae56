"""What HTTP servers send besides a steady stream: recordings, pieces, odd MJPEG; and by which way they are asked."""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from contextlib import closing, suppress
from itertools import islice
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from mcore.common.errors import ClipError
from mcore_runtime.sources import SourceError, SourceState, StreamLost, network, open_source, parse_source
from mcore_runtime.sources.frame import Picture
from mcore_runtime.sources.http import asks_proxy, is_local
from mcore_runtime.sources.stream_history import StreamHistory
from tests.numbered_video import INTRA_REFRESH, write_numbered
from tests.runtime.sources.file_server import FileServer, write_pieces
from tests.runtime.sources.mjpeg_server import MjpegServer, jpeg, whole_part
from tests.runtime.sources.reading import numbers_of, take
from tests.runtime.waiting import wait_until
from tests.video.test_files_as_shown import write_tracks

WHOLE = [("", suffix) for suffix in (".ts", ".mpg", ".mp4", ".mkv", ".avi", ".flv")]
OF_UNSAID_LENGTH = [(how, suffix) for how in ("chunked/", "unsaid/") for suffix in (".ts", ".mpg", ".mp4", ".mkv")]


@pytest.mark.parametrize(("how", "suffix"), [*WHOLE, *OF_UNSAID_LENGTH])
def test_a_recording_from_a_server_is_read_once_and_whole(tmp_path: Path, how: str, suffix: str) -> None:
    write_numbered(tmp_path / f"v{suffix}", 90)
    with FileServer(tmp_path) as server, open_source(f"{server.url}/{how}v{suffix}", first_delay_s=0.01) as source:
        frames = []
        for frame in source:
            frames.append(frame)
            time.sleep(0.001)  # a slow consumer loses nothing
        status = source.status()
    assert numbers_of(frames) == list(range(90))
    assert [frame.gap for frame in frames] == [None] * 90, status
    assert (status.state, status.dropped, status.is_live) == (SourceState.ENDED, 0, False)
    assert how or status.connections == 1
    assert frames[0].time_s == 0.0
    np.testing.assert_allclose(np.diff([frame.time_s for frame in frames]), 1 / 30, atol=2e-3)
    assert status.frames_per_second == pytest.approx(30, abs=0.5)


def test_a_recording_from_a_server_is_shown_as_a_file_is(tmp_path: Path) -> None:
    write_tracks(tmp_path / "two.mkv", [(1, 40, False), (2, 40, True)])
    plain = write_numbered(tmp_path / "plain.mkv", 40)
    with av.open(str(plain)) as reader, av.open(str(tmp_path / "slow.mkv"), "w") as writer:
        writer.metadata["com.android.capture.fps"] = "240"
        copy = writer.add_stream_from_template(reader.streams.video[0])
        for packet in reader.demux(reader.streams.video[0]):
            if packet.size:
                packet.stream = copy
                writer.mux(packet)
    with FileServer(tmp_path) as server:
        with open_source(f"{server.url}/two.mkv") as source:
            assert {frame.rgb.shape for frame in source} == {(64, 96, 3)}
            assert "track 1 (mpeg4, 96 x 64) was read, not track 0" in (source.status().decoder_note or "")
        with (
            open_source(f"{server.url}/slow.mkv") as source,
            pytest.raises(ClipError, match="took 240 frames a second"),
        ):
            source.read()


def connect_once(address: str, history: StreamHistory) -> tuple[list[int], bool]:
    """One connection, read to its end: the numbers of its frames, and whether it is asked for again."""
    with closing(network.open_stream(parse_source(address), first=True, history=history)) as connection:
        pictures: list[Picture] = []
        with suppress(StreamLost):
            pictures.extend(connection.pictures())
        return numbers_of(pictures), connection.is_live


@pytest.mark.parametrize("how", ["chunked", "unsaid"])
def test_a_recording_of_unsaid_length_that_breaks_off_goes_on_where_it_was(tmp_path: Path, how: str) -> None:
    size = write_numbered(tmp_path / "v.ts", 90).stat().st_size
    history = StreamHistory()
    with FileServer(tmp_path, limit=size * 2 // 3) as server:
        address = f"{server.url}/{how}/v.ts"
        first, asked_again = connect_once(address, history)
        assert asked_again
        server.limit = size // 3  # the same again, but less: no recording's end
        assert connect_once(address, history) == ([], True)
        server.limit = None
        rest, asked_again = connect_once(address, history)
        assert asked_again
        numbers = first + rest
        assert sorted(set(numbers)) == numbers  # nothing twice
        assert len(set(range(90)) - set(numbers)) <= 1  # but the one that was cut, which the gap is for
        assert connect_once(address, history) == ([], False)


def test_what_begins_otherwise_is_a_camera_and_delivered_whole(tmp_path: Path) -> None:
    write_numbered(tmp_path / "v.ts", 60)
    write_numbered(tmp_path / "w.ts", 30, params=INTRA_REFRESH)
    history = StreamHistory()
    with FileServer(tmp_path) as server:
        assert connect_once(f"{server.url}/unsaid/v.ts", history) == (list(range(60)), True)
        assert connect_once(f"{server.url}/unsaid/w.ts", history) == (list(range(30)), True)


def test_a_whole_playlist_has_an_end(tmp_path: Path) -> None:
    write_pieces(tmp_path, 4)
    with FileServer(tmp_path) as server, open_source(f"{server.url}/whole.m3u8") as source:
        frames = list(source)
        status = source.status()
    assert numbers_of(frames) == list(range(120))
    assert (status.state, status.connections, status.is_live) == (SourceState.ENDED, 1, False)


def test_a_live_playlist_comes_in_its_own_time_without_loss_and_ends(tmp_path: Path) -> None:
    write_pieces(tmp_path, 6)
    began_s = time.monotonic()
    with FileServer(tmp_path) as server, open_source(f"{server.url}/live.m3u8", first_delay_s=0.05) as source:
        frames = []
        for frame in source:
            frames.append(frame)
            assert source.is_live
            if len(frames) == 60:
                time.sleep(0.5)  # what comes meanwhile waits
                rate = source.status().frames_per_second
        status = source.status()
    assert numbers_of(frames) == list(range(180))
    assert time.monotonic() - began_s > 5.0
    assert rate == pytest.approx(30, abs=1.0)
    assert (status.state, status.dropped) == (SourceState.ENDED, 0)
    assert all(frame.gap is None for frame in frames)


@pytest.mark.parametrize("suffix", [".ts", ".mkv"])
def test_a_recording_that_breaks_off_is_not_asked_for_again(tmp_path: Path, suffix: str) -> None:
    path = write_numbered(tmp_path / f"v{suffix}", 90)
    broken = FileServer(tmp_path, limit=path.stat().st_size * 3 // 4)
    with broken as server, open_source(f"{server.url}/v{suffix}", first_delay_s=0.01) as source:
        with pytest.raises(SourceError, match=r"before the end of the file|truncated"):
            list(source)
        assert source.status().state is SourceState.FAILED


@pytest.mark.parametrize("suffix", [".h264", ".mjpeg"])
def test_a_recording_without_times_is_refused(tmp_path: Path, suffix: str) -> None:
    path = write_numbered(tmp_path / "v.h264", 30)
    if suffix == ".mjpeg":
        path = tmp_path / "v.mjpeg"
        path.write_bytes(b"".join(jpeg(number) for number in range(30)))
    with FileServer(tmp_path) as server:
        source = open_source(f"{server.url}/{path.name}")
        with source, pytest.raises(SourceError, match="without times"):
            source.read(10.0)


def _no_headers(number: int, data: bytes) -> bytes:
    return b"--edge\r\n\r\n" + data + b"\r\n"


PARTS: dict[str, Callable[[int, bytes], bytes]] = {
    "as it should be": whole_part,
    "without a first boundary": lambda n, data: whole_part(n, data, boundary=b"--edge\r\n" if n else b""),
    "double first boundary": lambda n, data: whole_part(n, data, boundary=b"--edge\r\n" * (1 if n else 2)),
    "image/jpg": lambda n, data: whole_part(n, data, kind="image/jpg"),
    "without part headers": _no_headers,
    "length too short": lambda n, data: whole_part(n, data).replace(b"%d" % len(data), b"%d" % (len(data) - 99)),
    "length too long": lambda n, data: whole_part(n, data).replace(b"%d" % len(data), b"%d" % (len(data) + 99)),
    "pictures only": lambda n, data: data,
    "other boundary": lambda n, data: whole_part(n, data, boundary=b"--myboundary\r\n"),
}


@pytest.mark.parametrize("kind", PARTS)
def test_mjpeg_however_its_pictures_are_parted(kind: str) -> None:
    with MjpegServer(part=PARTS[kind]) as server, open_source(f"{server.url}#queue=100") as source:
        frames = take(source, 20)
        status = source.status()
    assert (np.diff(numbers_of(frames)) == 1).all()
    assert (status.connections, status.is_live) == (1, True)


def test_a_page_instead_of_pictures_is_said(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("<html><body>camera</body></html>" * 50)
    with FileServer(tmp_path) as server:
        source = open_source(f"{server.url}/")
        with source, pytest.raises(SourceError, match="sends no pictures"):
            source.read(10.0)


@pytest.mark.parametrize(
    ("size", "words"), [((1, 1), "1x1"), ((40_000, 16), "40000x16"), ((16, 9000), "16x9000"), ((96, 15), "96x15")]
)
def test_one_picture_of_an_impossible_size_is_passed_over(size: tuple[int, int], words: str) -> None:
    buffer = io.BytesIO()
    Image.new("RGB", size).save(buffer, "JPEG")
    odd = MjpegServer(body=lambda number: buffer.getvalue() if number == 10 else jpeg(number))
    with odd as server, open_source(f"{server.url}#queue=100") as source:
        frames = take(source, 20)
        assert source.status().connections == 1
    assert {frame.rgb.shape for frame in frames} == {(64, 96, 3)}
    gaps = [frame.gap for frame in frames if frame.gap]
    assert len(gaps) == 1
    assert words in gaps[0]


def test_a_file_of_impossible_pictures_says_so(tmp_path: Path) -> None:
    path = tmp_path / "v.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=30)
        stream.width, stream.height, stream.pix_fmt = 8, 8, "yuv420p"
        for _ in range(5):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.zeros((8, 8, 3), np.uint8), format="rgb24")))
        container.mux(stream.encode(None))
    with open_source(str(path)) as source, pytest.raises(SourceError, match="8x8 pixels; allowed: 16 to 8192"):
        source.read(10.0)


def test_a_redirect_to_the_same_host_is_followed(tmp_path: Path) -> None:
    write_numbered(tmp_path / "v.mp4", 30)
    with FileServer(tmp_path) as server, open_source(f"http://u:hush@127.0.0.1:{server.port}/moved/v.mp4") as source:
        assert len(list(source)) == 30


def test_a_redirect_to_another_host_is_followed_only_when_asked(tmp_path: Path) -> None:
    write_numbered(tmp_path / "v.mp4", 30)
    with FileServer(tmp_path) as there:
        elsewhere = f"http://localhost:{there.port}"
        with FileServer(tmp_path, redirect=elsewhere) as server:
            address = f"http://u:hush@127.0.0.1:{server.port}/moved/v.mp4"
            with open_source(address) as source, pytest.raises(SourceError, match="another host, localhost") as caught:
                source.read(10.0)
            assert "hush" not in str(caught.value)
            assert there.requests == []
            with open_source(f"{address}#redirects=follow") as source:
                assert len(list(source)) == 30


def test_a_proxy_is_not_asked_for_a_camera_nearby(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with FileServer(tmp_path) as proxy, MjpegServer() as server:
        monkeypatch.setenv("http_proxy", proxy.url)
        with open_source(server.url) as source:
            take(source, 3)
        assert proxy.requests == []
        with open_source("http://camera.example.org/video", first_delay_s=0.05) as source:
            wait_until(lambda: source.status().failures > 0)
            assert "proxy in http_proxy" in (source.status().error or "")
        assert proxy.requests


@pytest.mark.parametrize(
    ("host", "local"),
    [
        ("127.0.0.1", True), ("localhost", True), ("192.168.1.20", True), ("10.1.2.3", True), ("::1", True),
        ("fe80::1", True), ("camera", True), ("camera.local", True), ("Lane3.LAN", True), ("8.8.8.8", False),
        ("camera.example.org", False), ("2001:4860:4860::8888", False),
    ],
)  # fmt: skip
def test_which_hosts_are_nearby(monkeypatch: pytest.MonkeyPatch, host: str, local: bool) -> None:
    assert is_local(host) is local
    monkeypatch.setenv("http_proxy", "http://proxy:3128")
    bracketed = f"[{host}]" if ":" in host else host
    uri = parse_source(f"http://{bracketed}/video")
    assert asks_proxy(uri) is not local
    monkeypatch.setenv("no_proxy", host)
    assert not asks_proxy(uri)


@pytest.mark.parametrize(("later_s", "ends"), [(1.0, False), (10.0, True)])
def test_pieces_that_a_server_sends_again_are_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, later_s: float, ends: bool
) -> None:
    """Between two connections there are more pieces, or all of them and the end."""
    monkeypatch.setattr(network, "paced", lambda pictures: pictures)
    write_pieces(tmp_path, 5)
    history = StreamHistory()
    with FileServer(tmp_path) as server:
        uri = parse_source(f"{server.url}/live.m3u8")
        server.began_s = time.monotonic()
        with closing(network.open_stream(uri, first=True, history=history)) as before:
            first = list(islice(before.pictures(), 75))
        server.began_s = time.monotonic() - later_s
        with closing(network.open_stream(uri, first=False, history=history)) as after:
            rest = list(islice(after.pictures(), None if ends else 45))
            assert after.is_live is not ends
    assert numbers_of(first + rest) == list(range(150 if ends else 120))
