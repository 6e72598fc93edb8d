"""Question 5: how Gumbel top-k chooses diverse hard points."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from pasam.metrics.bootstrap import Interval
from pasam.reporting.ablations import Ablation, of_group, row_of
from pasam.reporting.blocks import Absent, Block, Charts, Panel
from pasam.reporting.effects import effects_sentence
from pasam.reporting.inside import has, mean_inside
from pasam.reporting.names import label
from pasam.reporting.questions.answer import ABLATION_COMMAND, NOTHING, Answer, Question
from pasam.reporting.results import Results
from pasam.reporting.sections.ablations import variant_strips
from pasam.reporting.svg.lines import line_chart
from pasam.reporting.svg.series import Series
from pasam.reporting.units import percent

LACKING = "No variant that chooses points in another way was trained in this run."

QUESTION = Question(
    number=5,
    short="Hard points",
    title="How does Gumbel top-k choose diverse hard points?",
    experiment=(
        "None, random, top and Gumbel top-k; the number of points, the temperature and the scale "
        "of the score as curves; and how far apart and how right the chosen points are."
    ),
)

CURVES = {
    "mining.points": ("Number of points", "points of each sign"),
    "mining.temperature": ("Temperature", "temperature"),
    "mining.score_scale": ("Scale of the score", "factor of the score"),
}


def answer(results: Results) -> Answer:
    """Compare ways to choose points."""
    left_out = [a for a in of_group(results, "component") if set(a.changes) == {"mining.method"}]
    ways = [a for a in of_group(results, "mining") if set(a.changes) == {"mining.method"}]
    variants = left_out + ways
    charts = curves(results)
    blocks: list[Block] = []
    if variants:
        blocks.append(variant_strips(results, variants, "Ways to choose, against Gumbel top-k"))
    blocks += [] if charts is None else [charts]
    sentences = [spread_sentence(results)]
    compared = variants + [a for a in of_group(results, "mining") if a not in ways]
    if compared:
        table = results.ablation_differences
        sentences.append(
            effects_sentence(compared, table, subject=results.subject, level=results.level)
        )
    else:
        blocks.append(Absent(what=LACKING, command=ABLATION_COMMAND))
    sentence = " ".join(words for words in sentences if words)
    return QUESTION.answer(sentence or NOTHING, *blocks, answered=bool(compared))


def spread_sentence(results: Results) -> str:
    """Say how far apart and how right the points are, for the subject and other ways to choose."""
    clauses = []
    others = [a for a in of_group(results, "mining") if set(a.changes) == {"mining.method"}]
    for name, words in (
        (results.subject, label(results.subject)),
        *((a.name, a.words) for a in others),
    ):
        if has(results, name, "point_spread", "points_right"):
            spread, right = (
                mean_inside(results, name, column) for column in ("point_spread", "points_right")
            )
            clauses.append(
                f"{words}: {_per_cent(spread)} of the image's side apart, {_per_cent(right)} of "
                "them of the right sign"
            )
    return f"Points that are chosen in prediction by {'; '.join(clauses)}." if clauses else ""


def _per_cent(found: Interval) -> str:
    ends = f"{percent(found.low):.1f} to {percent(found.high):.1f}"
    return f"{percent(found.mean):.1f} % ({ends})"


def curves(results: Results) -> Charts | None:
    """Draw the difference from the subject over numbers that a variant changes."""
    panels = []
    for key, (heading, axis) in CURVES.items():
        members = [a for a in of_group(results, "mining") if set(a.changes) == {key}]
        if members:
            panels.append(Panel(heading=heading, svg=_curve(results, members, key, heading, axis)))
    if not panels:
        return None
    caption = (
        f"Points of boundary IoU over {label(results.subject)}, {results.level} intervals; the "
        "places without an interval are PA-SAM's own choice."
    )
    return Charts(panels=tuple(panels), caption=caption)


def _curve(
    results: Results, members: Sequence[Ablation], key: str, heading: str, axis: str
) -> Markup:
    own = _own_value(results, key)
    places = {own: (0.0, 0.0, 0.0)}
    for ablation in members:
        row = row_of(results.ablation_differences, ablation.name)
        places[float(ablation.changes[key])] = (row["difference"], row["low"], row["high"])
    xs = sorted(places)
    columns = [tuple(places[x][i] for x in xs) for i in range(3)]
    series = Series(
        name="difference", colour="var(--other-0)", shape="circle",
        x=tuple(float(i) for i in range(len(xs))), y=columns[0], low=columns[1], high=columns[2],
    )  # fmt: skip
    return line_chart(
        [series], title=f"{heading}: difference in boundary IoU", x_label=axis, y_label="points",
        zero=True, names=[f"{x:g}" for x in xs],
    )  # fmt: skip


def _own_value(results: Results, key: str) -> float:
    value: object = results.variants[results.subject]
    for part in key.split("."):
        value = getattr(value, part)
    assert isinstance(value, int | float)
    return float(value)
