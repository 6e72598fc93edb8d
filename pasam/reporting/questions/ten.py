"""The ten questions in their order."""

from __future__ import annotations

from collections.abc import Callable

from pasam.reporting.questions import fine_structure
from pasam.reporting.questions.answer import Answer
from pasam.reporting.results import Results

QUESTIONS: tuple[Callable[[Results], Answer], ...] = (fine_structure.answer,)


def answers(results: Results) -> tuple[Answer, ...]:
    """Answer all of them from one run."""
    return tuple(question(results) for question in QUESTIONS)
