"""Photos become upright, metadata-free JPEGs in bounds."""

import struct
import sys
import zlib
from collections.abc import Callable
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pillow_heif
import pytest
import requests
from actors import DECODERS, ROOT, User, encoded, jpeg
from PIL import Image, ImageCms
from PIL.PngImagePlugin import PngInfo

from config import Config
from vton.errors import Problem
from vton.imaging.heif import is_turned
from vton.imaging.opening import MAX_BYTES
from vton.imaging.photos import PictureConverter
from vton.imaging.sandbox import Sandbox

CONVERTER = PictureConverter(Sandbox(decoders=DECODERS))
normalise_photo = CONVERTER.normalise_photo
normalise_garment = CONVERTER.normalise_garment
verify_result = CONVERTER.verify_result

ORIENTATION = 0x0112
MAKE = 0x010F
GPS = 0x8825
RED, BLUE = (200, 30, 30), (30, 30, 200)
WHITE, BLACK = (255, 255, 255), (0, 0, 0)


def opened(data: bytes) -> Image.Image:
    """The picture in a file's bytes."""
    return Image.open(BytesIO(data))


def two_tone(mode: str, first: object, second: object) -> Image.Image:
    """A portrait whose upper half is `first` and whose lower half is `second`."""
    image = Image.new(mode, (400, 600), second)  # type: ignore[arg-type]
    image.paste(first, (0, 0, 400, 300))  # type: ignore[arg-type]
    return image


def chunk(kind: bytes, data: bytes) -> bytes:
    """A chunk of a PNG."""
    check = struct.pack(">I", zlib.crc32(kind + data))
    return struct.pack(">I", len(data)) + kind + data + check


def interlaced(image: Image.Image) -> bytes:
    """An RGB picture as a PNG in the seven passes of Adam7, which Pillow can only read."""
    width, height = image.size
    pixels, passes = image.tobytes(), b""
    for left, top, across, down in [
        (0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4),
        (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2),
    ]:  # fmt: skip
        for y in range(top, height, down):
            starts = range((y * width + left) * 3, (y + 1) * width * 3, across * 3)
            passes += b"\0" + b"".join(pixels[at : at + 3] for at in starts)
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 1)
    body = chunk(b"IDAT", zlib.compress(passes)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + body


def without_adobe(data: bytes) -> bytes:
    """A CMYK JPEG without Adobe's marker; its inks are inverted, as Adobe's, all the same."""
    at = data.index(b"\xff\xee\x00\x0eAdobe")
    return data[:at] + data[at + 16 :]


def heic(image: Image.Image, **options: Any) -> bytes:
    """A picture as a HEIC; the container turns what `exif` says is turned, as a phone's does."""
    output = BytesIO()
    pillow_heif.from_pillow(image).save(output, quality=90, **options)
    return output.getvalue()


def ten_bit(image: Image.Image) -> bytes:
    """An RGB picture as a HEIC of 10 bits a channel."""
    output, samples = BytesIO(), bytearray(2 * len(image.tobytes()))
    samples[::2] = samples[1::2] = image.tobytes()
    pillow_heif.encode("RGB;16", image.size, bytes(samples), output, quality=90)
    return output.getvalue()


PORTRAIT = two_tone("RGB", RED, BLUE)

PICTURES = {
    "JPEG": encoded(PORTRAIT, "JPEG", quality=95),
    "progressive JPEG": encoded(PORTRAIT, "JPEG", progressive=True, quality=95),
    "CMYK JPEG": encoded(PORTRAIT.convert("CMYK"), "JPEG", quality=95),
    "CMYK JPEG without Adobe's marker": without_adobe(
        encoded(PORTRAIT.convert("CMYK"), "JPEG", quality=95)
    ),
    "PNG": encoded(PORTRAIT, "PNG"),
    "interlaced PNG": interlaced(PORTRAIT),
    "palette PNG": encoded(PORTRAIT.quantize(8), "PNG"),
    "WebP": encoded(PORTRAIT, "WEBP", quality=95),
    "10-bit HEIC": ten_bit(PORTRAIT),
}


def test_the_rare_kinds_are_what_they_are_called() -> None:
    heic = pillow_heif.open_heif(PICTURES["10-bit HEIC"])

    assert opened(PICTURES["interlaced PNG"]).info["interlace"] == 1
    assert opened(PICTURES["interlaced PNG"]).tobytes() == PORTRAIT.tobytes()
    assert "adobe" not in opened(PICTURES["CMYK JPEG without Adobe's marker"]).info
    assert heic.info["bit_depth"] == 10


@pytest.mark.parametrize("name", PICTURES)
def test_every_format_becomes_the_same_jpeg(name: str) -> None:
    photo = opened(normalise_photo(PICTURES[name]))

    assert photo.format == "JPEG"
    assert photo.mode == "RGB"
    assert photo.size == (400, 600)
    assert clean(photo)
    assert close(photo.getpixel((200, 100)), RED)
    assert close(photo.getpixel((200, 500)), BLUE)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_becomes_upright(orientation: int) -> None:
    undo = {
        2: [Image.Transpose.FLIP_LEFT_RIGHT],
        3: [Image.Transpose.ROTATE_180],
        4: [Image.Transpose.FLIP_TOP_BOTTOM],
        5: [Image.Transpose.TRANSPOSE],
        6: [Image.Transpose.ROTATE_90],
        7: [Image.Transpose.TRANSVERSE],
        8: [Image.Transpose.ROTATE_270],
    }
    stored = PORTRAIT
    for step in undo.get(orientation, []):
        stored = stored.transpose(step)
    exif = Image.Exif()
    exif[ORIENTATION] = orientation

    photo = opened(normalise_photo(encoded(stored, quality=95, exif=exif)))

    assert photo.size == (400, 600)
    assert close(photo.getpixel((200, 100)), (200, 30, 30))


@cache
def twelve_megapixels() -> bytes:
    """What a phone's sensor sees, with a red mark in its first corner."""
    image = Image.new("RGB", (4032, 3024), BLUE)
    image.paste(RED, (0, 0, 800, 600))
    return encoded(image)


@pytest.mark.parametrize(
    ("orientation", "size", "corner"),
    [
        (1, (2016, 1512), "top left"),
        (2, (2016, 1512), "top right"),
        (3, (2016, 1512), "bottom right"),
        (4, (2016, 1512), "bottom left"),
        (5, (1512, 2016), "top left"),
        (6, (1512, 2016), "top right"),
        (7, (1512, 2016), "bottom right"),
        (8, (1512, 2016), "bottom left"),
    ],
)
def test_a_phones_twelve_megapixels_become_upright(
    orientation: int, size: tuple[int, int], corner: str
) -> None:
    """With EXIF as iPhones write it, in big-endian numbers."""
    tiff = struct.pack(">2sHIHHHIHHI", b"MM", 42, 8, 1, ORIENTATION, 3, 1, orientation, 0, 0)
    app1 = struct.pack(">2sH", b"\xff\xe1", 8 + len(tiff)) + b"Exif\0\0" + tiff
    data = twelve_megapixels()[:2] + app1 + twelve_megapixels()[2:]
    assert opened(data).getexif()[ORIENTATION] == orientation

    photo = opened(normalise_photo(data))

    assert photo.size == size
    assert clean(photo)
    right, bottom = photo.width - 9, photo.height - 9
    corners = {
        "top left": (8, 8),
        "top right": (right, 8),
        "bottom left": (8, bottom),
        "bottom right": (right, bottom),
    }
    red = [name for name, place in corners.items() if close(photo.getpixel(place), RED)]
    assert red == [corner]


def described() -> dict[str, bytes]:
    """Pictures on their side, with all the metadata that their format has room for."""
    side = PORTRAIT.transpose(Image.Transpose.ROTATE_90)
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    exif[MAKE] = "Secret camera"
    exif.get_ifd(GPS)[1] = "N"
    xmp = b"<x>Secret history</x>"
    notes = PngInfo()
    notes.add_text("Comment", "Secret comment")
    notes.add_itxt("XML:com.adobe.xmp", xmp.decode())
    return {
        "JPEG": encoded(side, exif=exif, xmp=xmp, comment=b"Secret comment") + b"Secret trailer",
        "PNG": encoded(side, "PNG", exif=exif, pnginfo=notes),
        "palette PNG": encoded(side.quantize(8), "PNG", exif=exif, pnginfo=notes),
        "WebP": encoded(side, "WEBP", exif=exif, xmp=xmp),
        "HEIC": heic(side, exif=exif.tobytes(), xmp=xmp),
    }


DESCRIBED = described()


@pytest.mark.parametrize("name", DESCRIBED)
def test_metadata_turns_a_picture_and_is_dropped(name: str) -> None:
    assert DESCRIBED[name].count(b"Secret") > 1

    stored = normalise_photo(DESCRIBED[name])

    assert b"Secret" not in stored
    photo = opened(stored)
    assert clean(photo)
    assert photo.size == (400, 600)
    assert close(photo.getpixel((200, 100)), RED)


@pytest.mark.parametrize(
    ("size", "stored"),
    [
        ((3000, 4000), (1500, 2000)),  # by half inside the JPEG decoder
        ((2400, 2400), (2048, 2048)),  # no DCT scale lands in between: resampled
        ((2048, 1000), (2048, 1000)),
        ((8000, 4000), (2000, 1000)),
        ((301, 301), (301, 301)),
    ],
)
def test_large_photos_are_made_smaller(size: tuple[int, int], stored: tuple[int, int]) -> None:
    assert opened(normalise_photo(encoded(Image.new("RGB", size, "teal")))).size == stored


HALF_CLEAR = two_tone("RGBA", (*RED, 255), (*BLUE, 128))
PALETTE = two_tone("P", 0, 1)
PALETTE.putpalette([*RED, *BLUE])
PALE_BLUE, GREY, LIGHT_GREY = (142, 142, 227), (127, 127, 127), (200, 200, 200)

SEE_THROUGH = {
    "PNG": (encoded(HALF_CLEAR, "PNG"), RED, PALE_BLUE),
    "palette PNG": (encoded(PALETTE, "PNG", transparency=b"\xff\x80"), RED, PALE_BLUE),
    "PNG with a clear colour": (encoded(PORTRAIT, "PNG", transparency=BLUE), RED, WHITE),
    "grey PNG": (encoded(two_tone("LA", (200, 255), (0, 128)), "PNG"), LIGHT_GREY, GREY),
    "WebP": (encoded(HALF_CLEAR, "WEBP", quality=95), RED, PALE_BLUE),
    "lossless WebP": (encoded(HALF_CLEAR, "WEBP", lossless=True), RED, PALE_BLUE),
    "HEIC": (heic(HALF_CLEAR), RED, PALE_BLUE),
}


@pytest.mark.parametrize("name", SEE_THROUGH)
def test_transparency_shows_white(name: str) -> None:
    data, upper, lower = SEE_THROUGH[name]

    photo = opened(normalise_photo(data))

    assert (photo.format, photo.mode, photo.size) == ("JPEG", "RGB", (400, 600))
    assert close(photo.getpixel((200, 100)), upper)
    assert close(photo.getpixel((200, 500)), lower)


NO_INK = encoded(two_tone("CMYK", (0, 0, 0, 0), (0, 0, 0, 255)), quality=95)

BLACK_AND_WHITE = {
    "1-bit PNG": encoded(two_tone("1", 1, 0), "PNG"),
    "CMYK JPEG": NO_INK,
    "CMYK JPEG without Adobe's marker": without_adobe(NO_INK),
}


@pytest.mark.parametrize("name", BLACK_AND_WHITE)
def test_white_stays_white(name: str) -> None:
    photo = opened(normalise_photo(BLACK_AND_WHITE[name]))

    assert photo.mode == "RGB"
    assert close(photo.getpixel((200, 100)), WHITE)
    assert close(photo.getpixel((200, 500)), BLACK)


GREYS = {
    "JPEG": encoded(two_tone("L", 200, 50), quality=95),
    "16-bit PNG": encoded(two_tone("I", 200 * 256, 50 * 256).convert("I;16"), "PNG"),
    "16-bit PNG with a clear tone": encoded(
        two_tone("I", 200 * 256, 50 * 256).convert("I;16"), "PNG", transparency=7
    ),
}


@pytest.mark.parametrize("name", GREYS)
def test_grey_keeps_its_tones(name: str) -> None:
    photo = opened(normalise_photo(GREYS[name]))

    assert (photo.format, photo.mode, photo.size) == ("JPEG", "RGB", (400, 600))
    assert clean(photo)
    assert close(photo.getpixel((200, 100)), (200, 200, 200))
    assert close(photo.getpixel((200, 500)), (50, 50, 50))


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("name", "file_name", "declared"),
    [
        ("10-bit HEIC", "IMG_0001.jpg", "image/jpeg"),  # as iPhones do
        ("PNG", "me.heic", "image/heic"),
        ("JPEG", "me.gif", "application/octet-stream"),
    ],
)
def test_a_file_is_what_it_is_whatever_it_is_called(
    name: str, file_name: str, declared: str, user: User, garment_id: str
) -> None:
    files = {"userImage": (file_name, PICTURES[name], declared)}
    started = user.call("POST", "/api/try-on", files=files, data={"garmentId": garment_id})
    assert started.status_code == 202, started.text
    user.wait(started.json()["data"]["sessionId"])

    [session] = user.call("GET", "/api/try-on/history").json()["data"]
    stored = requests.get(session["original_user_image_url"], timeout=10)

    assert stored.headers["Content-Type"] == "image/jpeg"
    photo = opened(stored.content)
    assert (photo.format, photo.mode, photo.size) == ("JPEG", "RGB", (400, 600))
    assert clean(photo)
    assert close(photo.getpixel((200, 100)), RED)
    assert close(photo.getpixel((200, 500)), BLUE)


BAD = {
    "empty": (b"", "photo_unsupported"),
    "text": (b"hello", "photo_unsupported"),
    "SVG": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "photo_unsupported"),
    "GIF": (encoded(PORTRAIT, "GIF"), "photo_unsupported"),
    "TIFF": (encoded(PORTRAIT, "TIFF"), "photo_unsupported"),
    "truncated JPEG": (PICTURES["JPEG"][:-2000], "photo_unreadable"),
    "truncated PNG": (PICTURES["PNG"][:-500], "photo_unreadable"),
    "299 pixels": (jpeg(299, 400), "photo_too_small"),
    "a strip": (jpeg(300, 3000), "photo_too_small"),
    # No picture that is not too narrow has fewer pixels above the limit.
    "40 megapixels and 5 pixels": (
        encoded(Image.new("1", (3015, 13267)), "PNG"), "photo_too_many_pixels",
    ),
    "10 MB and a byte": (jpeg().ljust(MAX_BYTES + 1, b"\0"), "photo_too_large"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_usable_photo_is_refused(name: str) -> None:
    data, code = BAD[name]

    with pytest.raises(Problem) as refused:
        normalise_photo(data)

    assert refused.value.code == code


GREATEST = {
    "40 megapixels": (encoded(Image.new("1", (8000, 5000)), "PNG"), (2048, 1280)),
    "40 megapixels of JPEG": (encoded(Image.new("L", (5000, 8000))), (1250, 2000)),
    "10 MB": (jpeg().ljust(10 * 1024 * 1024, b"\0"), (400, 600)),
    "300 pixels": (jpeg(300, 300), (300, 300)),
}


@pytest.mark.parametrize("name", GREATEST)
def test_a_photo_at_the_limits_is_taken(name: str) -> None:
    data, size = GREATEST[name]

    photo = opened(normalise_photo(data))
    photo.load()

    assert photo.size == size


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux shows what a process was given")
def test_the_process_that_decodes_has_none_of_our_keys(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What stands in for it answers with the environment that it was started with."""
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\ncat /proc/$$/environ\n")
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    for name in (*(field.upper() for field in Config.model_fields), "DATABASE_URL", "ANYTHING"):
        monkeypatch.setenv(name, "a-secret")

    given = (
        Sandbox(decoders=DECODERS)
        .convert("photo", PICTURES["PNG"])
        .decode()
        .rstrip("\0")
        .split("\0")
    )

    assert "PYTHONPATH" in {line.partition("=")[0] for line in given}
    assert {line.partition("=")[0] for line in given} <= DECODERS_ENVIRONMENT
    assert not any("a-secret" in line for line in given)


DECODERS_ENVIRONMENT = {"PYTHONPATH", "PYTHONHOME", "LD_LIBRARY_PATH"}


def test_a_user_may_have_a_photo_decoded_after_another_one_and_after_a_bad_one() -> None:
    for photo in (PICTURES["PNG"], PICTURES["10-bit HEIC"], PICTURES["PNG"]):
        assert opened(normalise_photo(photo, "somebody")).size == (400, 600)
        with pytest.raises(Problem, match="photo_unreadable"):
            normalise_photo(photo[:-500], "somebody")


def test_a_garment_becomes_a_png_on_white() -> None:
    image = Image.new("RGBA", (500, 400), (0, 0, 0, 0))
    image.paste((10, 120, 10, 255), (100, 100, 300, 300))

    garment = opened(normalise_garment(encoded(image, "PNG")))

    assert (garment.format, garment.mode, garment.size) == ("PNG", "RGB", (500, 400))
    assert garment.getpixel((5, 5)) == (255, 255, 255)
    assert garment.getpixel((200, 200)) == (10, 120, 10)


@pytest.mark.parametrize("name", ["PNG", "palette PNG", "JPEG", "WebP"])
def test_a_result_becomes_a_png_with_the_ai_mark(name: str) -> None:
    result = opened(verify_result(PICTURES[name]))

    assert result.format == "PNG"
    assert result.size == (400, 600)
    assert close(result.convert("RGB").getpixel((200, 100)), (200, 30, 30))
    packet = ElementTree.fromstring(result.info["xmp"])
    mark = packet.find(".//{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}DigitalSourceType")
    assert mark is not None
    assert mark.text == (
        "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"
    )


def test_a_png_result_keeps_its_pixels_bytes_and_loses_its_metadata() -> None:
    notes = PngInfo()
    notes.add_text("Comment", "Secret prompt")
    notes.add_itxt("XML:com.adobe.xmp", "<x>Secret history</x>")
    exif = Image.Exif()
    exif[MAKE] = "Secret camera"
    png = encoded(PORTRAIT, "PNG", pnginfo=notes, exif=exif) + b"Secret trailer"

    result = verify_result(png)

    assert b"Secret" not in result
    assert pixel_bytes(result) == pixel_bytes(png)


def pixel_bytes(png: bytes) -> bytes:
    """The compressed pixels of a PNG."""
    start = png.index(b"IDAT")
    return png[start : png.rindex(b"IEND") - 8]


KINDS = {
    "RGB": encoded(PORTRAIT, "PNG"),
    "transparent": encoded(PORTRAIT.convert("RGBA"), "PNG"),
    "grey": encoded(PORTRAIT.convert("L"), "PNG"),
    "16 bits": encoded(PORTRAIT.convert("I;16"), "PNG"),
    "palette": encoded(PORTRAIT.quantize(16), "PNG"),
    "interlaced": interlaced(PORTRAIT),
}


@pytest.mark.parametrize("name", KINDS)
def test_a_png_result_is_taken_if_its_pixels_are_whole(name: str) -> None:
    png = KINDS[name]
    pixels = png.index(b"IDAT")

    assert opened(verify_result(png)).tobytes() == opened(png).tobytes()
    for at in (20, pixels + 20, (pixels + len(png)) // 2, len(png) - 20):
        with pytest.raises(Problem):
            verify_result(png[:at] + bytes([png[at] ^ 1]) + png[at + 1 :])
        with pytest.raises(Problem):
            verify_result(png[:at] + png[-12:])


@pytest.mark.parametrize(
    ("name", "rows"),
    [
        ("fewer rows", [b"\0" + bytes(900)] * 399),
        ("no filter that there is", [b"\0" + bytes(900)] * 399 + [b"\5" + bytes(900)]),
    ],
)
def test_a_png_result_whose_pixels_are_not_those_it_says_is_refused(
    name: str, rows: list[bytes]
) -> None:
    header = struct.pack(">IIBBBBB", 300, 400, 8, 2, 0, 0, 0)
    whole = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"".join(rows)))

    with pytest.raises(Problem):
        verify_result(b"\x89PNG\r\n\x1a\n" + whole + chunk(b"IEND", b""))


def test_a_png_result_of_an_unusual_make_is_made_a_usual_one() -> None:
    rows = zlib.compress((b"\0" + bytes(900)) * 400)
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 300, 400, 8, 2, 0, 0, 0))
    start, end = b"\x89PNG\r\n\x1a\n" + header, chunk(b"IEND", b"")
    longer = zlib.compress((b"\0" + bytes(900)) * 400 + b"more")
    window = bytes([0x88, 31 - 0x8800 % 31]) + rows[2:]
    late = chunk(b"gAMA", b"damaged")

    assert opened(verify_result(start + chunk(b"IDAT", longer) + end)).size == (300, 400)
    stored = verify_result(start + chunk(b"IDAT", rows) + late + end)
    opened(stored).load()
    assert b"gAMA" not in stored
    for apart in (
        chunk(b"IDAT", window),
        chunk(b"IDAT", b"") + chunk(b"IDAT", window),
        chunk(b"IDAT", rows[:9]) + late + chunk(b"IDAT", rows[9:]),
    ):
        stored = verify_result(start + apart + end)
        assert b"gAMA" not in stored
        assert stored[stored.index(b"IDAT") + 4] == 0x78, "what every decoder takes"
        opened(stored).load()


def test_a_result_with_a_colour_profile_keeps_its_colours() -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    swapped = profile.replace(b"gXYZ", b"____").replace(b"bXYZ", b"gXYZ").replace(b"____", b"bXYZ")
    blue = Image.new("RGB", (400, 400), (60, 90, 200))
    in_its_space = encoded(blue, "JPEG", quality=95, icc_profile=swapped)

    assert close(opened(verify_result(in_its_space)).getpixel((200, 200)), (60, 200, 90))


def test_a_grey_result_stays_grey() -> None:
    grey = encoded(Image.effect_noise((640, 480), 60), "JPEG")

    result = opened(verify_result(grey))

    assert result.mode == "L"
    assert result.tobytes() == opened(grey).tobytes()


@pytest.mark.parametrize("size", [(1, 1), (1, 64), (3, 65), (200, 129)])
def test_a_result_that_is_no_png_becomes_one_pixel_for_pixel(size: tuple[int, int]) -> None:
    picture = encoded(Image.effect_noise(size, 90).convert("RGB"), "WEBP", lossless=True)

    assert opened(verify_result(picture)).tobytes() == opened(picture).convert("RGB").tobytes()


@pytest.mark.parametrize("data", [b"", b"<html>", PICTURES["PNG"][:-500], PICTURES["JPEG"][:900]])
def test_a_result_that_is_no_whole_picture_is_refused(data: bytes) -> None:
    with pytest.raises(Problem):
        verify_result(data)


def clean(photo: Image.Image) -> bool:
    """Whether a JPEG says nothing but that it is one."""
    return photo.info.keys() <= {"jfif", "jfif_version", "jfif_unit", "jfif_density"}


def close(pixel: object, colour: tuple[int, int, int]) -> bool:
    """Whether a pixel has a colour, but for what JPEG does to it."""
    assert isinstance(pixel, tuple)
    return all(abs(a - b) <= 12 for a, b in zip(pixel, colour, strict=True))


def profile_of(size: int) -> bytes:
    """A colour profile of so many bytes."""
    plain = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return plain + bytes(size - len(plain))


def test_a_png_result_keeps_an_ordinary_profile_and_is_converted_by_another() -> None:
    image = Image.new("RGB", (400, 600), "teal")

    kept = opened(verify_result(encoded(image, "PNG", icc_profile=profile_of(3000))))
    converted = opened(verify_result(encoded(image, "PNG", icc_profile=profile_of(60_000))))

    assert len(kept.info["icc_profile"]) == 3000
    assert "icc_profile" not in converted.info
    assert close(converted.getpixel((200, 300)), image.getpixel((0, 0)))


@pytest.mark.parametrize("kind", ["WEBP", "PNG"])
def test_a_transparent_result_is_on_white_where_it_is_encoded_anew(kind: str) -> None:
    image = Image.new("RGBA", (400, 600), (200, 30, 30, 255))
    image.paste((0, 0, 0, 0), (0, 0, 400, 100))
    data = encoded(
        image,
        kind,
        icc_profile=profile_of(60_000),
        **({"lossless": True} if kind == "WEBP" else {}),
    )

    result = opened(verify_result(data)).convert("RGB")

    assert close(result.getpixel((200, 50)), (255, 255, 255))
    assert close(result.getpixel((200, 300)), (200, 30, 30))


# -- what cameras and programs write ----------------------------------------------------------

FOUND = Path(__file__).parent / "photos"
"""Made by code, each of a kind that was wrong once: red above, skin in the middle, blue below."""


def turned(orientation: int, *, container: bool) -> bytes:
    """A HEIC that is to be turned so, as its EXIF says, and its container if it is that one's."""
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    output, image = BytesIO(), Image.new("RGB", (600, 400), BLUE)
    image.paste(RED, (0, 0, 600, 100))
    image.paste((0, 200, 0), (0, 0, 100, 400))
    pillow_heif.encode("RGB", image.size, image.tobytes(), output, quality=90, exif=exif.tobytes())
    data = output.getvalue()
    return data if container else data.replace(b"irot", b"free").replace(b"imir", b"free")


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_heic_is_turned_once_whoever_says_so(orientation: int) -> None:
    by_both = turned(orientation, container=True)
    by_exif = turned(orientation, container=False)
    assert (orientation == 1) == (by_both == by_exif)

    one, other = (opened(normalise_photo(data)) for data in (by_both, by_exif))

    assert one.size == other.size == ((600, 400) if orientation < 5 else (400, 600))
    width, height = one.size
    for place in ((5, height // 2), (width - 6, height // 2), (width // 2, 5), (5, 5)):
        assert close(one.getpixel(place), other.getpixel(place))


def test_a_heic_that_exif_alone_turns_is_upright() -> None:
    photo = opened(normalise_photo((FOUND / "exif6_no_irot.heic").read_bytes()))

    assert photo.size == (600, 800)
    assert close(photo.getpixel((300, 20)), (254, 0, 0))
    assert close(photo.getpixel((300, 780)), (0, 0, 254))


def test_a_heic_whose_boxes_are_cut_or_wrong_breaks_nothing() -> None:
    data = turned(6, container=True)
    assert is_turned(data)

    for cut in range(1200):
        is_turned(data[:cut])
        is_turned(data[:cut] + b"\xff\xff\xff\xff" + data[cut + 4 :])
        is_turned(data[:cut] + bytes(8) + data[cut + 8 :])


@pytest.mark.parametrize("name", ["iccp_badcrc.png", "ztxt_2mb.png"])
def test_a_pngs_metadata_is_no_reason_to_refuse_it(name: str) -> None:
    data = (FOUND / name).read_bytes()

    for picture in (opened(normalise_photo(data)), opened(verify_result(data))):
        assert picture.size == (640, 800)
        assert close(picture.convert("RGB").getpixel((320, 400)), (220, 170, 140))


def test_a_png_result_whose_pixels_are_damaged_is_refused_all_the_same() -> None:
    data = bytearray((FOUND / "ztxt_2mb.png").read_bytes())
    data[data.index(b"IDAT") + 200] ^= 1

    with pytest.raises(Problem, match="photo_unreadable"):
        verify_result(bytes(data))


def test_orientation_in_xmp_alone_turns_nothing() -> None:
    assert opened(normalise_photo((FOUND / "xmp_only_o6.jpg").read_bytes())).size == (640, 800)


@pytest.mark.parametrize(("kind", "size"), [("short", (600, 400)), ("long", (400, 600))])
def test_orientation_of_another_type_turns_nothing(kind: str, size: tuple[int, int]) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    written = exif.tobytes()
    if kind == "long":
        short = b"\x12\x01\x03\x00"
        written = written.replace(short, b"\x12\x01\x04\x00").replace(
            short[::-1], b"\x01\x12\x00\x04"
        )
        written = written.replace(b"\x01\x12\x00\x03", b"\x01\x12\x00\x04")
    photo = encoded(Image.new("RGB", (400, 600), "teal"), "JPEG", exif=written)

    assert opened(normalise_photo(photo)).size == size


@pytest.mark.parametrize("change", [normalise_photo, verify_result])
def test_a_grey_profile_is_converted(change: Callable[[bytes], bytes]) -> None:
    data = (FOUND / "gray_gamma18.jpg").read_bytes()
    before, after = opened(data).convert("L"), opened(change(data)).convert("L")

    places = [(x, y) for x in range(0, 640, 40) for y in range(0, 800, 40)]
    dark = next(place for place in places if abs(before.getpixel(place) - 90) <= 1)
    assert abs(after.getpixel(dark) - 109) <= 2


def test_a_transparent_webp_result_is_on_white() -> None:
    result = opened(verify_result((FOUND / "result_alpha.webp").read_bytes())).convert("RGB")

    assert close(result.getpixel((320, 400)), (220, 170, 140))
    transparent = Image.open(FOUND / "result_alpha.webp").convert("RGBA").getchannel("A")
    clear = next(
        (x, y) for x in range(640) for y in range(800) if transparent.getpixel((x, y)) == 0
    )
    assert close(result.getpixel(clear), WHITE)


@pytest.mark.parametrize(("name", "size", "above"), [
    ("no_eoi_then_trailer.jpg", (640, 800), (230, 30, 30)),
    ("jfif_short_app0.jpg", (640, 800), (230, 30, 30)),
    ("nclx_p3_8bit.heic", (640, 800), (230, 30, 30)),
    ("cicp_p3.png", (640, 800), (251, 0, 0)),
    ("gray16_9000x1400.png", (2048, 319), (1, 1, 1)),
])  # fmt: skip
@pytest.mark.parametrize("change", [normalise_photo, normalise_garment])
def test_what_browsers_show_is_taken_as_they_show_it(
    name: str, size: tuple[int, int], above: object, change: Callable[[bytes], bytes]
) -> None:
    picture = opened(change((FOUND / name).read_bytes())).convert("RGB")

    assert picture.size == size
    assert close(picture.getpixel((20, 20)), above)


@pytest.mark.parametrize("cut", [2, 12, 16, 20])
def test_a_result_whose_end_was_lost_is_kept(cut: int) -> None:
    """It is paid for, and its pixels are all there."""
    whole = PICTURES["PNG"]

    assert opened(verify_result(whole[:-cut])).tobytes() == opened(whole).tobytes()


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_result_is_turned_before_its_tag_goes(kind: str, orientation: int) -> None:
    exif, image = Image.Exif(), Image.new("RGB", (600, 400), BLUE)
    exif[ORIENTATION] = orientation
    image.paste(RED, (0, 0, 200, 133))
    data = encoded(image, kind, exif=exif.tobytes())

    result = opened(verify_result(data))

    assert result.size == ((600, 400) if orientation < 5 else (400, 600))
    assert not result.getexif()
    width, height = result.size
    places = {(20, 20): (1, 5), (width - 20, 20): (2, 6), (width - 20, height - 20): (3, 7),
              (20, height - 20): (4, 8)}  # fmt: skip
    red = next(place for place, turned in places.items() if orientation in turned)
    assert [place for place in places if close(result.getpixel(place), RED)] == [red]


def test_a_result_has_nothing_behind_its_pixels() -> None:
    whole = PICTURES["PNG"]
    at = whole.index(b"IDAT")
    packed = whole[at + 4 : at + 4 + int.from_bytes(whole[at - 4 : at])]
    head = whole[: at - 4]
    data = head + chunk(b"IDAT", packed + b"FOREIGN") + chunk(b"IEND", b"")

    stored = verify_result(data)

    assert b"FOREIGN" not in stored
    assert opened(stored).tobytes() == opened(whole).tobytes()


@pytest.mark.parametrize("depth", [1, 2, 4, 16])
@pytest.mark.parametrize("key", [0, 1])
def test_a_see_through_grey_is_white_whatever_its_depth(depth: int, key: int) -> None:
    """Exactly that grey: its neighbour stays what it is."""
    one = b"\0\1" if depth == 16 else bytes([{1: 255, 2: 85, 4: 17}[depth]])
    nought = b"\0\0" if depth == 16 else b"\0"
    row = 400 if depth == 16 else 400 * depth // 8
    rows = (b"\0" + nought * row) * 300 + (b"\0" + one * row) * 300
    header = struct.pack(">IIBBBBB", 400, 600, depth, 0, 0, 0, 0)
    photo = opened(normalise_photo(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"tRNS", struct.pack(">H", key))
        + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    )).convert("RGB")  # fmt: skip

    tones = [photo.getpixel((200, y)) for y in (100, 500)]
    other = {1: 255, 2: 85, 4: 17, 16: 0}[depth] if key == 0 else 0
    assert close(tones[key], WHITE)
    assert close(tones[1 - key], (other, other, other))


@pytest.mark.parametrize(("size", "expected"), [
    ((768, 1152), (256, 384)), ((3000, 2000), (384, 256)), ((200, 300), (200, 300)),
    ((1, 1), (1, 1)),
])  # fmt: skip
def test_a_thumbnail_is_a_small_webp_without_metadata(
    size: tuple[int, int], expected: tuple[int, int]
) -> None:
    person = Image.open(ROOT / "vton" / "demo" / "static" / "photos" / "mei.jpg").resize(size)

    small = CONVERTER.thumbnail(verify_result(encoded(person, "PNG")))

    assert (opened(small).format, opened(small).size) == ("WEBP", expected)
    assert b"EXIF" not in small
    assert b"XMP " not in small
    assert 14 * len(small) < 1_000_000, "a page of the history"


@pytest.mark.parametrize("data", [b"", b"no picture", PICTURES["PNG"][:-500]])
def test_of_no_picture_there_is_no_thumbnail(data: bytes) -> None:
    with pytest.raises(Problem, match="photo_unreadable"):
        CONVERTER.thumbnail(data)
