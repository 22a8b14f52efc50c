"""PNG: what results are stored as, read and written with the least work.

By the PNG specification, third edition (https://www.w3.org/TR/png-3/). zlib's work is done
by isal, which deflates in a quarter of the time and inflates in two thirds.
"""

import struct
import zlib
from collections.abc import Iterator

from isal import isal_zlib
from PIL import Image, ImageChops

SIGNATURE = b"\x89PNG\r\n\x1a\n"
BAND_ROWS = 64
BAND_BYTES = 1 << 20
"""So many rows at a time are encoded: a whole picture would be in memory four times."""
LEVEL = 2
"""isal's effort, of 0 to 3; 3 takes half as long again and saves nothing of a photo."""

_CHANNELS = {0: 1, 2: 3, 4: 2, 6: 4}
"""Bytes of a pixel of 8 bits, by colour type: all but those with a palette."""
_GREY, _RGB, _PALETTE = 0, 2, 3
_HEADER = struct.Struct(">IIBBBBB")
_ADAM7 = (
    (0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4),
    (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2),
)  # fmt: skip
"""Of each pass of an interlaced picture: the first column and row, and how far to the next."""
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


_SIZES = {b"gAMA": 4, b"cHRM": 32, b"sRGB": 1, b"cICP": 4}
_OF_PALETTE = b"\3"
_KEY_SIZES = {b"\0": (2,), b"\2": (6,), _OF_PALETTE: range(1, 257)}
"""Bytes of `tRNS`, by colour type."""
_TIFF = b"II*\0", b"MM\0*"
MOST_OF_IT = 1_000_000
"""Bytes of a colour profile, packed or not, and of EXIF; profiles of printers have half as many."""


def without_metadata(png: bytes) -> bytes:
    """Return a PNG without what has nothing to do with its looks, and what of that is damaged.

    What browsers leave out of account goes, too: what stands behind the pixels or stands there
    twice. Pillow refuses a picture for a long text, or a wrong checksum or length, which every
    browser shows. Raises ValueError if `png` is no whole PNG.
    """
    parts, seen, header = [SIGNATURE], set[bytes](), b""
    for kind, whole in chunks(png):
        if kind == b"IHDR":
            header = whole[8:-4]
        if kind == b"tRNS" and header[9:10] == _OF_PALETTE and b"PLTE" not in seen:
            continue
        needed = not kind[0] & 0x20
        if needed or (b"IDAT" not in seen and kind not in seen and _is_sound(kind, whole, header)):
            parts.append(whole)
            seen.add(kind)
    return b"".join(parts)


def _is_sound(kind: bytes, whole: bytes, header: bytes) -> bool:
    """Whether a chunk that may be left out says how a picture looks or is turned, and properly."""
    content = whole[8:-4]
    match kind:
        case b"gAMA" | b"cHRM" | b"sRGB" | b"cICP":
            fits = len(content) == _SIZES[kind]
        case b"tRNS":
            fits = len(content) in _KEY_SIZES.get(header[9:10], ())
        case b"eXIf":
            fits = content.startswith(_TIFF) and len(content) <= MOST_OF_IT
        case b"iCCP":
            fits = _is_unpacked_soon(content.partition(b"\0")[2][1:])
        case _:
            return False
    return fits and whole == chunk(kind, content)


def _is_unpacked_soon(packed: bytes) -> bool:
    try:
        return 0 < len(zlib.decompressobj().decompress(packed, MOST_OF_IT)) < MOST_OF_IT
    except zlib.error:
        return False


def mended(png: bytes) -> bytes:
    """Return a PNG whose pixels are all there, but not its end or their checksum, as a whole one.

    Raises ValueError, or isal's error, if pixels are missing or damaged.
    """
    parts, packed, header = [SIGNATURE], [], b""
    at, kind = len(SIGNATURE), b""
    while kind != b"IEND" and at + 8 < len(png):
        length, kind = struct.unpack(">I4s", png[at : at + 8])
        whole = png[at : at + 12 + length]
        content, is_whole = whole[8 : 8 + length], len(whole) == 12 + length
        if kind == b"IDAT":
            if is_whole and whole != chunk(kind, content):
                raise ValueError("the PNG is damaged")
            packed.append(content)
        elif is_whole and not packed and kind != b"IEND":
            parts.append(whole)
            header = content if kind == b"IHDR" else header
        at += 12 + length
    if len(header) != _HEADER.size:
        raise ValueError("the PNG has no header")
    return b"".join((*parts, *_packed_anew(b"".join(packed), header), chunk(b"IEND", b"")))


def _packed_anew(packed: bytes, header: bytes) -> Iterator[bytes]:
    """Chunks of the same pixels with a proper end. Raises ValueError if some are missing."""
    left = _bytes_of_pixels(header)
    deflate = isal_zlib.compressobj(LEVEL)
    inflate = isal_zlib.decompressobj(-15)  # without the header, and without the checksum
    rest = packed[2:]
    while left > 0:
        lines = inflate.decompress(rest, min(left, BAND_BYTES))
        if not lines:
            raise ValueError("the PNG's pixels are not all there")
        left -= len(lines)
        rest = inflate.unconsumed_tail
        if done := deflate.compress(lines):
            yield chunk(b"IDAT", done)
    yield chunk(b"IDAT", deflate.flush())


def _bytes_of_pixels(header: bytes) -> int:
    """How many bytes the pixels have, and each row's filter (PNG 7.2 and 8.1)."""
    width, height, depth, colour, _, _, interlaced = _HEADER.unpack(header)
    bits = depth * {**_CHANNELS, _PALETTE: 1}[colour]
    total = 0
    for left, top, across, down in _ADAM7 if interlaced else ((0, 0, 1, 1),):
        columns, rows = -((left - width) // across), -((top - height) // down)
        if columns > 0:
            total += max(0, rows) * (1 + (columns * bits + 7) // 8)
    return total


def looks(png: bytes) -> dict[bytes, bytes]:
    """Return what the chunks that may be left out hold, by name, of a PNG without metadata."""
    return {kind: whole[8:-4] for kind, whole in chunks(png) if kind[0] & 0x20}


def chunk(kind: bytes, data: bytes) -> bytes:
    """Return a whole chunk."""
    check = isal_zlib.crc32(data, isal_zlib.crc32(kind))
    return b"".join((struct.pack(">I", len(data)), kind, data, struct.pack(">I", check)))


def check_pixels(png: bytes) -> bool:
    """Whether all pixels of a PNG are there, found out without making a picture of them.

    That takes a third of decoding. False where only a decoder can tell: a picture is not of the
    usual kind (8 bits, no palette, not interlaced, its chunks in order), or something stands behind
    its pixels.
    Raises ValueError, or isal's error, if pixels are missing or damaged.
    """
    found = list(chunks(png))
    kinds = [kind for kind, _ in found]
    start, count = kinds.index(b"IDAT"), kinds.count(b"IDAT")
    in_order = kinds[0] == b"IHDR" and kinds[start : start + count] == [b"IDAT"] * count
    if not in_order or kinds.count(b"IHDR") > 1 or b"PLTE" in kinds or len(found[0][1]) != 25:
        return False
    width, height, *how = _HEADER.unpack(found[0][1][8:-4])
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
    if len(lines) > line * height or inflate.unused_data:
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
    parts = [SIGNATURE, chunk(b"IHDR", _HEADER.pack(width, height, 8, colour, 0, 0, 0))]
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
