"""What the page is made of: sections of blocks, which the templates turn into HTML."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from markupsafe import Markup

from pasam.reporting.grid import Grid


@dataclass(frozen=True, kw_only=True, slots=True)
class Text:
    """A paragraph."""

    kind: ClassVar[str] = "text"
    words: str
    quiet: bool = False
    """Set small: a note, not the matter."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Code:
    """Commands to type."""

    kind: ClassVar[str] = "code"
    lines: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Absent:
    """What this run did not make, and the command that makes it."""

    kind: ClassVar[str] = "absent"
    what: str
    command: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    """A grid, wide ones in a box that scrolls."""

    kind: ClassVar[str] = "table"
    grid: Grid
    folded: bool = False
    """Whether the reader has to open it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Key:
    """One entry of a legend."""

    name: str
    colour: str
    """A CSS colour."""
    shape: str = "circle"


@dataclass(frozen=True, kw_only=True, slots=True)
class Panel:
    """One chart among others that share a legend."""

    heading: str
    svg: Markup


@dataclass(frozen=True, kw_only=True, slots=True)
class Charts:
    """Charts side by side, as many as fit."""

    kind: ClassVar[str] = "charts"
    panels: tuple[Panel, ...]
    caption: str
    legend: tuple[Key, ...] = ()
    numbers: Grid | None = None
    """The same in numbers, folded away."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StripRow:
    """One line of a list of intervals."""

    name: str
    note: str
    """Small words below the name."""
    strip: Markup
    value: str
    verdict: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Strips:
    """Intervals under each other on one scale."""

    kind: ClassVar[str] = "strips"
    heading: str
    rows: tuple[StripRow, ...]
    caption: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Tile:
    """One number that a reader should take away."""

    value: str
    words: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Tiles:
    """A few numbers in large letters."""

    kind: ClassVar[str] = "tiles"
    tiles: tuple[Tile, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class View:
    """One picture with the marks on it."""

    name: str
    source: str
    """A data address."""
    alt: str
    width: int
    height: int
    marks: Markup = Markup("")
    """SVG drawn over the picture: the prompt and mined points."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Pictures:
    """Pictures side by side."""

    kind: ClassVar[str] = "pictures"
    views: tuple[View, ...]
    caption: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Card:
    """One image of a gallery in several views."""

    title: str
    note: str
    views: tuple[View, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Gallery:
    """Cards that open large and can be walked through by keys."""

    kind: ClassVar[str] = "gallery"
    name: str
    caption: str
    cards: tuple[Card, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Slider:
    """Two pictures of one image with a handle between them."""

    kind: ClassVar[str] = "slider"
    before: View
    after: View
    caption: str


Block = Text | Code | Absent | Table | Charts | Strips | Tiles | Pictures | Gallery | Slider


@dataclass(frozen=True, kw_only=True, slots=True)
class Section:
    """A part of the page with an entry in the table of contents."""

    key: str
    """Its anchor."""
    title: str
    lead: str
    """One or two sentences that say what it shows."""
    blocks: tuple[Block, ...]
