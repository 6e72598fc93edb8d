"""How to repeat the run, and what stands where."""

from __future__ import annotations

from pasam.reporting.blocks import Code, Section, Text
from pasam.reporting.results import Results

COMMANDS = (
    "pasam params show              # what this run did: every number is there",
    "dvc repro                      # run whatever changed; nothing changed, nothing runs",
    "dvc metrics diff               # this run against the last commit",
    "dvc plots diff                 # the same as pictures",
    "dvc exp run -S train.seed=43   # another seed",
    "pasam report show              # Table 1 in the terminal",
)


def repeat_section(results: Results) -> Section:
    """Tell how to make this page again."""
    words = (
        "Beside this page: tables as Markdown, LaTeX and CSV in the folder tables, all its numbers "
        "in report.json, and a card for every trained model in model_cards."
    )
    return Section(
        key="repeat",
        title="How to repeat it",
        lead=(
            "Same commit, same params, same page. Seeds: training "
            f"{results.train.seed}, draws of the intervals {results.report.seed}, generated data "
            f"{results.data.generated.seed}."
        ),
        blocks=(Code(lines=COMMANDS), Text(words=words, quiet=True)),
    )
