"""The galleries: worst, most improved and most harmed."""

from __future__ import annotations

from collections.abc import Callable

from pasam.reporting.blocks import Block, Gallery, Key, Section, Text
from pasam.reporting.gallery import Shown, card, most_harmed, most_improved, ranked, worst
from pasam.reporting.names import label
from pasam.reporting.results import Results
from pasam.reporting.wording import counted

OVERLAY_KEYS = (
    Key(name="hit", colour="var(--hit)", shape="square"),
    Key(name="false alarm", colour="var(--false-alarm)", shape="square"),
    Key(name="miss", colour="var(--miss)", shape="square"),
)
MARK_KEYS = (
    *OVERLAY_KEYS,
    Key(name="mined foreground point", colour="var(--hit)"),
    Key(name="mined background point", colour="var(--false-alarm)"),
)

_Pick = Callable[[list[Shown], int], list[Shown]]


def galleries_section(results: Results) -> Section:
    """Show the images at both ends of the scores, not the ones that look best."""
    images, count = ranked(results), results.report.gallery
    subject, reference = label(results.subject), label(results.reference)
    picks: list[tuple[str, str, _Pick]] = [
        ("Worst", f"where {subject}'s boundary IoU is lowest", worst),
        ("Most improved", f"where {subject} gains most over {reference}", most_improved),
        ("Most harmed", f"where {subject} loses most against {reference}", most_harmed),
    ]
    blocks: list[Block] = []
    for name, why, pick in picks:
        chosen = pick(images, count)
        if chosen:
            caption = f"{counted(len(chosen), 'image')} {why}."
            cards = tuple(card(results, shown) for shown in chosen)
            blocks.append(Gallery(name=name, caption=caption, cards=cards))
        else:
            blocks.append(Text(words=f"{name}: there is no image {why}."))
    return Section(
        key="galleries",
        title="Galleries",
        lead=(
            "Chosen by score alone from all images of all benchmarks. Each card: prompt and mined "
            f"points, {reference}, {subject}, uncertainty map. Open one, then walk with the arrow "
            "keys."
        ),
        blocks=tuple(blocks),
    )
