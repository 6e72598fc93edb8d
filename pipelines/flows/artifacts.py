"""What a run's page shows besides its log: tables, text, links, pictures; nothing without one."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from pipelines.flows.engine import in_flow_run, say

WIDEST = 1000
"""Pixels; pictures are part of Prefect's database."""


def show_text(key: str, markdown: str, title: str) -> None:
    """Show Markdown."""
    if in_flow_run():
        from prefect.artifacts import create_markdown_artifact

        create_markdown_artifact(markdown, key=slug(key), description=title)


def show_table(key: str, rows: Sequence[Mapping[str, object]], title: str) -> None:
    """Show rows with the same keys as a table."""
    if in_flow_run() and rows:
        from prefect.artifacts import create_table_artifact

        create_table_artifact([dict(row) for row in rows], key=slug(key), description=title)


def show_link(key: str, address: str, text: str) -> None:
    """Show a link, and say it where there is no page."""
    if in_flow_run():
        from prefect.artifacts import create_link_artifact

        create_link_artifact(address, link_text=text, key=slug(key))
    say(f"{text}: {address}")


def show_picture(key: str, path: Path, title: str) -> None:
    """Show a picture, small enough for a page; Prefect's own kind would print its content too."""
    if in_flow_run():
        show_text(key, f"![{title}]({picture_address(path)})", title)


def slug(key: str) -> str:
    """Bring a key to the letters that Prefect takes: small ones, digits and dashes."""
    return re.sub(r"[^a-z0-9]+", "-", key.lower()).strip("-")


def picture_address(path: Path) -> str:
    """Turn a picture into an address that holds it (`data:`), at most `WIDEST` pixels wide."""
    from PIL import Image

    with Image.open(path) as picture:
        small = picture.convert("RGB")
    small.thumbnail((WIDEST, 4 * WIDEST))
    buffer = io.BytesIO()
    small.save(buffer, format="JPEG", quality=80)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"
