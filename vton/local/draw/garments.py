"""The wardrobe: eight garments, laid flat, each a function that returns a picture."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from PIL import Image

from vton.local.draw import large, tailor
from vton.local.draw import trimmings as trim
from vton.local.draw.brush import ellipse, mirrored, mix
from vton.local.draw.tailor import SIDES, Cut


@dataclass(frozen=True)
class Garment:
    """A sample garment as it goes into garments.csv, and how it is drawn."""

    file: str
    name: str
    brand: str
    category: str
    draw: Callable[[], Image.Image]


def breton_tee() -> Image.Image:
    canvas, cream, navy = trim.top_canvas(), "#f8f2e4", "#24375c"
    cut = Cut(neck=58, drop=34, sleeve=0.4)
    parts = tailor.sew(canvas, cut, cream)
    tailor.bands(canvas, cut, parts.front, navy, 25, 0.36, from_y=402)
    tailor.sleeve_bands(canvas, cut, parts, navy, 25, 0.36)
    tailor.folds(canvas, cut, parts, "#8d8a9a", 0.3)
    trim.shade_edges(canvas, parts)
    tailor.armholes(canvas, cut, parts, "#b9b0a0")
    trim.neckband(canvas, cut, parts, cream, 10)
    trim.hem(canvas, cut, parts, "#a9a194")
    return canvas.finished()


def hoodie() -> Image.Image:
    canvas, green = trim.top_canvas(), "#7d9a83"
    cut = Cut(ease=13, neck=50, drop=30, hem=782, waist=124, hips=126)
    parts = tailor.sew(canvas, cut, green)
    tailor.folds(canvas, cut, parts, green, 0.34)
    tailor.armholes(canvas, cut, parts, mix(green, "#000000", 0.35))
    pocket = mirrored([(52, 640, 1), (58, 660), (88, 712), (88, 738, 1), (40, 741), (0, 742)])
    mask = tailor.flap(canvas, parts.front, pocket, green, 0.16)
    for s in SIDES:
        tailor.stitches(canvas, mask, [(s * 49, 644), (s * 54, 662), (s * 83, 714)], "#e7efe6")
    band = [(-140, 755), (140, 755), (140, 800), (-140, 800)]
    tailor.ribs(canvas, parts.front, band, green)
    tailor.cuffs(canvas, cut, parts, green, 26)
    hood = [
        (-16, 398, 1), (-42, 378), (-52, 340), (-49, 300, 1), (-74, 308), (-92, 344), (-74, 392),
        (-40, 424), (0, 436), (40, 424), (74, 392), (92, 344), (74, 308), (49, 300, 1), (52, 340),
        (42, 378), (16, 398, 1), (0, 404),
    ]  # fmt: skip
    mask = tailor.flap(canvas, parts.front, hood, mix(green, "#ffffff", 0.05), 0.3)
    for s in SIDES:
        tailor.seam(canvas, mask, [(s * 58, 306), (s * 66, 346), (s * 50, 388), (s * 8, 424)],
                    mix(green, "#000000", 0.3))  # fmt: skip
        cord = [(s * 18, 404), (s * 22, 450), (s * 17, 496)]
        canvas.paint(canvas.soft(canvas.moved(canvas.line(cord, 5), 2, 3), 2), "#120a2a", 0.35)
        canvas.paint(canvas.line(cord, 4.6), "#f2efe6")
        canvas.paint(canvas.line([(s * 17, 492), (s * 16, 506)], 5.4), "#c9b37a")
    return canvas.finished()


def linen_shirt() -> Image.Image:
    canvas, blue = trim.top_canvas(), "#a9c6e0"
    cut = Cut(ease=10, neck=40, drop=40, hem=778, waist=118, hips=124)
    parts = tailor.sew(canvas, cut, blue)
    trim.weave(canvas, parts.all, "#ffffff", 5, 0.16)
    tailor.folds(canvas, cut, parts, blue, 0.36)
    dark = mix(blue, "#1a2a50", 0.45)
    tailor.armholes(canvas, cut, parts, dark)
    trim.placket(canvas, parts.front, blue, dark, 376, 780)
    tailor.buttons(canvas, [(0, y) for y in (412, 478, 544, 610, 676, 742)], "#f7f3ea")
    pocket = [(34, 452, 1), (86, 452, 1), (86, 500), (82, 506), (60, 514), (38, 506), (34, 500)]
    mask = tailor.flap(canvas, parts.front, pocket, blue, 0.12)
    tailor.stitches(canvas, mask, [(36, 460), (84, 460)], "#f4f8fc")
    tailor.cuffs(canvas, cut, parts, blue, 30, lambda area: trim.cuff(canvas, area, blue))
    trim.collar(canvas, parts, blue, "#f4f8fc")
    trim.hem(canvas, cut, parts, dark)
    return canvas.finished()


def dotted_blouse() -> Image.Image:
    canvas, plum, white = trim.top_canvas(), "#3d5a80", "#fdf3e7"
    cut = Cut(ease=12, neck=50, drop=62, sleeve=0.72, hem=768, waist=116, hips=128)
    parts = tailor.sew(canvas, cut, plum)
    trim.dots(canvas, parts.all, white)
    tailor.folds(canvas, cut, parts, plum, 0.42)
    trim.shade_edges(canvas, parts)
    tailor.armholes(canvas, cut, parts, mix(plum, "#000000", 0.4))
    tailor.cuffs(canvas, cut, parts, plum, 22, lambda area: trim.cuff(canvas, area, plum))
    trim.neckband(canvas, cut, parts, plum, 13)
    for s in SIDES:
        tail = [
            (s * 3, 396),
            (s * 16, 396),
            (s * 34, 470),
            (s * 30, 520, 1),
            (s * 12, 512, 1),
            (s * 10, 450),
        ]
        tailor.flap(canvas, parts.front, tail, plum, 0.3)
    for s in SIDES:
        loop = [(0, 396), (s * 26, 376), (s * 58, 378), (s * 64, 398), (s * 52, 414), (s * 24, 410)]
        mask = tailor.flap(canvas, parts.front, loop, mix(plum, "#ffffff", 0.06), 0.3)
        tailor.crease(canvas, mask, [(s * 8, 396), (s * 28, 394), (s * 46, 398)], plum, 0.5)
    tailor.flap(canvas, parts.front, ellipse(0, 397, 12, 13), plum, 0.35)
    trim.hem(canvas, cut, parts, mix(plum, "#000000", 0.4))
    return canvas.finished()


def nordic_sweater() -> Image.Image:
    canvas, red, white = trim.top_canvas(), "#9c2f3c", "#f6eee0"
    cut = Cut(ease=12, neck=52, drop=30, hem=776, waist=122, hips=124)
    parts = tailor.sew(canvas, cut, red)
    trim.knit_yoke(canvas, parts, white, "#2d3f5e")
    trim.stitchwork(canvas, parts.all)
    tailor.folds(canvas, cut, parts, red, 0.3)
    tailor.armholes(canvas, cut, parts, mix(red, "#000000", 0.35))
    tailor.ribs(canvas, parts.front, [(-140, 744), (140, 744), (140, 800), (-140, 800)], red)
    tailor.cuffs(canvas, cut, parts, red, 28)
    trim.shade_edges(canvas, parts)
    mask = trim.neckband(canvas, cut, parts, red, 20)
    tailor.ribs(canvas, mask, [(-90, 300), (90, 300), (90, 420), (-90, 420)], red, 5)
    return canvas.finished()


GARMENTS = (
    Garment("breton-tee.png", "Breton tee", "Maree", "tops", breton_tee),
    Garment("linen-shirt.png", "Linen shirt", "Halden", "tops", linen_shirt),
    Garment("dotted-blouse.png", "Dotted bow blouse", "Fleur & Finch", "tops", dotted_blouse),
    Garment("nordic-sweater.png", "Nordic sweater", "Halden", "tops", nordic_sweater),
    Garment("sage-hoodie.png", "Sage hoodie", "Northlane", "tops", hoodie),
    Garment("denim-jacket.png", "Denim jacket", "Copperline", "outerwear", large.denim_jacket),
    Garment("trench-coat.png", "Trench coat", "Maree", "outerwear", large.trench_coat),
    Garment("red-wrap-dress.png", "Red wrap dress", "Fleur & Finch", "dresses", large.red_dress),
)
