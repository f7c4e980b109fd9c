"""What can be known of an image file without its pixels: format, size, whether it is whole, and whether it may be decoded."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

from seg2d3d_ros.errors import DataError, UsageError

if TYPE_CHECKING:
    from PIL import Image

HEIC_SUFFIXES = (".heic", ".heif", ".hif")
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".jfif", ".jpe", ".mpo", ".png", ".tif", ".tiff", ".webp", ".bmp", *HEIC_SUFFIXES)
"""Endings of files that are read, the best first where files share a name; the content decides what a file is."""
RAW_SUFFIXES = (".dng", ".cr2", ".cr3", ".crw", ".nef", ".nrw", ".arw", ".sr2", ".raf", ".orf", ".rw2", ".pef", ".srw", ".iiq")
OTHER_SUFFIXES = (
    *RAW_SUFFIXES,
    ".avif",
    ".jxl",
    ".jp2",
    ".j2k",
    ".gif",
    ".exr",
    ".hdr",
    ".insp",
    ".ppm",
    ".pgm",
    ".tga",
    ".psd",
)
"""Endings of images that are not read, so that they can be named."""

PIXEL_LIMIT = "SEG2D3D_MAX_PIXELS"
MAX_PIXELS = 250_000_000
"""Pixels of an image that is decoded, unless the environment variable ``SEG2D3D_MAX_PIXELS`` says otherwise. The largest
photographs (200 megapixels) pass; a picture of this size takes 0.75 GB. Deep pixels (16 bits, float) count by their bytes."""

_FORMATS = ("JPEG", "PNG", "TIFF", "WEBP", "BMP", "HEIF")
_START_OF_SCAN, _END_OF_IMAGE = 0xDA, b"\xff\xd9"
_PNG = b"\x89PNG\r\n\x1a\n"
_ORIENTATION = 0x0112  # EXIF 2.32, section 4.6.4
_BITS_PER_SAMPLE = 0x0102  # TIFF 6.0, section 8
_DAMAGED = ("Corrupt JPEG data", "Premature end", "Inconsistent progression")
"""How libjpeg's warnings begin that concern the picture (jerror.h)."""
_RARE_TIFF = "a TIFF of a rare kind (colours as floating point, or a camera's raw data); convert it to 8 or 16 bits"
_FOREIGN = (
    (b"II*\0", _RARE_TIFF),
    (b"MM\0*", _RARE_TIFF),
    (b"GIF8", "a GIF, which is not read"),
    (b"PK\x03\x04", "a zip archive, which is not read"),
    (b"%PDF", "a PDF, which is not read"),
    (b"\x00\x00\x00\x0cjP  ", "a JPEG 2000 image, which is not read"),
    (b"\xff\x0a", "a JPEG XL image, which is not read"),
    (b"\x00\x00\x00\x0cJXL ", "a JPEG XL image, which is not read"),
    (b"<", "a web page or other text, which is not read"),
    (b"version https://git-lfs", "a pointer of Git LFS; fetch the files with 'git lfs pull'"),
    (b"\x00\x05\x16\x07", "a macOS resource file, which is not read"),
)


class UnreadFormat(DataError):
    """The file is an image of a format that is not read, or no image."""


class TooManyPixels(DataError):
    """The image is larger than what is decoded."""


def pixel_limit() -> int:
    """How many pixels an image may have.

    Raises:
        UsageError: the environment variable is no positive whole number.
    """
    text = os.environ.get(PIXEL_LIMIT, "")
    if not text:
        return MAX_PIXELS
    if not (text.isascii() and text.isdigit() and len(text) < 16 and int(text) > 0):
        raise UsageError(f"{PIXEL_LIMIT}={text!r}: write a whole number of pixels, e.g. {MAX_PIXELS}")
    return int(text)


def is_jpeg(encoded: bytes) -> bool:
    """By the first bytes; JPEG files with more pictures behind the first (MPO) are JPEG too."""
    return encoded[:3] == b"\xff\xd8\xff"


def is_heic(encoded: bytes) -> bool:
    """HEIC or HEIF by the brand of its first box (ISO/IEC 23008-12)."""
    return encoded[4:8] == b"ftyp" and encoded[8:12] in (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")


@lru_cache(maxsize=1)
def can_read_heic() -> bool:
    """Whether a reader of HEIC is installed; teaches PIL to use it."""
    try:
        from pi_heif import register_heif_opener
    except ImportError:
        try:
            from pillow_heif import register_heif_opener
        except ImportError:
            return False
    register_heif_opener()
    return True


def how_to_read_heic() -> str:
    """The command that installs the reader: decoding only; libheif and libde265 in it are LGPL."""
    return f"{sys.executable} -m pip install pi-heif"


def describe(encoded: bytes) -> str:
    """What a file that is not read is, by its first bytes; empty where that is unknown."""
    if is_heic(encoded):
        return f"a HEIC photo; to read it: {how_to_read_heic()}"
    if encoded[4:12] == b"ftypavif":
        return "an AVIF image, which is not read"
    return next((words for start, words in _FOREIGN if encoded.startswith(start)), "")


@contextlib.contextmanager
def open_header(encoded: bytes, source: str = "image", also: Sequence[str] = ()) -> Iterator[Image.Image]:
    """The file as PIL opens it: size and tags are read, pixels are not.

    Args:
        also: PIL's names of formats that are read beside those of photographs.

    Raises:
        UnreadFormat: an image of another format, or no image.
        DataError: its header is damaged; ``source`` names it.
    """
    from PIL import Image

    Image.MAX_IMAGE_PIXELS = None  # PIL's own limit is below what cameras deliver; ``require_size`` has ours
    if is_heic(encoded) and not can_read_heic():
        raise UnreadFormat(f"{source}: this is {describe(encoded)}")
    formats = [*(name for name in _FORMATS if name != "HEIF" or is_heic(encoded)), *also]
    try:
        image = Image.open(io.BytesIO(encoded), formats=formats)
    except (OSError, ValueError, SyntaxError, OverflowError, RuntimeError, MemoryError) as error:
        if what := describe(encoded):
            raise UnreadFormat(f"{source}: this is {what}") from error
        raise DataError(
            f"{source}: cannot be decoded: no image, its header is damaged, or the file is empty ({len(encoded)} bytes)"
        ) from error
    with image:
        yield image


def stored_orientation(encoded: bytes, source: str = "image") -> int:
    """The EXIF orientation, 1 … 8; 1 where there is none, or a damaged one."""
    try:
        with open_header(encoded, source) as image:
            value = image.getexif().get(_ORIENTATION, 1)
    except (DataError, OSError, ValueError, SyntaxError, TypeError, KeyError, EOFError, AttributeError):
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def require_size(image: Image.Image, source: str = "image") -> tuple[int, int]:
    """Width and height of an opened file, if its pixels may be decoded: a small file can hold a picture of many gigabytes.

    Raises:
        TooManyPixels: more than ``pixel_limit``.
    """
    width, height = image.size
    limit = pixel_limit()
    if width * height * _bytes_per_sample(image) > limit:
        raise TooManyPixels(
            f"{source}: {width}×{height} pixels are more than the {limit:,} that are decoded; "
            f"scale it down, or set the environment variable {PIXEL_LIMIT}"
        )
    return width, height


def _bytes_per_sample(image: Image.Image) -> int:
    """1 for the usual 8 bits; by the header, because PIL's modes do not tell of 16-bit colours."""
    if image.format == "TIFF":
        bits = getattr(image, "tag_v2", {}).get(_BITS_PER_SAMPLE, 8)
        deepest = max(bits, default=8) if isinstance(bits, tuple) else bits
        return max(1, -(-int(deepest) // 8))
    layout = getattr(image, "tile", None)
    return 2 if layout and "16" in str(layout[0][3]) else 1


def require_complete(encoded: bytes, source: str = "image") -> None:
    """Refuse a JPEG or PNG file that was cut off.

    Some versions of OpenCV only print a warning then and fill the rest of the picture with grey. The check reads the
    headers and searches for the end marker (ITU T.81 B.1: FFD9 cannot occur inside entropy-coded data), about 0.1 ms/MB.

    Raises:
        DataError: the end is missing.
    """
    if encoded[:2] == b"\xff\xd8":
        scan = _first_scan(encoded)
        complete = scan is not None and encoded.find(_END_OF_IMAGE, scan) >= 0
    elif encoded[:8] == _PNG:
        complete = encoded.rfind(b"IEND") >= 0
    else:
        return
    if not complete:
        raise DataError(f"{source}: the image is cut off after {len(encoded)} bytes; copy or record it again")


def _first_scan(jpeg: bytes) -> int | None:
    """Offset of the first start-of-scan marker, None if the headers end before; an EXIF thumbnail is stepped over."""
    place = 2
    while place + 4 <= len(jpeg) and jpeg[place] == 0xFF:
        marker = jpeg[place + 1]
        if marker == _START_OF_SCAN:
            return place
        place += 1 if marker == 0xFF else 2 + int.from_bytes(jpeg[place + 2 : place + 4], "big")
    return None


def damage(encoded: bytes) -> str:
    """What libjpeg complains of in a JPEG file that it decodes nevertheless; empty where nothing is wrong.

    OpenCV and PIL swallow these warnings: bytes are missing or wrong inside the file, and a part of the picture is grey,
    shifted or torn. A pass over the whole file at an eighth of the size: 2 ms/MB. Needs simplejpeg, else always empty.
    """
    if not is_jpeg(encoded):
        return ""
    try:
        from simplejpeg import decode_jpeg
    except ImportError:
        return ""
    try:
        decode_jpeg(encoded, "GRAY", min_height=1, min_width=1, min_factor=1, strict=True)
    except ValueError as error:
        text = str(error)
        return text if text.startswith(_DAMAGED) and "ICC" not in text else ""
    return ""


def image_suffix(encoded: bytes) -> str:
    """``png`` or ``jpg``, for images of streams, which are one of the two."""
    return "png" if encoded[:8] == _PNG else "jpg"
