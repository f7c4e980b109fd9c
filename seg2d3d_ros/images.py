"""Encoded image bytes and label images, without ROS."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from seg2d3d_ros.atomic import write_bytes
from seg2d3d_ros.errors import DataError

if TYPE_CHECKING:
    from PIL import Image

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".webp", ".bmp")

_COLOR = {1: cv2.IMREAD_COLOR, 2: cv2.IMREAD_REDUCED_COLOR_2, 4: cv2.IMREAD_REDUCED_COLOR_4, 8: cv2.IMREAD_REDUCED_COLOR_8}
_GRAY = {
    1: cv2.IMREAD_GRAYSCALE,
    2: cv2.IMREAD_REDUCED_GRAYSCALE_2,
    4: cv2.IMREAD_REDUCED_GRAYSCALE_4,
    8: cv2.IMREAD_REDUCED_GRAYSCALE_8,
}
_START_OF_SCAN, _END_OF_IMAGE = 0xDA, b"\xff\xd9"
_PNG = b"\x89PNG\r\n\x1a\n"


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


def _decode(encoded: bytes, flags: int, source: str) -> np.ndarray:
    """Decode with OpenCV's ``flags``; ``DataError`` for what is no image, cut off or damaged."""
    encoded = bytes(encoded)
    require_complete(encoded, source)
    try:
        image = cv2.imdecode(np.frombuffer(encoded, np.uint8), flags) if encoded else None
    except cv2.error as error:
        raise DataError(f"{source}: cannot be decoded ({error.err or error})") from error
    if image is None:
        raise DataError(f"{source}: cannot be decoded as an image ({len(encoded)} bytes); the file is damaged or no image")
    return image


def decode_rgb(encoded: bytes, source: str = "image", reduction: int = 1) -> np.ndarray:
    """Decode to (H, W, 3) uint8 RGB at 1/``reduction`` of the size; EXIF orientation is ignored, as COLMAP does.

    Args:
        encoded: bytes of an image file.
        source: what error messages call it.
        reduction: 1, 2, 4 or 8; JPEG skips most of the inverse DCT then.

    Raises:
        DataError: the bytes are no image, or a damaged one, or one that was cut off.
    """
    return cv2.cvtColor(_decode(encoded, _COLOR[reduction] | cv2.IMREAD_IGNORE_ORIENTATION, source), cv2.COLOR_BGR2RGB)


def decode_small_gray(encoded: bytes, reduction: int = 8, source: str = "image") -> np.ndarray:
    """Decode to uint8 grey at 1/``reduction`` of the size, as ``decode_rgb`` does.

    A whole pass over the file: what comes back from here also decodes in full.
    """
    return _decode(encoded, _GRAY[reduction] | cv2.IMREAD_IGNORE_ORIENTATION, source)


@contextlib.contextmanager
def open_header(encoded: bytes, source: str = "image") -> Iterator[Image.Image]:
    """The file as PIL opens it: size and tags are read, pixels are not.

    Raises:
        DataError: no image format that is known here; ``source`` names it.
    """
    from PIL import Image

    try:
        with Image.open(io.BytesIO(encoded)) as image:
            yield image
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise DataError(f"{source}: no image, or its header is damaged ({len(encoded)} bytes)") from error


def image_size(encoded: bytes, source: str = "image") -> tuple[int, int]:
    """Width and height of the stored pixels (EXIF orientation ignored) from the file's header alone.

    Raises:
        DataError: no image format that is known here.
    """
    with open_header(encoded, source) as image:
        return image.size


def image_suffix(encoded: bytes) -> str:
    """``png`` or ``jpg``, for images of streams, which are one of the two."""
    return "png" if encoded[:8] == _PNG else "jpg"


def encode_png(image: np.ndarray) -> bytes:
    """PNG bytes of a (H, W) uint8/uint16 or (H, W, 3) uint8 RGB image."""
    pixels = cv2.cvtColor(image, cv2.COLOR_RGB2BGR) if image.ndim == 3 else image
    return cv2.imencode(".png", pixels)[1].tobytes()


def encode_jpeg(image: np.ndarray, quality: int = 90) -> bytes:
    """JPEG bytes of a (H, W, 3) uint8 RGB image."""
    return cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()


def read_labels(path: Path) -> np.ndarray:
    """Read a label image as (H, W) uint16.

    Raises:
        DataError: unreadable, cut off, or not a single-channel 8- or 16-bit image.
    """
    try:
        encoded = Path(path).read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from error
    return decode_labels(encoded, str(path))


def decode_labels(encoded: bytes, source: str = "label image") -> np.ndarray:
    """Decode a label image to (H, W) uint16. Raises ``DataError`` like ``read_labels``."""
    image = _decode(encoded, cv2.IMREAD_UNCHANGED, source)
    if image.ndim != 2 or image.dtype not in (np.uint8, np.uint16):
        raise DataError(
            f"{source}: a label image must be a single-channel 8- or 16-bit PNG, this one has "
            f"{1 if image.ndim == 2 else image.shape[2]} channels of {image.dtype}"
        )
    return image.astype(np.uint16)


def write_labels(path: Path, labels: np.ndarray) -> None:
    """Write (H, W) uint16 as PNG, atomically."""
    write_bytes(path, encode_png(labels.astype(np.uint16)))
