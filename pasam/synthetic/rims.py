"""Objects with smooth outlines (like COIFT) and with outlines that dissolve (like HRSOD).

Smooth: blobs, animals, leaves. Dissolving into hair, fur, leaves or feathers: large objects.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from pasam.synthetic.randomness import Draws
from pasam.synthetic.strokes import Drawing, Points, ellipse, points, polar, smooth

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
    drawing.limb(
        np.stack([head - [deep * 0.3, 0], head, snout]),
        (deep * 0.7, deep * 1.05, max(deep * 0.45, 4)),
    )
    ear = max(deep * draws.shape(0.5, 1.3), 6)
    for shift in (-0.35, 0.1):
        root = head + np.array([deep * shift, -deep * 0.3])
        drawing.limb(
            np.stack([root, root + [-0.1 * ear, -ear * 0.6], root + [-0.35 * ear, -ear]]),
            (deep * 0.5, deep * 0.4, 2.5),
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
    drawing.limb(back, (deep * 1.1, deep * 1.9, deep * 1.7, deep * 1.9, deep))
    head = np.array([long + neck * draws.shape(0.2, 0.7) + deep * 0.3, -deep * 0.3 - neck])
    drawing.limb(
        points((long * 0.75, 0), ((long + head[0]) / 2, head[1] / 2), tuple(head)),
        (deep * 1.5, deep, deep * 0.8),
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
        drawing.limb(knee, (thick * 2.2, thick * 1.1, max(thick * 0.8, 3.2)))
    curl = draws.shape(-0.7, 0.9)
    tail = points(
        (-long, -deep * 0.2),
        (-long - s * 0.2, deep * curl),
        (-long - s * draws.shape(0.2, 0.5), -deep * curl),
    )
    drawing.limb(tail, (thick * 1.1, thick, max(thick * draws.shape(0.5, 1.5), 3)), part=1)
    return drawing


def bird(draws: Draws, span: float) -> Drawing:
    """Draw a bird in flight or at rest: body, wings with notched edges, tail, beak."""
    drawing, s = Drawing(), span / 2
    fat = s * draws.shape(0.14, 0.3)
    drawing.limb(
        points((-s * 0.6, fat * 0.2), (0, 0), (s * 0.6, -fat * 0.4)),
        (fat * 0.5, fat * 2, fat * 1.1),
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
        drawing.limb(tip, (fat * 0.5, fat * 0.5, 3.2))
    for side in (-1.0, draws.shape(0.2, 1.0)):
        count, high = draws.whole(5, 9), s * draws.shape(0.5, 1.0) * side
        lean = draws.shape(-0.6, 0.3) * s
        for i in range(count):
            share = i / (count - 1)
            tip = np.array([lean * (1 - share * 0.5) - s * 0.55 * share, high * (1 - 0.75 * share)])
            feather = np.stack([[s * (0.2 - 0.4 * share), 0.0], tip * 0.6 + [s * 0.12, 0], tip])
            drawing.limb(feather, (fat, s * 0.16, 3.4), part=1)
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
    drawing.limb(spine, (3, deep, deep * 1.4, deep * 0.9, deep * 0.3))
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
        drawing.limb(arm, (broad * 1.4, broad * swell * 1.2, max(broad * 0.4, 3)))
    drawing.fill(ellipse(0, 0, s * 0.25, s * 0.25), part=draws.index(2))
    return drawing


def person(draws: Draws, span: float) -> Drawing:
    """Draw a standing or moving figure with arms and legs apart."""
    drawing, s = Drawing(), span / 2
    build = s * draws.shape(0.17, 0.26)
    drawing.fill(ellipse(0, -s * 0.8, s * 0.14, s * 0.18), part=1)
    drawing.limb(
        points((0, -s * 0.7), (0, -s * 0.3), (s * 0.02, s * 0.15)),
        (build, build * 2.6, build * 1.8),
    )
    for side in (-1.0, 1.0):
        hip, knee = np.array([side * build * 0.5, s * 0.1]), draws.shape(-0.1, 0.4)
        foot = np.array([side * s * draws.shape(0.05, 0.45), s * draws.shape(0.8, 1.0)])
        bent = (hip + foot) / 2 + np.array([s * knee * 0.3, 0])
        drawing.limb(np.stack([hip, bent, foot]), (build * 1.5, build, max(build * 0.6, 4)), part=2)
        shoulder = np.array([side * build * 1.1, -s * 0.52])
        elbow = shoulder + s * np.array([side * draws.shape(0.1, 0.35), draws.shape(-0.25, 0.3)])
        hand = elbow + s * np.array([side * draws.shape(-0.1, 0.3), draws.shape(-0.3, 0.3)])
        drawing.limb(np.stack([shoulder, elbow, hand]), (build, build * 0.7, max(build * 0.5, 3.6)))
    return drawing


SMOOTH: tuple[Callable[[Draws, float], Drawing], ...] = (
    blob, animal, animal, bird, leaf, fish, vessel, star, person,
)  # fmt: skip


# Every function draws an object centred on the origin whose longer extent is about `span` units.


def _strands(
    draws: Draws, outline: Points, *, pitch: float, length: float, comb: float
) -> list[Points]:
    """Return hairs that leave a closed outline outwards, leaning along it by `comb` radians."""
    steps = np.linalg.norm(np.diff(outline, axis=0, append=outline[:1]), axis=1)
    along = np.concatenate([[0.0], np.cumsum(steps)])
    count = max(8, int(along[-1] / pitch))
    places = (np.arange(count) + draws.many(-0.4, 0.4, count)) / count * along[-1] % along[-1]
    closed = np.concatenate([outline, outline[:1]])
    roots = np.stack([np.interp(places, along, closed[:, i]) for i in (0, 1)], axis=1)
    ahead = np.stack(
        [np.interp((places + 2) % along[-1], along, closed[:, i]) for i in (0, 1)], axis=1
    )
    direction = np.arctan2(*(ahead - roots).T[::-1]) - np.pi / 2
    direction += comb + draws.many(-0.35, 0.35, count)
    bend, reach = draws.many(-0.5, 0.5, count), length * draws.many(0.45, 1.0, count)
    strands = []
    for root, angle, curl, size in zip(roots, direction, bend, reach, strict=True):
        turn = angle + np.array([0.0, 0.3, 0.7]) * curl
        move = np.stack([np.cos(turn), np.sin(turn)], axis=1) * size / 3
        start = root - 1.2 * move[0]
        strands.append(
            start + np.concatenate([[[0.0, 0.0]], np.cumsum(move * [[1.9], [1.2], [1.1]], axis=0)])
        )
    return strands


def _wavy(draws: Draws, rx: float, ry: float, rough: float) -> Points:
    """Return a closed, gently irregular oval that runs clockwise as seen, (96, 2)."""
    angles = np.linspace(0, 2 * np.pi, 96, endpoint=False)
    radii = np.ones(96)
    for wave in range(2, 6):
        radii += rough / wave * np.sin(wave * angles + draws.free(0, 6.28))
    return polar(angles, radii) * [rx, ry]


def furry(draws: Draws, span: float) -> Drawing:
    """Draw a ball of fur with ears: a cat's or bear's head."""
    drawing, s = Drawing(), span / 2
    fur = span * draws.shape(0.05, 0.13)
    body = _wavy(draws, s - fur, (s - fur) * draws.shape(0.7, 1.0), draws.shape(0.0, 0.3))
    ear = s * draws.shape(0.2, 0.5)
    for side in (-1.0, 1.0):
        root = np.array([side * s * draws.shape(0.35, 0.6), -s * 0.45])
        shape = np.stack(
            [root, root + [side * ear * 0.2, -ear * 0.7], root + [side * ear * 0.35, -ear * 1.2]]
        )
        drawing.limb(shape, (ear * 1.3, ear, 5))
    drawing.fill(body)
    pitch, comb = draws.shape(4.5, 8.0), draws.shape(-0.7, 0.7)
    drawing.hair(
        _strands(draws, body, pitch=pitch, length=fur * 1.6, comb=comb), width=draws.shape(3.0, 5.0)
    )
    for side in (-1.0, 1.0):
        drawing.fill(ellipse(side * s * 0.3, -s * 0.1, s * 0.08, s * 0.1), part=1)
    drawing.fill(ellipse(0, s * 0.2, s * 0.1, s * 0.07), part=1)
    return drawing


def portrait(draws: Draws, span: float) -> Drawing:
    """Draw a bust: shoulders, neck, face, and hair that stands off in strands."""
    drawing, s = Drawing(), span / 2
    face, long = s * draws.shape(0.28, 0.42), draws.shape(1.1, 1.4)
    y = -s * 0.3
    mane = _wavy(
        draws,
        face * draws.shape(1.2, 1.7),
        face * long * draws.shape(1.1, 1.4),
        draws.shape(0.0, 0.3),
    )
    mane = mane + [0.0, y]
    drawing.fill(mane, part=1)
    comb, reach = draws.shape(-0.9, 0.9), face * draws.shape(0.4, 1.0)
    hairs = _strands(draws, mane, pitch=draws.shape(4.0, 8.0), length=reach, comb=comb)
    drawing.hair(hairs, width=draws.shape(2.6, 4.6), part=1)
    wide = s * draws.shape(0.6, 1.0)
    drop = draws.shape(0.1, 0.4) * s
    cloth = points(
        (-face * 0.4, y + face),
        (-wide * 0.8, s * 0.3 + drop * 0.3),
        (-wide, s),
        (wide, s),
        (wide * 0.8, s * 0.3 + drop * 0.3),
        (face * 0.4, y + face),
    )
    drawing.fill(cloth, part=2)
    drawing.limb(
        points((0, y), (0, y + face), (0, y + face * 1.7)), (face, face * 0.9, face * 1.1), part=3
    )
    drawing.fill(ellipse(0, y + face * 0.1, face, face * long), part=3)
    return drawing


def bush(draws: Draws, span: float) -> Drawing:
    """Draw a bush or tree crown on a trunk, with single leaves along its edge."""
    drawing, s = Drawing(), span / 2
    size = span * draws.shape(0.035, 0.08)
    crown = _wavy(
        draws,
        (s - size) * draws.shape(0.8, 1.0),
        (s - size) * draws.shape(0.55, 0.8),
        draws.shape(0.2, 0.6),
    )
    crown = crown + [0.0, -s * 0.2]
    trunk = points((0, 0), (s * draws.shape(-0.1, 0.1), s * 0.5), (0, s))
    drawing.limb(
        trunk, (s * 0.12, s * draws.shape(0.12, 0.25), s * draws.shape(0.16, 0.35)), part=1
    )
    drawing.fill(crown)
    slim = draws.shape(0.3, 0.6)
    for strand in _strands(
        draws,
        crown,
        pitch=size * draws.shape(0.8, 1.3),
        length=size * 2.4,
        comb=draws.shape(-0.8, 0.8),
    ):
        leaf_line = np.stack([strand[0], strand[2], strand[3]])
        drawing.limb(leaf_line, (3.0, max(2 * size * slim, 4.5), 2.6))
    for angle, depth in zip(draws.many(0, 6.28, 6), draws.many(0.45, 0.8, 6), strict=True):
        hole = crown[int(angle / 6.29 * 96)] * depth
        drawing.cut(ellipse(hole[0], hole[1], size * 0.9, size * 0.6, turn=float(angle)))
    return drawing


def plumage(draws: Draws, span: float) -> Drawing:
    """Draw a fan of feathers round a body, as a peacock's or a headdress's."""
    drawing, s = Drawing(), span / 2
    count, spread = draws.whole(9, 17), draws.shape(0.9, 2.1)
    stem = draws.shape(2.8, 4.0)
    for angle in np.linspace(-spread, spread, count) - np.pi / 2:
        tip = s * 1.25 * draws.free(0.85, 1.0)
        quill = polar(angle + np.array([0.0, 0.03, 0.0]), tip * np.array([0.0, 0.6, 1.0])) + [
            0,
            s * 0.4,
        ]
        vane = max(1.5 * s * spread / count * draws.free(0.5, 0.8), 5.0)
        drawing.limb(quill, (3.0, vane * 0.5, vane * 0.8, vane * 1.3, 3.2))
        barbs = [
            np.stack([root, root + polar(np.array([angle + turn]), np.array([vane * 1.25]))[0]])
            for root in (
                quill[0] + (quill[2] - quill[0]) * share for share in (0.55, 0.66, 0.77, 0.88)
            )
            for turn in (-0.75, 0.75)
        ]
        drawing.hair(barbs, width=stem)
        eye = quill[1] * 0.4 + quill[2] * 0.6
        drawing.fill(ellipse(eye[0], eye[1], vane * 0.3, vane * 0.3), part=1)
    deep = s * draws.shape(0.16, 0.3)
    drawing.limb(points((0, -s * 0.1), (0, s * 0.4), (0, s)), (deep, deep * 2, deep * 1.2), part=2)
    drawing.fill(ellipse(0, -s * 0.15, deep * 0.8, deep * 0.7), part=2)
    return drawing


def beast(draws: Draws, span: float) -> Drawing:
    """Draw a shaggy four-legged animal: the plain animal, then fur over its back and belly."""
    drawing = animal(draws, span * 0.95)
    s, size = span / 2, span * draws.shape(0.05, 0.11)
    body = _wavy(draws, s * 0.62, s * draws.shape(0.28, 0.4), 0.15)
    drawing.fill(body)
    strands = _strands(
        draws, body, pitch=draws.shape(4.5, 7.0), length=size * 1.5, comb=draws.shape(-1.0, 1.0)
    )
    drawing.hair(strands, width=draws.shape(3.0, 4.6))
    return drawing


def thistle(draws: Draws, span: float) -> Drawing:
    """Draw a head of spikes: a thistle, a palm or a tuft of grass."""
    drawing, s = Drawing(), span / 2
    spread, count = draws.shape(0.7, 3.0), draws.whole(17, 34)
    sag, blade = draws.shape(-0.2, 0.9), draws.shape(4.0, 9.0)
    for angle in np.linspace(-spread, spread, count) + draws.many(-0.08, 0.08, count):
        size = s * draws.free(0.75, 1.05)
        tip = np.array([np.sin(angle) * size, -np.cos(angle) * size])
        bend = points(
            (0, 0),
            (tip[0] * 0.55, tip[1] * 0.6 - sag * 6),
            (tip[0], tip[1] + sag * abs(tip[0]) * 0.7),
        )
        drawing.limb(bend, (blade * 1.2, blade, 2.8))
    core = s * draws.shape(0.3, 0.6)
    drawing.fill(_wavy(draws, core, core * draws.shape(0.7, 1.0), 0.2))
    stalk = points((0, 0), (s * draws.shape(-0.15, 0.15), s * 0.5), (0, s))
    drawing.line(smooth(stalk, closed=False), width=draws.shape(5.0, 12.0), part=1)
    return drawing


FRAYED: tuple[Callable[[Draws, float], Drawing], ...] = (
    furry, portrait, portrait, bush, plumage, beast, thistle,
)  # fmt: skip
