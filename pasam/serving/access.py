"""Who may use the service: a token where one is set, and no other site's pages."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from pasam.errors import ParamsError, RefusedError

LOOPBACK = ("127.0.0.1", "localhost", "::1")
SHORTEST = 16
"""Characters of a token that cannot be guessed."""


def read_token(path: Path) -> str:
    """Read the token from its file, whose first line it is.

    Raises:
        ParamsError: There is no file, or its token is short or not plain ASCII.
    """
    if not path.is_file():
        raise ParamsError(f"the token file {path} does not exist. Write a token into it.")
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    token = lines[0].strip() if lines else ""
    if len(token) < SHORTEST or not token.isascii() or " " in token:
        raise ParamsError(
            f"the token in {path} has {len(token)} characters, expected {SHORTEST} or more of "
            "plain ASCII without spaces: python -c 'import secrets; print(secrets.token_hex())'"
        )
    return token


def check_token(headers: Mapping[str, str], token: str | None) -> None:
    """Refuse a request that does not bring the token.

    Raises:
        RefusedError: 401.
    """
    if token is None:
        return
    scheme, _, given = headers.get("authorization", "").partition(" ")
    matches = hmac.compare_digest(given.strip().encode(), token.encode())  # in constant time
    if scheme.lower() != "bearer" or not matches:
        raise RefusedError(
            "this service needs a token: send the header 'Authorization: Bearer TOKEN'.", status=401
        )


def check_origin(headers: Mapping[str, str], *, loopback_only: bool) -> None:
    """Refuse what another site's page sends through a visitor's browser.

    Args:
        headers: The request's.
        loopback_only: The service listens on loopback, so that any other host name is a trick.

    Raises:
        RefusedError: 403 for another site, 421 for a foreign host name.
    """
    host = headers.get("host", "")
    if loopback_only and _name(host) not in LOOPBACK:
        raise RefusedError(
            f"this service is for this machine only, and was asked for as {host[:80]!r}. Use "
            "localhost, or start it with --host.",
            status=421,
        )
    origin = headers.get("origin")
    if origin is not None and origin.partition("://")[2] != host:
        raise RefusedError(
            f"a page of {origin[:80]!r} may not use this service; only its own page may.",
            status=403,
        )


def _name(host: str) -> str | None:
    try:
        return urlsplit(f"//{host}").hostname
    except ValueError:
        return None
