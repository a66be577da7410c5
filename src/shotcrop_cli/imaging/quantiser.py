"""How coarsely the pixels of a lossy photo were quantised, read from the headers of its coded data."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from shotcrop_cli.imaging.isobmff import read_items

_FRAME_OBU, _SEQUENCE_OBU, _FRAME_HEADER_OBU = 6, 1, 3
_HEVC_INTRA = range(16, 24)
"""Types of HEVC units with the slice of an image that needs no other. Source: ITU-T H.265, table 7-1."""
_HEVC_IDR = (19, 20)


class _Bits:
    """Reads a big-endian bit stream."""

    def __init__(self, data: bytes) -> None:
        self._value, self._left = int.from_bytes(data, "big"), 8 * len(data)

    def take(self, count: int) -> int:
        """Return the next bits as a number."""
        if count > self._left:
            raise ValueError("the header ends early")
        self._left -= count
        return self._value >> self._left & ((1 << count) - 1)

    def skip(self, *counts: int) -> None:
        for count in counts:
            self.take(count)

    def exp_golomb(self) -> int:
        """Return an unsigned number of variable length."""
        zeros = 0
        while not self.take(1):
            zeros += 1
        return (1 << zeros) - 1 + self.take(zeros)

    def signed_exp_golomb(self) -> int:
        code = self.exp_golomb()
        return (code + 1) // 2 if code % 2 else -(code // 2)


class _BoolDecoder:
    """The arithmetic decoder of VP8. Source: RFC 6386, section 7.3."""

    def __init__(self, data: bytes) -> None:
        self._data, self._place = data, 2
        self._value, self._range, self._shifted = int.from_bytes(data[:2], "big"), 255, 0

    def flag(self, probability: int = 128) -> int:
        split = 1 + ((self._range - 1) * probability >> 8)
        bit = int(self._value >= split << 8)
        if bit:
            self._range -= split
            self._value -= split << 8
        else:
            self._range = split
        while self._range < 128:
            self._value <<= 1
            self._range <<= 1
            self._shifted += 1
            if self._shifted == 8:
                self._shifted = 0
                self._value |= self._data[self._place] if self._place < len(self._data) else 0
                self._place += 1
        return bit

    def number(self, bits: int) -> int:
        value = 0
        for _ in range(bits):
            value = value << 1 | self.flag()
        return value

    def signed(self, bits: int) -> int:
        value = self.number(bits)
        return -value if self.flag() else value

    def optional(self, bits: int) -> int:
        return self.signed(bits) if self.flag() else 0


def vp8_quantiser(data: bytes) -> float | None:
    """Return the quantiser of the first frame of a lossy WebP, 0 to 127; None if it cannot be read.

    Source: RFC 6386, section 9. The frame has one quantiser, or one for each of four segments. Then this is their mean,
    weighted by the probability of each segment.
    """
    place = _find_vp8(data)
    if place is None or data[place + 3 : place + 6] != b"\x9d\x01\x2a":
        return None
    decoder = _BoolDecoder(data[place + 10 : place + 1000])
    decoder.number(2)
    segments: list[int] = []
    absolute, zeros = 0, [1.0, 1.0, 1.0]
    if decoder.flag():
        with_map, with_data = decoder.flag(), decoder.flag()
        if with_data:
            absolute = decoder.flag()
            segments = [decoder.optional(7) for _ in range(4)]
            for _ in range(4):
                decoder.optional(6)
        if with_map:
            zeros = [decoder.number(8) / 255 if decoder.flag() else 1.0 for _ in range(3)]
    decoder.number(1 + 6 + 3)
    if decoder.flag() and decoder.flag():
        for _ in range(8):
            decoder.optional(6)
    decoder.number(2)
    base = decoder.number(7)
    if not segments:
        return base
    low, first, third = zeros  # probabilities of a zero in the two bits of a segment's number
    shares = (low * first, low * (1 - first), (1 - low) * third, (1 - low) * (1 - third))
    mean = sum(share * segment for share, segment in zip(shares, segments, strict=True))
    return max(0.0, min(127.0, mean if absolute else base + mean))


def _find_vp8(data: bytes) -> int | None:
    place = 12
    while place + 8 <= len(data):
        name, size = data[place : place + 4], int.from_bytes(data[place + 4 : place + 8], "little")
        if name == b"VP8 ":
            return place + 8
        # The frames of an animation hold the images, after 16 bytes with their position.
        place += 8 + 16 if name == b"ANMF" else 8 + size + size % 2
    return None


def av1_quantiser(data: bytes) -> int | None:
    """Return the base quantiser index of an AVIF photo, 0 (lossless) to 255; None if it cannot be read.

    Source: the AV1 bitstream specification, sections 5.5 and 5.9.
    """
    items = read_items(data)
    item = items.coded(items.primary)
    offset, size = items.places.get(item, (0, 0))
    configurations = (content for name, content in items.properties.get(item, ()) if name == b"av1C")
    sequence: _Av1Sequence | None = None
    try:
        for kind, unit in _obus(next(configurations, b"")[4:] + data[offset : offset + min(size, 10_000)]):
            if kind == _SEQUENCE_OBU:
                sequence = _Av1Sequence(_Bits(unit[:200]))
            elif kind in (_FRAME_OBU, _FRAME_HEADER_OBU) and sequence is not None:
                return sequence.frame_quantiser(_Bits(unit[:200]))
    except (ValueError, IndexError):
        pass
    return None


def _obus(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield type and content of the units of an AV1 stream; the last one may be cut off."""
    place = 0
    while place < len(data):
        header = data[place]
        place += 2 if header & 4 else 1
        size, shift = len(data) - place, 0
        if header & 2:
            size = 0
            while True:
                byte = data[place]
                size |= (byte & 0x7F) << shift
                place, shift = place + 1, shift + 7
                if byte < 0x80 or shift > 28:
                    break
        yield header >> 3 & 15, data[place : place + size]
        place += size


class _Av1Sequence:
    """The fields of an AV1 sequence header that the header of a still picture's frame depends on."""

    def __init__(self, bits: _Bits) -> None:
        profile = bits.take(3)
        bits.take(1)
        self.reduced = bool(bits.take(1))
        self.has_decoder_model = self.equal_interval = False
        if self.reduced:
            bits.take(5)
        else:
            self._skip_operating_points(bits)
        width_bits, height_bits = bits.take(4) + 1, bits.take(4) + 1
        self.size_bits = (width_bits, height_bits)
        self.width, self.height = bits.take(width_bits) + 1, bits.take(height_bits) + 1
        self.id_bits = self.order_bits = 0
        if not self.reduced and bits.take(1):
            self.id_bits = bits.take(4) + 2
            self.id_bits += bits.take(3) + 1
        self.large_blocks = bits.take(1)
        bits.skip(1, 1)
        self.screen_content = self.integer_motion = 2  # the frame decides
        if not self.reduced:
            bits.skip(1, 1, 1, 1)
            has_order = bits.take(1)
            if has_order:
                bits.skip(1, 1)
            if not bits.take(1):
                self.screen_content = bits.take(1)
            if self.screen_content and not bits.take(1):
                self.integer_motion = bits.take(1)
            if has_order:
                self.order_bits = bits.take(3) + 1
        self.superres = bits.take(1)
        _ = profile

    def _skip_operating_points(self, bits: _Bits) -> None:
        delay_bits = 0
        if bits.take(1):  # timing
            bits.skip(32, 32)
            self.equal_interval = bool(bits.take(1))
            if self.equal_interval:
                bits.exp_golomb()
            self.has_decoder_model = bool(bits.take(1))
            if self.has_decoder_model:
                delay_bits = bits.take(5) + 1
                bits.skip(32, 5, 5)
        has_display_delay = bits.take(1)
        for _ in range(bits.take(5) + 1):
            bits.take(12)
            if bits.take(5) > 7:
                bits.take(1)
            if self.has_decoder_model and bits.take(1):
                bits.skip(delay_bits, delay_bits, 1)
            if has_display_delay and bits.take(1):
                bits.take(4)

    def frame_quantiser(self, bits: _Bits) -> int | None:
        """Return `base_q_idx` of a key frame that is shown; None for other frames."""
        if not self.reduced:
            shows_existing, kind, is_shown = bits.take(1), bits.take(2), bits.take(1)
            if shows_existing or kind or not is_shown or self.has_decoder_model:
                return None
        without_cdf_update = bits.take(1)
        screen_content = bits.take(1) if self.screen_content == 2 else self.screen_content
        if screen_content and self.integer_motion == 2:
            bits.take(1)
        has_size = 0
        if not self.reduced:
            bits.take(self.id_bits)
            has_size = bits.take(1)
            bits.take(self.order_bits)
        width, height = self.width, self.height
        if has_size:
            width, height = bits.take(self.size_bits[0]) + 1, bits.take(self.size_bits[1]) + 1
        coded_width = width
        if self.superres and bits.take(1):
            coded_width = (width * 8 + 4) // (bits.take(3) + 9)
        if bits.take(1):  # the size to display
            bits.skip(16, 16)
        if screen_content and coded_width == width:
            bits.take(1)
        if not (self.reduced or without_cdf_update):
            bits.take(1)
        if not self._skip_tiles(bits, coded_width, height):
            return None
        return bits.take(8)

    def _skip_tiles(self, bits: _Bits, width: int, height: int) -> bool:
        shift = 7 if self.large_blocks else 6
        columns, rows = -(-width >> shift), -(-height >> shift)
        most_columns, most_rows = _log2(1, min(columns, 64)), _log2(1, min(rows, 64))
        column_bits = _log2(4096 >> shift, columns)
        least = max(column_bits, _log2((4096 * 2304) >> (2 * shift), rows * columns))
        if not bits.take(1):  # tiles of different sizes
            return False
        while column_bits < most_columns and bits.take(1):
            column_bits += 1
        row_bits = max(least - column_bits, 0)
        while row_bits < most_rows and bits.take(1):
            row_bits += 1
        if column_bits or row_bits:
            bits.skip(column_bits + row_bits, 2)
        return True


def _log2(block: int, target: int) -> int:
    """Return the least number of doublings of a block that reach a target."""
    doublings = 0
    while block << doublings < target:
        doublings += 1
    return doublings


def hevc_quantiser(data: bytes) -> int | None:
    """Return the quantisation parameter of the first slice of a HEIC photo, 0 to 51; None if it cannot be read.

    Source: ITU-T H.265, section 7.3.
    """
    items = read_items(data)
    item = items.coded(items.primary)
    configuration = next((content for name, content in items.properties.get(item, ()) if name == b"hvcC"), b"")
    offset, size = items.places.get(item, (0, 0))
    try:
        units = dict(_hevc_parameter_sets(configuration))
        length_bytes = (configuration[21] & 3) + 1
        unit = _first_hevc_slice(data[offset : offset + size], length_bytes)
        return None if unit is None else _hevc_slice_quantiser(unit, units[33], units[34])
    except (ValueError, IndexError, KeyError, struct.error):
        return None


def _hevc_parameter_sets(configuration: bytes) -> Iterator[tuple[int, bytes]]:
    place = 23
    for _ in range(configuration[22]):
        kind = configuration[place] & 63
        (count,) = struct.unpack_from(">H", configuration, place + 1)
        place += 3
        for _ in range(count):
            (size,) = struct.unpack_from(">H", configuration, place)
            yield kind, configuration[place + 2 : place + 2 + size]
            place += 2 + size


def _first_hevc_slice(data: bytes, length_bytes: int) -> bytes | None:
    place = 0
    while place + length_bytes + 2 < len(data):
        size = int.from_bytes(data[place : place + length_bytes], "big")
        place += length_bytes
        if data[place] >> 1 & 63 in _HEVC_INTRA:
            return data[place : place + min(size, 200)]
        place += size
    return None


def _raw_bits(unit: bytes) -> _Bits:
    return _Bits(unit[2:].replace(b"\x00\x00\x03", b"\x00\x00"))


def _hevc_slice_quantiser(unit: bytes, sequence: bytes, picture: bytes) -> int:
    chroma, planes, offset_filter = _hevc_sequence(_raw_bits(sequence))
    bits = _raw_bits(picture)
    bits.exp_golomb()
    bits.exp_golomb()
    bits.take(1)
    has_output_flag, extra_bits = bits.take(1), bits.take(3)
    bits.skip(1, 1)
    bits.exp_golomb()
    bits.exp_golomb()
    quantiser = 26 + bits.signed_exp_golomb()
    bits = _raw_bits(unit)
    bits.skip(1, 1)  # the first slice; all intra types have the second flag
    bits.exp_golomb()
    bits.take(extra_bits)
    if bits.exp_golomb() != 2:  # no intra slice
        raise ValueError("the slice refers to other images")
    if has_output_flag:
        bits.take(1)
    if planes:
        bits.take(2)
    if unit[0] >> 1 & 63 not in _HEVC_IDR:
        raise ValueError("the slice may refer to other images")
    if offset_filter:
        bits.take(1)
        if chroma and not planes:
            bits.take(1)
    return quantiser + bits.signed_exp_golomb()


def _hevc_sequence(bits: _Bits) -> tuple[int, int, int]:
    """Return `chroma_format_idc`, `separate_colour_plane_flag` and `sample_adaptive_offset_enabled_flag`."""
    bits.take(4)
    layers = bits.take(3)
    if layers:
        raise ValueError("more than one layer")
    bits.skip(1, 88, 8)  # profile and level
    bits.exp_golomb()
    chroma = bits.exp_golomb()
    planes = bits.take(1) if chroma == 3 else 0
    bits.exp_golomb()
    bits.exp_golomb()
    if bits.take(1):  # cropped
        for _ in range(4):
            bits.exp_golomb()
    bits.exp_golomb()
    bits.exp_golomb()
    bits.exp_golomb()
    bits.take(1)
    for _ in range(3):
        bits.exp_golomb()
    for _ in range(6):
        bits.exp_golomb()
    if bits.take(1) and bits.take(1):
        raise ValueError("the sequence has its own scaling lists")
    bits.take(1)
    return chroma, planes, bits.take(1)
