"""Hair styles: what lies behind the head and what falls over the face's edge."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence

from vton.local.draw.brush import Canvas, Mask, Outline, ellipse, limb, mirrored, mix


def none(_canvas: Canvas, _colour: str) -> None:
    """Nothing behind the head."""


def afro_behind(canvas: Canvas, colour: str) -> None:
    """A round cloud of curls."""
    curls = [
        ellipse(112 * math.cos(t), 152 + 104 * math.sin(t), 24, 24)
        for t in (n / 22 * 2 * math.pi for n in range(22)) if math.sin(t) < 0.72
    ]  # fmt: skip
    mask = canvas.mask(ellipse(0, 150, 116, 106), *curls)
    canvas.model(mask, colour, 0.5, 26)
    chance = random.Random(7)  # noqa: S311  # curls, not secrets
    for _ in range(150):
        angle, far = chance.uniform(0, 2 * math.pi), 112 * math.sqrt(chance.uniform(0.1, 1))
        x, y = far * math.cos(angle), 146 + 0.92 * far * math.sin(angle)
        arc = [(x - 7, y + 2), (x, y - 5), (x + 7, y + 2)]
        canvas.paint(canvas.within(mask, canvas.line(arc, 2.4)), mix(colour, "#b98a6a", 0.35), 0.5)


def afro_front(canvas: Canvas, colour: str, face: Mask) -> None:
    """The hairline, curly."""
    edge = [ellipse(62 * math.cos(t), 196 - 62 * math.sin(t), 15, 13)
            for t in (n / 12 * math.pi for n in range(13))]  # fmt: skip
    cap = mirrored([(0, 96), (46, 104), (78, 150), (76, 206), (64, 196), (52, 164), (0, 146)])
    mask = canvas.mask(cap, *edge)
    shadow = canvas.moved(canvas.soft(mask, 5), 2, 7)
    canvas.paint(canvas.within(face, shadow), "#1a1033", 0.22)
    canvas.paint(mask, colour)


def short_front(canvas: Canvas, colour: str, face: Mask) -> None:
    """Short sides, the top swept to one side."""
    outline = [
        (-69, 214, 1), (-77, 170), (-72, 124), (-46, 92), (-4, 80), (44, 86), (72, 116), (78, 168),
        (70, 214, 1), (65, 186), (56, 160), (34, 150), (-4, 152), (-40, 146), (-56, 162),
        (-65, 188),
    ]  # fmt: skip
    strands = [
        [(-52, 146), (-34, 112), (6, 98)], [(-24, 148), (-4, 122), (34, 108)],
        [(8, 150), (28, 130), (56, 124)], [(-62, 158), (-56, 124), (-30, 100)],
        [(34, 148), (50, 138), (66, 140)],
    ]  # fmt: skip
    on_top(canvas, colour, face, outline, strands)


def quiff_front(canvas: Canvas, colour: str, face: Mask) -> None:
    """Close-cut sides, a high wave above the forehead."""
    outline = [
        (-68, 212, 1), (-74, 172), (-66, 134), (-70, 104), (-46, 74), (-2, 62), (48, 66), (78, 92),
        (74, 128), (74, 172), (68, 212, 1), (64, 184), (58, 160), (40, 142), (6, 136), (-36, 144),
        (-58, 162), (-64, 186),
    ]  # fmt: skip
    strands = [
        [(-54, 142), (-52, 104), (-20, 78)], [(-28, 140), (-22, 104), (16, 80)],
        [(0, 134), (10, 104), (44, 84)], [(26, 136), (38, 110), (62, 98)],
        [(46, 142), (58, 124), (70, 116)],
    ]  # fmt: skip
    on_top(canvas, colour, face, outline, strands)


def bob_behind(canvas: Canvas, colour: str) -> None:
    """Straight hair to the chin, as seen behind face and neck."""
    outline = mirrored([
        (0, 84), (52, 94), (84, 138), (92, 210), (90, 270), (78, 306), (40, 304), (0, 296),
    ])  # fmt: skip
    canvas.shape(outline, mix(colour, "#000000", 0.25), 0.4, 16)


def bob_front(canvas: Canvas, colour: str, face: Mask) -> None:
    """A fringe, and the sides over the ears."""
    outline = mirrored([
        (0, 82), (50, 90), (83, 134), (92, 205), (92, 268), (82, 305), (70, 304, 1), (65, 270),
        (64, 222), (61, 180, 1), (30, 184), (0, 185),
    ])  # fmt: skip
    strands: list[Outline] = [
        [(x * 0.45, 92), (x * 0.9, 130), (x, 178)] for x in (-46, -26, -6, 14, 34, 52)
    ]
    strands += [[(s * 62, 120), (s * 79, 180), (s * 78, 290)] for s in (1, -1)]
    on_top(canvas, colour, face, outline, strands)


def bun_behind(canvas: Canvas, colour: str) -> None:
    """A knot on top of the head."""
    knot = canvas.shape(ellipse(6, 72, 44, 38), colour, 0.45, 12)
    for arc in ([(-26, 84), (0, 56), (34, 62)], [(-22, 60), (10, 80), (40, 76)]):
        line = canvas.soft(canvas.line(arc, 3), 1)
        canvas.paint(canvas.within(knot, line), mix(colour, "#ffffff", 0.3), 0.5)


def bun_front(canvas: Canvas, colour: str, face: Mask) -> None:
    """Hair parted in the middle and combed back, a loose lock on each side."""
    outline = mirrored([
        (0, 92), (44, 98), (74, 134), (78, 186), (70, 216, 1), (65, 196), (50, 158), (22, 134),
        (0, 124, 1),
    ])  # fmt: skip
    strands: list[Outline] = [
        [(s * 6, 120), (s * 36, 124), (s * x, y)]
        for s in (1, -1) for x, y in ((60, 146), (68, 168), (54, 118))
    ]  # fmt: skip
    for s in (1, -1):
        lock = limb([(s * 62, 180), (s * 72, 220), (s * 66, 262), (s * 72, 290)], [9, 10, 8, 2])
        canvas.shape(lock, colour, 0.3, 4)
    on_top(canvas, colour, face, outline, strands)


def on_top(
    canvas: Canvas, colour: str, face: Mask, outline: Outline, strands: Sequence[Outline]
) -> None:
    """Hair over the face: its shadow, its body, light strands."""
    mask = canvas.mask(outline)
    canvas.cast(face, mask, 2, 7, 5, 0.22)
    canvas.model(mask, colour, 0.45, 14)
    for strand in strands:
        line = canvas.within(mask, canvas.soft(canvas.line(strand, 4), 1.6))
        canvas.paint(line, mix(colour, "#ffe8d0", 0.5), 0.35)
