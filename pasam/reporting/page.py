"""The page: one HTML file with everything in it, the same bytes for the same results."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from pasam.reporting.blocks import Section
from pasam.reporting.palette import (
    FALSE_NEGATIVE,
    FALSE_POSITIVE,
    PAGE_MODELS,
    PAGE_OTHERS,
    TRUE_POSITIVE,
)
from pasam.reporting.questions.answer import Answer
from pasam.reporting.sections.galleries import MARK_KEYS, OVERLAY_KEYS

_TEMPLATES = "templates"


def render_page(
    *, title: str, setting: str, sections: Sequence[Section], answers: Sequence[Answer]
) -> str:
    """Write the page.

    Args:
        title: Its heading.
        setting: What the run was made on, below the heading.
        sections: In the order of the page; the one with the key "questions" holds the answers.
        answers: The ten questions.

    Returns:
        HTML that needs no other file and no network.
    """
    environment = Environment(
        loader=PackageLoader("pasam.reporting", _TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_unbroken,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(overlay_keys=OVERLAY_KEYS, mark_keys=MARK_KEYS)
    style = environment.get_template("style.css.j2").render(
        models=PAGE_MODELS, others=PAGE_OTHERS,
        hit=TRUE_POSITIVE, false_alarm=FALSE_POSITIVE, miss=FALSE_NEGATIVE,
    )  # fmt: skip
    script = files("pasam.reporting").joinpath(_TEMPLATES, "page.js").read_text(encoding="utf-8")
    page = environment.get_template("index.html.j2").render(
        title=title, setting=setting, description=setting, sections=sections, answers=answers,
        style=Markup(style), script=Markup(script),
    )  # fmt: skip
    return page + "\n"


def _unbroken(value: object) -> object:
    """Keep a number and its per cent sign on one line."""
    if isinstance(value, str) and not isinstance(value, Markup):
        return value.replace(" %", "\N{NO-BREAK SPACE}%")
    return value
