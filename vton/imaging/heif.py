"""HEIF, as far as libheif does not tell: how the container turns its picture (ISO 23008-12)."""

from collections.abc import Iterator

TURNS = (b"irot", b"imir")
MOST_BOXES = 10_000
"""In one container; a picture of 40 megapixels in tiles has 600 properties and items."""


def is_turned(data: bytes) -> bool:
    """Whether the container turns or mirrors its primary picture, as its EXIF may say, too.

    libheif does what the container says. Cameras that say it in EXIF alone mean the same.
    """
    meta = _find(data, 0, len(data), b"meta")
    if meta is None:
        return False
    start, end = meta[0] + 4, meta[1]  # behind version and flags
    primary, properties = _find(data, start, end, b"pitm"), _find(data, start, end, b"iprp")
    if primary is None or properties is None:
        return False
    wide = data[primary[0]] > 0
    item = int.from_bytes(data[primary[0] + 4 : primary[0] + (8 if wide else 6)])
    container = _find(data, *properties, b"ipco")
    if container is None:
        return False
    kinds = [kind for kind, _, _ in _boxes(data, *container)]
    return any(
        kinds[number - 1] in TURNS
        for kind, begin, stop in _boxes(data, *properties)
        if kind == b"ipma"
        for number in _properties_of(data, begin, stop, item)
        if 0 < number <= len(kinds)
    )


def _boxes(data: bytes, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Each box between two places: its type, and where its content begins and ends."""
    for _ in range(MOST_BOXES):
        if start + 8 > end:
            return
        size, kind, head = int.from_bytes(data[start : start + 4]), data[start + 4 : start + 8], 8
        if size == 1:
            size, head = int.from_bytes(data[start + 8 : start + 16]), 16
        stop = end if size == 0 else start + size
        if (size and size < head) or stop > end:
            return
        yield kind, start + head, stop
        start = stop


def _find(data: bytes, start: int, end: int, wanted: bytes) -> tuple[int, int] | None:
    """Where the content of the first box of a type is."""
    return next(((a, b) for kind, a, b in _boxes(data, start, end) if kind == wanted), None)


def _properties_of(data: bytes, start: int, end: int, item: int) -> list[int]:
    """The numbers, from 1 on, of the properties that an `ipma` box gives to an item."""
    version, long = data[start], data[start + 3] & 1
    at, id_bytes, bytes_each = start + 8, 4 if version else 2, 2 if long else 1
    for _ in range(int.from_bytes(data[start + 4 : start + 8])):
        if at + id_bytes >= end:
            break
        named, count = int.from_bytes(data[at : at + id_bytes]), data[at + id_bytes]
        at += id_bytes + 1
        if named == item:
            mask = 0x7FFF if long else 0x7F
            places = range(at, min(end, at + count * bytes_each), bytes_each)
            return [int.from_bytes(data[place : place + bytes_each]) & mask for place in places]
        at += count * bytes_each
    return []
