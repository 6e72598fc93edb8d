"""SVG elements as text: escaped, short numbers, attributes in the order given."""

from __future__ import annotations

from markupsafe import Markup, escape


def element(name: str, *children: Markup, **attributes: object) -> Markup:
    """Write one element.

    Args:
        name: Name of the element.
        children: What it holds.
        attributes: Their values; `_` at the end is dropped and any other becomes `-`, so that
            `class_` and `text_anchor` can be written. Numbers get one decimal at most.
    """
    parts = [f"<{name}"]
    for key, value in attributes.items():
        shown = number(value) if isinstance(value, float) else str(value)
        parts.append(f'{key.rstrip("_").replace("_", "-")}="{escape(shown)}"')
    opening = " ".join(parts)
    if not children:
        return Markup(f"{opening}/>")
    return Markup(f"{opening}>{''.join(children)}</{name}>")


def text(words: str, x: float, y: float, *, anchor: str = "start", class_: str = "") -> Markup:
    """Write a text at a place."""
    more = {"class_": class_} if class_ else {}
    return element("text", escape(words), x=x, y=y, text_anchor=anchor, **more)


def path(points: list[tuple[float, float]], *, close: bool = False) -> str:
    """Write a polyline as path data."""
    return "M" + "L".join(f"{number(x)} {number(y)}" for x, y in points) + ("Z" if close else "")


def number(value: float) -> str:
    """Write a coordinate with one decimal at most, and never as -0."""
    rounded = round(float(value), 1) + 0.0
    return f"{rounded:.0f}" if rounded == int(rounded) else f"{rounded:.1f}"
