"""The one place where a flow meets Prefect, or does without; and how it tells people.

A flow is a plain function and so is a task. Called in a Prefect flow run, a task becomes a task
run of it; called anywhere else it is called, with the same rule for trying again. So a flow needs
no server, and Prefect is imported only by `prefect_flows`, which makes Prefect flows of the
functions.
"""

from __future__ import annotations

import base64
import io
import logging
import os
import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar
from urllib.parse import urlsplit

import urllib3

from pasam.errors import DataError, TransientError

if TYPE_CHECKING:
    from prefect.client.schemas.objects import State, TaskRun
    from prefect.tasks import Task as PrefectTask

P = ParamSpec("P")
R = TypeVar("R")

LOGGER = logging.getLogger("pipelines.flows")
WIDEST = 1000
"""Pixels; images that a run's page shows are part of Prefect's database."""

NOTIFY_SECONDS = 15.0
NOTIFY_VARIABLE = "PASAM_NOTIFY"
"""Who is told, where a flow's parameters name nobody: an address is a password, no text for git."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a flow ended, if it did not fail."""

    name: str
    """One word for the list of runs: unchanged, promoted, rejected..."""
    message: str
    """A sentence for people."""


class Task(Generic[P, R]):
    """A function that is run, timed and tried again as a task of a flow.

    Args:
        function: The function.
        name: What a person sees; fields in braces are its arguments.
        delays: Seconds before each further try after a transient error; nothing else is retried.
        timeout: Seconds that Prefect gives one try; None is for ever.
    """

    def __init__(
        self, function: Callable[P, R], *, name: str, delays: Sequence[float],
        timeout: float | None,
    ) -> None:  # fmt: skip
        self.function = function
        self.name = name
        self.delays = tuple(delays)
        self.timeout = timeout
        self.__doc__ = function.__doc__

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run it, as a Prefect task if a Prefect flow is running."""
        if in_flow_run():
            return self._of_prefect()(*args, **kwargs)
        for delay in self.delays:
            try:
                return self.function(*args, **kwargs)
            except TransientError as error:
                LOGGER.warning("%s\nTrying again in %g s.", error, delay)
                time.sleep(delay)
        return self.function(*args, **kwargs)

    def _of_prefect(self) -> PrefectTask[P, R]:
        from prefect import task as prefect_task
        from prefect.cache_policies import NO_CACHE

        return prefect_task(
            name=self.function.__name__.replace("_", " "), task_run_name=self.name,
            retries=len(self.delays), retry_delay_seconds=list(self.delays),
            retry_condition_fn=worth_another_try, timeout_seconds=self.timeout,
            cache_policy=NO_CACHE, persist_result=False,  # DVC is the only cache
        )(self.function)  # fmt: skip


def task(
    name: str, *, delays: Sequence[float] = (), timeout: float | None = None
) -> Callable[[Callable[P, R]], Task[P, R]]:
    """Make a task of the function below; see `Task`."""

    def decorate(function: Callable[P, R]) -> Task[P, R]:
        return Task(function, name=name, delays=delays, timeout=timeout)

    return decorate


def worth_another_try(task: PrefectTask[..., Any], run: TaskRun, state: State[Any]) -> bool:
    """Tell Prefect to retry after a transient error, exit code 75, and after nothing else."""
    return isinstance(state.result(raise_on_failure=False), TransientError)


def in_flow_run() -> bool:
    """Say whether a Prefect flow is running here."""
    if "prefect" not in sys.modules:
        return False
    from prefect.context import FlowRunContext

    return FlowRunContext.get() is not None


def flow_run_id() -> str | None:
    """Id of the Prefect flow run, if there is one."""
    if not in_flow_run():
        return None
    from prefect.runtime import flow_run

    return str(flow_run.id)


def flow_run_page(run: str) -> str:
    """Address of a flow run's page, if Prefect is in use."""
    if not run or "prefect" not in sys.modules:
        return ""
    from prefect.settings import PREFECT_UI_URL

    page = PREFECT_UI_URL.value()
    return f"{page}/runs/flow-run/{run}" if page else ""


def log(message: str) -> None:
    """Tell whoever follows: on the run's page and in the terminal."""
    if in_flow_run():
        from prefect import get_run_logger

        get_run_logger().info("%s", message)
    else:
        LOGGER.info("%s", message)


@contextmanager
def shown(what: str) -> Iterator[None]:
    """Show something on a run's page; a server that is away costs nothing but that."""
    try:
        yield
    except Exception as error:  # noqa: BLE001  (others' code, and no result depends on it)
        log(f"{what} is not on the run's page ({type(error).__name__}: {error}).")


def show_text(key: str, markdown: str, title: str) -> None:
    """Show Markdown."""
    if in_flow_run():
        from prefect.artifacts import create_markdown_artifact

        with shown(title):
            create_markdown_artifact(markdown, key=slug(key), description=title)


def show_table(key: str, rows: Sequence[Mapping[str, object]], title: str) -> None:
    """Show rows with the same keys as a table."""
    if in_flow_run() and rows:
        from prefect.artifacts import create_table_artifact

        with shown(title):
            create_table_artifact([dict(row) for row in rows], key=slug(key), description=title)


def show_link(key: str, address: str, text: str) -> None:
    """Show a link, and say it where there is no page."""
    if in_flow_run():
        from prefect.artifacts import create_link_artifact

        with shown(text):
            create_link_artifact(address, link_text=text, key=slug(key))
    log(f"{text}: {address}")


def show_image(key: str, path: Path, title: str) -> None:
    """Show an image, small enough for a page; Prefect's own kind would print its content too."""
    if in_flow_run():
        show_text(key, f"![{title}]({image_address(path)})", title)


def slug(key: str) -> str:
    """Bring a key to the letters that Prefect takes: small ones, digits and dashes."""
    return re.sub(r"[^a-z0-9]+", "-", key.lower()).strip("-")


def image_address(path: Path) -> str:
    """Turn an image into an address that holds it (`data:`), at most `WIDEST` pixels wide."""
    from pasam.masks.images import open_image

    with open_image(path) as image:
        small = image.convert("RGB")
    small.thumbnail((WIDEST, 4 * WIDEST))
    buffer = io.BytesIO()
    small.save(buffer, format="JPEG", quality=80)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"


def notify(address: str | None, subject: str, text: str) -> bool:
    """Send a message and say if it went; whatever goes wrong is logged and changes nothing.

    Args:
        address: `https://...` receives a POST of JSON with `subject` and `text`, which Slack,
            Mattermost and Teams understand; `<block type>/<name>` is a notification block of
            Prefect, such as `slack-webhook/team`. None is whom `PASAM_NOTIFY` names, if anybody.
        subject: A few words.
        text: The message.
    """
    address = address or os.environ.get(NOTIFY_VARIABLE)
    if not address:
        return False
    try:
        if address.startswith(("http://", "https://")):
            _post(address, subject, text)
        else:
            _send_by_block(address, subject, text)
    except Exception as error:  # noqa: BLE001  (a messenger must not fail what it tells about)
        # Others' errors may quote the address, which is a password.
        reason = str(error) if isinstance(error, DataError) else type(error).__name__
        log(f"Nobody was told by {_without_secret(address)} ({reason}): {subject}: {text}")
        return False
    return True


def _post(address: str, subject: str, text: str) -> None:
    answer = urllib3.PoolManager().request(  # its own: a kept connection may be closed by now
        "POST", address, json={"subject": subject, "text": f"{subject}: {text}"},
        timeout=NOTIFY_SECONDS, retries=False, redirect=False,
    )  # fmt: skip
    if not 200 <= answer.status < 300:
        raise urllib3.exceptions.HTTPError(f"status {answer.status}")


def _send_by_block(address: str, subject: str, text: str) -> None:
    from prefect.blocks.abstract import NotificationBlock
    from prefect.blocks.core import Block
    from prefect.utilities.asyncutils import run_coro_as_sync

    async def send() -> None:
        try:
            block: Any = await Block.aload(address)
        except ValueError:
            raise DataError("Prefect has no such block; see `prefect block ls`") from None
        if not isinstance(block, NotificationBlock):
            raise DataError("this block of Prefect sends no messages")
        with block.raise_on_failure():  # else a refusal would pass for a success
            await block.notify(text, subject=subject)

    run_coro_as_sync(send())


def _without_secret(address: str) -> str:
    """Leave out a webhook's path: it is its password."""
    return urlsplit(address).hostname or address
