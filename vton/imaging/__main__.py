"""The process that decodes one picture: `python -m vton.imaging CONVERSION`."""

import resource
import sys
from contextlib import suppress

from vton.errors import Problem
from vton.imaging.convert import CONVERSIONS
from vton.imaging.sandbox import CPU_SECONDS, MEMORY_BYTES, REFUSED


def main(conversion: str) -> None:
    """Read a picture from standard input; write it converted, or a Problem's code."""
    for limit, soft, hard in (
        (resource.RLIMIT_CORE, 0, 0),
        (resource.RLIMIT_CPU, CPU_SECONDS, CPU_SECONDS + 1),  # SIGXCPU, and then SIGKILL
        (resource.RLIMIT_AS, MEMORY_BYTES, MEMORY_BYTES),
    ):
        with suppress(ValueError, OSError):  # macOS refuses to limit the address space
            resource.setrlimit(limit, (soft, hard))
    try:
        sys.stdout.buffer.write(CONVERSIONS[conversion](sys.stdin.buffer.read()))
    except Problem as problem:
        sys.stdout.write(problem.code)
        sys.exit(REFUSED)


if __name__ == "__main__":
    main(sys.argv[1])
