"""PNG: what results are stored as, read and written with the least work.

By the PNG specification, third edition (https://www.w3.org/TR/png-3/). zlib's work is done
by isal, which deflates in a quarter of the time and inflates in two thirds.
"""

import struct
from collections.abc import Iterator

from isal import isal_zlib
from PIL import Image, ImageChops

SIGNATURE = b"\x89PNG\r\n\x1a\n"
BAND_ROWS = 64
"""So many rows at a time are encoded: a whole picture would be in memory four times."""
LEVEL = 2
"""isal's effort, of 0 to 3; 3 takes half as long again and saves nothing of a photo."""

_CHANNELS = {0: 1, 2: 3, 4: 2, 6: 4}
"""Bytes of a pixel of 8 bits, by colour type: all but those with a palette."""
_GREY, _RGB = 0, 2
_UP = b"\2"
"""The filter that a row begins with whose bytes are differences from those above."""
_LAST_FILTER = 4
_LARGEST_WINDOW = b"\x78"
"""A zlib stream's first byte at most (RFC 1950); isal takes more, and browsers show nothing."""


def chunks(png: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Each chunk's type, and the whole chunk, to the end of the picture.

    Raises ValueError on the way if `png` is no whole PNG.
    """
    if not png.startswith(SIGNATURE):
        raise ValueError("not a PNG")
    at, kind = len(SIGNATURE), b""
    while kind != b"IEND":
        head = png[at : at + 8]
        if len(head) < 8:
            raise ValueError("the PNG has no end")
        length, kind = struct.unpack(">I4s", head)
        whole = png[at : at + 12 + length]
        if len(whole) < 12 + length:
            raise ValueError("the PNG is cut short")
        yield kind, whole
        at += 12 + length


LOOKS = frozenset(b"tRNS iCCP sRGB gAMA cHRM cICP sBIT eXIf".split())
"""What may be left out (its name begins small), and says how a picture looks or is turned."""
MOST_OF_IT = 1_000_000
"""Bytes of one of these chunks; profiles of printers have half as many."""


def without_metadata(png: bytes) -> bytes:
    """Return a PNG without what has nothing to do with its looks, and what of that is damaged.

    Pillow refuses a picture for a long text or a wrong checksum in it, which every browser shows.
    Raises ValueError if `png` is no whole PNG.
    """
    parts = [SIGNATURE]
    for kind, whole in chunks(png):
        needed = not kind[0] & 0x20
        if needed or (kind in LOOKS and len(whole) <= MOST_OF_IT and _is_sound(kind, whole)):
            parts.append(whole)
    return b"".join(parts)


def _is_sound(kind: bytes, whole: bytes) -> bool:
    return whole == chunk(kind, whole[8:-4])


def chunk(kind: bytes, data: bytes) -> bytes:
    """Return a whole chunk."""
    check = isal_zlib.crc32(data, isal_zlib.crc32(kind))
    return b"".join((struct.pack(">I", len(data)), kind, data, struct.pack(">I", check)))


def check_pixels(png: bytes) -> bool:
    """Whether all pixels of a PNG are there, found out without making a picture of them.

    That takes a third of decoding. False where only a decoder can tell: a picture is not of the
    usual kind (8 bits, no palette, not interlaced, its chunks in order), or has too many pixels.
    Raises ValueError, or isal's error, if pixels are missing or damaged.
    """
    found = list(chunks(png))
    kinds = [kind for kind, _ in found]
    start, count = kinds.index(b"IDAT"), kinds.count(b"IDAT")
    in_order = kinds[0] == b"IHDR" and kinds[start : start + count] == [b"IDAT"] * count
    if not in_order or kinds.count(b"IHDR") > 1 or b"PLTE" in kinds or len(found[0][1]) != 25:
        return False
    width, height, *how = struct.unpack(">IIBBBBB", found[0][1][8:-4])
    colour = how[1]
    packed = b"".join(whole[8:-4] for _, whole in found[start : start + count])
    if how != [8, colour, 0, 0, 0] or colour not in _CHANNELS or packed[:1] > _LARGEST_WINDOW:
        return False
    for kind, whole in found:
        if kind == b"IDAT" and isal_zlib.crc32(whole[4:-4]) != int.from_bytes(whole[-4:]):
            raise ValueError("the PNG is damaged")
    line = 1 + width * _CHANNELS[colour]
    inflate = isal_zlib.decompressobj()
    lines = inflate.decompress(packed, line * height + 1)
    if len(lines) > line * height:
        return False
    if not inflate.eof or len(lines) < line * height or max(lines[::line]) > _LAST_FILTER:
        raise ValueError("the PNG's pixels are not all there")
    return True


def encode(image: Image.Image) -> bytes:
    """Return a picture, RGB or grey (L), as a PNG.

    Each row is stored as its difference from the one above. Pillow tries all five filters for
    each row: that takes five times as long, for photos of the same size within a tenth.
    """
    width, height = image.size
    colour = _GREY if image.mode == "L" else _RGB
    line = width * _CHANNELS[colour]
    parts = [SIGNATURE, chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, colour, 0, 0, 0))]
    deflate = isal_zlib.compressobj(LEVEL)
    for top in range(0, height, BAND_ROWS):
        bottom = min(height, top + BAND_ROWS)
        band = image.crop((0, top, width, bottom))
        above = image.crop((0, top - 1, width, bottom - 1))  # black above the first row
        rows = memoryview(ImageChops.subtract_modulo(band, above).tobytes())
        lines = [rows[start : start + line] for start in range(0, len(rows), line)]
        parts.append(chunk(b"IDAT", deflate.compress(_UP + _UP.join(lines))))
    parts += chunk(b"IDAT", deflate.flush()), chunk(b"IEND", b"")
    return b"".join(parts)
