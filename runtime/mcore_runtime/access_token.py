"""Access token and cookies of the page, checked in constant time, and never kept where they could be read.

The cookie is a proof that its holder once had the token, good until a date: it can be checked without a memory, so that
phones stay logged in when the run goes on after a power cut, and it ends with the token.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import time
from pathlib import Path

from mcore.common.errors import UserError

COOKIE_SECONDS = 7 * 24 * 3600
"""A competition lasts a week at most."""
_MIN_LETTERS, _MAX_LETTERS = 12, 256
_ROUNDS = 200_000
"""Rounds of PBKDF2: a cookie that was overheard must not let anybody guess a short token."""


class AccessToken:
    """The token of one page: checks what is sent, and makes and checks its cookies.

    Args:
        token: 12 to 256 letters, without spaces.

    Raises:
        UserError: another token.
    """

    def __init__(self, token: str) -> None:
        if not _MIN_LETTERS <= len(token) <= _MAX_LETTERS or not re.fullmatch(r"[!-~]+", token):
            raise UserError(
                f"the token of the page has {len(token)} letters; give {_MIN_LETTERS} to {_MAX_LETTERS} letters, "
                "digits or signs without spaces, or none at all: then one is made"
            )
        self._digest = hashlib.sha256(token.encode()).digest()
        self._key = hashlib.pbkdf2_hmac("sha256", token.encode(), b"mcore-edge page cookie", _ROUNDS)

    def is_token(self, text: str) -> bool:
        """Return whether a text is the token; takes the same time whatever it is."""
        return hmac.compare_digest(hashlib.sha256(text.encode("utf-8", "replace")).digest(), self._digest)

    def cookie(self, now_s: float | None = None) -> str:
        """Make a cookie that is good for a week."""
        until = int((time.time() if now_s is None else now_s) + COOKIE_SECONDS)
        return f"{until}.{self._signature(until)}"

    def is_cookie(self, text: str, now_s: float | None = None) -> bool:
        """Return whether a cookie was made with this token and has not expired."""
        until, _, proof = text.partition(".")
        if not re.fullmatch(r"[0-9]{1,12}", until) or not proof.isascii():
            return False
        good = hmac.compare_digest(proof, self._signature(int(until)))
        return good and (time.time() if now_s is None else now_s) < int(until)

    def _signature(self, until: int) -> str:
        return hmac.new(self._key, str(until).encode(), hashlib.sha256).hexdigest()


def make_token() -> str:
    """Make a token that a person can read out: 20 letters, 99 bits, none of them easily confused."""
    letters = "abcdefghjkmnpqrstuvwxyz23456789"
    groups = ("".join(secrets.choice(letters) for _ in range(5)) for _ in range(4))
    return "-".join(groups)


def read_token(path: str | Path) -> str:
    """Read a token from a file, so that it stands in no list of processes.

    Raises:
        UserError: the file cannot be read, or holds no token.
    """
    try:
        token = Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not a text file"
        raise UserError(f"the token file {path} cannot be read: {reason}") from error
    try:
        AccessToken(token)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    return token
