"""The process that decodes one picture: `python -m vton.imaging CONVERSION`."""

import resource
import sys
from contextlib import suppress

from PIL import Image, MpoImagePlugin, TiffImagePlugin, WebPImagePlugin  # noqa: F401

from vton.errors import Problem
from vton.imaging import jpeg, png
from vton.imaging.convert import CONVERSIONS
from vton.imaging.sandbox import CPU_SECONDS, FILLED_BYTES, MEMORY_BYTES, REFUSED
from vton.process import hide_from_others

MENDERS = {jpeg.START: jpeg.mended, png.SIGNATURE[:2]: png.mended}


def main(conversion: str) -> None:
    """Read a picture from standard input; write it converted, or a Problem's code."""
    hide_from_others()  # nor may one decoder look into another
    Image.preinit()  # Pillow would read its own modules later
    for limit, soft, hard in (
        (resource.RLIMIT_CORE, 0, 0),
        (resource.RLIMIT_CPU, CPU_SECONDS, CPU_SECONDS + 1),  # SIGXCPU, and then SIGKILL
        (resource.RLIMIT_AS, MEMORY_BYTES, MEMORY_BYTES),
        (resource.RLIMIT_DATA, FILLED_BYTES, FILLED_BYTES),
        (resource.RLIMIT_FSIZE, 0, 0),
        (resource.RLIMIT_NOFILE, 0, 0),  # it opens no file and no socket any more
    ):
        with suppress(ValueError, OSError):  # macOS refuses to limit the address space
            resource.setrlimit(limit, (soft, hard))
    try:
        sys.stdout.buffer.write(converted(conversion, sys.stdin.buffer.read()))
    except Problem as problem:
        sys.stdout.write(problem.code)
        sys.exit(REFUSED)


def converted(conversion: str, data: bytes) -> bytes:
    """The picture, converted as it is, or mended first if it needs it."""
    try:
        return CONVERSIONS[conversion](data)
    except Problem as problem:
        mended = MENDERS.get(data[:2])
        if problem.code != "photo_unreadable" or mended is None:
            raise
    try:
        data = mended(data)
    except Exception:  # it is cut, or no picture at all
        raise Problem("photo_unreadable") from None
    return CONVERSIONS[conversion](data)


if __name__ == "__main__":
    main(sys.argv[1])
