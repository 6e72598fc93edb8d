"""Telling people: by a plain webhook, or by a notification block of Prefect."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import urllib3

from pasam.errors import DataError
from pipelines.flows.engine import say

SECONDS = 15.0


def tell(address: str | None, subject: str, text: str) -> None:
    """Send a message; whatever goes wrong is logged and changes nothing.

    Args:
        address: `https://...` receives a POST of JSON with `subject` and `text`, which Slack,
            Mattermost and Teams understand; `<block type>/<name>` is a notification block of
            Prefect, such as `slack-webhook/team`. None sends nothing.
        subject: A few words.
        text: The message.
    """
    if address is None:
        return
    try:
        if address.startswith(("http://", "https://")):
            _post(address, subject, text)
        else:
            _notify(address, subject, text)
    except Exception as error:  # noqa: BLE001  (a messenger must not fail what it tells about)
        # Others' errors may quote the address, which is a password.
        reason = str(error) if isinstance(error, DataError) else type(error).__name__
        say(f"Nobody was told by {_public(address)} ({reason}): {subject}: {text}")


def _post(address: str, subject: str, text: str) -> None:
    answer = urllib3.request(
        "POST", address, json={"subject": subject, "text": f"{subject}: {text}"},
        timeout=SECONDS, retries=False, redirect=False,
    )  # fmt: skip
    if not 200 <= answer.status < 300:
        raise urllib3.exceptions.HTTPError(f"status {answer.status}")


def _notify(address: str, subject: str, text: str) -> None:
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


def _public(address: str) -> str:
    """Leave out a webhook's path: it is its password."""
    return urlsplit(address).hostname or address
