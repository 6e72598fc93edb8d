"""The server: the address it takes, its connections, and how it ends.

There is a bound on how many connections there are, and on how long one may take to say what it
wants.
"""

from __future__ import annotations

import asyncio
import copy
import ctypes
import errno
import ipaddress
import os
import resource
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from types import FrameType
from typing import Any, ClassVar

import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.h11_impl import H11Protocol

from pasam.errors import ParamsError


def is_loopback(host: str) -> bool:
    """Say whether only this machine reaches an address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def listen(host: str, port: int) -> socket.socket:
    """Take an address; port 0 takes any that is free.

    Raises:
        ParamsError: It is taken, or not an address of this machine.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=2048)
    except PermissionError:
        raise ParamsError(f"port {port} needs root; choose one above 1023.") from None
    except OSError as error:
        taken = error.errno == errno.EADDRINUSE
        reason = "something else listens there" if taken else error.strerror or str(error)
        raise ParamsError(
            f"cannot listen on {host}:{port}: {reason}. Choose another --host or --port."
        ) from None


def address_of(taken: socket.socket) -> str:
    """Write the address for a browser."""
    host, port = taken.getsockname()[:2]
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"


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
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST + SPARE if hard == resource.RLIM_INFINITY else min(MOST + SPARE, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        soft = wanted
    most = MOST if soft == resource.RLIM_INFINITY else max(16, min(MOST, soft - SPARE))
    return type("BoundedByDescriptors", (BoundedConnection,), {"most": most})


_M_MMAP_THRESHOLD, _M_ARENA_MAX = -3, -8  # of glibc's malloc.h


def release_memory_soon() -> None:
    """Let memory go back to the system when what lay there is freed, where glibc manages it.

    By itself it keeps blocks of up to 32 MB once one of that size was freed, in an arena for each
    thread: images of all sizes left hundreds of MB that nobody used. To be called before the models
    are loaded, since threads keep the arena that they began with.
    """
    with suppress(OSError, AttributeError):
        library = ctypes.CDLL(None)
        library.mallopt(_M_MMAP_THRESHOLD, 1_000_000)
        library.mallopt(_M_ARENA_MAX, 2)


def _logging_to_stderr() -> dict[str, Any]:
    """Uvicorn's logging, with requests on stderr, too.

    Whoever starts the service for its address need not read on: a pipe that nobody empties would
    stop it after a thousand requests.
    """
    config = copy.deepcopy(uvicorn.config.LOGGING_CONFIG)
    config["handlers"]["access"]["stream"] = "ext://sys.stderr"
    return config


GRACE = 15
"""Seconds that requests in flight have when the service is told to stop."""
LAST = 23.0
"""Seconds after which a service that was told to stop is gone, whatever hangs."""
EXIT_HUNG = 70
"""Exit code of a service that had to be ended."""


def run_server(
    app: FastAPI, taken: socket.socket, *, log_level: str, when_ready: Callable[[], None]
) -> None:
    """Serve until SIGTERM or SIGINT; requests in flight are finished first, for a while.

    Args:
        app: The application.
        taken: The socket to listen on.
        log_level: uvicorn's: `info` logs every request, `warning` does not.
        when_ready: Called once requests are taken.
    """

    class Announcing(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets=sockets)
            when_ready()

        def handle_exit(self, sig: int, frame: FrameType | None) -> None:
            super().handle_exit(sig, frame)
            last = threading.Timer(LAST, os._exit, (EXIT_HUNG,))
            last.daemon = True  # it keeps nothing alive that ends by itself
            last.start()

    config = uvicorn.Config(
        app,
        http=bounded_connections(),
        log_level=log_level,
        log_config=_logging_to_stderr(),
        server_header=False,
        timeout_keep_alive=15,
        timeout_graceful_shutdown=GRACE,
    )
    Announcing(config).run(sockets=[taken])
