"""JPEG that is whole but untidy, as some cameras and programs leave it (ITU T.81, annex B).

No end marker, an app's trailer in its place, the last byte or two lost on the way, segments that
are shorter than they should be, bytes between them: browsers show all these, and Pillow refuses
them.
"""

import io
import random
import re
from collections.abc import Iterator

from PIL import Image, ImageChops

START, END = b"\xff\xd8", b"\xff\xd9"
FRAMES = (0xC0, 0xC1, 0xC2)
SCAN = 0xDA
TABLES = (0xC4, 0xDB, 0xDD)
"""Of Huffman codes, of quantisation, and the restart interval."""
DESCRIPTIONS = {
    0xE0: (b"JFIF\0", 14),
    0xE1: (b"Exif\0\0", 14),
    0xE2: (b"ICC_PROFILE\0", 14),
    0xEE: (b"Adobe", 12),
}
"""What says how a picture looks or is turned: how such a segment begins, and its least bytes."""
MOST_SEGMENTS = 1000
NOTICED = 8
"""From how great a difference on, of 255, a pixel looks another."""
MOST_MISSING = 0.001
"""The part of a picture that may look another by what is missing of its file."""
_MARKER = re.compile(rb"\xff[^\0\1\xff\xd0-\xd7]")
"""All but those that nothing belongs to, which also stand among a scan's pixels."""
_RUBBISH = random.Random(0).randbytes(64).replace(b"\xff", b"\x7f")  # noqa: S311


def mended(data: bytes) -> bytes:
    """Return an untidy JPEG as a tidy one, without what has nothing to do with its looks.

    Raises ValueError, or what Pillow raises, if it is cut: if a scan is not there, or if more than
    a thousandth of the picture depends on bytes that are not.
    """
    parts, scans = [START], _Scans()
    tables: list[bytes] = []
    for marker, begin, stop, end in _segments(data):
        content = data[begin:stop]
        segment = bytes((0xFF, marker)) + (len(content) + 2).to_bytes(2) + content
        if marker in TABLES:
            tables.append(segment)
        elif marker in FRAMES:
            scans.frame(content)
            parts.append(segment)
        elif marker == SCAN:
            scans.add(content)
            parts += *tables, segment, data[stop:end]
            tables = []
            if scans.complete:
                break
        elif not scans.begun:
            beginning, least = DESCRIPTIONS.get(marker, (b"", len(content) + 1))
            if content.startswith(beginning) and len(content) >= least:
                parts.append(segment)
    if not scans.complete:
        raise ValueError("the JPEG is cut short")
    picture = b"".join(parts).rstrip(b"\xff")
    if _part_that_depends_on_the_rest(picture) > MOST_MISSING:
        raise ValueError("pixels of the JPEG are missing")
    return picture + END


class _Scans:
    """Which coefficients of which component are there, and to which bit."""

    def __init__(self) -> None:
        self._bits_left: dict[int, list[int]] = {}
        self.begun = False

    def frame(self, content: bytes) -> None:
        """Learn the components from the frame's header."""
        self._bits_left = {number: [99] * 64 for number in content[6::3][: content[5]]}

    def add(self, content: bytes) -> None:
        """Note what a scan brings, from its header."""
        count = content[0]
        first, last, bits = content[1 + 2 * count : 4 + 2 * count]
        for number in content[1 : 1 + 2 * count : 2]:
            self._bits_left[number][first : last + 1] = [bits & 15] * (last + 1 - first)
        self.begun = True

    @property
    def complete(self) -> bool:
        """Whether there has been a scan for everything."""
        return self.begun and not any(map(any, self._bits_left.values()))


def _segments(data: bytes) -> Iterator[tuple[int, int, int, int]]:
    """Each segment's marker, where its content begins and ends, and where a scan's pixels do."""
    at = len(START)
    for _ in range(MOST_SEGMENTS):
        found = _MARKER.search(data, at)
        if found is None or found[0] in (START, END) or found[0][1] < FRAMES[0]:
            return
        marker, begin = found[0][1], found.end() + 2
        stop = found.end() + int.from_bytes(data[found.end() : begin])
        if stop < begin or stop > len(data):
            return
        at = stop
        if marker == SCAN:
            following = _MARKER.search(data, stop)
            at = following.start() if following else len(data)
        yield marker, begin, stop, at


def _part_that_depends_on_the_rest(picture: bytes) -> float:
    """How much of a picture looks another when rubbish follows in place of its end, from 0 to 1.

    A decoder leaves grey, or repeats, what is not there; of rubbish, it makes something else.
    """
    rubbish = _RUBBISH * (1 + len(picture) // len(_RUBBISH))
    difference = ImageChops.difference(_half(picture + END), _half(picture + rubbish + END))
    noticed = Image.new("L", difference.size)
    for band in difference.split():
        noticed = ImageChops.lighter(noticed, band)
    return sum(noticed.histogram()[NOTICED + 1 :]) / (noticed.width * noticed.height)


def _half(data: bytes) -> Image.Image:
    """A JPEG, decoded at half its size, which takes a fraction of the time."""
    with Image.open(io.BytesIO(data), formats=["JPEG"]) as image:
        image.draft(None, (max(1, image.width // 2), max(1, image.height // 2)))
        image.load()
        return image
