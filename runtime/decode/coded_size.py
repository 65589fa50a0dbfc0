"""Reads from the stream of an AV1 or HEVC picture how many pixels are decoded for it.

That may be far more than its container states: the frame may be larger, and frames that are never shown may precede it.
AV1 is the AV1 Bitstream & Decoding Process Specification of 2019, HEVC is ITU-T H.265.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from .reader import EndlessError, GuardedReader, Pieces

__all__ = ["av1_pixels", "hevc_pixels"]

_MOST_UNITS = 100_000
"""Most units of a stream: a picture has a few, a large one in slices some hundreds."""
_HEAD = 256
"""Bytes of a unit in which its sizes stand."""

_SEQUENCE, _FRAME_HEADER, _FRAME = 1, 3, 6
"""Types of AV1's units, section 6.2.2."""
_SPS = 33
_LAST_SLICE = 31
"""Types of HEVC's units, section 7.4.2.2: a sequence parameter set; those up to 31 are slices of pictures."""


class _Bits:
    """Bits of a stream, from the most significant on; zeros behind its end would state sizes that are too small."""

    def __init__(self, data: bytes) -> None:
        self._number, self._left = int.from_bytes(data, "big"), 8 * len(data)

    def take(self, count: int) -> int:
        """Returns an unsigned number of so many bits.

        Raises:
            ValueError: If the data ends before.
        """
        self._left -= count
        if self._left < 0:
            raise ValueError("a header of its stream is cut off")
        return self._number >> self._left & ((1 << count) - 1)

    def exponential(self) -> int:
        """Returns an unsigned number in Exp-Golomb code (H.265, section 9.2)."""
        zeros = 0
        while not self.take(1):
            zeros += 1
        return (1 << zeros) - 1 + self.take(zeros)


def av1_pixels(stream: Pieces | GuardedReader, length: int) -> int:
    """Returns the sum of the pixels of all frames in an AV1 stream, at most.

    Args:
        stream: The item's data, of any number of units with their sizes (section 5.3).
        length: Its bytes.

    Raises:
        ValueError: If a header is cut off.
        EndlessError: If there are more units than any encoder writes.
    """
    size = total = 0
    for kind, at, _ in _av1_units(stream, length):
        if kind == _SEQUENCE:
            stream.seek(at)
            size = max(size, _av1_frame(_Bits(stream.read(_HEAD))))
        elif kind in (_FRAME_HEADER, _FRAME):
            total += size
    return total


def _av1_units(stream: Pieces | GuardedReader, length: int) -> Iterator[tuple[int, int, int]]:
    """Yields type, position and length of what each unit holds (section 5.3.2)."""
    at = 0
    for _ in range(_MOST_UNITS):
        if at >= length:
            return
        stream.seek(at)
        head = stream.read(10)
        if not head:
            return
        begun = 2 if head[0] & 4 else 1  # an extension
        size = length - at - begun
        if head[0] & 2:  # its size is stated, seven bits in each byte (section 4.10.5)
            size = 0
            for place, byte in enumerate(head[begun:]):
                size |= (byte & 127) << 7 * place
                begun += 1
                if byte < 128:
                    break
        yield head[0] >> 3 & 15, at + begun, size
        at += begun + size
    raise EndlessError


def _av1_frame(bits: _Bits) -> int:
    """Returns width times height of the largest frame that a sequence header allows (section 5.5.1)."""
    bits.take(3)  # profile
    bits.take(1)  # still picture
    reduced = bits.take(1)
    if reduced:
        bits.take(5)  # level
    else:
        _skip_operating_points(bits)
    width_bits, height_bits = bits.take(4) + 1, bits.take(4) + 1
    if reduced:
        return (bits.take(width_bits) + 1) * (bits.take(height_bits) + 1)
    return 1 << width_bits + height_bits  # what a frame may state for itself


def _skip_operating_points(bits: _Bits) -> None:
    delay_bits = 0
    if bits.take(1):  # timing
        bits.take(64)
        if bits.take(1):
            bits.exponential()
        if bits.take(1):  # decoder model
            delay_bits = bits.take(5) + 1
            bits.take(32 + 5 + 5)
    display_delay = bits.take(1)
    for _ in range(bits.take(5) + 1):
        bits.take(12)
        if bits.take(5) > 7:  # level
            bits.take(1)
        if delay_bits and bits.take(1):
            bits.take(2 * delay_bits + 1)
        if display_delay and bits.take(1):
            bits.take(4)


def hevc_pixels(stream: Pieces | GuardedReader, length: int, configuration: bytes) -> int:
    """Returns the sum of the pixels of all pictures in an HEVC stream, at most.

    Args:
        stream: The item's data, units behind their lengths (ISO/IEC 14496-15, section 8.3).
        length: Its bytes.
        configuration: The item's ``hvcC``.

    Raises:
        ValueError: If a header is cut off.
        struct.error: If the configuration is.
        EndlessError: If there are more units than any encoder writes.
    """
    size, prefix = 0, (configuration[21] & 3) + 1 if len(configuration) > 21 else 4
    for unit in _parameter_sets(configuration):
        size = max(size, _hevc_picture(unit))
    at = total = 0
    for _ in range(_MOST_UNITS):
        if at + prefix >= length:
            return total
        stream.seek(at)
        head = stream.read(prefix + _HEAD)
        unit = head[prefix:]
        if len(unit) < 3:
            return total
        kind = unit[0] >> 1 & 63
        if kind == _SPS:
            size = max(size, _hevc_picture(unit))
        elif kind <= _LAST_SLICE and unit[2] & 128:  # the first slice of a picture
            total += size
        at += prefix + int.from_bytes(head[:prefix], "big")
    raise EndlessError


def _parameter_sets(configuration: bytes) -> Iterator[bytes]:
    """Yields the units in an ``hvcC`` (ISO/IEC 14496-15, section 8.3.2.1.2)."""
    at = 23
    for _ in range(configuration[22] if len(configuration) > 22 else 0):
        (units,) = struct.unpack_from(">H", configuration, at + 1)
        at += 3
        for _ in range(units):
            (length,) = struct.unpack_from(">H", configuration, at)
            unit = configuration[at + 2 : at + 2 + length]
            at += 2 + length
            if len(unit) > 2 and unit[0] >> 1 & 63 == _SPS:
                yield unit


def _hevc_picture(unit: bytes) -> int:
    """Returns width times height that a sequence parameter set states (H.265, sections 7.3.2.2 and 7.3.3)."""
    if unit[0] & 1 or unit[1] >> 3:  # of another layer, which is not decoded
        return 0
    bits = _Bits(unit[2:_HEAD].replace(b"\0\0\3", b"\0\0"))  # section 7.3.1.1: 3 keeps zeros from being a start
    bits.take(4)
    layers = bits.take(3)
    bits.take(1 + 88 + 8)  # nesting; profile and level
    present = [(bits.take(1), bits.take(1)) for _ in range(layers)]
    if layers:
        bits.take(2 * (8 - layers))
    for profile, level in present:
        bits.take(88 * profile + 8 * level)
    bits.exponential()
    if bits.exponential() == 3:  # chroma format
        bits.take(1)
    return bits.exponential() * bits.exponential()
