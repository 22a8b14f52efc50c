"""Whether a result shows anything that its photo did not."""

import io
from typing import Literal

from PIL import Image, ImageChops, ImageStat

from vton.imaging.convert import eight_bit, on_white

SIDE = 64
"""Pictures are compared so small, in pixels, that compression and scaling leave no trace."""
ALIKE_AT_MOST = 24
ALIKE_ON_AVERAGE = 2.0
"""Of 255. A photo that is encoded again, at quality 50 and three quarters of its size, differs by
19 at one place at most, and by 1.4 on average; one whose torso is darker by a seventh, by 29 and 4.
"""
BLANK_RANGE = 8
"""From the darkest to the brightest value of a colour in a blank picture, at most."""


def kind_of_result(result: bytes, photo: bytes) -> Literal["new", "photo", "blank"]:
    """Return whether a result, a PNG, is blank, is the photo itself, a JPEG, or is new.

    Raises whatever Pillow raises for damaged pictures.
    """
    shown, result_size = _small(result, "PNG")
    if all(high - low <= BLANK_RANGE for low, high in _extrema(shown)):
        return "blank"
    before, photo_size = _small(photo, "JPEG")
    (width, height), (photo_width, photo_height) = result_size, photo_size
    if abs(width * photo_height - height * photo_width) > 0.02 * width * photo_height:
        return "new"
    difference = ImageChops.difference(shown, before)
    most = max(high for _, high in _extrema(difference))
    on_average = max(ImageStat.Stat(difference).mean)
    return "photo" if most <= ALIKE_AT_MOST and on_average <= ALIKE_ON_AVERAGE else "new"


def _small(data: bytes, format_name: str) -> tuple[Image.Image, tuple[int, int]]:
    """A picture made small, on white, and the size that it had."""
    with Image.open(io.BytesIO(data), formats=[format_name]) as image:
        size = image.size
        image.draft("RGB", (4 * SIDE, 4 * SIDE))
        if image.mode in ("RGB", "RGBA", "L", "LA"):
            return on_white(image.resize((SIDE, SIDE), Image.Resampling.BOX)), size
        return on_white(eight_bit(image)).resize((SIDE, SIDE), Image.Resampling.BOX), size


def _extrema(image: Image.Image) -> list[tuple[int, int]]:
    """The least and the greatest value of each colour of an RGB picture."""
    return ImageStat.Stat(image).extrema
