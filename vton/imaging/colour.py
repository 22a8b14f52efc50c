"""Colours that a picture names by numbers, without a profile, brought to sRGB.

The numbers are those of ITU-T H.273, in HEIC (`nclx`) and PNG (`cICP`), or PNG's own (`cHRM` and
`gAMA`).
"""

import math
import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from PIL import Image, ImageFilter

from vton.imaging import png

Primaries = tuple[float, float, float, float, float, float, float, float]
"""x and y (CIE 1931) of red, green, blue and white."""
Matrix = Sequence[Sequence[float]]

Colour = tuple[float, float, float]

D65 = 0.3127, 0.3290
_XYZ_OF_D65 = 0.3127 / 0.3290, 1.0, (1 - 0.3127 - 0.3290) / 0.3290
SRGB: Primaries = (0.64, 0.33, 0.30, 0.60, 0.15, 0.06, *D65)
ILLUMINANT_C = 0.310, 0.316
PRIMARIES: Mapping[int, Primaries] = {
    1: SRGB,
    4: (0.67, 0.33, 0.21, 0.71, 0.14, 0.08, *ILLUMINANT_C),
    5: (0.64, 0.33, 0.29, 0.60, 0.15, 0.06, *D65),
    6: (0.63, 0.34, 0.31, 0.595, 0.155, 0.07, *D65),
    7: (0.63, 0.34, 0.31, 0.595, 0.155, 0.07, *D65),
    8: (0.681, 0.319, 0.243, 0.692, 0.145, 0.049, *ILLUMINANT_C),
    9: (0.708, 0.292, 0.170, 0.797, 0.131, 0.046, *D65),
    11: (0.68, 0.32, 0.265, 0.69, 0.15, 0.06, 0.314, 0.351),
    12: (0.68, 0.32, 0.265, 0.69, 0.15, 0.06, *D65),
    22: (0.63, 0.34, 0.295, 0.605, 0.155, 0.077, *D65),
}
"""By H.273's numbers."""
UNSPECIFIED = 2
_RGB_FULL = b"\0\1"
"""How `cICP` ends: PNG has no other matrix, and values from black to white."""
_FACTOR = 100_000
"""By which PNG multiplies its numbers."""

WHITE_NITS = 203.0
"""What is white on paper, in HDR (ITU-R BT.2408)."""
PEAK_NITS = 1000.0
"""The screen that HLG is made for (ITU-R BT.2100)."""
KNEE = 0.5
"""Up to this part of white, HDR is shown as bright as it is; above, lights are pressed together."""
NODES = 33
"""Of each side of a table of colours; what lies between them is interpolated."""
ALIKE = 0.002
"""Primaries that differ by less are the same, rounded."""
BRADFORD = (0.8951, 0.2664, -0.1614), (-0.7502, 1.7135, 0.0367), (0.0389, -0.0685, 1.0296)
"""How an eye gets used to another white (as ICC.1:2022, annex E)."""


@dataclass(frozen=True, slots=True)
class Colours:
    """What a picture's values mean; `to_light` makes light of one, if it is not as in sRGB."""

    primaries: Primaries = SRGB
    to_light: Callable[[float], float] | None = None

    @classmethod
    def of_h273(cls, primaries: int, transfer: int) -> "Colours | None":
        """Return what H.273's numbers mean; None where they leave it open, or are not known."""
        if primaries not in PRIMARIES or transfer == UNSPECIFIED:
            return None
        return cls(PRIMARIES[primaries], TRANSFERS.get(transfer))

    @classmethod
    def of_png(cls, data: bytes) -> "Colours | None":
        """Return what a PNG's chunks say; None where they leave it to a profile, or say nothing.

        Raises ArithmeticError.
        """
        said = png.looks(data)
        code = said.get(b"cICP", b"")
        if len(code) == 4 and code.endswith(_RGB_FULL) and (found := cls.of_h273(*code[:2])):
            return found
        if said.keys() & {b"sRGB", b"iCCP"} or len(said.get(b"gAMA", b"")) != 4:
            return None
        to_light = _power(_FACTOR / int.from_bytes(said[b"gAMA"]))
        places = [value / _FACTOR for (value,) in struct.iter_unpack(">I", said.get(b"cHRM", b""))]
        if len(places) != 8:
            return cls(to_light=to_light)
        return cls((*places[2:], *places[:2]), to_light)

    def to_srgb(self, image: Image.Image) -> Image.Image:
        """Return `image` as RGB in sRGB. Raises ArithmeticError if the numbers make no colours.

        HDR keeps its midtones, and its lights are pressed together below white.
        """
        image = image.convert("RGB")
        if self.to_light is not None:
            values = [round(255 * _encoded(self.to_light(value / 255))) for value in range(256)]
            image = image.point(values * 3)
        if max(abs(a - b) for a, b in zip(self.primaries, SRGB, strict=True)) < ALIKE:
            return image
        return image.filter(_table(self.primaries))


def _table(primaries: Primaries) -> ImageFilter.Color3DLUT:
    """What each sRGB value of other primaries becomes."""
    light = [_decoded(node / (NODES - 1)) for node in range(NODES)]
    matrix = _times(_inverse(_to_xyz(SRGB)), _to_xyz(primaries))

    def converted(*values: float) -> Colour:
        colour = _three(light[round(value * (NODES - 1))] for value in values)
        return _three(map(_encoded, _seen(matrix, colour)))

    return ImageFilter.Color3DLUT.generate(NODES, converted)


def _decoded(value: float) -> float:
    """The light of an sRGB value (IEC 61966-2-1), both from 0 to 1."""
    return value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4


def _encoded(light: float) -> float:
    """The sRGB value of some light, which is cut off at white."""
    light = min(1.0, max(0.0, light))
    return light * 12.92 if light <= 0.0031308 else 1.055 * light ** (1 / 2.4) - 0.055


def _power(gamma: float) -> Callable[[float], float]:
    """What makes light of a value by a gamma."""
    return lambda value: float(value**gamma)


def _pq(value: float) -> float:
    """The light of a PQ value (ITU-R BT.2100, table 4)."""
    root = value ** (32 / 2523)
    above, below = max(root - 3424 / 4096, 0.0), 2413 / 128 - 2392 / 128 * root
    return _pressed(10_000 * (above / below) ** (16384 / 2610))


def _hlg(value: float) -> float:
    """The light of an HLG value (ITU-R BT.2100, table 5, each colour for itself)."""
    if value <= 0.5:
        scene = value * value / 3
    else:
        scene = (math.exp((value - 0.55991073) / 0.17883277) + 0.28466892) / 12
    return _pressed(PEAK_NITS * scene**1.2)


def _pressed(nits: float) -> float:
    """The light to show, in parts of white: above the knee, ever less of it."""
    light, room = nits / WHITE_NITS, 1 - KNEE
    return light if light <= KNEE else 1 - room * math.exp((KNEE - light) / room)


def _to_xyz(primaries: Primaries) -> Matrix:
    """What makes XYZ, as an eye used to D65 sees it, of light from 0 to 1."""
    *colours, white = (
        (x / y, 1.0, (1 - x - y) / y) for x, y in zip(primaries[::2], primaries[1::2], strict=True)
    )
    columns = tuple(zip(*colours, strict=True))
    amounts = _seen(_inverse(columns), white)
    matrix = [[a * b for a, b in zip(row, amounts, strict=True)] for row in columns]
    before, after = _seen(BRADFORD, white), _seen(BRADFORD, _XYZ_OF_D65)
    adapted = [[after[i] / before[i] * value for value in BRADFORD[i]] for i in range(3)]
    return _times(_times(_inverse(BRADFORD), adapted), matrix)


def _seen(matrix: Matrix, colour: Colour) -> Colour:
    return _three(sum(a * b for a, b in zip(row, colour, strict=True)) for row in matrix)


def _times(first: Matrix, second: Matrix) -> Matrix:
    columns = list(zip(*second, strict=True))
    return [_seen(columns, _three(row)) for row in first]


def _inverse(matrix: Matrix) -> Matrix:
    """Return the inverse of three rows. Raises ZeroDivisionError where there is none."""
    (a, b, c), (d, e, f), (g, h, i) = matrix
    whole = a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g)
    return [
        [(e * i - f * h) / whole, (c * h - b * i) / whole, (b * f - c * e) / whole],
        [(f * g - d * i) / whole, (a * i - c * g) / whole, (c * d - a * f) / whole],
        [(d * h - e * g) / whole, (b * g - a * h) / whole, (a * e - b * d) / whole],
    ]


def _three(values: Iterable[float]) -> Colour:
    red, green, blue = values
    return red, green, blue


TRANSFERS = {4: _power(2.2), 5: _power(2.8), 8: _power(1.0), 16: _pq, 18: _hlg}
"""By H.273's numbers; every other one is taken for sRGB's. So is BT.709's (1, 6, 14, 15): programs
differ on it, some show it lighter and some darker than that."""
