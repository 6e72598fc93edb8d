"""The ten questions in their order."""

from __future__ import annotations

from collections.abc import Callable

from pasam.reporting.questions import (
    components,
    detector_boxes,
    findings,
    fine_structure,
    freezing,
    limits,
    mining,
    prompt_changes,
    prompt_or_image,
    tokens,
)
from pasam.reporting.questions.answer import Answer
from pasam.reporting.results import Results

QUESTIONS: tuple[Callable[[Results], Answer], ...] = (
    components.answer,
    prompt_or_image.answer,
    prompt_changes.answer,
    tokens.answer,
    mining.answer,
    freezing.answer,
    fine_structure.answer,
    detector_boxes.answer,
    findings.answer,
    limits.answer,
)


def answers(results: Results) -> tuple[Answer, ...]:
    """Answer all of them from one run."""
    return tuple(question(results) for question in QUESTIONS)
