"""What a question and its answer are: an experiment, one computed sentence, and pictures."""

from __future__ import annotations

from dataclasses import dataclass

from pasam.reporting.blocks import Absent, Block

ABLATION_COMMAND = "pasam params use ablation && dvc repro"
NOTHING = "This run does not answer it."


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
    answered: bool

    @property
    def key(self) -> str:
        """Its anchor."""
        return f"question-{self.number}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Question:
    """What readers ask, and the experiment that answers it."""

    number: int
    short: str
    title: str
    experiment: str

    def answer(self, sentence: str, *blocks: Block, answered: bool = True) -> Answer:
        """Answer it from a run.

        Args:
            sentence: Computed from the numbers of the run.
            blocks: What is shown below it.
            answered: Whether the whole experiment was made.
        """
        return Answer(
            number=self.number,
            short=self.short,
            title=self.title,
            experiment=self.experiment,
            sentence=sentence,
            blocks=blocks,
            answered=answered,
        )

    def unanswered(self, what: str, command: str) -> Answer:
        """Say what this run lacks, and the command that makes it."""
        return self.answer(NOTHING, Absent(what=what, command=command), answered=False)
