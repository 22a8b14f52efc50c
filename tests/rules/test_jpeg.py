"""A JPEG that is whole but untidy is mended; one that is cut is refused."""

import struct
from io import BytesIO
from typing import Any

import pytest
from pictures import varied
from PIL import Image, ImageChops, ImageStat

from vton.imaging.jpeg import mended

PERSON = varied(480, 640)


def jpeg(image: Image.Image | None = None, **options: Any) -> bytes:
    """The picture's file."""
    output = BytesIO()
    (image or PERSON).save(output, "JPEG", quality=85, **options)
    return output.getvalue()


KINDS = {
    "baseline": jpeg(),
    "progressive": jpeg(progressive=True),
    "grey": jpeg(PERSON.convert("L")),
    "CMYK": jpeg(PERSON.convert("CMYK")),
    "with restarts": jpeg(restart_marker_rows=2),
}


def opened(data: bytes) -> Image.Image:
    """The picture in a file."""
    image = Image.open(BytesIO(data))
    image.load()
    return image


def segment(marker: int, content: bytes) -> bytes:
    """A segment of a JPEG's header."""
    return struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content


UNTIDY = {
    "tidy": lambda data: data,
    "no end": lambda data: data[:-2],
    "a trailer for an end": lambda data: data[:-2] + bytes(999) + b"SEFT",
    "a trailer of another picture": lambda data: data[:-2] + jpeg(Image.new("RGB", (64, 64))),
    "a trailer of segments": lambda data: data[:-2] + segment(0xE1, bytes(50)) + b"\xff\xc4\0",
    "a short JFIF": lambda data: data[:2] + segment(0xE0, b"JFIF\0") + data[2:],
    "a short profile": lambda data: data[:2] + segment(0xE2, b"ICC_PROFILE\0") + data[2:],
    "a short Adobe": lambda data: data[:2] + segment(0xEE, b"Adobe\0") + data[2:],
    "rubbish in the header": lambda data: data[:2] + bytes(range(99)) + data[2:],
    "fill bytes": lambda data: data[:2] + b"\xff" * 9 + data[2:],
    "a marker of nothing": lambda data: data[:2] + b"\xff\1" + data[2:],
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("how", UNTIDY)
def test_what_is_untidy_is_mended_pixel_for_pixel(kind: str, how: str) -> None:
    whole = KINDS[kind]

    found = opened(mended(UNTIDY[how](whole)))

    assert (found.mode, found.tobytes()) == (opened(whole).mode, opened(whole).tobytes())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("lost", [3, 4])
def test_the_last_byte_or_two_may_be_lost(kind: str, lost: int) -> None:
    """Beside the two of the end marker."""
    whole = KINDS[kind]

    difference = ImageChops.difference(opened(mended(whole[:-lost])), opened(whole))

    assert max(ImageStat.Stat(difference).mean) < 0.5


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("kept", [0.02, 0.1, 0.5, 0.8])
def test_a_cut_jpeg_is_refused(kind: str, kept: float) -> None:
    whole = KINDS[kind]
    if kind == "progressive":  # its last scan alone, of the finest bits, may lack a part
        kept *= whole.rindex(b"\xff\xda") / len(whole)

    for end in (b"", b"\xff\xd9"):
        with pytest.raises((ValueError, OSError)):
            mended(whole[: int(len(whole) * kept)] + end)


@pytest.mark.parametrize("kind", ["baseline", "grey", "CMYK", "with restarts"])
def test_a_hundredth_of_the_pixels_must_not_be_missing(kind: str) -> None:
    with pytest.raises(ValueError, match="missing"):
        mended(KINDS[kind][: -len(KINDS[kind]) // 50])


def test_colour_profile_and_orientation_stay_and_everything_else_goes() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    found = mended(
        jpeg(exif=exif, icc_profile=b"profile", comment=b"SECRET", dpi=(1, 2)) + b"SECRET"
    )

    assert opened(found).info["icc_profile"] == b"profile"
    assert opened(found).getexif()[0x0112] == 6
    assert b"SECRET" not in found


@pytest.mark.parametrize("data", [
    b"", b"\xff\xd8", b"\xff\xd8\xff\xd9", b"\xff\xd8\xff\xda\0\2",
    b"\xff\xd8\xff\xc0\0\2\xff\xda\0\2",
    b"\xff\xd8\xff\xda\0\x0c\3\1\0\2\x11\3\x11\0\x3f\0", b"\xff\xd8" + b"\xff\xfe\0\2" * 5000,
])  # fmt: skip
def test_what_has_no_picture_is_refused(data: bytes) -> None:
    with pytest.raises((ValueError, KeyError, IndexError, OSError)):
        mended(data)
