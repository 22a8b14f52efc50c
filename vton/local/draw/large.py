"""The larger garments of the wardrobe: jacket, dress, coat."""

from __future__ import annotations

from PIL import Image

from vton.local.draw import tailor
from vton.local.draw import trimmings as trim
from vton.local.draw.brush import Canvas, Point, ellipse, mix
from vton.local.draw.figure import other_side
from vton.local.draw.tailor import SIDES, Cut, Pieces


def denim_jacket() -> Image.Image:
    canvas, blue, thread = trim.top_canvas(), "#4d6f9c", "#e0a458"
    cut = Cut(ease=14, neck=44, drop=44, hem=762, waist=124, hips=122)
    parts = tailor.sew(canvas, cut, blue)
    trim.weave(canvas, parts.all, "#dfe9f5", 4, 0.2, slant=True)
    for x, rx in ((-70, 40), (70, 40), (-190, 22), (190, 22)):
        worn = canvas.soft(canvas.mask(ellipse(x, 575, rx, 86)), 22)
        canvas.paint(canvas.within(parts.all, worn), "#cfe0f2", 0.28)
    tailor.folds(canvas, cut, parts, blue, 0.34)
    dark = mix(blue, "#0c1430", 0.55)
    tailor.armholes(canvas, cut, parts, dark)
    trim.placket(canvas, parts.front, blue, dark, 398, 740)
    trim.band(canvas, parts, blue, dark, 728, 775)
    denim_seams(canvas, parts, blue, thread)
    tailor.cuffs(canvas, cut, parts, blue, 28, lambda area: trim.cuff(canvas, area, blue))
    trim.collar(canvas, parts, blue, thread, big=1.25)
    places: list[Point] = [(0, y) for y in (430, 492, 554, 616, 678, 746)]
    tailor.buttons(canvas, [*places, (67, 494), (-67, 494)], "#c98f4a", 5.5)
    return canvas.finished()


def denim_seams(canvas: Canvas, parts: Pieces, blue: str, thread: str) -> None:
    """Yoke, front seams and breast pockets, stitched in orange."""
    dark = mix(blue, "#0c1430", 0.55)
    for s in SIDES:
        yoke = [(s * 136, 446), (s * 70, 452), (s * 13, 450)]
        for shift in (0, 5):
            line = [(x, y + shift) for x, y in yoke]
            tailor.stitches(canvas, parts.front, line, thread)
        for x0, x1 in ((46, 38), (88, 72)):
            front: list[Point] = [(s * x0, 512), (s * (x0 + x1) / 2, 620), (s * x1, 726)]
            tailor.seam(canvas, parts.front, front, dark)
            beside = [(p[0] + s * 4, p[1]) for p in front]
            tailor.stitches(canvas, parts.front, beside, thread)
        tailor.stitches(canvas, parts.front, [(s * 17, 410), (s * 17, 560), (s * 17, 724)], thread)
    pocket = [(40, 460, 1), (94, 460, 1), (94, 492, 1), (67, 508, 1), (40, 492, 1)]
    mask = tailor.pair(canvas, parts.front, pocket, blue)
    for s in SIDES:
        around = [(s * x, y) for x, y in ((44, 464), (44, 490), (67, 503), (90, 490), (90, 464))]
        tailor.stitches(canvas, mask, around, thread)


def red_dress() -> Image.Image:
    canvas, red = trim.long_canvas(0.93), "#c8283c"
    cut = Cut(ease=7, neck=56, drop=96, sleeve=0.36)
    right: list[Point] = [
        (58, 335, 1), (98, 348), (140, 368, 1), (137, 420), (128, 470), (116, 540), (106, 612),
        (124, 690), (160, 860), (196, 1058, 1), (120, 1074), (60, 1068), (0, 1078),
    ]  # fmt: skip
    left = other_side(list(reversed(right[:-1])))
    neck: list[Point] = [(-50, 372), (-26, 414), (-4, 446, 1), (8, 434), (34, 396), (50, 368)]
    parts = tailor.sew(canvas, cut, red, [*right, *left, *neck])
    for x in (-150, -104, -58, -14, 34, 78, 124):
        line = [(x * 0.5, 650), (x * 0.8, 800), (x, 950), (x * 1.12, 1060)]
        tailor.crease(canvas, parts.front, line, red, 0.34)
    for s in SIDES:
        for y in (486, 520):
            line = [(s * 122, y), (s * 84, y + 40), (s * 30, 590)]
            tailor.crease(canvas, parts.front, line, red, 0.26)
    dark = mix(red, "#2a0010", 0.6)
    tailor.armholes(canvas, cut, parts, dark)
    tailor.seam(canvas, parts.front, [(-4, 446), (40, 520), (100, 606)], dark, 3)
    tailor.seam(canvas, parts.front, [(88, 640), (70, 800), (84, 960), (74, 1070)], dark, 3)
    sash(canvas, parts, red)
    trim.hem(canvas, Cut(hem=1066, hips=188), parts, dark)
    return canvas.finished()


def sash(canvas: Canvas, parts: Pieces, red: str) -> None:
    """A belt of cloth, tied in a bow at the side."""
    around = [(108, 598, 1), (107, 634, 1), (0, 644), (-107, 634, 1), (-108, 598, 1), (0, 608)]
    mask = tailor.flap(canvas, parts.front, around, mix(red, "#000000", 0.1), 0.25)
    tailor.crease(canvas, mask, [(-90, 618), (0, 628), (90, 618)], red, 0.4)
    for dx, end in ((64, 770), (96, 740)):
        tail: list[Point] = [(74, 624), (86, 624), (dx + 16, end, 1), (dx - 4, end + 8, 1)]
        tailor.flap(canvas, parts.front, tail, red, 0.3)
    loops: list[tuple[Point, Point]] = [((46, 594), (50, 650)), ((116, 588), (120, 644))]
    for a, b in loops:
        edge = (a[0] + b[0]) / 2 - (80 - a[0]) * 0.15
        tailor.flap(canvas, parts.front, [(80, 620), a, (edge, 620), b], red, 0.3)
    tailor.flap(canvas, parts.front, ellipse(80, 621, 11, 12), red, 0.35)


def trench_coat() -> Image.Image:
    canvas, sand = trim.long_canvas(0.97), "#cdae82"
    cut = Cut(ease=15, neck=46, drop=96)
    right: list[Point] = [
        (46, 328, 1), (98, 342), (146, 362, 1), (144, 420), (136, 480), (126, 560), (118, 640),
        (132, 720), (148, 880), (160, 1040, 1), (80, 1046), (0, 1048),
    ]  # fmt: skip
    neck: list[Point] = [(-40, 372), (-20, 418), (0, 462, 1), (20, 418), (40, 372)]
    parts = tailor.sew(canvas, cut, sand, [*right, *other_side(list(reversed(right[:-1]))), *neck])
    trim.weave(canvas, parts.all, "#ffffff", 4, 0.1, slant=True)
    tailor.folds(canvas, Cut(ease=15, waist=118, hem=1040), parts, sand, 0.3)
    for x in (-110, -60, 64, 112):
        line = [(x * 0.8, 680), (x, 850), (x * 1.12, 1030)]
        tailor.crease(canvas, parts.front, line, sand, 0.3)
    dark = mix(sand, "#2a1808", 0.6)
    tailor.armholes(canvas, cut, parts, dark)
    edge = [(0, 462), (38, 500), (44, 640), (46, 1046)]
    tailor.seam(canvas, parts.front, edge, dark, 2.6)
    tailor.stitches(canvas, parts.front, [(x - 7, y) for x, y in edge[1:]], "#f3e4c8")
    trench_trimmings(canvas, parts, sand)
    tailor.cuffs(canvas, cut, parts, sand, 34, lambda area: trim.cuff(canvas, area, sand))
    trim.hem(canvas, Cut(hem=1040, hips=158), parts, dark)
    return canvas.finished()


def trench_trimmings(canvas: Canvas, parts: Pieces, sand: str) -> None:
    """Storm flap, lapels, two rows of buttons, belt and buckle, pockets."""
    flap = [(70, 352), (104, 356), (130, 372), (132, 420), (108, 470), (76, 486), (64, 440)]
    tailor.flap(canvas, parts.front, other_side(flap), sand, 0.16)
    trim.lapels(canvas, parts, sand)
    tailor.buttons(canvas, [(s * 34, y) for s in SIDES for y in (530, 590, 720, 790)], "#5a3d22", 7)
    belt = [(119, 628, 1), (118, 662, 1), (0, 668), (-118, 662, 1), (-119, 628, 1), (0, 634)]
    mask = tailor.flap(canvas, parts.front, belt, mix(sand, "#3a2510", 0.12), 0.2)
    tailor.stitches(canvas, mask, [(-116, 633), (0, 639), (116, 633)], "#f3e4c8")
    tailor.stitches(canvas, mask, [(-116, 658), (0, 663), (116, 658)], "#f3e4c8")
    buckle = [(-18, 632), (18, 632), (18, 670), (-18, 670)]
    canvas.paint(canvas.line(buckle, 6, closed=True), "#4a3018")
    for s in SIDES:
        slot = [(s * 84, 730, 1), (s * 100, 734, 1), (s * 108, 820, 1), (s * 90, 818, 1)]
        tailor.flap(canvas, parts.front, slot, sand, 0.15)
