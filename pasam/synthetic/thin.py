"""Thin, elongated objects: trees, cables, combs, rackets, bicycles (like ThinObject5K)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from pasam.synthetic.randomness import Draws
from pasam.synthetic.strokes import (
    Drawing,
    arc,
    circle,
    ellipse,
    points,
    polar,
    rectangle,
    smooth,
)

# Every function draws an object centred on the origin whose longer extent is about `span` units.


def tree(draws: Draws, span: float) -> Drawing:
    """Draw a bare tree: branches that fork again and again."""
    drawing, depth = Drawing(), 4 if span > 130 else 3
    fork, shrink = draws.shape(0.35, 0.75), draws.shape(0.66, 0.82)
    trunk = span * draws.shape(0.22, 0.34)
    width, thinning = draws.shape(7.0, 14.0), draws.shape(0.55, 0.75)
    tips = [(np.array([0.0, span / 2]), -np.pi / 2 + draws.shape(-0.2, 0.2))]
    length = trunk
    for _ in range(depth + 1):
        lines, grown = [], []
        for root, angle in tips:
            tip = root + length * draws.free(0.75, 1.1) * np.array([np.cos(angle), np.sin(angle)])
            side = np.array([np.sin(angle), -np.cos(angle)]) * length * draws.free(-0.12, 0.12)
            lines.append(
                smooth(np.stack([root, (root + tip) / 2 + side, tip]), closed=False, steps=4)
            )
            grown += [
                (tip, angle - fork * draws.free(0.6, 1.3)),
                (tip, angle + fork * draws.free(0.6, 1.3)),
            ]
            if draws.chance(0.25):
                grown.append((tip, angle + draws.free(-0.2, 0.2)))
        drawing.line(*lines, width=width)
        tips, length, width = grown, length * shrink, width * thinning
    return drawing


def cable(draws: Draws, span: float) -> Drawing:
    """Draw a cable: coiled like a telephone's or laid in loops, with a plug."""
    drawing, s = Drawing(), span / 2
    width = draws.shape(3.4, 6.5)
    if draws.chance(0.45):
        turns, radius = draws.whole(5, 11), s * draws.shape(0.12, 0.24)
        t = np.linspace(0, 1, 30 * turns)
        phase = 2 * np.pi * turns * t
        sag = s * draws.shape(-0.5, 0.5) * np.sin(np.pi * t)
        radius = max(radius, 1.3 * s / turns)
        line = np.stack(
            [s * (1.7 * t - 0.85) + radius * np.cos(phase) * 0.8, sag + radius * np.sin(phase)],
            axis=1,
        )
    else:
        count = draws.whole(5, 9)
        corners = np.stack(
            [draws.many(-0.9, 0.9, count) * s, draws.many(-0.8, 0.8, count) * s], axis=1
        )
        corners[:, 0] = 0.6 * corners[:, 0] + 0.5 * np.linspace(-s, s, count)
        line = smooth(corners, closed=False, steps=14)
    drawing.line(line, width=width)
    heading = line[-1] - line[-4]
    heading = heading / max(float(np.hypot(*heading)), 1e-6)
    plug = s * draws.shape(0.1, 0.24)
    drawing.limb(
        np.stack([line[-1] - heading * 2, line[-1] + heading * plug]),
        (width * 1.4, width * 2.4, width * 2.2),
        part=1,
    )
    normal = np.array([-heading[1], heading[0]]) * width * 0.7
    end = line[-1] + heading * plug * 0.9
    prongs = [np.stack([end + n, end + n + heading * plug * 0.6]) for n in (-normal, normal)]
    drawing.line(*prongs, width=2.8, part=1)
    return drawing


def comb(draws: Draws, span: float) -> Drawing:
    """Draw a comb, a rake or a broom head with a handle."""
    drawing, s = Drawing(), span / 2
    share = draws.shape(0.55, 1.0)
    pitch = draws.shape(7.0, 12.0)
    count = max(5, int(span * share / pitch))
    long, back = span * draws.shape(0.14, 0.3), draws.shape(5.0, 13.0)
    xs = np.linspace(-s, -s + span * share, count)
    bow = draws.shape(-0.12, 0.12) * span * (1 - (2 * (xs + s) / (span * share) - 1) ** 2)
    drawing.line(
        *(points((x, b), (x, b + long)) for x, b in zip(xs, bow, strict=True)),
        width=min(draws.shape(2.8, 4.2), pitch * 0.5),
    )
    drawing.line(np.stack([xs, bow], axis=1), width=back)
    if share < 0.85:
        drawing.line(points((xs[-1], 0), (s, 0)), width=back, part=1)
    elif draws.chance(0.5):
        middle = float(xs[count // 2])
        drawing.line(
            points((middle, float(bow[count // 2])), (middle, -span * draws.shape(0.3, 0.7))),
            width=draws.shape(4.0, 7.0),
            part=1,
        )
    return drawing


def racket(draws: Draws, span: float) -> Drawing:
    """Draw a racket or a net: strings inside a hoop, and a handle."""
    drawing = Drawing()
    ry = span * draws.shape(0.22, 0.32)
    rx, y = ry * draws.shape(0.65, 1.0), -span / 2 + ry
    pitch = draws.shape(9.0, 15.0)
    strings = []
    for x in np.arange(-rx + pitch * 0.7, rx - 2, pitch):
        reach = ry * float(np.sqrt(max(1 - (x / rx) ** 2, 0)))
        strings.append(points((x, y - reach), (x, y + reach)))
    for row in np.arange(-ry + pitch * 0.7, ry - 2, pitch):
        reach = rx * float(np.sqrt(max(1 - (row / ry) ** 2, 0)))
        strings.append(points((-reach, y + row), (reach, y + row)))
    drawing.line(*strings, width=2.8, part=1)
    frame = draws.shape(3.8, 7.5)
    drawing.line(ellipse(0, y, rx, ry)[np.r_[0:48, 0]], width=frame)
    throat, grip = y + ry * draws.shape(1.25, 1.6), draws.shape(5.0, 10.0)
    drawing.line(
        points((-rx * 0.5, y + ry * 0.86), (0, throat), (rx * 0.5, y + ry * 0.86)),
        width=frame * 0.8,
    )
    drawing.line(points((0, throat), (0, span / 2)), width=grip, part=2)
    return drawing


def fork(draws: Draws, span: float) -> Drawing:
    """Draw a fork, trident or pitchfork."""
    drawing, s = Drawing(), span / 2
    count, half = draws.whole(3, 6), span * draws.shape(0.09, 0.2)
    width = draws.shape(3.0, 5.0)
    half = max(half, count * width)
    tine, neck = -s + span * draws.shape(0.24, 0.4), span * draws.shape(0.06, 0.14)
    xs = np.linspace(-half, half, count)
    drawing.line(*(points((x, -s), (x * 1.0, tine)) for x in xs), width=width)
    drawing.line(
        arc(0, tine, half, neck, 0, np.pi), points((-half, tine), (half, tine)), width=width + 1
    )
    thick = draws.shape(4.0, 10.0)
    drawing.limb(points((0, tine), (0, 0), (0, s)), (thick * 0.7, thick * 0.7, thick, thick * 1.2))
    return drawing


def scissors(draws: Draws, span: float) -> Drawing:
    """Draw open scissors or pliers with ring handles."""
    drawing, s = Drawing(), span / 2
    gap, pivot = draws.shape(0.15, 0.5), span * draws.shape(-0.05, 0.12)
    ring, width = span * draws.shape(0.08, 0.13), draws.shape(3.6, 6.0)
    blade = max(6.0, span * draws.shape(0.04, 0.09))
    for side in (-1.0, 1.0):
        tip = np.array([side * np.sin(gap) * (pivot + s), pivot - np.cos(gap) * (pivot + s)])
        end = np.array([-side * np.sin(gap) * (s - pivot), pivot + np.cos(gap) * (s - pivot)])
        middle = np.array([0.0, pivot])
        drawing.limb(np.stack([tip, (tip + middle) / 2, middle]), (2.8, blade, blade * 1.2))
        drawing.line(np.stack([middle, end - (end - middle) * 0.35]), width=width + 1, part=1)
        centre = end - (end - middle) * 0.2 + np.array([-side * ring * 0.7, 0.0])
        drawing.line(
            ellipse(centre[0], centre[1], ring, ring * 1.35, turn=side * 0.4)[np.r_[0:48, 0]],
            width=width,
            part=1,
        )
    drawing.fill(circle(0, pivot, blade * 0.6))
    return drawing


def _spoked(drawing: Drawing, x: float, radius: float, count: int, width: float) -> None:
    """Add a bicycle's wheel."""
    angles = np.arange(count) * 2 * np.pi / count
    rim = polar(angles, np.full(count, radius)) + [x, 0.0]
    drawing.line(*(np.stack([[x, 0.0], point]) for point in rim), width=2.7, part=1)
    drawing.line(circle(x, 0, radius), width=width, part=1)


def bicycle(draws: Draws, span: float) -> Drawing:
    """Draw a bicycle: two spoked wheels, a frame, a saddle, handlebars."""
    drawing, s = Drawing(), span / 2
    radius = s * draws.shape(0.36, 0.48)
    tyre, tube = draws.shape(3.2, 5.5), draws.shape(3.2, 5.5)
    spokes = draws.whole(5, 11 if radius > 30 else 7)
    back, front = -s + radius, s - radius
    for x in (back, front):
        _spoked(drawing, x, radius, spokes, tyre)
    crank = np.array([draws.shape(-0.15, 0.0) * s, radius * 0.1])
    seat = np.array([crank[0] - s * draws.shape(0.1, 0.25), -s * draws.shape(0.5, 0.75)])
    head = np.array([front - s * draws.shape(0.1, 0.25), -s * draws.shape(0.5, 0.75)])
    hub, axle = np.array([back, 0.0]), np.array([front, 0.0])
    tubes = [(hub, crank), (hub, seat), (seat, crank), (seat, head), (crank, head), (head, axle)]
    drawing.line(*(np.stack(pair) for pair in tubes), width=tube)
    top = seat + [0.0, -s * 0.1]
    drawing.line(
        np.stack([seat, top]), np.stack([top + [-s * 0.12, 0], top + [s * 0.1, 0]]), width=tube + 1
    )
    bar = head + [s * draws.shape(-0.05, 0.1), -s * 0.12]
    drawing.line(np.stack([head, bar, bar + [s * 0.14, draws.shape(-0.1, 0.1) * s]]), width=tube)
    drawing.line(circle(crank[0], crank[1], max(s * 0.09, 5)), width=3.0)
    return drawing


def parasol(draws: Draws, span: float) -> Drawing:
    """Draw the frame of an umbrella, or an aerial: ribs, arcs and a long stick."""
    drawing, s = Drawing(), span / 2
    count, wide = draws.whole(5, 9), draws.shape(0.8, 1.4)
    width, stick = draws.shape(2.8, 4.2), draws.shape(4.0, 6.5)
    angles = np.linspace(-wide, wide, count) - np.pi / 2
    drawing.line(
        *(np.stack([np.zeros(2), tip]) for tip in polar(angles, np.full(count, s))), width=width
    )
    for share in np.linspace(draws.shape(0.45, 0.65), 1.0, draws.whole(1, 3)):
        rib = arc(0, 0, s * share, s * share, float(angles[0]), float(angles[-1]))
        drawing.line(rib, width=width + 0.6, part=1)
    hook = s * draws.shape(0.1, 0.2)
    drawing.line(points((0, 0), (0, s)), arc(hook, s, hook, hook, np.pi, 0), width=stick, part=2)
    return drawing


def spectacles(draws: Draws, span: float) -> Drawing:
    """Draw a pair of spectacles or goggles with its temples folded out."""
    drawing, s = Drawing(), span / 2
    rx = s * draws.shape(0.32, 0.44)
    ry, width = rx * draws.shape(0.6, 1.0), draws.shape(3.4, 6.5)
    x = s - rx
    for side in (-1.0, 1.0):
        drawing.line(ellipse(side * x, 0, rx, ry)[np.r_[0:48, 0]], width=width)
        away = points(
            (side * (x + rx), -ry * 0.2),
            (side * (x + rx * 0.9), -ry * draws.shape(1.2, 2.2)),
            (side * x * 0.8, -ry * draws.shape(1.6, 2.6)),
        )
        drawing.line(smooth(away, closed=False), width=width * 0.8, part=1)
    drawing.line(arc(0, 0, max(x - rx, 3), ry * 0.4, np.pi, 2 * np.pi), width=width)
    return drawing


def pennant(draws: Draws, span: float) -> Drawing:
    """Draw a washing line or a bunting between two poles."""
    drawing, s = Drawing(), span / 2
    sag, high = s * draws.shape(0.1, 0.5), s * draws.shape(0.5, 0.9)
    ts = np.linspace(-1, 1, draws.whole(5, 9) + 1)
    line = np.stack([s * ts, -high + sag * (1 - ts**2)], axis=1)
    drawing.line(line, width=draws.shape(2.8, 3.8))
    pole = draws.shape(4.0, 7.0)
    drawing.line(points((-s, -high), (-s, high)), points((s, -high), (s, high)), width=pole, part=1)
    for left, right in zip(line[1:-1], line[2:-1], strict=False):
        if draws.chance(0.6):
            drop = s * draws.shape(0.15, 0.4)
            drawing.fill(np.stack([left, right, (left + right) / 2 + [0, drop]]), part=2)
    base = s * draws.shape(0.1, 0.25)
    drawing.fill(
        rectangle(-s - base / 2, high - 4, -s + base / 2, high),
        rectangle(s - base / 2, high - 4, s + base / 2, high),
        part=1,
    )
    return drawing


SHAPES: tuple[Callable[[Draws, float], Drawing], ...] = (
    tree, tree, cable, comb, racket, fork, scissors, bicycle, parasol, spectacles, pennant,
)  # fmt: skip
