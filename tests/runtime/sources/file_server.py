"""A real HTTP server on loopback for whole files, for a playlist that grows, and for redirects."""

from __future__ import annotations

import time
from contextlib import suppress
from http.server import SimpleHTTPRequestHandler
from pathlib import Path

import av

from tests.loopback import LoopbackServer
from tests.numbered_video import numbered_frame


def write_pieces(folder: Path, seconds: int, rate: int = 30) -> Path:
    """Write numbered frames as a playlist of pieces of one second; returns the playlist."""
    path = folder / "whole.m3u8"
    options = {"hls_time": "1", "hls_list_size": "0", "hls_segment_filename": str(folder / "piece%03d.ts")}
    with av.open(str(path), "w", format="hls", options=options) as container:
        stream = container.add_stream("libx264", rate=rate, options={"g": str(rate), "bf": "0"})
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        for number in range(seconds * rate):
            frame = av.VideoFrame.from_ndarray(numbered_frame(number % 256), format="rgb24")
            frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


class FileServer(LoopbackServer):
    """Serves a folder; a context manager.

    ``/live.m3u8`` is ``whole.m3u8`` as a camera would write it: one more piece each second, and no end until all are
    there. ``/chunked/NAME`` and ``/unsaid/NAME`` send a file without saying its length, in chunks and to the
    connection's end.

    Args:
        folder: what it serves.
        redirect: where ``/moved...`` leads, an address without the path; None: nowhere.
        limit: bytes after which every answer breaks off; None: none does.
    """

    def __init__(self, folder: Path, *, redirect: str | None = None, limit: int | None = None) -> None:
        self.requests: list[str] = []
        self.limit = limit
        self.began_s = time.monotonic()
        owner = self

        class Handler(SimpleHTTPRequestHandler):
            def __init__(self, *arguments: object) -> None:
                super().__init__(*arguments, directory=str(folder))  # type: ignore[arg-type]

            def do_GET(self) -> None:
                owner.requests.append(self.path)
                if self.path.startswith(("/chunked/", "/unsaid/")):
                    kind, name = self.path[1:].split("/")
                    self._send_unsaid((folder / name).read_bytes()[: owner.limit], is_chunked=kind == "chunked")
                elif self.path.startswith("/moved/"):
                    self.send_response(302)
                    self.send_header("Location", f"{redirect or ''}/{self.path.removeprefix('/moved/')}")
                    self.end_headers()
                elif self.path == "/live.m3u8":
                    self._send(owner.live_list((folder / "whole.m3u8").read_text()).encode())
                elif owner.limit is not None:
                    self._send((folder / self.path.lstrip("/")).read_bytes(), owner.limit)
                else:
                    super().do_GET()

            def _send(self, content: bytes, limit: int | None = None) -> None:
                self.send_response(200)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content[:limit])

            def _send_unsaid(self, content: bytes, *, is_chunked: bool) -> None:
                self.close_connection = True
                self.protocol_version = "HTTP/1.1"
                self.send_response(200)
                if is_chunked:
                    self.send_header("Transfer-Encoding", "chunked")
                self.end_headers()
                with suppress(BrokenPipeError, ConnectionResetError):  # who opens a stream looks first
                    for start in range(0, len(content), 4096):
                        piece = content[start : start + 4096]
                        self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece) if is_chunked else piece)
                    if is_chunked and owner.limit is None:
                        self.wfile.write(b"0\r\n\r\n")

        super().__init__(Handler)

    def live_list(self, whole: str) -> str:
        """The playlist as far as it has come: three pieces at the beginning, six at most."""
        head, *pieces = whole.split("#EXTINF")
        pieces[-1], end, _ = pieces[-1].partition("#EXT-X-ENDLIST")
        count = min(len(pieces), 3 + int(time.monotonic() - self.began_s))
        first = max(0, count - 6)
        head = head.replace("MEDIA-SEQUENCE:0", f"MEDIA-SEQUENCE:{first}")
        return "#EXTINF".join([head, *pieces[first:count]]) + (end if count == len(pieces) else "")
