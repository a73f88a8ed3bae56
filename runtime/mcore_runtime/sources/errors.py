"""Errors of sources; no text of theirs contains more of an address than its public form."""

from __future__ import annotations

from mcore.common.errors import UserError


class SourceError(UserError):
    """A source cannot be used as it was given: trying again would not help."""


class StreamLost(Exception):
    """A connection failed or ended that should have gone on; it is tried again."""
