"""Results of a session on the disk: kept the moment they exist, read back after a crash, rescored, and reported."""

from mcore_runtime.session.data import SessionData, read_session
from mcore_runtime.session.dive import DiveStatus, FoundBy, LiveDive
from mcore_runtime.session.store import SessionStore

__all__ = ["DiveStatus", "FoundBy", "LiveDive", "SessionData", "SessionStore", "read_session"]
