"""The gate that every request passes: who asks, how much is sent, how many are in hand."""

from __future__ import annotations

from time import perf_counter

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pasam.errors import RefusedError
from pasam.serving.access import check_origin, check_token
from pasam.serving.refusals import refusal
from pasam.serving.service import Service

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


class Gate:
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
            await refusal(error)(scope, receive, noting)
        finally:
            self._in_hand -= 1
            route = getattr(scope.get("route"), "path", "other")
            self.service.metrics.requests.labels(route, str(status)).inc()
            self.service.metrics.seconds.labels(route).observe(perf_counter() - start)

    def _check(self, scope: Scope) -> None:
        settings, headers, path = self.service.settings, Headers(scope=scope), scope["path"]
        check_origin(headers, loopback_only=settings.loopback_only)
        if path not in OPEN and not path.startswith(OPEN_BELOW):
            check_token(headers, settings.token)
        if scope["method"] == "POST" and self._in_hand > settings.limits.requests:
            raise RefusedError(
                f"{settings.limits.requests} requests are in hand already. Try again in a second.",
                status=429,
                retry_after=1,
            )
        said = headers.get("content-length", "0")
        if (
            not said.isascii()
            or not said.isdigit()
            or int(said[:20]) > settings.limits.upload_bytes
        ):
            raise RefusedError(self._too_much(said[:20]), status=413)

    def _bounded(self, receive: Receive) -> Receive:
        arrived = 0

        async def bounded() -> Message:
            nonlocal arrived
            message = await receive()
            arrived += len(message.get("body", b""))
            if arrived > self.service.settings.limits.upload_bytes:
                raise HTTPException(413, self._too_much(f"more than {arrived}"))
            return message

        return bounded

    def _too_much(self, found: str) -> str:
        most = self.service.settings.limits.upload_bytes
        return (
            f"the request has {found} bytes, at most {most} are taken. Send a smaller picture, or "
            "start the service with a larger --max-upload-mb."
        )
