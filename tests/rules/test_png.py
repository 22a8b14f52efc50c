"""A PNG is stripped to what it shows, and mended where its pixels are all there."""

import struct
import zlib
from io import BytesIO

import pytest
from PIL import Image

from vton.imaging.png import SIGNATURE, chunk, chunks, looks, mended, without_metadata

PICTURE = Image.merge("RGB", (
    Image.radial_gradient("L"), Image.linear_gradient("L"), Image.linear_gradient("L").rotate(90),
))  # fmt: skip


def png(image: Image.Image = PICTURE) -> bytes:
    """The picture's file."""
    output = BytesIO()
    image.save(output, "PNG")
    return output.getvalue()


def pixels(data: bytes) -> bytes:
    """What a file shows."""
    image = Image.open(BytesIO(data))
    image.load()
    return image.tobytes()


def of(depth: int, colour: int, interlaced: int, size: tuple[int, int] = (13, 9)) -> bytes:
    """A PNG of any kind, all of whose samples are nought: each row is its filter and zeros."""
    width, height = size
    bits = depth * {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour]
    passes = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2),
              (0, 1, 1, 2)] if interlaced else [(0, 0, 1, 1)]  # fmt: skip
    rows = b""
    for left, top, across, down in passes:
        columns = len(range(left, width, across))
        if columns:
            rows += bytes(1 + (columns * bits + 7) // 8) * len(range(top, height, down))
    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlaced)
    palette = chunk(b"PLTE", bytes(3)) if colour == 3 else b""
    packed = chunk(b"IDAT", zlib.compress(rows))
    return SIGNATURE + chunk(b"IHDR", head) + palette + packed + chunk(b"IEND", b"")


KINDS = [
    (depth, colour, interlaced)
    for interlaced in (0, 1)
    for colour, depths in {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 8), 4: (8,), 6: (8, 16)}.items()
    for depth in depths
]


@pytest.mark.parametrize(("depth", "colour", "interlaced"), KINDS)
def test_a_png_without_its_end_is_mended(depth: int, colour: int, interlaced: int) -> None:
    whole = of(depth, colour, interlaced)

    for cut in (1, 4, 11, 12, 13, 16, 20):
        assert pixels(mended(whole[:-cut])) == pixels(whole)


@pytest.mark.parametrize("lost", [4, 8, 12, 16, 20])
def test_a_large_png_without_its_end_is_mended(lost: int) -> None:
    whole = png(PICTURE.resize((900, 700)))

    found = mended(whole[:-lost])

    assert pixels(found) == PICTURE.resize((900, 700)).tobytes()
    assert list(chunks(found))[-1][0] == b"IEND"


def test_a_wrong_checksum_of_the_pixels_is_mended() -> None:
    packed = bytearray(
        zlib.compress(
            b"".join(b"\0" + PICTURE.tobytes()[at : at + 768] for at in range(0, 768 * 256, 768))
        )
    )
    packed[-1] ^= 1
    head = png()[: len(SIGNATURE) + 25]

    assert pixels(mended(head + chunk(b"IDAT", bytes(packed)))) == PICTURE.tobytes()


@pytest.mark.parametrize("kept", [0.05, 0.5, 0.95])
def test_a_cut_png_is_refused(kept: float) -> None:
    with pytest.raises(ValueError, match=r"not all there|no header"):
        mended(png()[: int(len(png()) * kept)])


def test_a_png_whose_pixels_are_damaged_is_refused() -> None:
    damaged = bytearray(png())
    damaged[len(damaged) // 2] ^= 1

    with pytest.raises(ValueError, match="damaged"):
        mended(bytes(damaged))


HUGE = struct.pack(">IIBBBBB", 2**32 - 1, 2**32 - 1, 16, 6, 0, 0, 1)


@pytest.mark.parametrize("data", [
    b"", SIGNATURE, SIGNATURE + chunk(b"IEND", b""), SIGNATURE + chunk(b"IHDR", bytes(12)),
    SIGNATURE + chunk(b"IHDR", HUGE), SIGNATURE + chunk(b"IHDR", HUGE) + b"\0\0\0\x09IDAT",
    SIGNATURE + chunk(b"IHDR", HUGE) + chunk(b"IDAT", b"\x78\x9c\3\0"),
])  # fmt: skip
def test_what_has_no_pixels_is_refused_at_once(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"not all there|no header"):
        mended(data)


GOOD = {
    b"gAMA": bytes(4), b"cHRM": bytes(32), b"sRGB": b"\0", b"cICP": b"\1\15\0\1",
    b"tRNS": bytes(6), b"eXIf": b"MM\0*rest", b"iCCP": b"name\0\0" + zlib.compress(b"profile"),
}  # fmt: skip
BAD = [
    (b"gAMA", b""), (b"gAMA", bytes(5)), (b"cHRM", bytes(31)), (b"sRGB", b""), (b"cICP", bytes(5)),
    (b"tRNS", bytes(2)), (b"tRNS", b""), (b"eXIf", b"Exif\0\0MM\0*"), (b"eXIf", b""),
    (b"eXIf", b"MM\0*" + bytes(1_000_000)), (b"iCCP", b"name"), (b"iCCP", b"name\0\0rubbish"),
    (b"iCCP", b"name\0\0" + zlib.compress(bytes(2_000_000))), (b"tEXt", b"a\0b"),
    (b"sBIT", b"\1\2\3"), (b"tIME", bytes(7)), (b"abCd", b"SECRET"), (b"hIST", b""),
    (b"zTXt", b"a\0\0"), (b"acTL", bytes(8)),
]  # fmt: skip


def with_chunks(*more: bytes, after: bool = False) -> bytes:
    """The picture with chunks before its pixels, or after them."""
    data = png()
    at = len(data) - 12 if after else len(SIGNATURE) + 25
    return data[:at] + b"".join(more) + data[at:]


def test_what_says_how_it_looks_stays_once() -> None:
    said = [chunk(kind, content) for kind, content in GOOD.items()]
    other = [chunk(kind, bytes(len(content))) for kind, content in GOOD.items()]

    assert looks(without_metadata(with_chunks(*said, *other))) == GOOD


@pytest.mark.parametrize(("kind", "content"), BAD)
def test_everything_else_goes(kind: bytes, content: bytes) -> None:
    assert without_metadata(with_chunks(chunk(kind, content))) == png()


@pytest.mark.parametrize("kind", GOOD)
def test_so_does_what_is_damaged_or_stands_behind_the_pixels(kind: bytes) -> None:
    good = chunk(kind, GOOD[kind])

    assert without_metadata(with_chunks(good[:-1] + bytes((good[-1] ^ 1,)))) == png()
    assert without_metadata(with_chunks(good, after=True)) == png()


@pytest.mark.parametrize(
    ("colour", "sizes"), [(0, {2}), (2, {6}), (3, {1, 2, 6, 256}), (4, set()), (6, set())]
)
def test_a_see_through_colour_has_the_size_of_one(colour: int, sizes: set[int]) -> None:
    plain = of(8, colour, 0)
    at = plain.index(b"IDAT") - 4

    for size in (0, 1, 2, 6, 256, 257):
        data = plain[:at] + chunk(b"tRNS", bytes(size)) + plain[at:]
        assert (b"tRNS" in looks(without_metadata(data))) == (size in sizes)
    if colour == 3:
        early = plain[:33] + chunk(b"tRNS", b"\0") + plain[33:]
        assert without_metadata(early) == plain, "it stands before the palette"


def test_the_rows_of_a_picture_are_counted_as_its_decoder_counts_them() -> None:
    """A row fewer is missed, of every pass of an interlaced picture too."""
    for kind in KINDS:
        whole = of(*kind)
        (packed,) = (data[8:-4] for name, data in chunks(whole) if name == b"IDAT")
        rows = zlib.decompress(packed)
        head = whole[: whole.index(b"IDAT") - 4]
        with pytest.raises(ValueError, match="not all there"):
            mended(head + chunk(b"IDAT", zlib.compress(rows[:-1])))
