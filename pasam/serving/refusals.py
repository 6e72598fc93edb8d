"""Every refusal and every fault as `{"error": "..."}`, with HTTP's status and no stack trace."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from pasam.errors import CheckpointError, PasamError, RefusedError

_SHOWN = 60
"""Characters of a wrong value that a message repeats."""


def refusal(error: PasamError) -> JSONResponse:
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


def answer_errors(app: FastAPI) -> None:
    """Answer all errors of an app this way."""

    @app.exception_handler(PasamError)
    async def deliberate(request: Request, error: PasamError) -> JSONResponse:
        return refusal(error)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        return _answer("; ".join(_said(each) for each in error.errors()[:5]), 422)

    @app.exception_handler(HTTPException)
    async def http(request: Request, error: HTTPException) -> JSONResponse:
        said = str(error.detail)
        if error.status_code == 404:
            said = f"there is nothing at {request.url.path[:_SHOWN]!r}; /openapi.json lists all."
        if error.status_code == 405:
            said = f"{request.method[:_SHOWN]} is not for {request.url.path[:_SHOWN]!r}."
        return _answer(said, error.status_code, dict(error.headers or {}))

    @app.exception_handler(Exception)
    async def unforeseen(request: Request, error: Exception) -> JSONResponse:
        return _answer("the service failed at this request; its log says why.", 500)


def _said(error: dict[str, Any]) -> str:
    """Put one of pydantic's errors into words: `prompts[0].box: ..., found ...`."""
    where = ""
    for part in error["loc"]:
        if part != "body":
            where += f"[{part}]" if isinstance(part, int) else f".{part}" if where else str(part)
    found = "" if error["type"] == "missing" else f", found {_shortened(error.get('input'))}"
    return f"{where or 'the request'}: {error['msg']}{found}"


def _shortened(value: Any) -> str:
    text = (
        repr(value) if isinstance(value, str | int | float | bool | None) else type(value).__name__
    )
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def _answer(said: str, status: int, headers: dict[str, str] | None = None) -> JSONResponse:
    plain = said.encode("utf-8", "backslashreplace").decode()  # what came in may be no Unicode
    return JSONResponse({"error": plain}, status_code=status, headers=headers)
