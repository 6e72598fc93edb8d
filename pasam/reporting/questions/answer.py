"""What an answered question is: its experiment, one computed sentence, and pictures."""

from __future__ import annotations

from dataclasses import dataclass

from pasam.reporting.blocks import Absent, Block

ABLATION_COMMAND = "pasam params use ablation && dvc repro"


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """One of the ten questions with what this run says about it."""

    number: int
    short: str
    """As the table of contents calls it."""
    title: str
    """The question."""
    experiment: str
    sentence: str
    """Computed from the numbers of the run."""
    blocks: tuple[Block, ...]
    answered: bool = True

    @property
    def key(self) -> str:
        """Its anchor."""
        return f"question-{self.number}"


def unanswered(
    *, number: int, short: str, title: str, experiment: str, what: str, command: str
) -> Answer:
    """Make the section of a question whose experiment this run lacks."""
    return Answer(
        number=number,
        short=short,
        title=title,
        experiment=experiment,
        sentence="This run does not answer it.",
        blocks=(Absent(what=what, command=command),),
        answered=False,
    )
