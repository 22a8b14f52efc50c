"""The one body that all people are drawn from and all garments are cut for.

Coordinates: x from the body's axis (right half, positive), y down from the top of a portrait of
768 by 1152 pixels. A person may be larger or smaller than this, in every direction alike.
"""

from __future__ import annotations

from vton.local.draw.brush import Outline, Point

ARM: Outline = ((131, 404), (166, 500), (197, 600), (214, 690), (228, 772))  # to the wrist
ARM_WIDTHS = (64, 59, 52, 46, 36)
HAND: Outline = ((227, 765), (236, 800), (243, 848))
THUMB: Outline = ((226, 786), (216, 812), (217, 838))
TORSO: Outline = (
    (42, 240), (42, 300), (45, 322), (62, 342), (98, 356), (136, 374), (150, 410), (123, 462),
    (115, 520), (105, 640), (112, 720), (118, 770, 1),
)  # fmt: skip


def other_side(outline: Outline) -> list[Point]:
    """The same on the left half."""
    return [(-p[0], *p[1:]) for p in outline]


def part_of_arm(until: float) -> tuple[list[Point], list[float]]:
    """The arm's path and widths from the shoulder to a fraction (0 to 1) of its length, which is
    counted in steps of the path."""
    last = until * (len(ARM) - 1)
    whole, rest = int(last), last - int(last)
    path, widths = list(ARM[: whole + 1]), [float(w) for w in ARM_WIDTHS[: whole + 1]]
    if rest > 0.01:
        a, b = ARM[whole], ARM[whole + 1]
        path.append((a[0] + (b[0] - a[0]) * rest, a[1] + (b[1] - a[1]) * rest))
        step = ARM_WIDTHS[whole + 1] - ARM_WIDTHS[whole]
        widths.append(ARM_WIDTHS[whole] + step * rest)
    return path, widths
