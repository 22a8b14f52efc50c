"""What a picture's numbers say of its colours is shown as browsers show it."""

import struct
from io import BytesIO

import pytest
from PIL import Image

from vton.imaging.colour import Colours
from vton.imaging.convert import photo_to_jpeg
from vton.imaging.png import SIGNATURE, chunk

RGB = Image.new("RGB", (400, 600), (200, 60, 40))
GREY = Image.new("RGB", (400, 600), (128, 128, 128))
SRGB = (0.3127, 0.329, 0.64, 0.33, 0.3, 0.6, 0.15, 0.06)
P3 = (0.3127, 0.329, 0.68, 0.32, 0.265, 0.69, 0.15, 0.06)
ADOBE = (0.3127, 0.329, 0.64, 0.33, 0.21, 0.71, 0.15, 0.06)
PHOTO_PRO = (0.3457, 0.3585, 0.7347, 0.2653, 0.1596, 0.8404, 0.0366, 0.0001)


def numbers(*values: float) -> bytes:
    """As PNG writes them."""
    return b"".join(struct.pack(">I", round(value * 100_000)) for value in values)


def gamma(value: float) -> bytes:
    """The chunk that tells a picture's gamma."""
    return chunk(b"gAMA", numbers(value))


def primaries(*places: float) -> bytes:
    """The chunk that tells its white, red, green and blue."""
    return chunk(b"cHRM", numbers(*places))


def code(primaries: int, transfer: int, matrix: int = 0, full: int = 1) -> bytes:
    """The chunk that tells H.273's numbers."""
    return chunk(b"cICP", bytes((primaries, transfer, matrix, full)))


def shown(image: Image.Image, chunks: bytes) -> tuple[int, ...]:
    """The colour in the middle of what is stored of a PNG with such chunks."""
    output = BytesIO()
    image.save(output, "PNG")
    data = output.getvalue()
    head = len(SIGNATURE) + 25
    stored = Image.open(BytesIO(photo_to_jpeg(data[:head] + chunks + data[head:])))
    return stored.convert("RGB").getpixel((200, 300))  # type: ignore[return-value]


IN_CHROMIUM = [
    (gamma(1 / 2.2) + primaries(*SRGB), (201, 57, 35)),
    (gamma(1 / 1.8) + primaries(*P3), (228, 63, 39)),
    (gamma(1.0) + primaries(*ADOBE), (255, 133, 109)),
    (gamma(1.0) + primaries(*PHOTO_PRO), (255, 93, 104)),
    (gamma(1.0), (229, 133, 110)),
    (primaries(*P3), (200, 60, 40)),
    (chunk(b"sRGB", b"\0") + gamma(1.0) + primaries(*P3), (200, 60, 40)),
    (code(1, 13), (200, 60, 40)),
    (code(5, 13), (204, 60, 40)),
    (code(6, 13), (195, 66, 39)),
    (code(9, 13), (247, 0, 23)),
    (code(9, 4), (249, 0, 14)),
    (code(9, 8), (255, 114, 104)),
    (code(11, 13), (212, 42, 24)),
    (code(12, 13), (217, 42, 23)),
    (code(22, 13), (202, 66, 39)),
    (code(2, 2), (200, 60, 40)),
    (code(12, 13, full=0), (200, 60, 40)),
    (code(12, 13) + chunk(b"sRGB", b"\0"), (217, 42, 23)),
]
"""What Chromium makes of (200, 60, 40) with these chunks."""


@pytest.mark.parametrize(("chunks", "expected"), IN_CHROMIUM)
def test_a_pngs_numbers_are_taken_as_a_browser_takes_them(
    chunks: bytes, expected: tuple[int, ...]
) -> None:
    found = shown(RGB, chunks)

    assert all(abs(a - b) <= 3 for a, b in zip(found, expected, strict=True)), found


@pytest.mark.parametrize("chunks", [
    gamma(0), gamma(0) + primaries(*P3), gamma(1 / 2.2) + chunk(b"cHRM", bytes(32)),
    gamma(1 / 2.2) + primaries(0.3, 0.3, *[0.3] * 6), chunk(b"gAMA", b"12"), code(200, 200),
    chunk(b"cICP", b"\x0c"), chunk(b"cHRM", b"\xff" * 32),
])  # fmt: skip
def test_numbers_that_make_no_colours_change_nothing(chunks: bytes) -> None:
    assert all(abs(a - b) <= 6 for a, b in zip(shown(RGB, chunks), (200, 60, 40), strict=True))


@pytest.mark.parametrize("transfer", [16, 18])
def test_hdr_becomes_a_picture_for_an_ordinary_screen(transfer: int) -> None:
    """White on paper is at 58 % of PQ's values and 75 % of HLG's (ITU-R BT.2408, table 1)."""
    paper = {16: 0.58, 18: 0.75}[transfer]
    colours = Colours.of_h273(9, transfer)
    assert colours is not None
    ramp = Image.linear_gradient("L").convert("RGB")

    shown = colours.to_srgb(ramp)
    tones = [shown.getpixel((128, value))[1] for value in range(256)]  # type: ignore[index]

    assert tones == sorted(tones)
    assert tones[0] == 0
    assert tones[255] >= 253
    assert 225 <= tones[round(255 * paper)] <= 240, "white stays white, and lights have room"
    assert tones[round(255 * paper / 2)] >= 40, "and what is half as bright to the eye is no black"
    grey = colours.to_srgb(GREY).getpixel((0, 0))
    assert max(grey) - min(grey) <= 3  # type: ignore[arg-type]
