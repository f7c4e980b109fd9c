"""Ways to damage a file: what bad cables, full disks, other programs, people and attackers do."""

from __future__ import annotations

import random
import re
import struct

EXTREMES = (
    b"\xff" * 8,
    b"\0" * 8,
    b"\xff" * 7 + b"\x7f",
    b"\0\0\0\0\0\0\xf0\x7f",
    b"\0\0\0\0\0\0\xf8\x7f",
    b"\x01" + b"\0" * 7,
)
NUMBERS = (
    "NaN",
    "1e999",
    "-1",
    "0",
    "1e300",
    "9" * 25,
    "9" * 5000,
    "null",
    '"x"',
    "[]",
    "{}",
    "0.5",
    "-0.0",
    "true",
    "2147483648",
)
TEXTS = ('"\\u0000"', '"\\ud800"', '"../../x"', '"/etc/passwd"', '"a\x1b[2Jb"', '"' + "x" * 5000 + '"', '""', '"\\n"')
BOMB = "\n".join(
    ["a: &a [x, x, x, x, x, x, x, x, x, x]"]
    + [f"{b}: &{b} [{', '.join([f'*{a}'] * 10)}]" for a, b in zip("abcdefgh", "bcdefghi", strict=True)]
)
_NUMBER = re.compile(rb"-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?")
_TEXT = re.compile(rb'"[^"\\]{0,80}"')
_KEY = re.compile(rb'"[^"\\]{1,40}"\s*:\s*')


def mutate(data: bytes, rng: random.Random, *, text: bool) -> bytes:
    """A damaged copy; ``text`` for JSON, YAML and CSV, which are mostly damaged as such."""
    ways = [*_OF_TEXT, *_OF_BYTES[:3]] if text and rng.random() < 0.85 else list(_OF_BYTES)
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        changed = bytearray(rng.choice(ways)(changed, rng))
    return bytes(changed)


def _place(data: bytearray, rng: random.Random) -> int:
    """Anywhere, but often in the beginning, where headers are."""
    return rng.randrange(min(len(data), rng.choice((64, 512, len(data) or 1))) or 1)


def _flip(data: bytearray, rng: random.Random) -> bytes:
    if data:
        data[_place(data, rng)] ^= 1 << rng.randrange(8)
    return data


def _set(data: bytearray, rng: random.Random) -> bytes:
    if data:
        data[_place(data, rng)] = rng.randrange(256)
    return data


def _cut(data: bytearray, rng: random.Random) -> bytes:
    return data[: _place(data, rng)]


def _extreme(data: bytearray, rng: random.Random) -> bytes:
    at, size = _place(data, rng), rng.choice((2, 4, 8))
    data[at : at + size] = rng.choice(EXTREMES)[:size]
    return data


def _large_count(data: bytearray, rng: random.Random) -> bytes:
    at = _place(data, rng)
    form, value = rng.choice(("<I", ">I", "<Q", ">Q", "<H", ">H")), rng.choice((0xFFFF, 0x7FFF, 0x1000, 0))
    packed = struct.pack(form, value if form[1] in "H" else value << 15)
    data[at : at + len(packed)] = packed
    return data


def _insert(data: bytearray, rng: random.Random) -> bytes:
    at = _place(data, rng)
    data[at:at] = rng.randbytes(rng.randrange(1, 64))
    return data


def _delete(data: bytearray, rng: random.Random) -> bytes:
    at = _place(data, rng)
    del data[at : at + rng.randrange(1, rng.choice((4, 64, 1024)))]
    return data


def _zero(data: bytearray, rng: random.Random) -> bytes:
    at = _place(data, rng)
    size = min(rng.choice((16, 512, 4096)), len(data) - at)
    data[at : at + size] = b"\0" * size
    return data


def _repeat(data: bytearray, rng: random.Random) -> bytes:
    at = _place(data, rng)
    block = bytes(data[at : at + rng.randrange(1, 256)])
    data[at:at] = block * rng.choice((1, 2, 50))
    return data


def _empty(_data: bytearray, _rng: random.Random) -> bytes:
    return b""


def _append(data: bytearray, rng: random.Random) -> bytes:
    return bytes(data) + rng.randbytes(rng.randrange(1, 200))


def _swap(pattern: re.Pattern[bytes], values: tuple[str, ...], data: bytearray, rng: random.Random) -> bytes:
    found = list(pattern.finditer(data))
    if found:
        start, end = rng.choice(found).span()
        data[start:end] = rng.choice(values).encode()
    return data


def _number(data: bytearray, rng: random.Random) -> bytes:
    return _swap(_NUMBER, NUMBERS, data, rng)


def _word(data: bytearray, rng: random.Random) -> bytes:
    return _swap(_TEXT, TEXTS + NUMBERS, data, rng)


def _key(data: bytearray, rng: random.Random) -> bytes:
    return _swap(_KEY, ("", '"x": ', '"id": '), data, rng)


def _nest(data: bytearray, rng: random.Random) -> bytes:
    depth = rng.choice((30, 70, 1000, 100_000))
    inner, outer = rng.choice((("[", "]"), ('{"a":', "}"), ("- ", "")))
    found = list(_NUMBER.finditer(data))
    start, end = rng.choice(found).span() if found else (0, len(data))
    data[start:end] = (inner * depth + "1" + outer * depth).encode()
    return data


def _other(_data: bytearray, rng: random.Random) -> bytes:
    return rng.choice(
        ("null", "[]", "{}", "1", '"x"', "[[]]", "\n\n", "a: &a [*a]", BOMB, "\ufeff{}", "%YAML 9.9\n---\n")
    ).encode()


def _line(data: bytearray, rng: random.Random) -> bytes:
    lines = bytes(data).split(b"\n")
    at = rng.randrange(len(lines))
    lines[at : at + 1] = rng.choice(([], [lines[at]] * 2, [b""], [b",,,,,"], [lines[at][::-1]], [lines[at] + b",1,2,3"]))
    return b"\n".join(lines)


def _controls(data: bytearray, rng: random.Random) -> bytes:
    at = _place(data, rng)
    data[at:at] = rng.choice((b"\x1b]0;title\x07", b"\x1b[2J", b"\0", b"\xff\xfe", b"\xc3\x28", "‮".encode(), b"\r"))
    return data


_OF_BYTES = (_flip, _set, _cut, _extreme, _large_count, _insert, _delete, _zero, _repeat, _empty, _append)
_OF_TEXT = (_number, _number, _word, _key, _nest, _other, _line, _controls)
