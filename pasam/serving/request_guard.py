"""What every request passes.

Who asks, how much is sent, how many are in hand; and errors as JSON.
"""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
import socket
import stat
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from time import perf_counter
from urllib.parse import urlsplit

from fastapi import FastAPI, Request
from fastapi.dependencies.models import Dependant
from fastapi.exceptions import RequestValidationError
from fastapi.params import File as FileField
from fastapi.responses import JSONResponse
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pasam.errors import CheckpointError, ParamsError, PasamError, RefusedError
from pasam.inference.image_prompt import SHOWN, validation_message
from pasam.serving.service import Service

LOOPBACK = ("127.0.0.1", "localhost", "::1")
SHORTEST = 16
"""Characters of a token that cannot be guessed."""
FEWEST = 8
"""Different ones among them."""

BODY_GRACE, BODY_RATE = 5.0, 10_000
"""Seconds that a body has whatever its size, and bytes a second that it brings besides."""


def read_token(path: Path) -> str:
    """Read the token from its file, whose first line it is.

    Raises:
        ParamsError: There is no file, or its token is short or not plain ASCII.
    """
    if not path.is_file():
        raise ParamsError(f"the token file {path} does not exist. Write a token into it.")
    others = stat.S_IMODE(path.stat().st_mode) & 0o037
    if others:
        raise ParamsError(
            f"the token file {path} can be read or written by others (mode {others:03o}): "
            f"chmod 600 '{path}' (or 640 for a mounted secret)."
        )
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    token = lines[0].strip() if lines else ""
    if len(token) >= SHORTEST and len(set(token)) < FEWEST:
        raise ParamsError(
            f"the token in {path} has {len(set(token))} different characters, expected {FEWEST} or "
            "more: python -c 'import secrets; print(secrets.token_hex())'"
        )
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


def check_origin(
    headers: Mapping[str, str], *, loopback_only: bool, names: Sequence[str] = ()
) -> None:
    """Refuse what another site's page sends through a client's browser.

    Args:
        headers: The request's.
        loopback_only: The service listens on loopback, so that any other host name is a trick.
        names: Host names under which the service is reached from outside. An address in digits is
            always its own: only a name can be made to point somewhere else.

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
    name = _name(host) or ""
    known = (*LOOPBACK, socket.gethostname().lower(), *(each.lower() for each in names))
    if not loopback_only and name not in known and not _is_address(name):
        raise RefusedError(
            f"this service does not know itself as {host[:80]!r}. Use its address or its machine's "
            "name, or start it with --name.",
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


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def error_response(error: PasamError) -> JSONResponse:
    """Answer a deliberate error."""
    headers = {}
    status = 409 if isinstance(error, CheckpointError) else 422
    if isinstance(error, RefusedError):
        status = error.status
        if error.retry_after is not None:
            headers["Retry-After"] = str(error.retry_after)
        if status == 401:
            headers["WWW-Authenticate"] = "Bearer"
    return _answer(str(error), status, headers)


def add_error_handlers(app: FastAPI) -> None:
    """Answer all errors of an app this way."""

    @app.exception_handler(PasamError)
    async def deliberate(request: Request, error: PasamError) -> JSONResponse:
        return error_response(error)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        return _answer(validation_message(error.errors()), 422)

    @app.exception_handler(HTTPException)
    async def http(request: Request, error: HTTPException) -> JSONResponse:
        said = str(error.detail)
        if error.status_code == 404:
            said = f"there is nothing at {request.url.path[:SHOWN]!r}; /openapi.json lists all."
        if error.status_code == 405:
            said = f"{request.method[:SHOWN]} is not for {request.url.path[:SHOWN]!r}."
        return _answer(said, error.status_code, dict(error.headers or {}))

    @app.exception_handler(Exception)
    async def unforeseen(request: Request, error: Exception) -> JSONResponse:
        return _answer("the service failed at this request; its log says why.", 500)


def _answer(said: str, status: int, headers: dict[str, str] | None = None) -> JSONResponse:
    plain = said.encode("utf-8", "backslashreplace").decode()  # what came in may be no Unicode
    return JSONResponse({"error": plain}, status_code=status, headers=headers)


PROBES = ("/health", "/ready")
"""What anybody may ask under any host name: it tells nothing but that the service is there."""
OPEN = ("/", "/health", "/ready", "/openapi.json")
"""What needs no token; nor does what lies below the addresses that follow."""
OPEN_BELOW = ("/page/", "/examples/")

SECURITY = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": (
        "default-src 'self'; img-src 'self' blob: data:; object-src 'none'; base-uri 'none'; "
        "frame-ancestors 'none'"
    ),
}


class RequestGuard:
    """Middleware that turns away what the service should not even begin with.

    Args:
        app: What lies behind it.
        service: Its limits, token and counters.
    """

    def __init__(self, app: ASGIApp, service: Service) -> None:
        self.app, self.service = app, service
        self._in_hand = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or answer it here."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        start, status = perf_counter(), 500

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message).update(SECURITY)
            await send(message)

        self._in_hand += 1
        try:
            self._check(scope)
            await self.app(scope, self._bounded(receive), noting)
        except RefusedError as error:
            await error_response(error)(scope, receive, noting)
        finally:
            self._in_hand -= 1
            route = getattr(scope.get("route"), "path", "other")
            self.service.metrics.requests.labels(route, str(status)).inc()
            self.service.metrics.seconds.labels(route).observe(perf_counter() - start)

    def _check(self, scope: Scope) -> None:
        settings, headers, path = self.service.settings, Headers(scope=scope), scope["path"]
        if path not in PROBES:
            check_origin(headers, loopback_only=settings.loopback_only, names=settings.names)
        if path not in OPEN and not path.startswith(OPEN_BELOW):
            check_token(headers, settings.token)
        if scope["method"] == "POST" and self._in_hand > settings.limits.requests:
            raise RefusedError(
                f"{settings.limits.requests} requests are in hand already. Try again in a second.",
                status=429,
                retry_after=1,
            )
        if "transfer-encoding" in headers and "content-length" in headers:
            # Two lengths: a proxy that believes the other one takes the rest for a request.
            raise RefusedError(
                "the request has Content-Length and Transfer-Encoding; send one of them.",
                status=400,
            )
        said = headers.get("content-length", "0")
        if (
            not said.isascii()
            or not said.isdigit()
            or int(said[:20]) > settings.limits.upload_bytes
        ):
            raise RefusedError(self._too_much(said[:20]), status=413)

    def _bounded(self, receive: Receive) -> Receive:
        arrived, whole, start = 0, False, perf_counter()

        async def bounded() -> Message:
            nonlocal arrived, whole
            if whole:  # what comes now is that the client leaves
                return await receive()
            left = BODY_GRACE + arrived / BODY_RATE - (perf_counter() - start)
            try:
                message = await asyncio.wait_for(receive(), max(left, 0.01))
            except TimeoutError:
                raise HTTPException(
                    408,
                    f"the request brought {arrived} bytes in {perf_counter() - start:.0f} seconds; "
                    f"{BODY_RATE} a second are expected. Send it over a faster connection.",
                    {"Connection": "close"},
                ) from None
            whole = not message.get("more_body", False)
            arrived += len(message.get("body", b""))
            if arrived > self.service.settings.limits.upload_bytes:
                raise HTTPException(413, self._too_much(f"more than {arrived}"))
            return message

        return bounded

    def _too_much(self, found: str) -> str:
        most = self.service.settings.limits.upload_bytes
        return (
            f"the request has {found} bytes, at most {most} are taken. Send a smaller image, or "
            "start the service with a larger --max-upload-mb."
        )


async def known_fields(request: Request) -> None:
    """Refuse a form with a field that its endpoint does not have: a misspelt one changes nothing.

    So are fields of the query and one that came twice, of which nothing or the last would count,
    and a file in place of text, over which FastAPI trips where the text would be a list.

    Raises:
        RefusedError: 422.
    """
    route = request.scope["route"]
    if request.method != "POST":
        return
    known, form = _fields(route.dependant), await request.form()
    if asked := sorted(set(request.query_params) - _query(route.dependant)):
        raise RefusedError(
            f"the address has the parameters {', '.join(asked)[:SHOWN]!r}, which change nothing; "
            "send them as fields of the form.",
            status=422,
        )
    unknown = sorted(set(form) - set(known))
    if unknown:
        raise RefusedError(
            f"the form has unknown fields {', '.join(unknown)[:SHOWN]!r}; {request.url.path} takes "
            f"{', '.join(known)}.",
            status=422,
        )
    for name, count in Counter(name for name, _ in form.multi_items()).items():
        if count > 1:
            raise RefusedError(
                f"the form has the field {name} {count} times, expected once.", status=422
            )
    for name, value in form.multi_items():
        if not isinstance(value, str) and not known[name]:
            raise RefusedError(
                f"the field {name} came as a file, expected text: send it without a file's name.",
                status=422,
            )


def _fields(dependant: Dependant) -> dict[str, bool]:
    """Name the fields of an endpoint's form, and say whether each is a file."""
    own = {each.alias: isinstance(each.field_info, FileField) for each in dependant.body_params}
    for each in dependant.dependencies:
        own |= _fields(each)
    return own


def _query(dependant: Dependant) -> set[str]:
    """Name the parameters that an endpoint takes in its address."""
    own = {each.alias for each in dependant.query_params}
    return own.union(*map(_query, dependant.dependencies))
