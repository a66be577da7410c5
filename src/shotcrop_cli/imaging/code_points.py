"""Colour by code points, as PNG (`cICP`), AVIF and HEIC (`nclx`) store it. Source of the numbers: ITU-T H.273."""

from __future__ import annotations

from dataclasses import dataclass

from shotcrop_cli.imaging.icc import BT709_CURVE, SRGB_CURVE, Curve, Primaries, power_curve

_C = (0.310, 0.316)
_SMPTE_170M = Primaries((0.630, 0.340), (0.310, 0.595), (0.155, 0.070), name="SMPTE 170M primaries")
BT709 = Primaries((0.640, 0.330), (0.300, 0.600), (0.150, 0.060), name="BT.709 primaries")
_PRIMARIES = {
    1: BT709,
    4: Primaries((0.67, 0.33), (0.21, 0.71), (0.14, 0.08), _C, "BT.470 M primaries"),
    5: Primaries((0.64, 0.33), (0.29, 0.60), (0.15, 0.06), name="BT.601 625 primaries"),
    6: _SMPTE_170M,
    7: _SMPTE_170M,
    8: Primaries((0.681, 0.319), (0.243, 0.692), (0.145, 0.049), _C, "film primaries"),
    9: Primaries((0.708, 0.292), (0.170, 0.797), (0.131, 0.046), name="BT.2020 primaries"),
    10: Primaries((1.0, 0.0), (0.0, 1.0), (0.0, 0.0), (1 / 3, 1 / 3), "XYZ"),
    11: Primaries((0.680, 0.320), (0.265, 0.690), (0.150, 0.060), (0.314, 0.351), "DCI-P3"),
    12: Primaries((0.680, 0.320), (0.265, 0.690), (0.150, 0.060), name="Display P3"),
    22: Primaries((0.630, 0.340), (0.295, 0.605), (0.155, 0.077), name="EBU 3213 primaries"),
}
_SMPTE_240M_CURVE = Curve(1 / 0.45, 1 / 1.1115, 0.1115 / 1.1115, 1 / 4, 0.0913, "the curve of SMPTE 240M")
_CURVES = {
    **dict.fromkeys((1, 6, 11, 12, 14, 15), BT709_CURVE),
    4: power_curve(2.2),
    5: power_curve(2.8),
    7: _SMPTE_240M_CURVE,
    8: power_curve(1.0),
    13: SRGB_CURVE,
    17: power_curve(2.6),
}
PQ, HLG = 16, 18
_UNSPECIFIED = (0, 2, 3)


@dataclass(frozen=True, slots=True)
class CodePoints:
    """A colour space by numbers.

    Args:
        primaries: `ColourPrimaries`.
        transfer: `TransferCharacteristics`.
        full_range: Whether stored values use the whole range from 0 to 255.
    """

    primaries: int
    transfer: int
    full_range: bool = True

    @property
    def is_hdr(self) -> bool:
        """Whether values may be brighter than the white of paper."""
        return self.transfer in (PQ, HLG)

    @property
    def is_known(self) -> bool:
        """Whether this module knows the numbers."""
        return self.primaries in (*_UNSPECIFIED, *_PRIMARIES) and (
            self.is_hdr or self.transfer in (*_UNSPECIFIED, *_CURVES)
        )

    @property
    def colours(self) -> Primaries:
        """The primaries; those of sRGB if they are unspecified or unknown."""
        return _PRIMARIES.get(self.primaries, BT709)

    @property
    def curve(self) -> Curve:
        """The transfer curve, that of sRGB if it is unspecified, unknown or HDR."""
        return _CURVES.get(self.transfer, SRGB_CURVE)


def of_nclx(content: bytes) -> CodePoints | None:
    """Return the code points of a `colr` box; None if it holds a profile."""
    if len(content) < 11 or content[:4] != b"nclx":
        return None
    primaries, transfer = int.from_bytes(content[4:6], "big"), int.from_bytes(content[6:8], "big")
    return CodePoints(primaries, transfer)  # decoders have made the range of RGB full


def of_cicp(content: bytes) -> CodePoints | None:
    """Return the code points of a PNG chunk; None if it is damaged."""
    return CodePoints(content[0], content[1], content[3] != 0) if len(content) == 4 else None
