"""Encoded image bytes and label images, without ROS."""

from __future__ import annotations

import contextlib
from pathlib import Path

import cv2
import numpy as np

from seg2d3d_ros.disk.atomic import write_bytes
from seg2d3d_ros.errors import DataError
from seg2d3d_ros.image_files import image_suffix as image_suffix
from seg2d3d_ros.image_files import is_heic, is_jpeg, open_header, require_complete, require_size

_COLOR = {1: cv2.IMREAD_COLOR, 2: cv2.IMREAD_REDUCED_COLOR_2, 4: cv2.IMREAD_REDUCED_COLOR_4, 8: cv2.IMREAD_REDUCED_COLOR_8}
_GRAY = {
    1: cv2.IMREAD_GRAYSCALE,
    2: cv2.IMREAD_REDUCED_GRAYSCALE_2,
    4: cv2.IMREAD_REDUCED_GRAYSCALE_4,
    8: cv2.IMREAD_REDUCED_GRAYSCALE_8,
}
DEPTHS = (8, 10, 12, 14, 16)
"""Bits that cameras deliver in pixels of 16 bits."""
BRIGHTEST = 0.9999
"""Share of the pixels that the used bits must hold: single hot pixels do not darken a picture."""


def _require(encoded: bytes, source: str) -> None:
    """Refuse what is no image, cut off, or too large, before anything is decoded."""
    require_complete(encoded, source)
    with open_header(encoded, source) as image:
        require_size(image, source)


def _decode(encoded: bytes, flags: int, source: str) -> np.ndarray:
    """Decode with OpenCV's ``flags``, or PIL where OpenCV cannot, to its channel order (BGR).

    Raises:
        DataError: no image, cut off, damaged or too large.
    """
    encoded = bytes(encoded)
    _require(encoded, source)
    image = None
    if not is_heic(encoded):
        with contextlib.suppress(cv2.error):
            image = cv2.imdecode(np.frombuffer(encoded, np.uint8), flags | cv2.IMREAD_IGNORE_ORIENTATION)
    if image is None and flags != cv2.IMREAD_UNCHANGED:
        image = _decode_with_pil(encoded, source)
    if image is None:
        raise DataError(f"{source}: cannot be decoded as an image ({len(encoded)} bytes); the file is damaged or no image")
    return image


def _decode_with_pil(encoded: bytes, source: str) -> np.ndarray | None:
    """(H, W, 3) BGR of the first picture, None where it is damaged: HEIC, and variants that OpenCV does not know."""
    with open_header(encoded, source) as image:
        try:
            if image.mode[0] in "FI":  # deep grey, which PIL would cut off at 255
                return np.repeat(np.asarray(image)[:, :, None], 3, axis=2)
            return np.asarray(image.convert("RGB"))[:, :, ::-1]
        except (OSError, ValueError, SyntaxError, RuntimeError, OverflowError, MemoryError):
            return None


def used_bits(image: np.ndarray) -> int:
    """How many bits the values of an integer image use, rounded up to what cameras deliver.

    Of ``DEPTHS`` the least that holds all but one in ten thousand pixels: cameras of 10 or 12 bits store their values in
    16 bits, some shifted to the top and some not.
    """
    samples = image.reshape(-1)[:: max(1, image.size // 4_000_000)]
    brightest = float(np.quantile(samples, BRIGHTEST, method="higher"))
    return next((bits for bits in DEPTHS if brightest < 1 << bits), 16)


def to_bytes(image: np.ndarray) -> np.ndarray:
    """uint8 of any depth: integers by the bits that they use, floats by 1 as white where none is brighter, else likewise."""
    if image.dtype == np.uint8:
        return image
    if image.dtype.kind == "f":
        image = np.nan_to_num(image, nan=0.0, posinf=0.0, neginf=0.0)
        brightest = float(image.max(initial=0.0))
        white = 1.0 if brightest <= 1.0 else float((1 << used_bits(np.minimum(image, 65535.0))) - 1)
    else:
        image = np.maximum(image, 0)
        white = float((1 << used_bits(image)) - 1)
    # A row at a time: the whole as float would take four times the picture's memory.
    result = np.empty(image.shape, np.uint8)
    for row, values in enumerate(image):
        result[row] = np.clip(values * (255.0 / white) + 0.5, 0, 255)
    return result


def _picture(encoded: bytes, color: bool, reduction: int, source: str) -> np.ndarray:
    """(H, W, 3) BGR or (H, W) grey uint8 at 1/``reduction`` of the size."""
    if is_jpeg(encoded):
        image = _decode(encoded, (_COLOR if color else _GRAY)[reduction], source)
    else:
        image = to_bytes(_decode(encoded, (cv2.IMREAD_COLOR if color else cv2.IMREAD_GRAYSCALE) | cv2.IMREAD_ANYDEPTH, source))
        if reduction > 1:
            size = (max(1, image.shape[1] // reduction), max(1, image.shape[0] // reduction))
            image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    if not color and image.ndim == 3:  # PIL's
        return cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_BGR2GRAY)
    return image


def decode_rgb(encoded: bytes, source: str = "image", reduction: int = 1) -> np.ndarray:
    """Decode to (H, W, 3) uint8 RGB at 1/``reduction`` of the size; EXIF orientation is ignored, as COLMAP does.

    CMYK, palette and grey become RGB, transparency is dropped, deeper pixels are stretched by the bits that they use
    (``used_bits``); of files with several pictures the first counts. HEIC is turned as it is shown, for its pixels have
    no other order.

    Args:
        encoded: bytes of an image file.
        source: what error messages call it.
        reduction: 1, 2, 4 or 8; JPEG skips most of the inverse DCT then, and its size is rounded up.

    Raises:
        DataError: the bytes are no image, or a damaged one, one that was cut off, or one that is too large.
    """
    return cv2.cvtColor(_picture(encoded, True, reduction, source), cv2.COLOR_BGR2RGB)


def decode_small_gray(encoded: bytes, reduction: int = 8, source: str = "image") -> np.ndarray:
    """Decode to (H, W) uint8 grey at 1/``reduction`` of the size, as ``decode_rgb`` does.

    A whole pass over the file: what comes back from here also decodes in full.
    """
    return _picture(encoded, False, reduction, source)


def image_size(encoded: bytes, source: str = "image") -> tuple[int, int]:
    """Width and height of the stored pixels (EXIF orientation ignored) from the file's header alone.

    Raises:
        DataError: no image format that is known here, or more pixels than are decoded.
    """
    with open_header(encoded, source) as image:
        return require_size(image, source)


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
