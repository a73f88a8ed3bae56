"""Addresses of sources, of every kind, and the part of an address that may be shown.

    /videos/heat.mp4                       a file; with options: file:/videos/heat.mp4?pace=realtime
    camera://0?size=1280x720&rate=60       /dev/video0 (V4L2); camera:///dev/v4l/by-id/... names one for good
    csi://0?size=1920x1080&rate=60         a camera on a Jetson's CSI connector
    rtsp://user:password@host/path#transport=udp
    http://host/video.mjpg?camera=2#rotation=90
    gst://videotestsrc ! videoconvert      any GStreamer pipeline that ends in raw video, without its sink
    synthetic://meet?seed=1&dives=20       rendered dives

Query strings of rtsp, http and gst belong to the camera, so this project's own options follow ``#``, which is never
sent to a server. The public form of such an address is its scheme, host and port: cameras take passwords in the user
part, the query, and some of them in the path. ``name=`` tells two streams of one host apart.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import unquote

from mcore_runtime.sources.errors import SourceError
from mcore_runtime.sources.options import ALLOWED, Decoder, Kind, SourceOptions, parse_options, split_options

_SCHEMES: Mapping[str, Kind] = {
    "file": "file",
    "camera": "camera",
    "csi": "csi",
    "rtsp": "rtsp",
    "rtsps": "rtsp",
    "http": "http",
    "https": "http",
    "gst": "gst",
    "synthetic": "synthetic",
}
_IN_FRAGMENT = ("rtsp", "http", "gst")
"""Kinds whose query is not ours."""
_HOST = r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?)(:\d{1,5})?(?=[/?]|$)"
_EXAMPLES = "a path, camera://0, csi://0, rtsp://HOST/PATH, http://HOST/PATH, gst://PIPELINE or synthetic://meet"


@dataclass(frozen=True, repr=False)
class SourceURI:
    """A source's address; printing it shows the public form only."""

    kind: Kind
    public: str
    """Address as it may be shown to anybody."""
    options: SourceOptions = field(default_factory=SourceOptions)
    extra: Mapping[str, str] = field(default_factory=dict)
    """Options of a synthetic source, as texts."""
    target: str = ""
    """Address that the reader opens. May hold credentials: never log it."""

    def __repr__(self) -> str:
        return f"SourceURI({self.public!r})"

    def __str__(self) -> str:
        return self.public

    @property
    def is_live(self) -> bool:
        """Return whether frames that nobody takes in time are lost, as a camera's are."""
        if self.kind in ("file", "synthetic"):
            return self.pace == "realtime"
        return True

    @property
    def pace(self) -> str:
        """Pace of frames from a source that could deliver them at once."""
        return self.options.pace or ("fast" if self.kind == "file" else "realtime")


def with_decoder(uri: SourceURI, decoder: Decoder | None) -> SourceURI:
    """Choose the decoder of a source, where its address does not already.

    Raises:
        SourceError: a source that has no choice.
    """
    if decoder is None or uri.options.decoder != "software":
        return uri
    if "decoder" not in ALLOWED[uri.kind]:
        kinds = ", ".join(kind for kind, options in ALLOWED.items() if "decoder" in options)
        raise SourceError(f"a {uri.kind} source has no choice of decoders; allowed for: {kinds}")
    return replace(uri, options=replace(uri.options, decoder=decoder))


def parse_source(text: str) -> SourceURI:
    """Read a source's address.

    Raises:
        SourceError: not an address, an unknown kind, or an option that cannot be. Quotes nothing secret.
    """
    text = text.strip()
    scheme, kind = _kind(text)
    if kind == "file":
        return _parse_file(text)
    body = text[len(scheme) + 3 :]
    body, values = _take_options(kind, body)
    extra: dict[str, str] = {}
    if kind == "synthetic":
        extra = {key: values.pop(key) for key in list(values) if key not in ALLOWED[kind]}
    options = parse_options(kind, values)
    if kind == "gst":
        public, target = _public_pipeline(body), body
    elif kind in ("rtsp", "http"):
        public, target = _public_address(scheme, body), f"{scheme}://{body}"
    else:
        target = unquote(body)
        public = f"{scheme}://{target}"
        _check_device(kind, target)
    return SourceURI(kind, public if options.name is None else options.name, options, extra, target)


def _kind(text: str) -> tuple[str, Kind]:
    match = re.match(r"([A-Za-z][A-Za-z0-9+.-]*)://", text)
    if match is None or Path(text).exists():
        if not text.strip():
            raise SourceError(f"the source is empty; give {_EXAMPLES}")
        return "file", "file"
    scheme = match[1].lower()
    if scheme not in _SCHEMES:
        raise SourceError(f"there are no {scheme}:// sources; give {_EXAMPLES}")
    return scheme, _SCHEMES[scheme]


def _parse_file(text: str) -> SourceURI:
    """A plain path takes no options, so that any name is a name; ``file:`` takes them, in its query."""
    values: dict[str, str] = {}
    path = text
    if text.startswith("file:") and not Path(text).exists():
        path, _, query = text[len("file:") :].partition("?")
        path = unquote(path.removeprefix("//"))
        values = split_options(query)
    if ("@" in path or re.match(r"[A-Za-z][A-Za-z0-9+-]+:", path)) and not Path(path).exists():
        raise SourceError(f"the source is neither an existing file nor an address; give {_EXAMPLES}")
    options = parse_options("file", values)
    return SourceURI("file", options.name or path, options, {}, path)


def _take_options(kind: Kind, body: str) -> tuple[str, dict[str, str]]:
    if kind not in _IN_FRAGMENT:
        body, _, query = body.partition("?")
        return body, split_options(query)
    head, hash_sign, fragment = body.rpartition("#")
    if not hash_sign:
        return body, {}
    # A password may hold a raw #; only what looks like our options is taken for them.
    keys = "|".join(sorted(key.replace("_", "[-_]") for key in ALLOWED[kind]))
    if re.fullmatch(rf"((?:{keys})=[^&@]*(&|$))*", fragment):
        return head, split_options(fragment)
    if kind == "gst" or "@" in fragment:
        return body, {}
    raise SourceError(
        f"what follows # in the address of a {kind} source must be options; allowed: {', '.join(sorted(ALLOWED[kind]))}"
    )


def _public_address(scheme: str, body: str) -> str:
    """Scheme, host and port, where it is certain which part they are; nothing else otherwise."""
    if not body.strip("/"):
        raise SourceError(f"a {scheme}:// source needs a host, such as {scheme}://192.168.1.20/stream")
    user, _, rest = body.rpartition("@")
    # People write passwords with raw slashes, and paths with @: then either side of the @ may be secret.
    host = None if re.search(r"[/?]", user) else re.match(_HOST, rest)
    return f"{scheme}://…" if host is None else f"{scheme}://{host[0]}/…"


def _public_pipeline(pipeline: str) -> str:
    """Names of the elements, without their properties."""
    names = pipeline_elements(pipeline)
    if not names:
        raise SourceError("a gst:// source needs a pipeline, such as gst://videotestsrc ! videoconvert")
    return "gst://" + " ! ".join(names)


def pipeline_elements(pipeline: str) -> list[str]:
    """List the element names of a GStreamer pipeline in the notation of gst-launch; what else it says stays private."""
    try:
        tokens = shlex.split(pipeline)
    except ValueError as error:
        raise SourceError("the pipeline of a gst:// source has a quotation mark that is not closed") from error
    starts = [token for before, token in zip(["!", *tokens], tokens, strict=False) if before == "!"]
    return [token if re.fullmatch(r"[a-z][a-z0-9_]{0,40}", token) else "…" for token in starts]


def _check_device(kind: Kind, target: str) -> None:
    if kind == "csi" and not re.fullmatch(r"\d{1,2}", target):
        raise SourceError(f"csi://{target[:40]} is no camera; give the number of the sensor, such as csi://0")
    if kind == "camera" and not re.fullmatch(r"\d{1,3}|/dev/[\w./:+-]+", target):
        raise SourceError(f"camera://{target[:60]} is no camera; give its number, camera://0, or camera:///dev/video0")
