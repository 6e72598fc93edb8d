"""Running the application on an address of this machine until it is told to stop."""

from __future__ import annotations

import errno
import ipaddress
import socket
from collections.abc import Callable

import uvicorn
from fastapi import FastAPI

from pasam.errors import ParamsError

GRACE = 30
"""Seconds that requests in flight have when the service is told to stop."""


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
        raise ParamsError(f"port {port} is not for everybody; choose one above 1023.") from None
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


def run_server(
    app: FastAPI, taken: socket.socket, *, log_level: str, when_ready: Callable[[], None]
) -> None:
    """Serve until SIGTERM or SIGINT; requests in flight are finished first.

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

    config = uvicorn.Config(
        app,
        log_level=log_level,
        server_header=False,
        timeout_keep_alive=15,
        timeout_graceful_shutdown=GRACE,
    )
    Announcing(config).run(sockets=[taken])
