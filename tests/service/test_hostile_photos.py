"""Pictures made to break a decoder: a clean JPEG or a Problem, soon, whatever the bytes are."""

import io
import struct
import threading
import time
import tracemalloc
import zipfile
import zlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import pillow_heif
import psycopg
import pytest
from actors import DECODERS, User, encoded, jpeg, objects_of, until
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms
from pillow_heif import HeifImageFile, from_pillow
from redis import Redis
from test_photos import PICTURES, PORTRAIT, close, opened

from vton.errors import Problem, Unavailable
from vton.imaging.convert import MAX_RESULT_BYTES, photo_to_jpeg
from vton.imaging.opening import MAX_SIDE
from vton.imaging.photos import PictureConverter
from vton.imaging.sandbox import WALL_SECONDS, Sandbox
from vton.imaging.slots import DecoderSlots
from vton.imaging.triage import is_ordinary_jpeg

CONVERTER = PictureConverter(Sandbox(decoders=DECODERS))
normalise_photo = CONVERTER.normalise_photo
normalise_garment = CONVERTER.normalise_garment
verify_result = CONVERTER.verify_result

pytestmark = pytest.mark.thorough

ENDS_WITHIN = 3 * WALL_SECONDS
"""What would take minutes: waiting for its turn, decoding, and a machine that is busy."""
ORIENTATION = 0x0112
FOREIGN = b"SECRET-FOREIGN-BYTES"


# -- making them -----------------------------------------------------------------------------
def heic(image: Image.Image = PORTRAIT, **options: Any) -> bytes:
    """A picture as a phone stores it."""
    output = io.BytesIO()
    from_pillow(image).save(output, quality=80, **options)
    return output.getvalue()


def box(kind: bytes, *parts: bytes) -> bytes:
    """A box of a HEIC file."""
    body = b"".join(parts)
    return struct.pack(">I", 8 + len(body)) + kind + body


def full(kind: bytes, *parts: bytes, version: int = 0) -> bytes:
    """A box with a version."""
    return box(kind, struct.pack(">I", version << 24), *parts)


def ispe(width: int, height: int) -> bytes:
    """The box that claims a size."""
    return full(b"ispe", struct.pack(">II", width, height))


Item = tuple[bytes, bytes, list[bytes]]


@cache
def coded(width: int, height: int) -> tuple[bytes, bytes]:
    """One colour as HEVC: its configuration box and its data."""
    file = heic(Image.new("RGB", (width, height), "teal"))
    config, data = file.index(b"hvcC"), file.index(b"mdat")
    size = [int.from_bytes(file[at - 4 : at]) for at in (config, data)]
    return file[config - 4 : config - 4 + size[0]], file[data + 4 : data - 4 + size[1]]


def coded_item(width: int, height: int) -> Item:
    """One colour as an item of a HEIC file."""
    config, data = coded(width, height)
    return b"hvc1", data, [config, ispe(width, height)]


def container(
    items: Sequence[Item],
    made_of: Sequence[tuple[int, list[int]]] = (),
    primary: int = 1,
    brands: bytes = b"heic\0\0\0\0mif1heic",
) -> bytes:
    """A HEIC file of items, some `made_of` others, as hostile as one likes."""
    properties = sorted({prop for _, _, props in items for prop in props})
    entries, links = b"", b""
    for number, (kind, _, props) in enumerate(items, 1):
        entries += full(b"infe", struct.pack(">HH", number, 0), kind, b"\0", version=2)
        links += struct.pack(">HB", number, len(props))
        links += bytes(properties.index(prop) + 1 for prop in props)
    references = full(
        b"iref",
        *(
            box(b"dimg", struct.pack(f">HH{len(parts)}H", whole, len(parts), *parts))
            for whole, parts in made_of
        ),
    )

    def meta(offset: int) -> bytes:
        places = b""
        for number, (_, data, _) in enumerate(items, 1):
            places += struct.pack(">HHHII", number, 0, 1, offset, len(data))
            offset += len(data)
        return full(
            b"meta",
            full(b"hdlr", bytes(4), b"pict", bytes(13)),
            full(b"pitm", struct.pack(">H", primary)),
            full(b"iloc", b"\x44\0", struct.pack(">H", len(items)), places),
            full(b"iinf", struct.pack(">H", len(items)), entries),
            references if made_of else b"",
            box(
                b"iprp",
                box(b"ipco", *properties),
                full(b"ipma", struct.pack(">I", len(items)), links),
            ),
        )

    head = box(b"ftyp", brands)
    start = len(head) + len(meta(0)) + 8
    return head + meta(start) + box(b"mdat", *(data for _, data, _ in items))


def chunk(kind: bytes, data: bytes) -> bytes:
    """A chunk of a PNG."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(
    width: int, height: int, depth: int = 8, colour: int = 2, rows: bytes = b"", more: bytes = b""
) -> bytes:
    """A PNG with any header, and the chunks `more`."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + more
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


def with_exif(tiff: bytes) -> bytes:
    """A JPEG with these bytes for EXIF."""
    app1 = b"Exif\0\0" + tiff
    return jpeg()[:2] + b"\xff\xe1" + struct.pack(">H", len(app1) + 2) + app1 + jpeg()[2:]


def ifd(kind: int, count: int, value: bytes, following: int = 0) -> bytes:
    """A TIFF directory with an orientation of any type."""
    return b"MM\0*\0\0\0\x08\0\x01" + struct.pack(
        ">HHI4sI", ORIENTATION, kind, count, value, following
    )


def as_bytes(image: Image.Image, kind: str, **options: Any) -> bytes:
    """Shorter."""
    return encoded(image, kind, **options)


ZEROS = zlib.compress(bytes(50_000_000), 9)
WHITE = b"\xff" * 2


# -- what is accepted ------------------------------------------------------------------------
RGBA = PORTRAIT.convert("RGBA")
RED_16 = struct.pack(">HHH", 200 * 257, 30 * 257, 30 * 257)
BLUE_16 = struct.pack(">HHH", 30 * 257, 30 * 257, 200 * 257)
CLEAR = PORTRAIT.quantize(8)

GOOD = {
    "HEIC": heic(),
    "HEIC of tiles": heic(tile_size=128),
    "lossless WebP": as_bytes(PORTRAIT, "WEBP", lossless=True),
    "animated WebP": as_bytes(
        PORTRAIT, "WEBP", save_all=True, append_images=[Image.new("RGB", (400, 600))], quality=95
    ),
    "PNG with alpha": as_bytes(RGBA, "PNG"),
    "palette with transparency": as_bytes(CLEAR, "PNG", transparency=7),
    "16-bit RGB": png(
        400, 600, 16, rows=(b"\0" + RED_16 * 400) * 300 + (b"\0" + BLUE_16 * 400) * 300
    ),
    "16-bit RGBA": png(
        400, 600, 16, 6,
        rows=(b"\0" + (RED_16 + WHITE) * 400) * 300 + (b"\0" + (BLUE_16 + WHITE) * 400) * 300,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", GOOD)
def test_every_kind_of_photo_becomes_the_same_jpeg(name: str) -> None:
    photo = opened(normalise_photo(GOOD[name]))

    assert (photo.format, photo.mode, photo.size) == ("JPEG", "RGB", (400, 600))
    assert close(photo.getpixel((200, 100)), (200, 30, 30))
    assert close(photo.getpixel((200, 500)), (30, 30, 200))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_heic_is_turned_once(orientation: int) -> None:
    """The container turns it, and its EXIF says so again."""
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    undo = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    stored = PORTRAIT.transpose(undo[orientation]) if orientation > 1 else PORTRAIT

    data = heic(stored, exif=exif.tobytes())
    header = HeifImageFile(io.BytesIO(data))  # type: ignore[no-untyped-call]
    assert header.info["original_orientation"] == (orientation if orientation > 1 else None)
    assert (b"irot" in data or b"imir" in data) is (orientation > 1)

    photo = opened(photo_to_jpeg(data))

    assert photo.size == (400, 600)
    assert close(photo.getpixel((200, 100)), (200, 30, 30))


def test_only_the_primary_picture_of_a_heic_counts() -> None:
    burst = from_pillow(Image.new("RGB", (320, 320), "black"))
    burst.add_from_pillow(PORTRAIT)
    output = io.BytesIO()
    burst.save(output, primary_index=1, quality=80)

    assert opened(photo_to_jpeg(output.getvalue())).size == (400, 600)


def test_a_colour_profile_becomes_srgb() -> None:
    """With red and green exchanged in the profile, what was red is green."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    red, green = profile.index(b"rXYZ"), profile.index(b"gXYZ")
    profile[red : red + 4], profile[green : green + 4] = b"gXYZ", b"rXYZ"
    red_picture = Image.new("RGB", (400, 400), (200, 30, 30))
    for data in (
        heic(red_picture, icc_profile=bytes(profile)),
        as_bytes(red_picture, "JPEG", icc_profile=bytes(profile), quality=95),
    ):
        assert close(opened(photo_to_jpeg(data)).getpixel((200, 200)), (30, 200, 30))


@pytest.mark.parametrize("colour", [2, 6])
def test_the_largest_png_is_reduced_evenly(colour: int) -> None:
    """Bands leave no seam: one colour stays one colour."""
    pixel = {2: b"\x20\x80\x40", 6: b"\x20\x80\x40\x80"}[colour]
    photo = opened(photo_to_jpeg(png(7300, 5450, 8, colour, (b"\0" + pixel * 7300) * 5450)))

    assert photo.size == (2048, 1529)
    assert all(low + 4 >= high for low, high in photo.getextrema())  # type: ignore[misc, operator]


@pytest.mark.parametrize(
    "tiff",
    [
        ifd(3, 1, b"\0\0\0\0"),
        ifd(3, 1, b"\0\x09\0\0"),
        ifd(2, 4, b"six\0"),
        ifd(3, 1, b"\0\x01\0\0", following=8),  # the next directory is this one
        ifd(3, 0xFFFFFFFF, b"\xff\xff\xff\xff"),
        b"MM\0*\xff\xff\xff\xff",
        b"II",
        b"rubbish" * 100,
    ],
)  # fmt: skip
def test_rubbish_for_exif_is_dropped(tiff: bytes) -> None:
    stored = normalise_photo(with_exif(tiff))

    assert opened(stored).size == (400, 600)
    assert b"Exif" not in stored


MPF = b"MPF\0II*\0\x08\0\0\0" + b"\xff" * 64
TRAILERS = {
    "motion photo": jpeg() + box(b"ftyp", b"mp42") + box(b"mdat", FOREIGN),
    "Ultra HDR": (
        jpeg()[:2] + b"\xff\xe2" + struct.pack(">H", len(MPF) + 2) + MPF + jpeg()[2:]
        + jpeg(300, 300, comment=FOREIGN)
    ),
    "zip polyglot": jpeg() + b"PK\x03\x04" + FOREIGN,
    "HTML in a comment": jpeg(comment=b"<script>" + FOREIGN),
    "PNG with a tail": PICTURES["PNG"] + FOREIGN,
    "PNG with a foreign chunk": png(
        400, 600, rows=(b"\0" + bytes(1200)) * 600, more=chunk(b"prVt", FOREIGN)
    ),
    "WebP with a tail": PICTURES["WebP"] + FOREIGN,
    "HEIC with a tail": heic() + box(b"mdat", FOREIGN),
}  # fmt: skip


@pytest.mark.parametrize("name", TRAILERS)
def test_foreign_bytes_are_not_stored(name: str) -> None:
    stored = normalise_photo(TRAILERS[name])

    assert FOREIGN not in stored
    assert opened(stored).size == (400, 600)
    assert stored.count(b"\xff\xd8\xff") == 1
    assert stored.endswith(b"\xff\xd9")


# -- what is refused -------------------------------------------------------------------------
def zip_bytes() -> bytes:
    """An archive."""
    output = io.BytesIO()
    with zipfile.ZipFile(output, "w") as archive:
        archive.writestr("a.jpg", jpeg())
    return output.getvalue()


def vp8x(width: int, height: int) -> bytes:
    """A WebP that claims a size."""
    claim = bytes(4) + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    body = b"WEBPVP8X" + struct.pack("<I", 10) + claim + PICTURES["WebP"][12:]
    return b"RIFF" + struct.pack("<I", len(body)) + body


def claimed(width: int, height: int) -> bytes:
    """A JPEG that claims a size."""
    data = bytearray(jpeg())
    at = data.index(b"\xff\xc0")
    data[at + 5 : at + 9] = struct.pack(">HH", height, width)
    return bytes(data)


UNSUPPORTED, UNREADABLE = "photo_unsupported", "photo_unreadable"
BAD = {
    "nothing": (b"", UNSUPPORTED),
    "SVG": (b"<?xml version='1.0'?><svg xmlns='http://www.w3.org/2000/svg'/>", UNSUPPORTED),
    "PDF": (b"%PDF-1.7\n" + jpeg(), UNSUPPORTED),
    "HTML": (b"<!doctype html><img src=x>", UNSUPPORTED),
    "zip": (zip_bytes(), UNSUPPORTED),
    "BMP": (as_bytes(PORTRAIT, "BMP"), UNSUPPORTED),
    "AVIF": (as_bytes(PORTRAIT, "AVIF"), UNSUPPORTED),
    "AVIF as HEIF": (
        container([coded_item(400, 600)], brands=b"mif1\0\0\0\0mif1avif"), UNSUPPORTED,
    ),
    "MP4": (box(b"ftyp", b"isom\0\0\0\0isom") + box(b"mdat", bytes(99)), UNSUPPORTED),
    "only a beginning": (b"\xff\xd8\xff", UNREADABLE),
    "100 000 x 1": (png(100_000, 1), "photo_too_small"),
    "50 000 x 50 000": (png(50_000, 50_000, rows=bytes(9999)), "photo_too_many_pixels"),
    "a huge JPEG": (claimed(65_000, 65_000), "photo_too_many_pixels"),
    "a huge HEIC": (
        container([(b"hvc1", b"", [coded(400, 600)[0], ispe(9000, 9000)])]),
        "photo_too_many_pixels",
    ),
    "a HEIC larger than it says": (
        container([(b"hvc1", coded(1200, 1200)[1], [coded(1200, 1200)[0], ispe(400, 600)])]),
        UNREADABLE,
    ),
    "a HEIC smaller than it says": (
        container([(b"hvc1", coded(400, 600)[1], [coded(400, 600)[0], ispe(6000, 6000)])]),
        UNREADABLE,
    ),
    "a profile that unpacks": (png(400, 600, more=chunk(b"iCCP", b"x\0\0" + ZEROS)), UNREADABLE),
    "a text that unpacks": (png(400, 600, more=chunk(b"zTXt", b"x\0\0" + ZEROS)), UNREADABLE),
    "a note that unpacks": (
        png(400, 600, more=chunk(b"iTXt", b"x\0\1\0\0\0" + ZEROS)), UNREADABLE,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_photo_is_refused_at_once(name: str) -> None:
    data, code = BAD[name]
    tracemalloc.start()
    began = time.process_time()

    with pytest.raises(Problem) as refused:
        photo_to_jpeg(data)

    assert refused.value.code == code
    assert time.process_time() - began < 1
    assert tracemalloc.get_traced_memory()[1] < 8 * 1024 * 1024
    tracemalloc.stop()
    with pytest.raises(Problem) as refused:
        normalise_photo(data)
    assert refused.value.code == code


def endless_profile(elements: int) -> bytes:
    """An ICC profile (ICC.1:2022) whose one table has so many steps, all of them the same."""

    def numbers(*values: float) -> bytes:
        return b"".join(struct.pack(">i", int(value * 65536)) for value in values)

    white = numbers(0.9642, 1, 0.8249)
    matrix = b"matf" + bytes(4) + struct.pack(">HH", 3, 3)
    matrix += struct.pack(
        ">12f", *[0.9, 0.01, 0.01, 0.01, 0.9, 0.01, 0.01, 0.01, 0.9], *[0.001] * 3
    )
    step = struct.pack(">II", 16 + 8 * elements, len(matrix))
    table = b"mpet" + bytes(4) + struct.pack(">HHI", 3, 3, elements) + step * elements + matrix
    described = {
        b"D2B0": table,
        b"wtpt": b"XYZ " + bytes(4) + white,
        b"desc": b"desc" + bytes(4) + struct.pack(">I", 2) + b"x" + bytes(81),
        b"cprt": b"text" + bytes(4) + b"x" + bytes(3),
        **{name: b"XYZ " + bytes(4) + white for name in (b"rXYZ", b"gXYZ", b"bXYZ")},
        **{name: b"curv" + bytes(8) for name in (b"rTRC", b"gTRC", b"bTRC")},
    }
    content, listed, start = b"", b"", 132 + 12 * len(described)
    for name, value in described.items():
        listed += name + struct.pack(">II", start + len(content), len(value))
        content += value + bytes(-len(value) % 4)
    head = struct.pack(">I", start + len(content)) + b"lcms" + struct.pack(">I", 0x04300000)
    head += b"mntrRGB XYZ " + bytes(12) + b"acsp" + bytes(28) + white + bytes(48)
    return head + struct.pack(">I", len(described)) + listed + content


def test_a_colour_profile_without_end_is_ended() -> None:
    noise = Image.effect_noise((1000, 1000), 60).convert("RGB")
    data = as_bytes(noise, "JPEG", quality=40, icc_profile=endless_profile(100_000))
    began = time.perf_counter()

    with pytest.raises(Problem) as refused:
        normalise_photo(data)

    assert refused.value.code in (UNREADABLE, "unavailable")
    assert time.perf_counter() - began < ENDS_WITHIN


PLAIN = jpeg()
SLOW = {
    "a marker without length that hides another picture": PLAIN[:2]
    + b"\xff\xd0" + struct.pack(">H", 60_002) + bytes(60_000) + PLAIN[2:],
    "200 KB before the pixels": PLAIN[:2]
    + (b"\xff\xe1" + struct.pack(">H", 50_002) + bytes(50_000)) * 4 + PLAIN[2:],
    "a short profile with programs": jpeg(icc_profile=endless_profile(10)),
    "a long profile": jpeg(icc_profile=bytes(5000)),
    "many megapixels in several scans": as_bytes(
        Image.new("RGB", (4000, 3600)), "JPEG", progressive=True
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", SLOW)
def test_what_may_be_slow_is_not_decoded_in_the_web_process(name: str) -> None:
    assert is_ordinary_jpeg(PLAIN)
    assert not is_ordinary_jpeg(SLOW[name])


def test_a_result_of_a_million_chunks_is_ended() -> None:
    empty = struct.pack(">I", 0) + b"vtON" + struct.pack(">I", zlib.crc32(b"vtON"))
    data = as_bytes(PORTRAIT, "PNG")
    began = time.perf_counter()

    with suppress(Problem):
        verify_result(data[:33] + empty * 1_600_000 + data[33:])

    assert time.perf_counter() - began < ENDS_WITHIN


def test_who_sent_a_photo_that_had_to_be_ended_waits_a_minute() -> None:
    photo = as_bytes(Image.new("RGB", (6000, 6000), "teal"), "JPEG", progressive=True)
    scan = photo[photo.rindex(b"\xff\xda") : -2]
    heavy = photo[:-2] + scan * 3000 + photo[-2:]

    now = [1000.0]
    normalise = PictureConverter(Sandbox(decoders=DECODERS, now=lambda: now[0])).normalise_photo
    small = as_bytes(SMALL, "PNG")

    with pytest.raises(Problem) as ended:
        normalise(heavy, "somebody")
    waits = []
    for _ in range(2):
        with pytest.raises(Problem, match="rate_limited") as refused:
            normalise(small, "somebody")
        waits.append(refused.value.retry_after)
        now[0] += 59.5

    assert ended.value.code in (UNREADABLE, "unavailable")  # the second on a busy machine
    assert waits == [60, 1]
    assert normalise(small, "somebody else")
    assert normalise(PLAIN, "somebody")
    assert normalise(small, "somebody")  # 119 s later


def test_six_accounts_with_slow_photos_do_not_stop_the_others(tmp_path: Path) -> None:
    photo = as_bytes(Image.new("RGB", (5000, 5000), "teal"), "JPEG", progressive=True)
    scan = photo[photo.rindex(b"\xff\xda") : -2]
    slow, small = photo[:-2] + scan * 30 + photo[-2:], as_bytes(SMALL, "PNG")
    sandbox = Sandbox(decoders=DecoderSlots(tmp_path, 1))
    normalise = PictureConverter(sandbox).normalise_photo
    over, owners = threading.Event(), [f"attacker {number}" for number in range(6)]

    def attack(owner: str) -> None:
        while not over.wait(0.01):
            with suppress(Problem, Unavailable):
                normalise(slow, owner)

    taken = 0
    with ThreadPoolExecutor(6) as threads:
        attacks = [threads.submit(attack, owner) for owner in owners]
        until(lambda: sandbox._places._used.keys() >= set(owners))
        for _ in range(10):
            with suppress(Unavailable):
                taken += bool(normalise(small, "somebody"))
        over.set()

    assert not any(one.exception() for one in attacks)
    assert taken >= 9


HEAVY = {
    "RGB, 12 megapixels": ("RGB", 8, (4000, 3000), 420, True),
    "10 bits, 24 megapixels": ("RGB;16", 10, (6000, 4000), 422, True),
    "whole chroma, 40 megapixels": ("RGB", 8, (6300, 6300), 444, False),
    "whole chroma, 10 bits, 24 megapixels": ("RGB;16", 10, (6000, 4000), 444, False),
    "alpha, 10 bits, 24 megapixels": ("RGBA;16", 10, (6000, 4000), 444, False),
}


@pytest.mark.parametrize("name", HEAVY)
def test_a_heic_fills_no_more_than_a_decoder_is_given(name: str) -> None:
    """Some kilobytes of one colour filled 800 MB."""
    mode, depth, size, chroma, taken = HEAVY[name]
    output, bytes_each = io.BytesIO(), len(mode.partition(";")[0]) * (1 + (depth > 8))
    pixels = bytes(size[0] * size[1] * bytes_each)
    pillow_heif.encode(mode, size, pixels, output, quality=30, chroma=chroma)

    if taken:
        assert opened(normalise_photo(output.getvalue())).size[0] == MAX_SIDE
    else:
        with pytest.raises(Problem, match="photo_too_many_pixels"):
            normalise_photo(output.getvalue())


def test_a_result_that_would_be_too_large_as_a_png_is_made_smaller() -> None:
    """A JPEG of 8 MB may become a PNG of 33 MB, which the bucket refuses; and it is paid for."""
    noise = Image.merge("RGB", [Image.effect_noise((4200, 3000), 120) for _ in range(3)])

    stored = verify_result(as_bytes(noise, "JPEG", quality=80))

    assert len(stored) <= MAX_RESULT_BYTES
    width, height = opened(stored).size
    assert 1500 < width < 4200
    assert abs(width / height - 1.4) < 0.01


def test_a_huge_webp_is_refused() -> None:
    with pytest.raises(Problem, match="photo_"):
        normalise_photo(vp8x(16_000, 16_000))


def test_a_webp_of_16_megapixels_is_taken_and_of_more_is_refused() -> None:
    largest = normalise_photo(as_bytes(Image.new("RGB", (4000, 4000)), "WEBP", method=0))

    assert opened(largest).size == (2048, 2048)
    with pytest.raises(Problem, match="photo_too_many_pixels"):
        normalise_photo(as_bytes(Image.new("RGB", (4001, 4000)), "WEBP", method=0))


@pytest.mark.parametrize("kind", ["WEBP", "JPEG", "PNG"])
def test_an_extraordinary_result_becomes_a_png_with_the_mark_too(kind: str) -> None:
    data = as_bytes(Image.new("RGB", (3700, 3600), "teal"), kind, progressive=True)

    result = opened(verify_result(data))

    assert (result.format, result.size) == ("PNG", (3700, 3600))
    assert b"compositeWithTrainedAlgorithmicMedia" in result.info["xmp"]


@pytest.mark.parametrize("convert", [normalise_photo, normalise_garment, verify_result])
def test_work_without_end_is_ended(convert: Callable[[bytes], bytes]) -> None:
    """A scan is 59 bytes, and 36 megapixels to go over: this would take a minute."""
    photo = as_bytes(Image.new("RGB", (6000, 6000), "teal"), "JPEG", progressive=True)
    scan = photo[photo.rindex(b"\xff\xda") : -2]
    began = time.perf_counter()

    with pytest.raises(Problem) as refused:
        convert(photo[:-2] + scan * 3000 + photo[-2:])

    # the second on a machine so busy that five seconds of CPU take ten
    assert refused.value.code in (UNREADABLE, "unavailable")
    assert time.perf_counter() - began < ENDS_WITHIN


# -- pictures mutated ------------------------------------------------------------------------
SMALL = Image.radial_gradient("L").resize((304, 304)).convert("RGB")
SEEDS = [
    as_bytes(SMALL, "JPEG", exif=b"Exif\0\0" + ifd(3, 1, b"\0\x06\0\0")),
    as_bytes(SMALL, "JPEG", progressive=True),
    as_bytes(SMALL.convert("CMYK"), "JPEG"),
    as_bytes(SMALL, "PNG"),
    as_bytes(SMALL.quantize(16), "PNG", transparency=3),
    as_bytes(SMALL, "WEBP"),
    heic(SMALL),
    heic(SMALL, tile_size=160),
]


@pytest.mark.parametrize("seed", range(len(SEEDS)))
def test_a_truncated_photo_is_refused(seed: int) -> None:
    whole = SEEDS[seed]
    for cut in range(0, len(whole) - 20, max(1, len(whole) // 25)):
        check(whole[:cut], must_fail=cut < len(whole) * 0.9)


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A valid picture with bits flipped, parts exchanged, cut or spliced with another."""
    data = bytearray(draw(st.sampled_from(SEEDS)))
    for _ in range(draw(st.integers(1, 4))):
        places = st.integers(0, min(len(data), draw(st.sampled_from([64, 600, 10**7]))))
        first, second = sorted((draw(places), draw(places)))
        match draw(st.sampled_from(["flip", "write", "swap", "cut", "splice", "remove", "repeat"])):
            case "flip" if first < len(data):
                data[first] ^= 1 << draw(st.integers(0, 7))
            case "write":
                data[first : first + 4] = draw(st.binary(min_size=1, max_size=4))
            case "swap":
                data = data[:first] + data[second:] + data[first:second]
            case "cut":
                del data[max(second, 20) :]
            case "splice":
                data[first:] = draw(st.sampled_from(SEEDS))[second:]
            case "remove":
                del data[first:second]
            case "repeat":
                data[first:first] = data[first:second]
    return bytes(data)


@settings(
    max_examples=400,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
@given(mutated())
def test_a_mutated_photo_is_clean_or_refused(data: bytes) -> None:
    check(data)


def check(data: bytes, *, must_fail: bool = False) -> None:
    """Either a clean JPEG in bounds comes out or a photo_* Problem, and soon."""
    began = time.process_time()
    stored, code = None, ""
    try:
        stored = photo_to_jpeg(data)
    except Problem as problem:
        code = problem.code
    if stored is None:
        assert code.startswith("photo_")
    else:
        assert not must_fail
        photo = opened(stored)
        photo.load()
        assert photo.format == "JPEG"
        assert 300 <= min(photo.size) <= max(photo.size) <= MAX_SIDE
        assert not photo.getexif()
        assert set(photo.info) <= {"jfif", "jfif_version", "jfif_unit", "jfif_density"}
    assert time.process_time() - began < 2


# -- over HTTP -------------------------------------------------------------------------------
def test_a_heic_is_tried_on(user: User, garment_id: str) -> None:
    session_id = user.start(garment_id, heic())

    assert user.wait(session_id)["status"] == "success"


@pytest.mark.parametrize(
    "name",
    ["../../../../etc/passwd", "..\\..\\boot.ini", "a" * 5000 + ".jpg", "a\0b.jpg", "'; --.heic"],
)
def test_a_file_name_does_no_harm(
    name: str, user: User, garment_id: str, database: psycopg.Connection[Any]
) -> None:
    response = user.call(
        "POST",
        "/api/try-on",
        files={"userImage": (name, jpeg(), "text/html")},
        data={"garmentId": garment_id},
    )

    assert response.status_code == 202, response.text
    names = objects_of(database, user)
    assert any(n.startswith(f"user-uploads/{user.id}/") for n in names)
    assert all(n.endswith(("_original.jpg", "_result.png")) and len(n) < 120 for n in names)


@pytest.mark.parametrize("name", ["PDF", "AVIF", "50 000 x 50 000", "a HEIC larger than it says"])
def test_a_refusal_leaves_nothing(
    name: str, user: User, garment_id: str, database: psycopg.Connection[Any], redis: Redis
) -> None:
    data, code = BAD[name]

    response = user.call(
        "POST",
        "/api/try-on",
        files={"userImage": ("me.jpg", data, "image/jpeg")},
        data={"garmentId": garment_id},
    )

    assert response.json()["code"] == code
    assert objects_of(database, user) == []
    left = database.execute("select 1 from try_on_history where user_id = %s", [user.id])
    assert left.fetchone() is None
    assert redis.llen("rq:queue:try-on") == 0


@pytest.mark.parametrize(
    ("data", "ordinary"),
    [
        (jpeg(), True),
        (jpeg(3000, 4000), True),
        (jpeg(progressive=True), True),
        (jpeg(4000, 4000, progressive=True), False),
        (jpeg(1536, 2048, progressive=True), True),
        (jpeg(2559, 2559, progressive=True), False),
        (as_bytes(SMALL.convert("CMYK"), "JPEG", progressive=True), False),
        (jpeg()[:2] + bytes.fromhex("fffe0002") * 200 + jpeg()[2:], False),
        (jpeg()[:2] + b"\xff" * 1000 + jpeg()[2:], False),
        (jpeg() + b"\xff\xda" * 20, False),
        (jpeg()[:40], False),
        (b"\xff\xd8\xff\xe0\xff\xff", False),
    ],
)
def test_only_an_ordinary_jpeg_is_decoded_in_the_web_process(data: bytes, ordinary: bool) -> None:
    assert is_ordinary_jpeg(data) is ordinary
