"""How many connections there may be, and how long one may take to say what it wants."""

from __future__ import annotations

import asyncio
from typing import ClassVar

from uvicorn.protocols.http.h11_impl import H11Protocol

HEADER_SECONDS = 10.0
"""Time that a request's header may take."""
MOST = 4096
"""Connections at once, where the system has descriptors for as many."""
SPARE = 128
"""Descriptors that are kept for files."""


class BoundedConnection(H11Protocol):
    """A connection that is closed when its header is late, or when others need its place.

    When there are too many, the one that has waited longest without a request goes: half-open
    connections shut nobody out, however many there are.
    """

    most: ClassVar[int] = MOST
    header_seconds: ClassVar[float] = HEADER_SECONDS
    _late: asyncio.TimerHandle | None = None
    _since: float = 0.0

    @property
    def is_waiting(self) -> bool:
        """Whether no request of it is in hand: the header is not complete, or it is idle."""
        return self.cycle is None or self.cycle.response_complete

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take a connection, and part with the oldest that waits where there are too many."""
        super().connection_made(transport)
        self._since = self.loop.time()
        self._watch()
        if len(self.connections) > self.most:
            bounded = [one for one in self.connections if isinstance(one, BoundedConnection)]
            waiting = [one for one in bounded if one.is_waiting]
            oldest = min(waiting, key=lambda one: one._since)  # this one at least waits
            self.connections.discard(oldest)
            oldest.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget a connection."""
        super().connection_lost(exc)
        self._unwatch()

    def data_received(self, data: bytes) -> None:
        """Take bytes; the time for a header begins with its first."""
        super().data_received(data)
        if not self.is_waiting:
            self._unwatch()
        elif self._late is None:
            self._since = self.loop.time()
            self._watch()

    def _watch(self) -> None:
        self._late = self.loop.call_later(self.header_seconds, self._close_late)

    def _unwatch(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _close_late(self) -> None:
        self._late = None
        if self.is_waiting and not self.transport.is_closing():
            self.transport.abort()


def bounded_connections() -> type[BoundedConnection]:
    """Take as many file descriptors as the system gives, and bound connections by them."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST + SPARE if hard == resource.RLIM_INFINITY else min(MOST + SPARE, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        soft = wanted
    most = MOST if soft == resource.RLIM_INFINITY else max(16, min(MOST, soft - SPARE))
    return type("BoundedByDescriptors", (BoundedConnection,), {"most": most})
