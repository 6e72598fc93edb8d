"""The web application: routes, guard and error handlers round one service, the page, examples."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from fastapi import APIRouter, FastAPI, Response, Security
from fastapi.responses import FileResponse
from fastapi.staticfiles import StaticFiles
from starlette.concurrency import run_in_threadpool

from pasam import __version__
from pasam.errors import RefusedError
from pasam.masks.images import encode_png, foreground
from pasam.masks.run_lengths import bounding_box, encode
from pasam.serving.payloads import ErrorAnswer, ExampleAnswer
from pasam.serving.request_guard import RequestGuard, add_error_handlers
from pasam.serving.routes import TOKEN, router
from pasam.serving.service import ModelPool, Service, Settings
from pasam.synthetic.scene import draw_scene

_DRAWN = (  # title, family, seed
    ("thin object", "thin", 3),
    ("intricate object", "dis", 11),
    ("large object with hair", "hrsod", 5),
    ("smooth object", "coift", 2),
)
EXAMPLES = len(_DRAWN)
"""Synthetic images to try the page on, drawn when they are asked for and then kept."""
SIDE = 448
"""Their nominal side in pixels."""


@dataclass(frozen=True, slots=True, eq=False)
class Example:
    """An image that nobody trained on, and the box of its object."""

    title: str
    png: bytes
    box: tuple[int, int, int, int]
    """x0, y0, x1, y1 in pixels."""


@cache
def example(number: int) -> Example:
    """Draw an example; equal numbers give equal bytes.

    Args:
        number: 0 up to `EXAMPLES`.

    Raises:
        RefusedError: There is no such example.
    """
    if not 0 <= number < EXAMPLES:
        raise RefusedError(
            f"there is no example {number}; there are 0 to {EXAMPLES - 1}.", status=404
        )
    title, family, seed = _DRAWN[number]
    scene = draw_scene(family=family, seed=seed, side=SIDE, held_out=True)
    x, y, wide, tall = bounding_box(encode(foreground(scene.masks[0])))
    return Example(title, encode_png(scene.image), (x, y, x + wide, y + tall))


FOLDER = Path(__file__).parent / "page"

page_router = APIRouter(tags=["examples"])


@page_router.get("/", include_in_schema=False)
async def index() -> FileResponse:
    """Show the page."""
    return FileResponse(FOLDER / "index.html", headers={"Cache-Control": "no-cache"})


@page_router.get("/examples", dependencies=[Security(TOKEN)], summary="Synthetic images to try")
async def examples() -> list[ExampleAnswer]:
    """List the examples with the boxes of their objects."""
    drawn = [await run_in_threadpool(example, number) for number in range(EXAMPLES)]
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
    app.include_router(page_router)
    app.mount("/page", _Files(directory=FOLDER), name="page")
    app.add_middleware(RequestGuard, service=service)
    return app
