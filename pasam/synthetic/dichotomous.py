"""Objects with intricate inner structure, whose holes show the ground (like DIS5K)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from pasam.synthetic.randomness import Draws
from pasam.synthetic.strokes import Drawing, Points, arc, circle, ellipse, points, polar, rectangle

# Every function draws an object centred on the origin whose longer extent is about `span` units.


def _bar(x0: float, y0: float, x1: float, y1: float) -> Points:
    """Return a straight line, (2, 2)."""
    return points((x0, y0), (x1, y1))


def _most(span: float, pitch: float, limit: int) -> int:
    """Return how many things fit into `span` at the given pitch, at most `limit`."""
    return max(2, min(limit, int(span / pitch)))


def wheel(draws: Draws, span: float) -> Drawing:
    """Draw a wheel with spokes, a hub and at times a second ring."""
    drawing, radius = Drawing(), span / 2
    tyre = max(3.5, radius * draws.shape(0.06, 0.2))
    count = draws.whole(4, _most(2 * np.pi * radius * 0.6, 13, 19))
    angles = np.arange(count) * 2 * np.pi / count
    lean = draws.shape(0.0, 0.5) if draws.chance(0.4) else 0.0
    hub = max(4.0, radius * draws.shape(0.08, 0.26))
    width = max(2.8, min(radius * draws.shape(0.03, 0.09), 2 * np.pi * hub * 1.6 / count))
    inner, outer = (
        polar(angles + lean, np.full(count, hub * 0.8)),
        polar(angles, np.full(count, radius - tyre)),
    )
    drawing.line(*(np.stack(pair) for pair in zip(inner, outer, strict=True)), width=width, part=1)
    if draws.chance(0.4):
        drawing.line(circle(0, 0, radius * draws.shape(0.5, 0.75)), width=width, part=1)
    drawing.fill(circle(0, 0, hub), part=2)
    drawing.line(circle(0, 0, radius - tyre / 2), width=tyre)
    if draws.chance(0.5):
        drawing.cut(circle(0, 0, max(hub * 0.45, 2.0)))
    return drawing


def gate(draws: Draws, span: float) -> Drawing:
    """Draw a gate: upright bars between rails, with a straight, arched or pointed top."""
    drawing = Drawing()
    half, high = span / 2, span / 2 * draws.shape(0.5, 1.0)
    count = draws.whole(3, _most(span, 13, 14))
    xs = np.linspace(-half, half, count + 1)
    rise = high * draws.shape(0.0, 0.6) * draws.pick((-1.0, 0.0, 1.0))
    tops = -high + rise * (1 - (xs / half) ** 2) * 0.5 + max(-rise, 0.0) * 0.5
    width, rail = draws.shape(2.8, 5.2), draws.shape(3.5, 7.5)
    drawing.line(*(_bar(x, top, x, high) for x, top in zip(xs, tops, strict=True)), width=width)
    if draws.chance(0.5):
        tips = [
            points((x - 4, t + 3), (x, t - 8), (x + 4, t + 3))
            for x, t in zip(xs, tops, strict=True)
        ]
        drawing.fill(*tips)
    drawing.line(np.stack([xs, tops + rail * 1.5], axis=1), width=rail, part=1)
    for share in np.linspace(1.0, draws.shape(-0.2, 0.5), draws.whole(2, 4)):
        drawing.line(
            _bar(-half, high * share - rail, half, high * share - rail), width=rail, part=1
        )
    if draws.chance(0.5):
        middle = high * draws.shape(-0.2, 0.3)
        ring = min(high, half) * draws.shape(0.2, 0.5)
        drawing.line(circle(0, middle, ring), width=width + 0.8, part=1)
    return drawing


def truss(draws: Draws, span: float) -> Drawing:
    """Draw a truss: a tower that narrows upwards or a bridge, with braces."""
    drawing, half = Drawing(), span / 2
    levels = draws.whole(3, _most(span, 21, 9))
    foot, head = span * draws.shape(0.14, 0.34), span * draws.shape(0.05, 0.14)
    head = max(head, 8.0)
    ys = half - span * np.linspace(0, 1, levels + 1)
    widths = head + (foot - head) * np.linspace(1, 0, levels + 1) ** draws.shape(0.7, 1.8)
    chord, brace = draws.shape(3.6, 6.0), draws.shape(2.7, 4.2)
    right = np.stack([widths, ys], axis=1)
    left = right * np.array([-1.0, 1.0])
    style = draws.index(3)
    braces = [np.stack(pair) for pair in zip(left, right, strict=True)]
    for i in range(levels):
        if style != 1 or i % 2:
            braces.append(np.stack([left[i], right[i + 1]]))
        if style == 0 or (style == 1 and not i % 2):
            braces.append(np.stack([right[i], left[i + 1]]))
    drawing.line(*braces, width=brace, part=1)
    drawing.line(left, right, width=chord)
    if draws.chance(0.4):
        arm, y = span * draws.shape(0.2, 0.42), float(ys[-1])
        outline = points(
            (-arm * 0.5, y + 9), (-arm * 0.5, y), (arm, y), (arm, y + 6), (-arm * 0.5, y + 9)
        )
        drawing.line(outline, width=brace + 0.5)
    return drawing


def ladder(draws: Draws, span: float) -> Drawing:
    """Draw a ladder, a step ladder or a scaffold."""
    drawing, half = Drawing(), span / 2
    foot, head = span * draws.shape(0.1, 0.3), span * draws.shape(0.06, 0.16)
    count = draws.whole(4, _most(span, 15, 13))
    shares = (np.arange(count) + 0.5) / count
    rail, rung = draws.shape(3.8, 7.5), draws.shape(3.0, 5.0)
    drawing.line(
        *(
            _bar(-w, y, w, y)
            for w, y in zip(foot + (head - foot) * shares, half - span * shares, strict=True)
        ),
        width=rung,
        part=1,
    )
    drawing.line(_bar(-foot, half, -head, -half), _bar(foot, half, head, -half), width=rail)
    if draws.chance(0.4):
        away = span * draws.shape(0.2, 0.45)
        drawing.line(
            _bar(head, -half, foot + away, half),
            _bar(foot * 0.6, 0, foot + away / 2, 0),
            width=rung,
        )
    return drawing


def basket(draws: Draws, span: float) -> Drawing:
    """Draw an openwork basket with a handle."""
    drawing = Drawing()
    top, foot = span * draws.shape(0.36, 0.5), span * draws.shape(0.2, 0.38)
    high = span * draws.shape(0.3, 0.5)
    width = draws.shape(2.7, 4.4)
    rows, columns = draws.whole(2, _most(high, 13, 7)), draws.whole(4, _most(2 * foot, 12, 12))
    for share in np.linspace(0, 1, rows + 1):
        half = foot + (top - foot) * share
        drawing.line(arc(0, high * (1 - share), half, high * 0.1, 0, np.pi), width=width)
    for share in np.linspace(-1, 1, columns + 1):
        slant = draws.free(-0.04, 0.04)
        bow = high * 0.1 * float(np.sqrt(1 - share**2))
        drawing.line(
            _bar(foot * share, high + bow, top * min(max(share + slant, -1), 1), bow), width=width
        )
    drawing.line(ellipse(0, 0, top, high * 0.1)[np.r_[0:48, 0]], width=width + 2.2, part=1)
    if draws.chance(0.7):
        grip = high * draws.shape(0.6, 1.3)
        drawing.line(
            arc(0, 0, top * draws.shape(0.6, 0.95), grip, np.pi, 2 * np.pi),
            width=width + 1.2,
            part=1,
        )
    return drawing


def shelf(draws: Draws, span: float) -> Drawing:
    """Draw an open shelf with things standing on its boards."""
    drawing = Drawing()
    half, high = span / 2 * draws.shape(0.5, 1.0), span / 2
    board, rows = draws.shape(3.2, 6.5), draws.whole(2, _most(span, 30, 6))
    ys = np.linspace(-high, high, rows + 1)
    drawing.line(
        *(_bar(-half, y, half, y) for y in ys), _bar(-half, -high, -half, high), width=board
    )
    drawing.line(_bar(half, -high, half, high), width=board)
    if draws.chance(0.4):
        x = half * draws.shape(-0.5, 0.5)
        drawing.line(_bar(x, -high, x, high), width=board)
    gap = span / rows
    for y in ys[1:]:
        x = -half + board + draws.free(0, half)
        while x < half - board and draws.chance(0.85):
            wide, tall = draws.shape(5.0, 14.0), gap * draws.shape(0.35, 0.8)
            wide = min(wide, half - board / 2 - x)
            if wide > 3:
                drawing.fill(rectangle(x, y - tall, x + wide, y), part=1 + draws.index(2))
            x += wide + (0.0 if draws.chance(0.6) else draws.free(4, 16))
    return drawing


def gear(draws: Draws, span: float) -> Drawing:
    """Draw a toothed gear with holes."""
    drawing, radius = Drawing(), span / 2
    count = draws.whole(7, _most(np.pi * span, 16, 22))
    depth = draws.shape(0.1, 0.26)
    steps = np.array([0.0, 0.45, 0.55, 0.95])
    angles = ((np.arange(count)[:, None] + steps) * 2 * np.pi / count).ravel()
    drawing.fill(polar(angles, radius * np.tile([1 - depth, 1 - depth, 1.0, 1.0], count)))
    holes, body = draws.whole(3, 8), radius * (1 - depth)
    size = min(body * draws.shape(0.14, 0.26), body * 0.56 * float(np.sin(np.pi / holes)) - 2)
    for angle in np.arange(holes) * 2 * np.pi / holes:
        x, y = 0.58 * body * float(np.cos(angle)), 0.58 * body * float(np.sin(angle))
        drawing.cut(circle(x, y, max(size, 2.2)))
    drawing.cut(circle(0, 0, body * draws.shape(0.12, 0.24)))
    return drawing


def chair(draws: Draws, span: float) -> Drawing:
    """Draw a chair with a slatted back."""
    drawing, half = Drawing(), span / 2
    wide, seat = span * draws.shape(0.2, 0.34), span * draws.shape(-0.05, 0.15)
    leg, slat = draws.shape(3.8, 7.0), draws.shape(2.9, 4.6)
    skew = span * draws.shape(0.04, 0.16)
    xs = np.linspace(-wide, wide, draws.whole(3, _most(2 * wide, 11, 9)) + 1)
    if draws.chance(0.6):
        drawing.line(*(_bar(x + skew, -half, x, seat) for x in xs), width=slat, part=1)
    else:
        ys = np.linspace(-half, seat, draws.whole(3, 6) + 1)
        tilt = skew * (seat - ys) / (seat + half)
        drawing.line(
            *(_bar(-wide + t, y, wide + t, y) for y, t in zip(ys, tilt, strict=True)),
            width=slat + 1,
            part=1,
        )
    drawing.line(
        _bar(-wide + skew, -half, -wide, seat), _bar(wide + skew, -half, wide, seat), width=leg
    )
    drawing.line(_bar(-wide + skew, -half, wide + skew, -half), width=leg)
    front = points(
        (-wide, seat), (wide, seat), (wide - skew * 2, seat + 12), (-wide - skew * 2, seat + 12)
    )
    drawing.fill(front, part=2)
    legs = [
        (-wide, seat),
        (wide, seat),
        (wide - skew * 2, seat + 10),
        (-wide - skew * 2, seat + 10),
    ]
    drawing.line(*(_bar(x, y, x, y + half - max(seat, 0) - 10) for x, y in legs), width=leg)
    if draws.chance(0.6):
        y = (seat + half) * 0.55
        drawing.line(_bar(-wide - skew * 2, y, wide - skew * 2, y), width=slat)
    return drawing


SHAPES: tuple[Callable[[Draws, float], Drawing], ...] = (
    wheel, gate, truss, ladder, basket, shelf, gear, chair,
)  # fmt: skip
