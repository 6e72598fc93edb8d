"""At a glance: what came out, in four numbers, one sentence and one picture."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pasam.reporting.blocks import Block, Section, Slider, Text, Tile, Tiles
from pasam.reporting.gallery import median, ranked
from pasam.reporting.names import MEAN, label
from pasam.reporting.pictures import model_view, window_round
from pasam.reporting.results import Results
from pasam.reporting.table1 import covered
from pasam.reporting.wording import comparison, counted, signed, span

SLIDER_SIDE = 640


def glance_section(results: Results) -> Section:
    """Sum the run up."""
    rows = _mean_rows(results, "model")
    successors = _mean_rows(results, "against")
    sentences = [comparison(row, level=results.level) for row in [*rows, *successors]]
    lead = " ".join(sentences) or f"One model was scored: {label(results.subject)}."
    blocks: list[Block] = [Tiles(tiles=_tiles(results, rows))]
    if results.reference != results.subject:
        blocks.append(_slider(results))
    blocks.append(Text(words=_covers(results), quiet=True))
    return Section(key="glance", title="At a glance", lead=lead, blocks=tuple(blocks))


def _mean_rows(results: Results, side: str) -> list[Mapping[str, Any]]:
    """Differences in mean boundary IoU that have the subject on this side (model or against)."""
    table = results.differences
    chosen = table[
        (table[side] == results.subject)
        & (table["benchmark"] == MEAN)
        & (table["metric"] == "mbiou")
    ]
    return [{str(k): v for k, v in row.items()} for row in chosen.to_dict("records")]


def _tiles(results: Results, rows: list[Mapping[str, Any]]) -> tuple[Tile, ...]:
    means = results.summary.set_index(["model", "benchmark"])
    score = float(means["mbiou"][[(results.subject, MEAN)]].iloc[0])
    name = label(results.subject)
    tiles = [Tile(value=f"{score:.1f} %", words=f"mean boundary IoU of {name}")]
    for row in rows:
        words = f"points against {label(row['against'])}, {results.level} interval "
        tiles.append(
            Tile(value=signed(row["difference"]), words=words + span(row["low"], row["high"]))
        )
    if rows:
        words = f"of the images are better than with {label(rows[0]['against'])}"
        tiles.append(Tile(value=f"{rows[0]['better']:.0f} %", words=words))
    return tuple(tiles)


def _slider(results: Results) -> Slider:
    shown = median(ranked(results))
    example = results.example(shown.image_id)
    window = window_round(example)
    before, after = (
        model_view(example, model, window, side=SLIDER_SIDE)
        for model in (results.reference, results.subject)
    )
    caption = (
        f"Drag the handle: {label(results.reference)} on the left, {label(results.subject)} on the "
        f"right. This is {shown.image_id}, the image in the middle of all {len(ranked(results))} "
        f"by gain ({signed(100 * shown.gain)} points of boundary IoU)."
    )
    return Slider(before=before, after=after, caption=caption)


def _covers(results: Results) -> str:
    images = counted(len(results.by_image), "image")
    return (
        f"Measured on {images} of {counted(len(results.evaluate.benchmarks), 'benchmark')}, at "
        f"original size, the mean weighing every benchmark alike. Intervals are of paired "
        f"bootstraps. {covered(len(results.seeds))}"
    )
