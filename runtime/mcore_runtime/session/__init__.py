"""A competition's results on disk: kept the moment they exist, read back after a crash, rescored, and reported."""

from mcore_runtime.session.data import SessionData, read_session
from mcore_runtime.session.store import SessionStore

__all__ = ["SessionData", "SessionStore", "read_session"]
