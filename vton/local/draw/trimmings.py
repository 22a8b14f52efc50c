"""The table garments lie on; collars, hems and cloths that several of them share."""

from __future__ import annotations

import random

from PIL import ImageChops, ImageDraw

from vton.local.draw import tailor
from vton.local.draw.brush import Canvas, Mask, Point, ellipse, mix, pattern
from vton.local.draw.figure import other_side
from vton.local.draw.tailor import SIDES, Cut, Pieces

SIZE = (768, 768)


def top_canvas() -> Canvas:
    """A table on which a top lies: the body from neck to hips fills it."""
    return Canvas(SIZE, axis=384, top=278, zoom=1.38)


def long_canvas(zoom: float) -> Canvas:
    """The same for dresses and coats."""
    return Canvas(SIZE, axis=384, top=290, zoom=zoom)


def lapels(canvas: Canvas, parts: Pieces, colour: str) -> None:
    """Broad lapels below a collar that stands around the neck."""
    lapel: list[Point] = [
        (44, 372, 1),
        (96, 420, 1),
        (76, 436, 1),
        (84, 452, 1),
        (2, 520, 1),
        (0, 462, 1),
        (24, 412),
    ]
    leaf: list[Point] = [(46, 318, 1), (72, 330), (104, 398, 1), (80, 428, 1), (44, 388), (38, 360)]
    tailor.pair(canvas, parts.front, lapel, mix(colour, "#ffffff", 0.08))
    tailor.pair(canvas, parts.front, leaf, mix(colour, "#ffffff", 0.04))


def collar(canvas: Canvas, parts: Pieces, colour: str, thread: str, big: float = 1) -> None:
    """Two leaves of a shirt's collar, the points down, and the band behind them."""
    leaf: list[Point] = [
        (40, 316, 1), (54, 322), (64 * big, 352), (58 * big, 402 + 14 * (big - 1), 1), (30, 394),
        (2, 384, 1), (24, 366), (38, 342),
    ]  # fmt: skip
    mask = tailor.pair(canvas, parts.front, leaf, mix(colour, "#ffffff", 0.1))
    for s in SIDES:
        line = [
            (s * 59 * big, 350),
            (s * 54 * big, 396 + 12 * (big - 1)),
            (s * 30, 388),
            (s * 8, 380),
        ]
        tailor.stitches(canvas, mask, line, thread)


def neckband(canvas: Canvas, cut: Cut, parts: Pieces, colour: str, width: float) -> Mask:
    """A border along the round neck hole; the answer is its mask."""
    e, depth = cut.ease, 336 + cut.drop
    line = [(cut.neck + 1, 340 - e), (cut.neck * 0.9, 342 - e + cut.drop * 0.45),
            (cut.neck * 0.55, depth - cut.drop * 0.12), (0, depth)]  # fmt: skip
    half = canvas.line([*line[:-1], (0, depth), *other_side(list(reversed(line[:-1])))], width * 2)
    mask = canvas.within(parts.front, half)
    canvas.cast(parts.front, mask, 0, 3, 2, 0.25)
    canvas.model(mask, colour, 0.2, 4)
    return mask


def hem(canvas: Canvas, cut: Cut, parts: Pieces, colour: str) -> None:
    """A stitched hem."""
    y = cut.hem - 14
    line = [(-cut.hips - 4, y - 6), (0, y), (cut.hips + 4, y - 6)]
    tailor.stitches(canvas, parts.front, line, colour)


def band(canvas: Canvas, parts: Pieces, colour: str, dark: str, top: float, end: float) -> None:
    """A waistband."""
    area = canvas.within(parts.front, canvas.mask(
        [(-140, top), (140, top), (140, end), (-140, end)], hard=True))  # fmt: skip
    canvas.model(area, colour, 0.2, 6)
    tailor.seam(canvas, parts.front, [(-140, top), (0, top + 1), (140, top)], dark, 2.5)
    tailor.stitches(canvas, parts.front, [(-140, top + 6), (0, top + 7), (140, top + 6)], "#e0a458")


def placket(canvas: Canvas, mask: Mask, colour: str, dark: str, top: float, end: float) -> None:
    """The strip that carries the buttons."""
    strip = canvas.within(mask, canvas.mask(
        [(-12, top), (12, top), (12, end), (-12, end)], hard=True))  # fmt: skip
    canvas.cast(mask, strip, 2, 1, 3, 0.3)
    canvas.paint(strip, mix(colour, "#ffffff", 0.08))
    for x in (-12, 12):
        tailor.seam(canvas, mask, [(x, top), (x, (top + end) / 2), (x, end)], dark, 1.6)


def cuff(canvas: Canvas, area: Mask, colour: str) -> None:
    """A plain cuff."""
    canvas.cast(area, area, 0, 0, 1, 0.1)
    canvas.model(area, mix(colour, "#ffffff", 0.08), 0.3, 6)


def shade_edges(canvas: Canvas, parts: Pieces) -> None:
    """Roundness over a pattern."""
    for mask in (parts.front, ImageChops.subtract(parts.sleeves, parts.front)):
        canvas.paint(canvas.rim(mask, -8, -5, 12), "#120a2a", 0.26)


def weave(canvas: Canvas, mask: Mask, colour: str, pitch: float, strength: float,
          slant: bool = False) -> None:  # fmt: skip
    """The cloth's threads: a fine grid, or twill."""

    def threads(draw: ImageDraw.ImageDraw) -> None:
        width, height = canvas.image.size
        step = pitch * canvas.zoom
        for n in range(int((width + height) / step)):
            at = n * step
            if slant:
                draw.line([(at, 0), (at - height, height)], fill=255, width=max(1, round(step / 3)))
            else:
                draw.line([(at, 0), (at, height)], fill=255, width=max(1, round(step / 4)))
                draw.line([(0, at), (width, at)], fill=180, width=max(1, round(step / 4)))

    pattern(canvas, mask, colour, threads, strength)


def dots(canvas: Canvas, mask: Mask, colour: str) -> None:
    """Dots in offset rows, a few of them small flowers."""
    chance = random.Random(3)  # noqa: S311  # a pattern, not a secret

    def spots(draw: ImageDraw.ImageDraw) -> None:
        for row in range(30):
            for column in range(-14, 15):
                x = column * 22 + (11 if row % 2 else 0) + chance.uniform(-1, 1)
                y = 300 + row * 19 + chance.uniform(-1, 1)
                outline = canvas.at(ellipse(x, y, 3.8, 3.8))
                draw.polygon(outline, fill=255)

    pattern(canvas, mask, colour, spots, 0.95)


def knit_yoke(canvas: Canvas, parts: Pieces, light: str, dark: str) -> None:
    """Rows of diamonds and zigzags over chest and sleeves, as on Norwegian sweaters."""

    def rows(draw: ImageDraw.ImageDraw) -> None:
        for x in range(-300, 301, 24):
            diamond = [(x, 446), (x + 9, 462), (x, 478), (x - 9, 462)]
            draw.polygon(canvas.at(diamond), fill=255)
            draw.polygon(canvas.at([(x, 456), (x + 4, 462), (x, 468), (x - 4, 462)]), fill=0)
            for y in (424, 500):
                draw.polygon(
                    canvas.at([(x + 8, y), (x + 12, y - 7), (x + 16, y), (x + 12, y + 7)]), fill=255
                )
        for y in (408, 512):
            draw.line(canvas.at([(-300, y), (300, y)]), fill=255, width=round(5 * canvas.zoom))

    pattern(canvas, parts.all, dark, lambda draw: draw.polygon(
        canvas.at([(-300, 434), (300, 434), (300, 490), (-300, 490)]), fill=255), 0.9)  # fmt: skip
    pattern(canvas, parts.all, light, rows)

    def specks(draw: ImageDraw.ImageDraw) -> None:
        for y in range(542, 740, 26):
            for x in range(-288 + 12 * (y // 26 % 2), 289, 24):
                draw.polygon(canvas.at([(x - 2, y), (x, y - 3), (x + 2, y), (x, y + 3)]), fill=255)

    pattern(canvas, parts.all, light, specks, 0.85)


def stitchwork(canvas: Canvas, mask: Mask) -> None:
    """Columns of small Vs: knitting."""

    def loops(draw: ImageDraw.ImageDraw) -> None:
        for x in range(-300, 300, 6):
            for y in range(320, 790, 6):
                vee = canvas.at([(x, y), (x + 3, y + 4), (x + 6, y)])
                draw.line(vee, fill=255, width=max(1, round(0.9 * canvas.zoom)))

    pattern(canvas, mask, "#120a2a", loops, 0.16)
