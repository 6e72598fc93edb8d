"""A search for everything while it goes on: its progress told, and its end when nobody waits."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from pasam.errors import PasamError, RefusedError

LOOK = 0.25
"""Seconds between looks how far it is, and whether anybody waits."""

_LOG = logging.getLogger(__name__)
_Records = list[dict[str, Any]]


class SearchWatch:
    """How far a search is; read in one thread, told in another."""

    def __init__(self) -> None:
        self.share = 0.0
        """Share of the grid that was asked, in [0, 1]."""
        self._left = threading.Event()

    def leave(self) -> None:
        """Say that nobody waits any more."""
        self._left.set()

    def tell(self, share: float) -> None:
        """Say how far the search is.

        Raises:
            RefusedError: Nobody waits any more; the search ends by this.
        """
        self.share = share
        if self._left.is_set():
            raise RefusedError("the search was stopped: nobody waits for it.", status=499)


async def waited_for(
    answer: asyncio.Future[_Records], watch: SearchWatch, gone: Callable[[], Awaitable[bool]]
) -> _Records:
    """Wait for a search, and end it when whoever asked has gone."""
    try:
        while not (await asyncio.wait([answer], timeout=LOOK))[0]:
            if await gone():
                raise RefusedError("the search was stopped: nobody waits for it.", status=499)
        return answer.result()
    finally:
        _end(answer, watch)


async def told_by_line(
    answer: asyncio.Future[_Records], watch: SearchWatch, written: Callable[[_Records], str]
) -> AsyncIterator[str]:
    """Tell a search in lines of JSON: its progress, then its answer or what went wrong.

    Args:
        answer: What the search will find.
        watch: How far it is.
        written: Writes what was found as one line of JSON.
    """
    try:
        while not (await asyncio.wait([answer], timeout=LOOK))[0]:
            yield _line({"progress": round(watch.share, 3)})
        yield written(answer.result()) + "\n"
    except PasamError as error:
        yield _line({"error": str(error)})
    except Exception:  # noqa: BLE001  (the answer has begun: only a line can still say it)
        _LOG.exception("a search failed")
        yield _line({"error": "the service failed at this request; its log says why."})
    finally:
        _end(answer, watch)


def _end(answer: asyncio.Future[_Records], watch: SearchWatch) -> None:
    """Stop a search, whether it waits or is in work; one that is done stays as it is."""
    watch.leave()
    answer.cancel()


def _line(words: dict[str, Any]) -> str:
    return json.dumps(words) + "\n"
