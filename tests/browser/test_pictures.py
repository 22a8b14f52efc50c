"""Photos made untidy, damaged and odd in a thousand ways: what Chromium shows whole, we take.

And it looks as it does there. Where we differ and mean to, `EXPLAINED` says why.
"""

import base64
import random
import struct
import zlib
from collections.abc import Callable, Iterator
from io import BytesIO
from typing import Any

import pytest
from pictures import varied
from PIL import Image, ImageChops, ImageCms, ImageStat
from playwright.sync_api import Browser, Page

from vton.errors import Problem
from vton.imaging.__main__ import converted

pytestmark = pytest.mark.thorough

SHOW = """async (files) => Promise.all(files.map(async (file) => {
  const bytes = Uint8Array.from(atob(file), (c) => c.charCodeAt(0));
  const image = new Image();
  image.src = URL.createObjectURL(new Blob([bytes]));
  try { await image.decode(); } catch { return null; }
  const canvas = document.createElement('canvas');
  canvas.width = canvas.height = 64;
  const context = canvas.getContext('2d');
  context.fillStyle = 'white';
  context.fillRect(0, 0, 64, 64);
  context.imageSmoothingQuality = 'high';
  context.drawImage(image, 0, 0, 64, 64);
  const { data } = context.getImageData(0, 0, 64, 64);
  return [image.naturalWidth, image.naturalHeight, Array.from(data)];
}))"""
WHOLE = 2.0
ALIKE = 6.0
"""Of 255, on average: how far from the original a file still shows all of it, and from Chromium."""

EXPLAINED = {
    "12 bytes lost": "more than a thousandth of the pixels depends on them",
    "6 bytes lost": "more than a thousandth of the pixels depends on them",
    "pixels flipped": "pixels are damaged",
    "rows missing": "pixels are missing",
    "WebP turned": "Chromium does not turn a WebP by its EXIF; Safari does, and it is what it says",
}
"""How a mutation's name begins, and why we may refuse or show otherwise what Chromium shows."""

Mutations = Iterator[tuple[str, bytes]]
Shown = tuple[tuple[int, int], Image.Image]


def exif(kind: int = 3, count: int = 1, value: bytes = b"\0\6\0\0", entries: int = 1) -> bytes:
    """EXIF with an orientation, of any type."""
    tag = struct.pack(">HHI", 0x112, kind, count) + value
    return b"Exif\0\0MM\0*\0\0\0\x08" + struct.pack(">H", entries) + tag + bytes(4)


# -- JPEG ------------------------------------------------------------------------------------


def segment(marker: int, content: bytes) -> bytes:
    """A segment of a JPEG's header."""
    return struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content


ODD_SEGMENTS = [
    segment(0xE0, b""), segment(0xE0, b"JFIF\0"), segment(0xE0, b"JFIF\0\1"),
    segment(0xE0, b"JFXX\0\x10"), segment(0xE1, b"Exif\0\0"), segment(0xE1, exif()),
    segment(0xE1, exif(4, 1, b"\0\0\0\6")), segment(0xE1, exif(1, 1, b"\6\0\0\0")),
    segment(0xE1, exif(value=b"\0\x09\0\0")), segment(0xE1, exif(count=2, value=b"\0\6\0\6")),
    segment(0xE1, exif(count=0)), segment(0xE1, exif(entries=200)),
    segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0<x/>"), segment(0xE2, b"ICC_PROFILE\0"),
    segment(0xE2, b"ICC_PROFILE\0\1\1" + bytes(range(200))), segment(0xE2, b"MPF\0" + bytes(60)),
    segment(0xE2, b"ICC_PROFILE\0\2\3" + bytes(99)), segment(0xED, b"Photoshop 3.0\0"),
    segment(0xED, b"Photoshop 3.0\0008BIM\4\4\0\0\0\0\xff\xff"), segment(0xEE, b"Adobe\0"),
    segment(0xEE, b"Adobe\0d\0\0\0\0\0"), segment(0xFE, b""), segment(0xEF, bytes(9)),
    segment(0xDD, b"\0\0"), bytes(range(1, 60)), bytes(7), b"\xff" * 5, b"\xff\1",
]  # fmt: skip
TRAILERS = [bytes(50), b"SEFT" * 9, bytes(range(256)), segment(0xE1, bytes(30)), b"\xff\xd9" * 3]


def of_jpeg(data: bytes, chance: random.Random) -> Mutations:
    """A JPEG with its header, its end and what is behind it changed."""
    places, at = [], 2
    while data[at + 1] != 0xDA:
        places.append((at, at + 2 + int.from_bytes(data[at + 2 : at + 4])))
        at = places[-1][1]
    for lost in (1, 2, 3, 4, 6, 12):
        yield f"{lost} bytes lost", data[:-lost]
    for trailer in TRAILERS:
        yield "trailer", data + trailer
        yield "trailer for an end", data[:-2] + trailer
    for number, odd in enumerate(ODD_SEGMENTS):
        for place in (2, at):
            yield f"odd segment {number} at {place}", data[:place] + odd + data[place:]
    for start, stop in places:
        marker = data[start + 1]
        yield f"{marker:x} twice", data[:stop] + data[start:]
        if marker >= 0xE0:
            yield f"without {marker:x}", data[:start] + data[stop:]
            for less in range(1, min(6, stop - start - 3), 2):
                size = struct.pack(">H", stop - start - 2 - less)
                yield f"{marker:x} short", data[: start + 2] + size + data[start + 4 :]
                cut = data[start + 4 : stop - less] + data[stop:]
                yield f"{marker:x} cut", data[: start + 2] + size + cut
            yield f"{marker:x} flipped", flipped(data, chance.randrange(start + 4, stop), chance)
    yield "rubbish before the end", data[:-2] + bytes(range(30)) + data[-2:]


def flipped(data: bytes, at: int, chance: random.Random) -> bytes:
    """The same with one bit changed."""
    return data[:at] + bytes((data[at] ^ 1 << chance.randrange(8),)) + data[at + 1 :]


# -- PNG -------------------------------------------------------------------------------------


def chunk(kind: bytes, data: bytes) -> bytes:
    """A chunk of a PNG."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


ODD_CHUNKS = [
    chunk(b"tEXt", b"a\0b"), chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(3_000_000))),
    chunk(b"iTXt", b""), chunk(b"tIME", b"\0"), chunk(b"pHYs", b"123"), chunk(b"bKGD", b""),
    chunk(b"sBIT", b"\x99"), chunk(b"gAMA", b"12"), chunk(b"cHRM", b"123"), chunk(b"sRGB", b""),
    chunk(b"iCCP", b"a\0\0"), chunk(b"iCCP", b"a\0\0" + zlib.compress(bytes(2_000_000))),
    chunk(b"iCCP", b"a\0\0" + zlib.compress(bytes(range(200)))), chunk(b"cICP", b"\1"),
    chunk(b"eXIf", exif()[6:]), chunk(b"eXIf", exif()), chunk(b"eXIf", b""), chunk(b"hIST", b"\0"),
    chunk(b"sPLT", b"abc"), chunk(b"tRNS", b"\0"), chunk(b"oFFs", b"1"), chunk(b"vpAg", bytes(9)),
    chunk(b"abCd", bytes(4)), chunk(b"mDCV", b""), chunk(b"iDOT", bytes(28)),
]  # fmt: skip


def of_png(data: bytes, chance: random.Random) -> Mutations:
    """A PNG with odd chunks in it, without its end, and with its pixels packed otherwise."""
    places, at = [], 8
    while at < len(data):
        places.append((data[at + 4 : at + 8], at, at + 12 + int.from_bytes(data[at : at + 4])))
        at = places[-1][2]
    pixels = next(start for kind, start, _ in places if kind == b"IDAT")
    for lost in (1, 4, 8, 11, 12, 13, 14, 16, 20):
        yield f"cut by {lost}", data[:-lost]
    for trailer in TRAILERS:
        yield "trailer", data + trailer
    for number, odd in enumerate(ODD_CHUNKS):
        for place in (places[1][1], len(data) - 12):
            yield f"odd chunk {number} at {place}", data[:place] + odd + data[place:]
            bad = flipped(odd, len(odd) - 1, chance)
            yield f"bad odd chunk {number} at {place}", data[:place] + bad + data[place:]
    for kind, start, stop in places:
        if kind[0] & 0x20:
            yield f"{kind!r} flipped", flipped(data, chance.randrange(start + 8, stop), chance)
            yield f"{kind!r} twice", data[:stop] + data[start:]
            yield f"without {kind!r}", data[:start] + data[stop:]
    packed = b"".join(data[start + 8 : stop - 4] for kind, start, stop in places if kind == b"IDAT")
    rows, end = zlib.decompress(packed), chunk(b"IEND", b"")
    for name, other in {
        "no checksum": packed[:-4],
        "half a checksum": packed[:-2],
        "a wrong checksum": flipped(packed, len(packed) - 1, chance),
        "more behind them": packed + bytes(40),
        "more rows": zlib.compress(rows + bytes(3000)),
        "rows missing": zlib.compress(rows[:-3000]),
        "pixels flipped": flipped(packed, len(packed) // 2, chance),
    }.items():
        yield name, data[:pixels] + chunk(b"IDAT", other) + end
    tiny = b"".join(chunk(b"IDAT", packed[at : at + 99]) for at in range(0, len(packed), 99))
    yield "tiny pieces", data[:pixels] + tiny + end


# -- WebP ------------------------------------------------------------------------------------


def part(kind: bytes, data: bytes) -> bytes:
    """A chunk of a WebP."""
    return kind + struct.pack("<I", len(data)) + data + bytes(len(data) & 1)


def of_webp(data: bytes, chance: random.Random) -> Mutations:
    """A WebP with odd chunks in it, and sizes that are not right."""

    def sized(changed: bytes, by: int = 0) -> bytes:
        return changed[:4] + struct.pack("<I", (len(changed) - 8 + by) % 2**32) + changed[8:]

    turned = part(b"EXIF", exif()[6:])
    width, height = Image.open(BytesIO(data)).size
    size = struct.pack("<I", width - 1)[:3] + struct.pack("<I", height - 1)[:3]
    for lost in (1, 2, 4):
        yield f"{lost} off", data[:-lost]
    for by in (-8, -2, -1, 1, 2, 8, 1000):
        yield f"size {by}", sized(data, by)
    for number, odd in enumerate([
        part(b"EXIF", b""), part(b"XMP ", b"<x/>"), part(b"ICCP", bytes(99)),
        part(b"abcd", bytes(5)), bytes(10),
    ]):  # fmt: skip
        yield f"odd chunk {number} last", sized(data + odd)
        yield f"odd chunk {number} unsized", data + odd
        for flags in (0, 8, 0x20, 4, 0x10, 0xFF):
            if data[12:16] != b"VP8X":
                extended = part(b"VP8X", bytes((flags, 0, 0, 0)) + size)
                yield f"odd chunk {number}, {flags}", sized(data[:12] + extended + data[12:] + odd)
    yield "trailer", data + bytes(chance.randrange(1, 99))
    if data[12:16] != b"VP8X":
        extended = part(b"VP8X", b"\x08\0\0\0" + size)
        yield "WebP turned", sized(data[:12] + extended + data[12:] + turned)


# -- the files -------------------------------------------------------------------------------


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    """The picture's file."""
    output = BytesIO()
    image.save(output, kind, **options)
    return output.getvalue()


PLAIN = varied(320, 400)
PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
FILES: dict[str, tuple[bytes, Callable[[bytes, random.Random], Mutations]]] = {
    "JPEG": (encoded(PLAIN, "JPEG", quality=80), of_jpeg),
    "JPEG with everything": (
        encoded(PLAIN, "JPEG", quality=80, icc_profile=PROFILE, exif=exif(value=b"\0\x08\0\0"),
                comment=b"c", dpi=(72, 72)), of_jpeg,
    ),
    "progressive JPEG": (encoded(PLAIN, "JPEG", quality=80, progressive=True), of_jpeg),
    "CMYK JPEG": (encoded(PLAIN.convert("CMYK"), "JPEG", quality=80), of_jpeg),
    "PNG": (encoded(PLAIN, "PNG", icc_profile=PROFILE), of_png),
    "palette PNG": (encoded(PLAIN.quantize(64), "PNG", transparency=3), of_png),
    "grey PNG": (encoded(PLAIN.convert("L"), "PNG"), of_png),
    "WebP": (encoded(PLAIN, "WEBP", quality=80), of_webp),
    "lossless WebP": (encoded(PLAIN, "WEBP", lossless=True), of_webp),
}  # fmt: skip


@pytest.fixture
def page(chromium: Browser) -> Iterator[Page]:
    """An empty page."""
    page = chromium.new_page()
    yield page
    page.close()


def in_chromium(page: Page, files: list[bytes]) -> list[Shown | None]:
    """What Chromium shows of each file, small; None where it shows nothing."""
    found = []
    for at in range(0, len(files), 20):
        some = [base64.b64encode(file).decode() for file in files[at : at + 20]]
        found += page.evaluate(SHOW, some)
    return [
        one and ((one[0], one[1]), Image.frombytes("RGBA", (64, 64), bytes(one[2])).convert("RGB"))
        for one in found
    ]


def stored(file: bytes) -> Shown | str:
    """What we would store of a photo, small, or why we refuse it."""
    try:
        image = Image.open(BytesIO(converted("photo", file))).convert("RGB")
    except Problem as problem:
        return problem.code
    return image.size, image.resize((64, 64), Image.Resampling.BOX)


def far(one: Image.Image, other: Image.Image) -> float:
    """How much two pictures differ on average, in the colour in which they do most."""
    return max(ImageStat.Stat(ImageChops.difference(one, other)).mean)


@pytest.mark.parametrize("name", FILES)
def test_what_chromium_shows_whole_is_taken_and_looks_the_same(page: Page, name: str) -> None:
    original, mutations = FILES[name]
    made = list(mutations(original, random.Random(0)))

    whole, *shown = in_chromium(page, [original, *(file for _, file in made)])

    assert whole is not None
    assert sum(one is not None for one in shown) > len(made) / 2
    differing = []
    for (how, file), there in zip(made, shown, strict=True):
        if there is None or (far(there[1], whole[1]) > WHOLE and there[0] == whole[0]):
            continue  # nothing, or not all of it
        here = stored(file)
        if isinstance(here, str):
            differing.append(f"{how}: refused, {here}")
        elif here[0] != there[0] or far(here[1], there[1]) > ALIKE:
            differing.append(f"{how}: {here[0]}, and {there[0]} in Chromium")
    unexplained = [one for one in differing if not one.startswith(tuple(EXPLAINED))]
    assert unexplained == []
