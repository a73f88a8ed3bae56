"""An RTSP server on loopback, run by whichever Python has GStreamer's bindings.

rtsp_server.py PORT [WIDTH HEIGHT [FILE]]
"""

from __future__ import annotations

import importlib
import sys
from typing import Any

LAUNCH = (
    "( videotestsrc is-live=true ! video/x-raw,width={width},height={height},framerate=25/1 ! "
    "x264enc tune=zerolatency key-int-max=12 ! rtph264pay name=pay0 pt=96 )"
)
RECORDING = "( filesrc location={file} ! qtdemux ! h264parse ! rtph264pay name=pay0 pt=96 )"


def main(port: str, width: str = "160", height: str = "96", file: str = "") -> None:
    """Serve a test picture, or an MP4 file, at /test for user ``coach``, password ``hush``, until killed."""
    gi: Any = importlib.import_module("gi")
    gi.require_version("Gst", "1.0")
    gi.require_version("GstRtspServer", "1.0")
    repository: Any = importlib.import_module("gi.repository")
    importlib.import_module("gi.repository.GstRtspServer")
    importlib.import_module("gi.repository.GLib")
    gst, rtsp, glib = repository.Gst, repository.GstRtspServer, repository.GLib
    gst.init(None)
    server = rtsp.RTSPServer.new()
    server.set_address("127.0.0.1")
    server.set_service(port)
    factory = rtsp.RTSPMediaFactory.new()
    factory.set_launch(RECORDING.format(file=file) if file else LAUNCH.format(width=width, height=height))
    factory.set_shared(not file)
    permissions = rtsp.RTSPPermissions.new()
    for right in ("media.factory.access", "media.factory.construct"):
        permissions.add_permission_for_role("user", right, True)
    factory.set_permissions(permissions)
    auth = rtsp.RTSPAuth.new()
    token = rtsp.RTSPToken.new()
    token.set_string("media.factory.role", "user")
    auth.add_basic(rtsp.RTSPAuth.make_basic("coach", "hush"), token)
    server.set_auth(auth)
    server.get_mount_points().add_factory("/test", factory)
    server.attach(None)
    print("ready", flush=True)
    glib.MainLoop().run()


if __name__ == "__main__":
    main(*sys.argv[1:])
