"""A small painter's box on Pillow: smooth outlines, soft shading, everything supersampled."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

from PIL import Image, ImageChops, ImageColor, ImageDraw, ImageFilter

Point = tuple[float, ...]  # x, y, and a third number (any) where the outline has a corner
Outline = Sequence[Point]
Pixels = list[tuple[float, float]]
Mask = Image.Image  # mode L
SCALE = 3  # pixels drawn for one that is kept


def mix(colour: str, other: str, share: float) -> str:
    """`colour` with a `share` (0 to 1) of `other` in it, as #rrggbb."""
    pairs = zip(ImageColor.getrgb(colour)[:3], ImageColor.getrgb(other)[:3], strict=True)
    return "#" + "".join(f"{round(a + (b - a) * share):02x}" for a, b in pairs)


def smooth(points: Outline, closed: bool = True, steps: int = 14) -> list[tuple[float, float]]:
    """A Catmull-Rom curve through the points; those with a third number stay corners."""
    count = len(points)
    spans = range(count if closed else count - 1)
    curve: list[tuple[float, float]] = []
    for i in spans:
        here, there = points[i], points[(i + 1) % count]
        first = here if len(here) > 2 or (not closed and i == 0) else points[i - 1]
        last = (
            there if len(there) > 2 or (not closed and i + 2 >= count) else points[(i + 2) % count]
        )
        curve += [_between(first, here, there, last, n / steps) for n in range(steps)]
    return curve if closed else [*curve, points[-1][:2]]  # type: ignore[list-item]


def _between(a: Point, b: Point, c: Point, d: Point, t: float) -> tuple[float, float]:
    x, y = (
        0.5 * (2 * b[k] + (c[k] - a[k]) * t + (2 * a[k] - 5 * b[k] + 4 * c[k] - d[k]) * t * t
               + (3 * b[k] - a[k] - 3 * c[k] + d[k]) * t**3)
        for k in (0, 1)
    )  # fmt: skip
    return x, y


def mirrored(half: Outline) -> list[Point]:
    """A closed outline from its right half (x from the axis at 0), given from top to bottom."""
    return [*half, *((-p[0], *p[1:]) for p in reversed(half))]


def ellipse(x: float, y: float, rx: float, ry: float, turn: float = 0) -> list[Point]:
    """An ellipse's outline; `turn` in degrees, clockwise."""
    cos, sin = math.cos(math.radians(turn)), math.sin(math.radians(turn))
    around = [(rx * math.cos(a / 12 * math.pi), ry * math.sin(a / 12 * math.pi)) for a in range(24)]
    return [(x + u * cos - v * sin, y + u * sin + v * cos) for u, v in around]


def limb(path: Outline, widths: Sequence[float], flat_end: bool = False) -> list[Point]:
    """The outline of a tapering tube along a path; widths are given for the path's points."""
    sections = cross_sections(path, widths)
    left, right = [s[0] for s in sections], [s[1] for s in sections]
    start = _cap(right[0], left[0])
    end = [] if flat_end else _cap(left[-1], right[-1])
    return [*start, *left, *end, *reversed(right)]


def cross_sections(path: Outline, widths: Sequence[float]) -> list[tuple[Point, Point]]:
    """(left, right) pairs of points all along a tube, dense enough to be joined by lines."""
    line = smooth(path, closed=False)
    stops = smooth([(i, w) for i, w in enumerate(widths)], closed=False)
    pairs: list[tuple[Point, Point]] = []
    for i, (x, y) in enumerate(line):
        (ax, ay), (bx, by) = line[max(i - 1, 0)], line[min(i + 1, len(line) - 1)]
        length = math.hypot(bx - ax, by - ay)
        half = stops[i][1] / 2
        nx, ny = (by - ay) / length * half, (ax - bx) / length * half
        pairs.append(((x + nx, y + ny), (x - nx, y - ny)))
    return pairs


def _cap(a: Point, b: Point) -> list[Point]:
    """Half a circle from a to b, on the right hand side as one goes."""
    x, y = (a[0] + b[0]) / 2, (a[1] + b[1]) / 2
    radius, start = math.hypot(a[0] - x, a[1] - y), math.atan2(a[1] - y, a[0] - x)
    angles = [start + n / 10 * math.pi for n in range(1, 10)]
    return [(x + radius * math.cos(t), y + radius * math.sin(t)) for t in angles]


class Canvas:
    """A picture of `size` pixels in coordinates of its own: x from the axis, y from a top line."""

    def __init__(self, size: tuple[int, int], axis: float, top: float = 0, zoom: float = 1) -> None:
        self.size = size
        self.axis, self.top, self.zoom = axis, top, zoom * SCALE
        self.image = Image.new("RGBA", (size[0] * SCALE, size[1] * SCALE))

    def at(self, points: Iterable[Point]) -> list[tuple[float, float]]:
        """Drawing coordinates to supersampled pixels."""
        return [
            (self.axis * SCALE + p[0] * self.zoom, (p[1] - self.top) * self.zoom) for p in points
        ]

    @contextmanager
    def enlarged(self, factor: float, y: float) -> Iterator[None]:
        """Draw `factor` times as large for a while, with the axis at height `y` staying put."""
        top, zoom = self.top, self.zoom
        self.top, self.zoom = y - (y - top) / factor, zoom * factor
        yield
        self.top, self.zoom = top, zoom

    def mask(self, *outlines: Outline, hard: bool = False) -> Mask:
        """The area of smooth outlines; `hard` joins the points by straight lines."""
        mask = Image.new("L", self.image.size)
        draw = ImageDraw.Draw(mask)
        for outline in outlines:
            draw.polygon(self.at(outline if hard else smooth(outline)), fill=255)
        return mask

    def line(self, points: Outline, width: float, closed: bool = False) -> Mask:
        """A smooth stroke with round ends."""
        mask = Image.new("L", self.image.size)
        pixels = self.at(smooth(points, closed))
        draw, pen = ImageDraw.Draw(mask), width * self.zoom
        draw.line(pixels, fill=255, width=max(1, round(pen)), joint="curve")
        for x, y in (pixels[0], pixels[-1]):
            draw.ellipse((x - pen / 2, y - pen / 2, x + pen / 2, y + pen / 2), fill=255)
        return mask

    def soft(self, mask: Mask, radius: float) -> Mask:
        """The mask blurred; radius in drawing units."""
        out, box, blur = Image.new("L", mask.size), mask.getbbox(), radius * self.zoom
        if box is None:
            return out
        reach = round(3 * blur)
        left, top = max(box[0] - reach, 0), max(box[1] - reach, 0)
        part = mask.crop((left, top, box[2] + reach, box[3] + reach))
        out.paste(part.filter(ImageFilter.BoxBlur(blur * 0.9)).filter(
            ImageFilter.BoxBlur(blur * 0.6)), (left, top))  # fmt: skip
        return out

    def moved(self, mask: Mask, dx: float, dy: float) -> Mask:
        """The mask shifted, in drawing units."""
        out = Image.new("L", mask.size)
        out.paste(mask, (round(dx * self.zoom), round(dy * self.zoom)))
        return out

    def paint(self, mask: Mask, colour: str, strength: float = 1) -> None:
        """Lay a colour over what is there, through the mask."""
        box = mask.getbbox()
        if box is None:
            return
        part = mask.crop(box)
        layer = Image.new("RGBA", part.size, colour)
        layer.putalpha(part.point(lambda v: v * strength) if strength < 1 else part)
        self.image.alpha_composite(layer, box[:2])

    def within(self, mask: Mask, *parts: Mask) -> Mask:
        """What the parts have in common with the mask."""
        for part in parts:
            mask = ImageChops.multiply(mask, part)
        return mask

    def rim(self, mask: Mask, dx: float, dy: float, blur: float) -> Mask:
        """The inner edge of a shape on the side that lies against (dx, dy): light or shade."""
        inside = ImageChops.invert(self.moved(self.soft(mask, blur), dx, dy))
        return self.within(mask, inside)

    def shape(self, outline: Outline, colour: str, shade: float = 0.25, blur: float = 14) -> Mask:
        """A body with light from the upper left; the answer is its mask."""
        mask = self.mask(outline)
        self.model(mask, colour, shade, blur)
        return mask

    def model(self, mask: Mask, colour: str, shade: float = 0.25, blur: float = 14) -> None:
        """Fill a mask and give it roundness: dark on the right and below, light on the left."""
        self.paint(mask, colour)
        dark, light = mix(colour, "#1a1033", 0.6), mix(colour, "#ffffff", 0.7)
        self.paint(self.rim(mask, -blur * 0.6, -blur * 0.35, blur), dark, shade)
        self.paint(self.rim(mask, blur * 0.5, blur * 0.4, blur * 0.8), light, shade * 0.6)

    def cast(self, on: Mask, of: Mask, dx: float, dy: float, blur: float, strength: float,
             colour: str = "#1a1033") -> None:  # fmt: skip
        """The shadow that one shape casts on another."""
        self.paint(self.within(on, self.moved(self.soft(of, blur), dx, dy)), colour, strength)

    def finished(self) -> Image.Image:
        """The picture at its real size."""
        return self.image.resize(self.size, Image.Resampling.LANCZOS)


def pattern(canvas: Canvas, mask: Mask, colour: str, draw: Callable[[ImageDraw.ImageDraw], None],
            strength: float = 1) -> None:  # fmt: skip
    """Let `draw` put white on an empty mask, and paint that in a colour inside `mask`."""
    layer = Image.new("L", canvas.image.size)
    draw(ImageDraw.Draw(layer))
    canvas.paint(canvas.within(mask, layer), colour, strength)
