"""Four friendly people in undershirts before a studio background."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from PIL import Image, ImageChops

from vton.local.draw import hair
from vton.local.draw.brush import Canvas, Mask, Point, ellipse, limb, mirrored, mix
from vton.local.draw.figure import ARM, ARM_WIDTHS, HAND, THUMB, TORSO, other_side

SIZE = (768, 1152)
HEAD = 1.1  # a head is drawn this much larger than a real one, about the chin
CHIN = 296


@dataclass(frozen=True)
class Look:
    """What makes one person different from another."""

    name: str
    skin: str
    hair: str
    lips: str
    shirt: str
    trousers: str
    backdrop: tuple[str, str]
    hair_behind: Callable[[Canvas, str], None]
    hair_front: Callable[[Canvas, str, Mask], None]
    zoom: float = 1.2
    crown: float = 80  # where the hair begins, in drawing units from the top
    jaw: float = 0.0  # how much broader than the usual face, in pixels
    lashes: bool = False
    beard: bool = False
    glasses: bool = False
    earrings: str | None = None


def portrait(look: Look) -> Image.Image:
    """One person, RGB, 768 by 1152."""
    canvas = Canvas(SIZE, axis=384, top=look.crown - 64 / look.zoom, zoom=look.zoom)
    backdrop(canvas, *look.backdrop)
    with canvas.enlarged(HEAD, CHIN):
        look.hair_behind(canvas, look.hair)
    body(canvas, look)
    with canvas.enlarged(HEAD, CHIN):
        head(canvas, look)
    return canvas.finished().convert("RGB")


def backdrop(canvas: Canvas, light: str, dark: str) -> None:
    """A studio wall: a gradient, and a faint glow behind the person."""
    size = canvas.image.size
    ramp = Image.linear_gradient("L").resize(size)
    canvas.image = Image.composite(
        Image.new("RGBA", size, dark), Image.new("RGBA", size, light), ramp
    )
    glow = ImageChops.invert(Image.radial_gradient("L")).resize(size)
    canvas.paint(glow, "#ffffff", 0.2)


def body(canvas: Canvas, look: Look) -> None:
    """Arms and torso in one piece, trousers, shirt."""
    arm = limb(ARM, ARM_WIDTHS)
    torso = canvas.mask(mirrored(TORSO))
    palms = [limb(HAND, (33, 46, 38)), limb(THUMB, (22, 17, 11)), *fingers()]
    sides = [part for piece in (arm, *palms) for part in (piece, other_side(piece))]
    skin = ImageChops.lighter(torso, canvas.mask(*sides))
    canvas.model(skin, look.skin, 0.3, 11)
    dark = mix(look.skin, "#3a1020", 0.5)
    for side in (1, -1):
        creases = [[(side * 118, 474), (side * 124, 446), (side * 121, 420)]]
        creases += [
            [(side * x, 846), (side * (x + 3), 866), (side * (x + 2), 880)] for x in (237, 247, 256)
        ]
        creases += [[(side * 16, 370), (side * 50, 362), (side * 86, 367)]]
        for crease in creases:
            line = canvas.soft(canvas.line(crease, 2.6), 1.4)
            canvas.paint(canvas.within(skin, line), dark, 0.5)
    jaw = canvas.mask(ellipse(0, 268, 66 + look.jaw, 44))
    neck = canvas.mask(mirrored([(44, 262), (44, 320), (70, 350), (0, 372)]))
    canvas.cast(canvas.within(neck, skin), jaw, 3, 18, 5, 0.5, mix(look.skin, "#5a0f20", 0.5))
    legs(canvas, look.trousers)
    shirt(canvas, look, skin)


def fingers() -> list[list[Point]]:
    """Four fingers, close together."""
    return [
        limb([(x, 840), (x + 3, 866), (x + 1, end)], [12, 12, 9])
        for x, end in ((232, 882), (242, 890), (251, 886), (259, 874))
    ]


def legs(canvas: Canvas, colour: str) -> None:
    """Trousers from the waist to below the frame."""
    outline = [
        (112, 715, 1), (122, 770), (136, 860), (137, 980), (128, 1190, 1), (20, 1190, 1),
        (4, 915, 1),
    ]  # fmt: skip
    mask = canvas.mask(mirrored(outline))
    canvas.model(mask, colour, 0.35, 20)
    dark = mix(colour, "#0a0820", 0.6)
    for line in ([(0, 760), (1, 830), (0, 905)], [(10, 905), (50, 880), (110, 870)],
                 [(-10, 905), (-50, 884), (-110, 872)]):  # fmt: skip
        canvas.paint(canvas.within(mask, canvas.soft(canvas.line(line, 3), 1.5)), dark, 0.5)


def shirt(canvas: Canvas, look: Look, skin: Mask) -> None:
    """A plain undershirt."""
    outline = [
        (60, 342, 1), (94, 352, 1), (97, 400), (118, 462, 1), (117, 520), (107, 640), (114, 728),
        (118, 752, 1), (60, 757), (0, 759),
    ]  # fmt: skip
    neckline = [(0, 432), (-30, 425), (-54, 392), (-60, 342, 1)]
    left = [(-p[0], *p[1:]) for p in reversed(outline[1:-1])]
    mask = canvas.mask([*outline, *left, *reversed(neckline), (30, 425), (54, 392)])
    canvas.cast(skin, mask, 2, 5, 4, 0.28)
    canvas.model(mask, look.shirt, 0.25, 16)
    dark = mix(look.shirt, "#2a2050", 0.7)
    folds = (
        [(100, 480), (78, 520), (70, 570)], [(-100, 480), (-80, 530), (-74, 590)],
        [(104, 640), (70, 650), (30, 668)], [(-104, 646), (-66, 664), (-20, 690)],
        [(-106, 610), (-80, 618), (-50, 634)],
    )  # fmt: skip
    for fold in folds:
        canvas.paint(canvas.within(mask, canvas.soft(canvas.line(fold, 7), 9)), dark, 0.3)
    hem = canvas.line([(-116, 742), (-60, 748), (0, 750), (60, 748), (116, 742)], 2)
    canvas.paint(canvas.within(mask, hem), dark, 0.35)
    edge = canvas.line(
        [(-60, 342), (-54, 392), (-30, 425), (0, 432), (30, 425), (54, 392), (60, 342)], 9
    )
    canvas.paint(canvas.within(mask, edge), dark, 0.16)


def head(canvas: Canvas, look: Look) -> None:
    """Ears, face, features, hair."""
    j = look.jaw
    dark = mix(look.skin, "#5a1020", 0.35)
    for side in (1, -1):
        canvas.shape(ellipse(side * 66, 214, 13, 21, side * 8), look.skin, 0.3, 6)
        canvas.paint(
            canvas.soft(canvas.mask(ellipse(side * 67, 215, 6, 12, side * 8)), 2), dark, 0.4
        )
    outline = mirrored([
        (0, 118), (38, 126), (62, 160), (67, 205), (62 + j, 244), (44 + j, 278),
        (20 + j * 0.6, 296),
    ])  # fmt: skip
    face = canvas.shape(outline, look.skin, 0.26, 13)
    for side in (1, -1):
        blush = canvas.soft(canvas.mask(ellipse(side * 41, 240, 15, 10)), 7)
        canvas.paint(canvas.within(face, blush), look.lips, 0.32)
        eye(canvas, look, side)
    features(canvas, look, face)
    if look.beard:
        beard(canvas, look)
    mouth(canvas, look)
    look.hair_front(canvas, look.hair, face)
    if look.glasses:
        spectacles(canvas)
    if look.earrings:
        for side in (1, -1):
            canvas.shape(ellipse(side * 69, 243, 6, 6), look.earrings, 0.4, 3)


def eye(canvas: Canvas, look: Look, side: int) -> None:
    """White, iris with a light, upper lid, brow."""
    x, y = side * 28, 207
    white = canvas.mask(
        [(x - 14, y + 1), (x - 6, y - 8), (x + 6, y - 8), (x + 14, y + 1), (x, y + 8)]
    )
    canvas.paint(white, "#fffdf8")
    canvas.paint(canvas.within(white, canvas.mask(ellipse(x, y - 0.5, 9.2, 9.6))), "#4a2d1c")
    canvas.paint(canvas.within(white, canvas.mask(ellipse(x, y - 0.5, 5.2, 5.4))), "#120a08")
    canvas.paint(canvas.mask(ellipse(x - 3, y - 4, 2.8, 2.8)), "#ffffff")
    lid = [(x - 15, y + 1), (x - 7, y - 8), (x + 6, y - 9), (x + 15, y)]
    canvas.paint(canvas.line(lid, 3.4 if look.lashes else 2.6), "#1d1216")
    if look.lashes:
        out = side
        for dx, dy in ((15, -1), (11, -6)):
            tip = (x + out * (dx + 6), y + dy - 5)
            canvas.paint(canvas.line([(x + out * dx, y + dy), tip], 2.2), "#1d1216")
    thick = 4.5 if look.lashes else 6.5
    brow = [(x - side * 14, y - 24), (x + side * 3, y - 27), (x + side * 19, y - 21)]
    canvas.paint(canvas.mask(limb(brow, [thick * 0.8, thick, 2.5])), mix(look.hair, "#20120c", 0.4))


def features(canvas: Canvas, look: Look, face: Mask) -> None:
    """The nose: a soft side, a tip."""
    dark = mix(look.skin, "#4a0c1c", 0.42)
    side = canvas.soft(canvas.mask([(3, 205), (12, 232), (13, 243), (4, 243)]), 3)
    canvas.paint(canvas.within(face, side), dark, 0.45)
    canvas.paint(
        canvas.line([(-11, 240), (-6, 246), (0, 244), (6, 246), (12, 240)], 2.6), dark, 0.85
    )
    light = canvas.soft(canvas.mask(ellipse(-3, 228, 4, 10)), 3)
    canvas.paint(light, mix(look.skin, "#ffffff", 0.7), 0.5)


def mouth(canvas: Canvas, look: Look) -> None:
    """An open smile."""
    lips = [(-22, 261), (-10, 263), (0, 264), (10, 263), (22, 261), (13, 274), (0, 279), (-13, 274)]
    shape = canvas.mask(lips)
    canvas.paint(shape, mix(look.lips, "#3a0a14", 0.45))
    teeth = [(-19, 262), (0, 264), (19, 262), (11, 270), (0, 272), (-11, 270)]
    canvas.paint(canvas.within(shape, canvas.mask(teeth)), "#fffaf4")
    upper = [(-23, 260), (-10, 262), (0, 263), (10, 262), (23, 260)]
    canvas.paint(canvas.line(upper, 3), look.lips)
    canvas.paint(canvas.line([(-14, 275), (0, 280), (14, 275)], 4), look.lips)


def beard(canvas: Canvas, look: Look) -> None:
    """A short full beard with a moustache."""
    j = look.jaw
    outer = [(67, 214, 1), (64 + j, 248), (46 + j, 282), (0, 304)]
    inner = [(54, 234), (38, 250), (20, 250), (0, 249)]
    outline = [*outer, *[(-p[0], *p[1:]) for p in reversed(outer[:-1])],
               *[(-p[0], *p[1:]) for p in inner[:-1]], *reversed(inner)]  # fmt: skip
    mask = canvas.mask(outline)
    canvas.paint(canvas.within(canvas.soft(mask, 1.5)), look.hair, 0.92)
    canvas.paint(canvas.rim(mask, -8, -8, 8), mix(look.hair, "#100808", 0.6), 0.35)


def spectacles(canvas: Canvas) -> None:
    """Round glasses."""
    for side in (1, -1):
        lens = canvas.mask(ellipse(side * 29, 208, 23, 21))
        canvas.paint(lens, "#ffffff", 0.12)
        canvas.paint(canvas.line(ellipse(side * 29, 208, 23, 21), 3.6, closed=True), "#2b2430")
        canvas.paint(canvas.line([(side * 52, 204), (side * 66, 202)], 3.4), "#2b2430")
    canvas.paint(canvas.line([(-7, 204), (0, 201), (7, 204)], 3.4), "#2b2430")


LOOKS = (
    Look("amara", "#8d5a3c", "#2a1a14", "#b0475a", "#f6f3ee", "#3f5878", ("#f9e3c4", "#eeb98a"),
         hair.afro_behind, hair.afro_front, zoom=1.16, crown=22, lashes=True, earrings="#e9b949"),
    Look("jonas", "#f2c5a5", "#7a4a2a", "#c4665f", "#5d7388", "#3c3f4a", ("#d9ebe6", "#9cc7bd"),
         hair.none, hair.short_front, zoom=1.24, crown=58, jaw=3, beard=True),
    Look("mei", "#f4d0ae", "#211c26", "#cc5566", "#7f7196", "#56688c", ("#f7dfe6", "#dba9bd"),
         hair.bob_behind, hair.bob_front, zoom=1.17, crown=50, lashes=True),
    Look("ravi", "#b97c50", "#17141a", "#a5504c", "#8d96a6", "#5f5245", ("#dfe4f7", "#a9b5de"),
         hair.none, hair.quiff_front, zoom=1.2, crown=38, jaw=1, glasses=True),
)  # fmt: skip
