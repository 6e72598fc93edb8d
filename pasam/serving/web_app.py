"""The web application: routes, guard and error handlers round one service, and its server."""

from __future__ import annotations

import copy
import ctypes
import errno
import ipaddress
import os
import socket
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any

import uvicorn
from fastapi import APIRouter, FastAPI, Response, Security
from fastapi.responses import FileResponse
from fastapi.staticfiles import StaticFiles
from starlette.concurrency import run_in_threadpool

from pasam import __version__
from pasam.errors import ParamsError
from pasam.serving.connections import bounded_connections
from pasam.serving.examples import COUNT, example
from pasam.serving.payloads import ErrorAnswer, ExampleAnswer
from pasam.serving.request_guard import RequestGuard, add_error_handlers
from pasam.serving.routes import TOKEN, router
from pasam.serving.service import ModelPool, Service, Settings

FOLDER = Path(__file__).parent / "page"

page_router = APIRouter(tags=["examples"])


@page_router.get("/", include_in_schema=False)
async def index() -> FileResponse:
    """Show the page."""
    return FileResponse(FOLDER / "index.html", headers={"Cache-Control": "no-cache"})


@page_router.get("/examples", dependencies=[Security(TOKEN)], summary="Synthetic images to try")
async def examples() -> list[ExampleAnswer]:
    """List the examples with the boxes of their objects."""
    drawn = [await run_in_threadpool(example, number) for number in range(COUNT)]
    return [
        ExampleAnswer(title=each.title, url=f"/examples/{number}", box=each.box)
        for number, each in enumerate(drawn)
    ]


@page_router.get(
    "/examples/{number}",
    summary="One of them, as PNG",
    response_class=Response,
    responses={404: {"model": ErrorAnswer, "description": "There is no such example."}},
)
async def example_image(number: int) -> Response:
    """Send an example."""
    drawn = await run_in_threadpool(example, number)
    return Response(drawn.png, media_type="image/png", headers={"Cache-Control": "max-age=3600"})


def add_page(app: FastAPI) -> None:
    """Serve the page and its files."""
    app.include_router(page_router)
    app.mount("/page", _Files(directory=FOLDER), name="page")


class _Files(StaticFiles):
    """Files that the browser asks for anew, so that a new version of the package shows at once."""

    def file_response(self, *args: object, **kwargs: object) -> Response:
        """Send a file that may be kept only as long as it is the same."""
        response = super().file_response(*args, **kwargs)  # type: ignore[arg-type]
        response.headers["Cache-Control"] = "no-cache"
        return response


ABOUT = """\
Masks of objects from boxes, points and masks: SAM, HQ-SAM and PA-SAM. Embed an image once, prompt
it many times. Every refusal is `{"error": "..."}` and says what was found, expected, and to do."""


def create_app(models: ModelPool, settings: Settings) -> FastAPI:
    """Make the application; its workers run from start-up to shutdown.

    Args:
        models: The models, loaded.
        settings: How the service is set up.
    """
    service = Service(models, settings)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        service.start()
        yield
        service.close()

    app = FastAPI(
        title="pasam",
        version=__version__,
        description=ABOUT,
        lifespan=lifespan,
        docs_url=None,  # their scripts would come from another site
        redoc_url=None,
    )
    app.state.service = service
    add_error_handlers(app)
    app.include_router(router)
    add_page(app)
    app.add_middleware(RequestGuard, service=service)
    return app


GRACE = 15
"""Seconds that requests in flight have when the service is told to stop."""
LAST = 23.0
"""Seconds after which a service that was told to stop is gone, whatever hangs."""


EXIT_HUNG = 70
"""Exit code of a service that had to be ended."""


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
