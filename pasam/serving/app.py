"""The web application: routes, gate and answers to errors round one service."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from pasam import __version__
from pasam.serving.gate import Gate
from pasam.serving.offered_models import OfferedModels
from pasam.serving.page_routes import add_page
from pasam.serving.refusals import answer_errors
from pasam.serving.routes import router
from pasam.serving.service import Service, Settings

ABOUT = """\
Masks of objects from boxes, points and masks: SAM, HQ-SAM and PA-SAM. Embed a picture once, prompt
it many times. Every refusal is `{"error": "..."}` and says what was found, expected, and to do."""


def create_app(offered: OfferedModels, settings: Settings) -> FastAPI:
    """Make the application; its workers run from start-up to shutdown.

    Args:
        offered: The models, loaded.
        settings: How the service is set up.
    """
    service = Service(offered, settings)

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
    answer_errors(app)
    app.include_router(router)
    add_page(app)
    app.add_middleware(Gate, service=service)
    return app
