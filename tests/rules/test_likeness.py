"""What a result is found to be: new, the photo itself whatever was done to its file, or blank."""

from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image, ImageDraw

from vton.imaging.photos import PictureConverter
from vton.imaging.sandbox import Sandbox
from vton.imaging.slots import DecoderSlots

CONVERTER = PictureConverter(Sandbox(decoders=DecoderSlots(Path(), 0)))


def photo(size: tuple[int, int] = (600, 900)) -> Image.Image:
    """Somebody before a background that is nowhere the same."""
    image = Image.merge("RGB", (
        Image.radial_gradient("L"), Image.linear_gradient("L"),
        Image.linear_gradient("L").rotate(90),
    )).resize(size)  # fmt: skip
    draw, (width, height) = ImageDraw.Draw(image), size
    draw.ellipse((width * 0.4, height * 0.1, width * 0.6, height * 0.25), "#c99877")
    draw.rectangle((width * 0.3, height * 0.3, width * 0.7, height * 0.9), "#33415c")
    return image


def encoded(image: Image.Image, kind: str, **options: int) -> bytes:
    """The bytes of a file."""
    output = BytesIO()
    image.save(output, kind, **options)
    return output.getvalue()


def found(result: Image.Image, before: Image.Image | None = None) -> str | None:
    """What a stored result is found to be."""
    return CONVERTER.kind_of_result(
        encoded(result, "PNG"), encoded(before or photo(), "JPEG", quality=90)
    )


def again(image: Image.Image, quality: int, scale: float) -> Image.Image:
    """A picture as a provider may return it: scaled, and encoded with loss."""
    size = round(image.width * scale), round(image.height * scale)
    return Image.open(BytesIO(encoded(image.resize(size), "JPEG", quality=quality)))


@pytest.mark.parametrize("quality", [95, 75, 50])
@pytest.mark.parametrize("scale", [1.5, 1.0, 0.75, 0.5])
def test_the_photo_itself_is_known_within_compression(quality: int, scale: float) -> None:
    assert found(again(photo(), quality, scale)) == "photo"


def test_the_photo_itself_is_known_whatever_kind_of_png_it_is() -> None:
    grey, palette = photo().convert("L"), photo().quantize(64)

    assert found(photo().convert("RGBA")) == "photo"
    assert found(grey, grey) == "photo"
    assert found(palette, palette.convert("RGB")) == "photo"


def test_other_clothes_are_new() -> None:
    dressed = photo()
    box = 180, 270, 420, 810
    dressed.paste(dressed.crop(box).point(lambda value: int(value * 0.6)), box)

    assert found(dressed) == "new"


def test_another_light_is_new() -> None:
    assert found(photo().point(lambda value: min(255, value + 10))) == "new"


def test_a_small_print_on_the_same_shirt_is_new() -> None:
    dressed = photo()
    ImageDraw.Draw(dressed).rectangle((270, 400, 330, 460), "white")

    assert found(dressed) == "new"


def test_another_shape_is_new() -> None:
    assert found(photo().crop((0, 0, 600, 800))) == "new"


@pytest.mark.parametrize("colour", ["white", "black", "#7f7f7f", "#102030"])
def test_one_colour_is_blank(colour: str) -> None:
    assert found(Image.new("RGB", (600, 900), colour)) == "blank"
    assert found(again(Image.new("RGB", (400, 400), colour), 50, 1.0)) == "blank"


def test_nothing_to_see_through_to_is_blank() -> None:
    nothing = photo().convert("RGBA")
    nothing.putalpha(0)

    assert found(nothing) == "blank"


def test_a_faint_picture_is_not_blank() -> None:
    faint = Image.new("RGB", (600, 900), "white")
    ImageDraw.Draw(faint).rectangle((100, 100, 500, 800), "#f0f0f0")

    assert found(faint) == "new"


def test_what_cannot_be_told_is_not_told() -> None:
    jpeg = encoded(photo(), "JPEG")

    assert CONVERTER.kind_of_result(b"no picture", jpeg) is None
    assert CONVERTER.kind_of_result(encoded(photo(), "PNG"), b"no picture") is None
    assert CONVERTER.kind_of_result(encoded(photo(), "PNG")[:5000], jpeg) is None


def test_what_may_take_long_is_not_looked_at() -> None:
    large = Image.new("L", (4000, 4000))

    assert CONVERTER.kind_of_result(encoded(large, "PNG"), encoded(photo(), "JPEG")) is None


def test_a_grey_picture_of_16_bits_is_not_blank() -> None:
    faint = Image.new("I;16", (600, 900), 20_000)
    faint.paste(40_000, (100, 100, 500, 800))

    assert found(faint) == "new"
