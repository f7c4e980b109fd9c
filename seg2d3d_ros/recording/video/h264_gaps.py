"""Lost pictures of an H.264 stream, by the numbers that its slices carry.

FFmpeg fills a gap with the picture before it and goes on without a word, so that what follows shows the scene as it was,
smeared, until the next keyframe. ITU-T H.264 (08/2021): NAL units in annex B, sequence parameter sets in 7.3.2.1.1, slice
headers in 7.3.3, ``frame_num`` in 7.4.3.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise

_START = re.compile(rb"\x00\x00\x01")
_SLICE, _KEY_SLICE, _SEQUENCE = 1, 5, 7
_WITH_CHROMA = (100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135)
_HEADER = 64
"""Bytes of a unit in which everything lies that is looked for; of a parameter set more, for its scaling lists."""
_PARAMETERS = 1024


class _Bits:
    """Reads a unit's bits; the bytes that keep start codes out of it are removed. Raises ``IndexError`` beyond the end."""

    def __init__(self, unit: bytes) -> None:
        self._bytes, self._place = unit.replace(b"\0\0\3", b"\0\0"), 0

    def number(self, count: int) -> int:
        value = 0
        for _ in range(count):
            value = value << 1 | (self._bytes[self._place >> 3] >> (7 - (self._place & 7)) & 1)
            self._place += 1
        return value

    def golomb(self) -> int:
        """An unsigned Exp-Golomb code (9.1)."""
        zeros = 0
        while not self.number(1):
            zeros += 1
        return (1 << zeros) - 1 + self.number(zeros)

    def signed(self) -> int:
        """A signed Exp-Golomb code (9.1.1)."""
        code = self.golomb()
        return (code + 1) // 2 if code % 2 else -(code // 2)


class FrameNumbers:
    """Follows the pictures of one stream in the order of decoding."""

    def __init__(self) -> None:
        self._bits, self._gaps_allowed, self._whole_frames = 0, False, True
        self._last: int | None = None

    def misses(self, packet: bytes) -> bool:
        """Whether pictures that this packet's refers to are missing before it. What cannot be read misses nothing."""
        try:
            return self._misses(packet)
        except IndexError:
            return False

    def _misses(self, packet: bytes) -> bool:
        for kind, reference, unit in _units(packet):
            if kind == _SEQUENCE:
                self._read_parameters(_Bits(unit[:_PARAMETERS]))
            elif kind == _KEY_SLICE:
                self._last = 0
                return False
            elif kind == _SLICE and self._bits and not self._gaps_allowed and self._whole_frames:
                bits = _Bits(unit[:_HEADER])
                for _ in range(3):  # first macroblock, type, picture parameters
                    bits.golomb()
                number, last = bits.number(self._bits), self._last
                self._last = number if reference or last is None else last
                return last is not None and number not in (last, (last + 1) % (1 << self._bits))
        return False

    def _read_parameters(self, bits: _Bits) -> None:
        profile = bits.number(8)
        bits.number(16)
        bits.golomb()
        if profile in _WITH_CHROMA:
            chroma = bits.golomb()
            if chroma == 3:
                bits.number(1)
            bits.golomb(), bits.golomb(), bits.number(1)
            if bits.number(1):
                for place in range(12 if chroma == 3 else 8):
                    if bits.number(1):
                        _skip_scaling_list(bits, 16 if place < 6 else 64)
        self._bits = bits.golomb() + 4
        order = bits.golomb()
        if order == 0:
            bits.golomb()
        elif order == 1:
            bits.number(1)
            bits.signed(), bits.signed()
            for _ in range(bits.golomb()):
                bits.signed()
        bits.golomb()
        self._gaps_allowed = bool(bits.number(1))
        bits.golomb(), bits.golomb()
        self._whole_frames = bool(bits.number(1))


def _units(packet: bytes) -> Iterator[tuple[int, bool, bytes]]:
    """Type of each unit, whether others refer to it, and what follows its first byte."""
    starts = [found.end() for found in _START.finditer(packet)]
    for begin, end in pairwise([*starts, len(packet) + 3]):
        unit = packet[begin : end - 3]
        if unit:
            yield unit[0] & 31, bool(unit[0] >> 5 & 3), unit[1:]


def _skip_scaling_list(bits: _Bits, size: int) -> None:
    """7.3.2.1.1.1."""
    last = following = 8
    for _ in range(size):
        if following:
            following = (last + bits.signed()) % 256
        last = following or last
