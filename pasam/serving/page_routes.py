"""The page's files, and the examples that it offers."""

from __future__ import annotations

from pathlib import Path

from fastapi import APIRouter, FastAPI, Response
from fastapi.responses import FileResponse
from fastapi.staticfiles import StaticFiles
from starlette.concurrency import run_in_threadpool

from pasam.serving.examples import COUNT, example
from pasam.serving.payloads import ExampleAnswer

FOLDER = Path(__file__).parent / "page"

page_router = APIRouter()


@page_router.get("/", include_in_schema=False)
async def index() -> FileResponse:
    """Show the page."""
    return FileResponse(FOLDER / "index.html", headers={"Cache-Control": "no-cache"})


@page_router.get("/examples", summary="Generated pictures to try")
async def examples() -> list[ExampleAnswer]:
    """List the examples with the boxes of their objects."""
    drawn = [await run_in_threadpool(example, number) for number in range(COUNT)]
    return [
        ExampleAnswer(title=each.title, url=f"/examples/{number}", box=each.box)
        for number, each in enumerate(drawn)
    ]


@page_router.get("/examples/{number}", summary="One of them, as PNG", response_class=Response)
async def example_picture(number: int) -> Response:
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
