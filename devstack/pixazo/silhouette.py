"""Where a picture's foreground is, and where in it a torso: for people and for garments alike."""

from __future__ import annotations

from dataclasses import dataclass

from PIL import Image, ImageChops, ImageDraw, ImageFilter

SMALL = 320  # pixels of the long side on which shapes are looked for
SIMILAR = 22  # of 255: this far from the background's colour is still background

Run = tuple[int, int]  # start and end of foreground in a row


@dataclass(frozen=True)
class Torso:
    """In pixels: the axis, the chest's width below the arms, and where the shoulders slope."""

    x: float
    width: float
    shoulder_y: float

    def scaled(self, factor: float) -> Torso:
        """The same in a picture `factor` times as large."""
        return Torso(self.x * factor, self.width * factor, self.shoulder_y * factor)


def cut_out(garment: Image.Image) -> Image.Image:
    """The garment's mask (mode L): its alpha channel, or what a flat border does not reach."""
    if "A" in garment.getbands() or "transparency" in garment.info:
        alpha = garment.convert("RGBA").getchannel("A")
        if min(alpha.tobytes()) < 128:
            return alpha
    plain = garment.convert("RGB")
    similar = _like_background(plain, plain.getpixel((2, 2)))
    outside = _reached_from_border(similar.resize(_small_size(plain), Image.Resampling.BOX))
    outside = outside.filter(ImageFilter.MaxFilter(7)).resize(plain.size)
    background = ImageChops.multiply(similar, outside.point(lambda v: 255 * (v > 0)))
    solid = ImageChops.invert(background).filter(ImageFilter.MedianFilter(3))
    rounded = solid.filter(ImageFilter.GaussianBlur(2))
    return rounded.point(lambda v: min(255, max(0, (v - 120) * 3)))  # an even edge, a bit inside


def find_person(photo: Image.Image) -> Torso | None:
    """The torso of somebody before a calm background; None where no such shape is seen."""
    small = photo.convert("RGB").resize(_small_size(photo), Image.Resampling.BOX)
    found = find_torso(_unlike_sides(small), headed=True)
    if found is None:
        return None
    width, middle, height = (
        found.width / small.width, found.x / small.width, found.shoulder_y / small.height,
    )  # fmt: skip
    plausible = 0.12 < width < 0.7 and 0.2 < middle < 0.8 and 0.06 < height < 0.6
    return found.scaled(photo.width / small.width) if plausible else None


def find_garment(mask: Image.Image) -> Torso | None:
    """The torso part of a garment's mask, without the sleeves."""
    small = mask.resize(_small_size(mask), Image.Resampling.BOX)
    found = find_torso(small.point(lambda v: 255 * (v > 127)), headed=False)
    return found and found.scaled(mask.width / small.width)


def find_torso(mask: Image.Image, headed: bool) -> Torso | None:
    """Follow the shape from the top down: where the arms part from it, the chest is measured.

    `width` is the middle run just below the armpits, `shoulder_y` the first row that is 1.2 times
    as wide: a point on the slope of the shoulders, for a body and a garment alike. Where the arms
    do not stand off from somebody with a head, the shoulders below the neck give the chest.
    """
    box = mask.getbbox()
    if box is None or (box[2] - box[0]) < mask.width / 5:
        return None
    axis = _axis(mask, box)
    rows = [_runs(mask, y) for y in range(box[1], box[3])]
    cores = [_core(row, axis) for row in rows]
    widths = [right - left for left, right in cores]
    armpit = _armpits(rows, cores, widths)
    neck = (headed and _neck(widths)) or 0
    if armpit is None and neck == 0:
        return None
    if armpit is None:
        armpit = min(neck + widths[neck] * 2, len(widths) - 1)
        chest = 0.68 * max(widths[neck : armpit + 1])
    else:
        chest = float(widths[armpit])
    shoulder = next((y for y in range(neck, armpit) if widths[y] >= 1.2 * chest), armpit)
    return Torso(sum(cores[armpit]) / 2, chest, box[1] + shoulder)


def _core(row: list[Run], axis: int) -> Run:
    """The run on the axis; across a neck hole, from shoulder to shoulder; else an empty one."""
    for run in row:
        if run[0] <= axis < run[1]:
            return run
    both_sides = row and row[0][1] <= axis < row[-1][0]
    return (row[0][0], row[-1][1]) if both_sides else (axis, axis)


def _armpits(rows: list[list[Run]], cores: list[Run], widths: list[int]) -> int | None:
    """The row from which the middle run is much narrower than just before, with an arm (or a
    sleeve) on either side of it."""
    for y in range(8, len(widths) - 4):
        before = max(widths[y - 6 : y])
        if before < 0.5 * max(widths) or max(widths[y : y + 4]) > 0.8 * before:
            continue
        left, right = cores[y + 2]
        if any(r[1] < left for r in rows[y + 2]) and any(r[0] > right for r in rows[y + 2]):
            return y + 2
    return None


def _neck(widths: list[int]) -> int | None:
    """The narrowest row that has a head above it and shoulders below."""
    best = None
    for y in range(len(widths) // 20, len(widths) // 2):
        below = widths[y : y + len(widths) // 4]
        if max(widths[:y]) > 1.15 * widths[y] > 0 and max(below) > 1.8 * widths[y]:
            best = y if best is None or widths[y] <= widths[best] else best
    return best


def _axis(mask: Image.Image, box: tuple[int, int, int, int]) -> int:
    """The middle of what is in the upper half of the box."""
    upper = mask.crop((0, box[1], mask.width, (box[1] + box[3]) // 2))
    columns = list(upper.resize((mask.width, 1), Image.Resampling.BOX).tobytes())
    return round(sum(x * v for x, v in enumerate(columns)) / max(sum(columns), 1))


def _runs(mask: Image.Image, y: int) -> list[Run]:
    """The foreground of a row as (start, end) pairs; specks of one pixel are left out."""
    row = mask.crop((0, y, mask.width, y + 1)).tobytes()
    runs: list[Run] = []
    start: int | None = None
    for x, value in enumerate((*row, 0)):
        if value and start is None:
            start = x
        elif not value and start is not None:
            if x - start > 1:
                runs.append((start, x))
            start = None
    return runs


def _unlike_sides(small: Image.Image) -> Image.Image:
    """What differs from the picture's left and right edges, blended across each row."""
    edges = [small.crop((x, 0, x + 1, small.height)) for x in (1, small.width - 2)]
    left, right = (edge.resize(small.size) for edge in edges)
    ramp = Image.linear_gradient("L").rotate(90).resize(small.size)
    background = Image.composite(right, left, ramp)
    difference = _largest_band(ImageChops.difference(small, background))
    mask = difference.point(lambda v: 255 * (v > SIMILAR))
    closed = mask.filter(ImageFilter.MaxFilter(3)).filter(ImageFilter.MinFilter(3))
    return closed.filter(ImageFilter.MedianFilter(3))


def _like_background(plain: Image.Image, colour: object) -> Image.Image:
    flat = Image.new("RGB", plain.size, colour)  # type: ignore[arg-type]  # a pixel of RGB
    difference = _largest_band(ImageChops.difference(plain, flat))
    return difference.point(lambda v: 255 * (v <= SIMILAR))


def _reached_from_border(similar: Image.Image) -> Image.Image:
    """The part of the background-like area that hangs together with the border (255)."""
    framed = Image.new("L", (similar.width + 2, similar.height + 2), 255)
    framed.paste(similar.point(lambda v: 255 * (v > 127)), (1, 1))
    ImageDraw.floodfill(framed, (0, 0), 100)
    inner = framed.crop((1, 1, similar.width + 1, similar.height + 1))
    return inner.point(lambda v: 255 * (v == 100))


def _largest_band(difference: Image.Image) -> Image.Image:
    red, green, blue = difference.split()
    return ImageChops.lighter(ImageChops.lighter(red, green), blue)


def _small_size(picture: Image.Image) -> tuple[int, int]:
    factor = SMALL / max(picture.size)
    return max(1, round(picture.width * factor)), max(1, round(picture.height * factor))
