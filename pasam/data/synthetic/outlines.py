"""Simple objects with smooth but complex outlines: blobs, animals, leaves (like COIFT)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from pasam.data.synthetic.randomness import Draws
from pasam.data.synthetic.strokes import Drawing, Points, ellipse, limb, points, polar, smooth

# Every function draws an object centred on the origin whose longer extent is about `span` units.


def blob(draws: Draws, span: float) -> Drawing:
    """Draw a closed contour made of a few waves."""
    drawing = Drawing()
    angles = np.linspace(0, 2 * np.pi, 120, endpoint=False)
    radii = np.ones(120)
    for wave in range(2, draws.whole(4, 8)):
        radii += draws.shape(0.0, 0.75) / wave * np.sin(wave * angles + draws.free(0, 6.28))
    radii = np.maximum(radii, 0.25)
    drawing.fill(polar(angles, radii / radii.max() * span / 2))
    return drawing


def _add_head(drawing: Drawing, draws: Draws, head: Points, deep: float) -> None:
    """Add an animal's skull, snout and ears to its body, which is `deep` units deep."""
    snout = head + np.array([deep * draws.shape(0.8, 1.5), deep * draws.shape(0.1, 0.6)])
    drawing.fill(
        limb(
            np.stack([head - [deep * 0.3, 0], head, snout]),
            (deep * 0.7, deep * 1.05, max(deep * 0.45, 4)),
        )
    )
    ear = max(deep * draws.shape(0.5, 1.3), 6)
    for shift in (-0.35, 0.1):
        root = head + np.array([deep * shift, -deep * 0.3])
        drawing.fill(
            limb(
                np.stack([root, root + [-0.1 * ear, -ear * 0.6], root + [-0.35 * ear, -ear]]),
                (deep * 0.5, deep * 0.4, 2.5),
            )
        )


def animal(draws: Draws, span: float) -> Drawing:
    """Draw a four-legged animal: body, neck, head, ears, legs, tail."""
    drawing, s = Drawing(), span / 2
    long, deep = s * 0.62, s * draws.shape(0.28, 0.44)
    leg, neck = s * draws.shape(0.25, 0.6), s * draws.shape(0.1, 0.6)
    thick = max(4.0, s * draws.shape(0.13, 0.22))
    back = points(
        (-long, 0),
        (-long * 0.3, draws.free(-0.15, 0.1) * deep),
        (long * 0.4, 0),
        (long, -deep * 0.3),
    )
    drawing.fill(limb(back, (deep * 1.1, deep * 1.9, deep * 1.7, deep * 1.9, deep)))
    head = np.array([long + neck * draws.shape(0.2, 0.7) + deep * 0.3, -deep * 0.3 - neck])
    drawing.fill(
        limb(
            points((long * 0.75, 0), ((long + head[0]) / 2, head[1] / 2), tuple(head)),
            (deep * 1.5, deep, deep * 0.8),
        )
    )
    _add_head(drawing, draws, head, deep)
    for x in (-0.9, -0.62, 0.5, 0.82):
        swing = draws.shape(-0.3, 0.3) * leg
        foot = deep * 0.6 + leg
        knee = points(
            (long * x, 0),
            (long * x + swing * 0.2, deep * 0.6 + leg * 0.5),
            (long * x + swing, foot),
        )
        drawing.fill(limb(knee, (thick * 2.2, thick * 1.1, max(thick * 0.8, 3.2))))
    curl = draws.shape(-0.7, 0.9)
    tail = points(
        (-long, -deep * 0.2),
        (-long - s * 0.2, deep * curl),
        (-long - s * draws.shape(0.2, 0.5), -deep * curl),
    )
    drawing.fill(limb(tail, (thick * 1.1, thick, max(thick * draws.shape(0.5, 1.5), 3))), part=1)
    return drawing


def bird(draws: Draws, span: float) -> Drawing:
    """Draw a bird in flight or at rest: body, wings with notched edges, tail, beak."""
    drawing, s = Drawing(), span / 2
    fat = s * draws.shape(0.14, 0.3)
    drawing.fill(
        limb(
            points((-s * 0.6, fat * 0.2), (0, 0), (s * 0.6, -fat * 0.4)),
            (fat * 0.5, fat * 2, fat * 1.1),
        )
    )
    drawing.fill(ellipse(s * 0.66, -fat * 0.5, fat * 0.75, fat * 0.65))
    drawing.fill(
        points(
            (s * 0.66 + fat * 0.4, -fat),
            (s * 0.66 + fat * draws.shape(1.3, 2.2), -fat * 0.4),
            (s * 0.66 + fat * 0.4, 0),
        ),
        part=2,
    )
    fan, reach = draws.shape(0.2, 0.6), s * draws.shape(0.25, 0.45)
    for angle in np.linspace(-fan, fan, draws.whole(3, 5)):
        tip = points(
            (-s * 0.5, 0),
            (-s * 0.5 - reach * 0.6, reach * angle * 0.7),
            (-s * 0.5 - reach, reach * angle * 1.4),
        )
        drawing.fill(limb(tip, (fat * 0.5, fat * 0.5, 3.2)))
    for side in (-1.0, draws.shape(0.2, 1.0)):
        count, high = draws.whole(5, 9), s * draws.shape(0.5, 1.0) * side
        lean = draws.shape(-0.6, 0.3) * s
        for i in range(count):
            share = i / (count - 1)
            tip = np.array([lean * (1 - share * 0.5) - s * 0.55 * share, high * (1 - 0.75 * share)])
            feather = np.stack([[s * (0.2 - 0.4 * share), 0.0], tip * 0.6 + [s * 0.12, 0], tip])
            drawing.fill(limb(feather, (fat, s * 0.16, 3.4)), part=1)
    return drawing


def leaf(draws: Draws, span: float) -> Drawing:
    """Draw a leaf: lobed like an oak's or pointed like a maple's, with a stalk."""
    drawing, s = Drawing(), span / 2
    if draws.chance(0.5):
        lobes, depth, broad = draws.whole(3, 7), draws.shape(0.15, 0.5), draws.shape(0.3, 0.6)
        t = np.linspace(0, 1, 70)
        halves = (
            s * broad * np.sin(np.pi * t) ** 0.7 * (1 - depth * np.cos(2 * np.pi * lobes * t) ** 2)
        )
        right = np.stack([halves, s * 0.8 - 1.8 * s * t], axis=1)
        drawing.fill(np.concatenate([right, (right * [-1, 1])[::-1]]))
    else:
        count, depth = draws.whole(5, 9), draws.shape(0.3, 0.65)
        angles = np.linspace(-0.85 * np.pi, 0.85 * np.pi, 2 * count + 1) - np.pi / 2
        radii = np.where(np.arange(2 * count + 1) % 2, 1.0, 1.0 - depth) * (
            1 - 0.1 * np.abs(angles + np.pi / 2)
        )
        drawing.fill(smooth(polar(angles, 0.85 * s * radii), closed=True, steps=5))
    stalk = points((0, s * 0.3), (s * 0.03, s * 0.8), (s * draws.shape(-0.3, 0.3), s * 1.15))
    drawing.line(smooth(stalk, closed=False), width=max(3.2, s * 0.05), part=1)
    return drawing


def fish(draws: Draws, span: float) -> Drawing:
    """Draw a fish with fins and a forked tail."""
    drawing, s = Drawing(), span / 2
    deep, bend = s * draws.shape(0.25, 0.6), s * draws.shape(-0.2, 0.2)
    spine = points((s, 0), (s * 0.4, bend * 0.4), (-s * 0.2, bend), (-s * 0.65, bend * 0.4))
    drawing.fill(limb(spine, (3, deep, deep * 1.4, deep * 0.9, deep * 0.3)))
    fork, notch = s * draws.shape(0.2, 0.5), s * draws.shape(0.05, 0.25)
    root = (-s * 0.55, bend * 0.45)
    tail = points(root, (-s, -fork), (-s + notch, bend * 0.3), (-s * 0.95, fork), root)
    drawing.fill(smooth(tail[:-1], closed=True, steps=5), part=1)
    for side, share in ((-1.0, draws.shape(0.4, 1.0)), (1.0, draws.shape(0.2, 0.7))):
        fin = points(
            (s * 0.45, side * deep * 0.3),
            (s * 0.1, side * (deep * 0.6 + deep * share)),
            (-s * 0.45, side * deep * 0.6),
            (-s * 0.3, bend),
        )
        drawing.fill(smooth(fin, closed=True, steps=5), part=1)
    return drawing


def vessel(draws: Draws, span: float) -> Drawing:
    """Draw a vase, bottle or jug by its profile, at times with handles and a spout."""
    drawing, s = Drawing(), span / 2
    count = draws.whole(4, 6)
    halves = np.array([draws.shape(0.14, 0.62) for _ in range(count + 1)]) * s
    profile = smooth(np.stack([halves, np.linspace(-s, s, count + 1)], axis=1), closed=False)
    profile[:, 0] = np.maximum(profile[:, 0], 0.08 * s)
    drawing.fill(np.concatenate([profile, (profile * [-1, 1])[::-1]]))
    for side in (-1.0, 1.0):
        if draws.chance(0.5):
            out = s * draws.shape(0.5, 0.9)
            grip = points(
                (side * halves[1] * 0.8, -s * 0.6),
                (side * (out + 4), -s * 0.45),
                (side * out, s * 0.05),
                (side * halves[count // 2] * 0.7, s * 0.2),
            )
            drawing.line(
                smooth(grip, closed=False), width=max(4.0, s * draws.shape(0.07, 0.14)), part=1
            )
    return drawing


def star(draws: Draws, span: float) -> Drawing:
    """Draw a starfish or a flower head: bent arms round a middle."""
    drawing, s = Drawing(), span / 2
    count, bend = draws.whole(4, 9), draws.shape(-0.5, 0.5)
    broad = s * draws.shape(0.3, 0.5) * 6 / (count + 2)
    swell = draws.shape(0.4, 1.6)
    for angle in np.arange(count) * 2 * np.pi / count:
        length = s * draws.free(0.85, 1.0)
        arm = polar(angle + np.array([0.0, bend * 0.4, bend]), length * np.array([0.0, 0.55, 1.0]))
        drawing.fill(limb(arm, (broad * 1.4, broad * swell * 1.2, max(broad * 0.4, 3))))
    drawing.fill(ellipse(0, 0, s * 0.25, s * 0.25), part=draws.index(2))
    return drawing


def person(draws: Draws, span: float) -> Drawing:
    """Draw a standing or moving figure with arms and legs apart."""
    drawing, s = Drawing(), span / 2
    build = s * draws.shape(0.17, 0.26)
    drawing.fill(ellipse(0, -s * 0.8, s * 0.14, s * 0.18), part=1)
    drawing.fill(
        limb(
            points((0, -s * 0.7), (0, -s * 0.3), (s * 0.02, s * 0.15)),
            (build, build * 2.6, build * 1.8),
        )
    )
    for side in (-1.0, 1.0):
        hip, knee = np.array([side * build * 0.5, s * 0.1]), draws.shape(-0.1, 0.4)
        foot = np.array([side * s * draws.shape(0.05, 0.45), s * draws.shape(0.8, 1.0)])
        bent = (hip + foot) / 2 + np.array([s * knee * 0.3, 0])
        drawing.fill(
            limb(np.stack([hip, bent, foot]), (build * 1.5, build, max(build * 0.6, 4))), part=2
        )
        shoulder = np.array([side * build * 1.1, -s * 0.52])
        elbow = shoulder + s * np.array([side * draws.shape(0.1, 0.35), draws.shape(-0.25, 0.3)])
        hand = elbow + s * np.array([side * draws.shape(-0.1, 0.3), draws.shape(-0.3, 0.3)])
        drawing.fill(
            limb(np.stack([shoulder, elbow, hand]), (build, build * 0.7, max(build * 0.5, 3.6)))
        )
    return drawing


SHAPES: tuple[Callable[[Draws, float], Drawing], ...] = (
    blob, animal, animal, bird, leaf, fish, vessel, star, person,
)  # fmt: skip
