"""What garments are sewn from: pieces cut for the body of `figure.py`, and their trimmings."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from PIL import ImageChops, ImageDraw

from vton.local.draw.brush import (
    Canvas,
    Mask,
    Outline,
    Point,
    cross_sections,
    ellipse,
    limb,
    mix,
    pattern,
    smooth,
)  # fmt: skip
from vton.local.draw.figure import other_side, part_of_arm

SIDES = (1, -1)


@dataclass(frozen=True)
class Cut:
    """Measures of a garment, in the body's coordinates."""

    ease: float = 8  # how far the cloth stands off the body
    neck: float = 52  # half the width of the neck hole
    drop: float = 42  # how deep the neck hole is in front, from the neck's base
    sleeve: float = 1.0  # share of the arm that is covered
    hem: float = 772  # how far down
    waist: float = 112  # half widths
    hips: float = 124


@dataclass(frozen=True)
class Pieces:
    """The painted parts' masks."""

    front: Mask
    sleeves: Mask

    @property
    def all(self) -> Mask:
        """Both together."""
        return ImageChops.lighter(self.front, self.sleeves)


def front_outline(cut: Cut) -> list[Point]:
    """Shoulders, armholes, sides, hem and a round neck hole."""
    e = cut.ease
    side = [
        (cut.neck, 342 - e, 1), (98, 355 - e), (138 + e * 0.4, 374 - e, 1), (133 + e * 0.7, 420),
        (122 + e, 470), (cut.waist + (10 + e - 8) * 0.6, 540), (cut.waist, 640),
        ((cut.waist + cut.hips) / 2, 710), (cut.hips, cut.hem - 6, 1), (cut.hips * 0.5, cut.hem),
    ]  # fmt: skip
    depth = 336 + cut.drop
    hole = [(-cut.neck * 0.9, 342 - e + cut.drop * 0.45),
            (-cut.neck * 0.55, depth - cut.drop * 0.12), (0, depth),
            (cut.neck * 0.55, depth - cut.drop * 0.12),
            (cut.neck * 0.9, 342 - e + cut.drop * 0.45)]  # fmt: skip
    return [*side, (0, cut.hem + 2), *other_side(list(reversed(side))), *hole]


def sleeve_path(cut: Cut) -> tuple[list[Point], list[float]]:
    """Path and widths of the right sleeve."""
    path, widths = part_of_arm(cut.sleeve)
    loose = [w + 2 * cut.ease + 4 for w in widths]
    loose[0] = widths[0] + 2 * cut.ease - 4
    return path, loose


def sew(canvas: Canvas, cut: Cut, colour: str, front: Outline | None = None) -> Pieces:
    """Paint sleeves and front with their light and shade; patterns and trimmings come after."""
    sleeve = limb(*sleeve_path(cut), flat_end=True)
    sleeves = canvas.mask(sleeve, other_side(sleeve), hard=True)
    body = canvas.mask(front or front_outline(cut))
    canvas.model(sleeves, colour, 0.34, 13)
    canvas.cast(sleeves, body, 0, 3, 6, 0.28)
    canvas.model(body, colour, 0.3, 18)
    return Pieces(body, sleeves)


def folds(canvas: Canvas, cut: Cut, pieces: Pieces, colour: str, strength: float = 0.3) -> None:
    """Creases from the armpits, at the waist and in the elbows, dark with a light edge."""
    w = cut.waist
    long = cut.sleeve > 0.6
    for s in SIDES:
        lines: list[Outline] = [
            [(s * 118, 482), (s * 92, 500), (s * 62, 506)],
            [(s * 120, 478), (s * 100, 530), (s * 84, 590)],
            [(s * (w - 4), 610), (s * (w - 40), 640), (s * (w - 78), 650)],
            [(s * (w - 2), 664), (s * (w - 34), 676), (s * (w - 66), 672)],
            [(s * 40, 724), (s * 52, 690), (s * 56, 650)],
            [(s * 130, 390), (s * 104, 400), (s * 84, 396)],
        ]  # fmt: skip
        if long:
            lines += [[(s * 172, 580), (s * 192, 590), (s * 214, 584)],
                      [(s * 176, 606), (s * 198, 616), (s * 220, 612)],
                      [(s * 200, 735), (s * 216, 742), (s * 240, 738)]]  # fmt: skip
        for line in lines:
            crease(canvas, pieces.all, line, colour, strength)


def crease(canvas: Canvas, mask: Mask, line: Outline, colour: str, strength: float) -> None:
    """One fold."""
    dark, light = mix(colour, "#120a2a", 0.7), mix(colour, "#ffffff", 0.75)
    canvas.paint(canvas.within(mask, canvas.soft(canvas.line(line, 6), 6)), dark, strength)
    beside = [(p[0] - 3, p[1] - 6) for p in line]
    canvas.paint(canvas.within(mask, canvas.soft(canvas.line(beside, 5), 5)), light, strength * 0.7)


def seam(canvas: Canvas, mask: Mask, line: Outline, colour: str, width: float = 2) -> None:
    """A thin seam that is dented a little."""
    stroke = canvas.line(line, width)
    canvas.paint(canvas.within(mask, canvas.soft(stroke, 3)), "#120a2a", 0.25)
    canvas.paint(canvas.within(mask, stroke), colour, 0.75)


def armholes(canvas: Canvas, cut: Cut, pieces: Pieces, colour: str) -> None:
    """The seams where the sleeves are set in."""
    e = cut.ease
    for s in SIDES:
        line = [(s * (138 + e * 0.4), 374 - e), (s * (132 + e * 0.7), 420), (s * (121 + e), 472)]
        seam(canvas, pieces.all, line, colour)


def stitches(canvas: Canvas, mask: Mask, line: Outline, colour: str) -> None:
    """A dashed line of thread."""
    pixels = canvas.at(smooth(line, closed=False, steps=40))
    step = max(1, len(pixels) // max(1, int(_length(pixels) / (7 * canvas.zoom))))

    def dashes(draw: ImageDraw.ImageDraw) -> None:
        for i in range(0, len(pixels) - step, step):
            a, b = pixels[i], pixels[min(i + max(1, round(step * 0.6)), len(pixels) - 1)]
            draw.line([a, b], fill=255, width=max(1, round(1.6 * canvas.zoom)))

    pattern(canvas, mask, colour, dashes, 0.9)


def _length(pixels: Sequence[Point]) -> float:
    return sum(math.dist(a[:2], b[:2]) for a, b in pairwise(pixels))


def ribs(canvas: Canvas, mask: Mask, band: Outline, colour: str, pitch: float = 6) -> None:
    """A knitted border inside a band: fine vertical lines and a dent along it."""
    area = canvas.within(mask, canvas.mask(band, hard=True))
    box = area.getbbox()
    if box is None:
        return

    def lines(draw: ImageDraw.ImageDraw) -> None:
        step = pitch * canvas.zoom
        for n in range(int((box[2] - box[0]) / step) + 1):
            x = box[0] + n * step
            draw.line([(x, box[1]), (x, box[3])], fill=255, width=max(1, round(step * 0.4)))

    pattern(canvas, area, mix(colour, "#0a0520", 0.6), lines, 0.35)
    canvas.paint(canvas.rim(area, 0, 4, 4), "#120a2a", 0.22)


def cuffs(canvas: Canvas, cut: Cut, pieces: Pieces, colour: str, height: float = 22,
          paint: Callable[[Mask], None] | None = None) -> None:  # fmt: skip
    """The ends of the sleeves: ribs along the arm, or whatever `paint` puts on them."""
    path, widths = sleeve_path(cut)
    sections = cross_sections(path, widths)
    (before, _), (bl, br) = sections[-2], sections[-1]
    back = max(1, round(height / max(math.dist(before, bl), 0.1)))
    (sl, sr) = sections[-1 - min(back, len(sections) - 1)]
    quad = [sl, sr, br, bl]
    for outline in (quad, other_side(quad)):
        area = canvas.within(pieces.sleeves, canvas.mask(outline, hard=True))
        if paint:
            paint(area)
        else:
            ribs(canvas, pieces.sleeves, outline, colour, 5)


def bands(canvas: Canvas, cut: Cut, mask: Mask, colour: str, pitch: float, share: float,
          from_y: float = 300) -> None:  # fmt: skip
    """Horizontal stripes on the front."""

    def stripes(draw: ImageDraw.ImageDraw) -> None:
        y = from_y
        while y < cut.hem + 20:
            sag = [(x, y + 5 * (1 - (x / 150) ** 2)) for x in range(-180, 181, 12)]
            below = [(x, v + pitch * share) for x, v in reversed(sag)]
            draw.polygon(canvas.at([*sag, *below]), fill=255)
            y += pitch

    pattern(canvas, mask, colour, stripes)


def sleeve_bands(canvas: Canvas, cut: Cut, pieces: Pieces, colour: str, pitch: float,
                 share: float) -> None:  # fmt: skip
    """Stripes around the sleeves, across the arm's direction."""
    sections = cross_sections(*sleeve_path(cut))
    lengths, total = [0.0], 0.0
    for (a, _), (b, _) in pairwise(sections):
        total += math.dist(a, b)
        lengths.append(total)

    def stripes(draw: ImageDraw.ImageDraw) -> None:
        for i, length in enumerate(lengths[:-1]):
            if (length % pitch) < pitch * share:
                quad = [sections[i][0], sections[i][1], sections[i + 1][1], sections[i + 1][0]]
                draw.polygon(canvas.at(quad), fill=255)
                draw.polygon(canvas.at(other_side(quad)), fill=255)

    only = ImageChops.subtract(pieces.sleeves, pieces.front)
    pattern(canvas, only, colour, stripes)


def buttons(canvas: Canvas, places: Sequence[Point], colour: str, radius: float = 5.5) -> None:
    """Round buttons with a rim and two holes."""
    for x, y in ((p[0], p[1]) for p in places):
        under = canvas.soft(canvas.mask(ellipse(x + 1, y + 2, radius + 1, radius + 1)), 1.5)
        canvas.paint(under, "#120a2a", 0.4)
        canvas.shape(ellipse(x, y, radius, radius), colour, 0.5, 2)
        for dx in (-1.6, 1.6):
            canvas.paint(canvas.mask(ellipse(x + dx, y, 0.9, 0.9)), "#120a2a", 0.7)


def flap(canvas: Canvas, on: Mask, outline: Outline, colour: str, shade: float = 0.2) -> Mask:
    """A piece sewn on top (collar, lapel, pocket) with the shadow below it."""
    mask = canvas.mask(outline)
    canvas.cast(on, mask, 1, 4, 4, 0.35)
    canvas.model(mask, colour, shade, 7)
    return mask


def pair(canvas: Canvas, on: Mask, outline: Outline, colour: str, shade: float = 0.2) -> Mask:
    """The same piece on the right and on the left."""
    masks = [flap(canvas, on, o, colour, shade) for o in (outline, other_side(outline))]
    return ImageChops.lighter(*masks)
