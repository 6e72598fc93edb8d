"""Half-open connections and slow headers shut nobody out."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
import urllib.request

import pytest
import uvicorn

from pasam.serving import connections
from pasam.serving.connections import BoundedConnection, bounded_connections


async def answering(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"here"})


@contextlib.contextmanager
def served(kind):
    """Address of a server whose connections are of a kind."""
    taken = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(answering, http=kind, log_level="error"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [taken]})
    thread.start()
    try:
        yield taken.getsockname()
    finally:
        server.should_exit = True
        thread.join(20)


def ask(address):
    with urllib.request.urlopen(f"http://{address[0]}:{address[1]}/", timeout=20) as answer:
        return answer.read()


def half_open(address):
    made = socket.create_connection(address, timeout=20)
    made.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n")
    return made


def test_the_connection_that_waits_longest_gives_way():
    class Few(BoundedConnection):
        most = 5

    with served(Few) as address, contextlib.ExitStack() as stack:
        made = [stack.enter_context(half_open(address)) for _ in range(12)]
        assert ask(address) == b"here"
        ended = 0
        for each in made:
            each.settimeout(0.2)
            with contextlib.suppress(TimeoutError):
                try:
                    ended += each.recv(1) == b""
                except ConnectionResetError:
                    ended += 1
        assert 7 <= ended <= 8


def test_a_header_that_is_late_ends_its_connection():
    class Impatient(BoundedConnection):
        header_seconds = 0.3

    with served(Impatient) as address, half_open(address) as late:
        start = time.monotonic()
        with contextlib.suppress(ConnectionResetError):
            assert late.recv(1) == b""
        assert time.monotonic() - start < 20
        assert ask(address) == b"here"


def test_connections_are_bounded_by_the_descriptors_that_there_are():
    kind = bounded_connections()
    assert issubclass(kind, BoundedConnection)
    assert 16 <= kind.most <= connections.MOST


@pytest.mark.slow
def test_a_thousand_half_open_connections_shut_nobody_out():
    class Bounded(BoundedConnection):
        most = 600

    with served(Bounded) as address, contextlib.ExitStack() as stack:
        for _ in range(1100):
            stack.enter_context(half_open(address))
        for _ in range(20):
            assert ask(address) == b"here"
