"""Signatures of Standard Webhooks 1.0, which receivers check with its libraries; the tests do so too.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
from collections.abc import Mapping

from mcore.common.errors import UserError

SECRET_VARIABLE = "MCORE_WEBHOOK_SECRET"
_PREFIX = "whsec_"
_MIN_BYTES, _MAX_BYTES = 24, 64
"""The specification's limits."""


def read_secret(environment: Mapping[str, str] = os.environ) -> bytes | None:
    """Return the key that messages are signed with; None: there is none, and they are not signed.

    Raises:
        UserError: the environment variable holds something else. Its value is not quoted.
    """
    text = environment.get(SECRET_VARIABLE, "").strip()
    if not text:
        return None
    try:
        secret = base64.b64decode(text.removeprefix(_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        secret = b""
    if not _MIN_BYTES <= len(secret) <= _MAX_BYTES:
        raise UserError(
            f"{SECRET_VARIABLE} is not a webhook secret: {_PREFIX} and {_MIN_BYTES} to {_MAX_BYTES} bytes in "
            f'base64. Make one with: export {SECRET_VARIABLE}="{_PREFIX}$(openssl rand -base64 32)"'
        )
    return secret


def signed_headers(secret: bytes | None, message_id: str, time_s: int, body: bytes) -> dict[str, str]:
    """Return the headers that name a message, and with a secret those that prove where it is from.

    Args:
        secret: key of the HMAC; None: no signature.
        message_id: the same for every attempt to deliver the same message; the receiver's key for idempotency.
        time_s: when this attempt is made, Unix time; part of what is signed, against replays.
        body: what is sent.
    """
    headers = {"webhook-id": message_id, "webhook-timestamp": str(time_s)}
    if secret is not None:
        signed = f"{message_id}.{time_s}.".encode() + body
        digest = hmac.new(secret, signed, hashlib.sha256).digest()
        headers["webhook-signature"] = f"v1,{base64.b64encode(digest).decode()}"
    return headers
