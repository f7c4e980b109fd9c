"""A mask file's pixels → a label image: palettes and colours, black and white, any depth."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from seg2d3d_ros.errors import DataError
from seg2d3d_ros.image_files import open_header, require_complete, require_size

MAX_COLOURS = 1024
"""Of a colour-coded mask; where there are more, colours were mixed."""
MAX_ID = 65534
"""Of a segment; 65535 often means "ignore"."""
VOC_BORDER = (224, 224, 192)
"""What PASCAL VOC's palette draws around objects, as RGB."""
PALETTE, GREY, COLOUR = "palette", "grey", "colour"


@dataclass(frozen=True)
class MaskImage:
    """What a mask file holds.

    Attributes:
        values: (H, W) uint16, 0 = none.
        kind: ``PALETTE``, ``GREY`` or ``COLOUR``.
        original: the number that stands in the file for each value, by value; None = the value itself.
        border: the value of pixels in the colour of PASCAL VOC's borders, 0 = there are none.
    """

    values: np.ndarray
    kind: str
    original: np.ndarray | None = None
    border: int = 0


def read_mask(path: Path) -> MaskImage:
    """Read a mask file.

    Palette images are read as indices. Colours are numbered; black, and what is wholly transparent, is none. Grey and 1-bit
    images are their values, whole numbers in floating point too.

    Raises:
        DataError: unreadable, too large, or no label image: JPEG, mixed colours, fractions, negative numbers.
    """
    source = str(path)
    try:
        encoded = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from error
    require_complete(encoded, source)
    with open_header(encoded, source, also=("GIF", "PPM")) as image:
        require_size(image, source)
        if image.format in ("JPEG", "MPO", "WEBP"):
            raise DataError(f"{path}: {image.format} mixes the values at the edges of masks; save label images as PNG")
        mode = image.mode
        try:
            pixels = np.asarray(image.convert("RGBA") if mode in ("RGB", "LA", "PA") else image)
        except Exception as error:
            # Pillow's readers raise whatever a damaged file makes them raise.
            raise DataError(f"{path}: damaged, its pixels cannot be read ({error})") from error
    if mode in ("RGB", "RGBA", "LA", "PA"):
        return _colours(pixels, source)
    if mode == "P":
        return MaskImage(pixels.astype(np.uint16), PALETTE)
    if pixels.ndim != 2:
        raise DataError(f"{path}: {mode} is no form of label image; save it as PNG with one channel of 8 or 16 bits")
    return _numbers(pixels, encoded, source)


def _numbers(pixels: np.ndarray, encoded: bytes, source: str) -> MaskImage:
    if pixels.dtype == bool:
        return MaskImage(np.where(pixels, np.uint16(255), np.uint16(0)), GREY)
    if pixels.dtype == np.uint8:
        step = _grey_step(encoded)
        return MaskImage((pixels // step).astype(np.uint16), GREY)
    if pixels.dtype.kind == "u" and pixels.dtype.itemsize == 2:
        return MaskImage(pixels.astype(np.uint16), GREY)
    if not np.isfinite(pixels).all() or (pixels < 0).any() or (pixels != np.floor(pixels)).any():
        raise DataError(f"{source}: holds fractions or negative numbers; a label image holds whole ids from 0")
    if pixels.max(initial=0) <= np.iinfo(np.uint16).max:
        return MaskImage(pixels.astype(np.uint16), GREY)
    return _numbered(pixels.astype(np.int64), source)


def _numbered(codes: np.ndarray, source: str, kind: str = GREY) -> MaskImage:
    """Values from 1 in the order of the codes, 0 for code 0; and the code of each value."""
    present, values = np.unique(codes, return_inverse=True)
    if present[0] != 0:
        present, values = np.concatenate([[0], present]), values + 1
    if len(present) > MAX_ID:
        raise DataError(f"{source}: {len(present)} different ids; an image holds at most {MAX_ID}")
    return MaskImage(values.reshape(codes.shape).astype(np.uint16), kind, present)


def _colours(rgba: np.ndarray, source: str) -> MaskImage:
    """Values of an (H, W, 4) image; grey ones are their value."""
    red, green, blue = (rgba[..., channel].astype(np.int32) for channel in range(3))
    code = np.where(rgba[..., 3] == 0, 0, red << 16 | green << 8 | blue)
    if ((red == green) & (green == blue) | (code == 0)).all():
        return MaskImage((code & 255).astype(np.uint16), GREY)
    border = VOC_BORDER[0] << 16 | VOC_BORDER[1] << 8 | VOC_BORDER[2]
    numbered = _numbered(code, source, COLOUR)
    assert numbered.original is not None
    if len(numbered.original) > MAX_COLOURS:
        raise DataError(
            f"{source}: {len(numbered.original) - 1} colours: a photo, or colours that were mixed when it was made smaller; "
            "save the masks without smoothing, as PNG with one channel"
        )
    return replace(numbered, border=int(np.argmax(numbered.original == border)))


def _grey_step(encoded: bytes) -> int:
    """What Pillow multiplies the values of grey PNG files of 2 and 4 bits with."""
    depth, colour = (encoded[24], encoded[25]) if encoded[:4] == b"\x89PNG" and len(encoded) > 25 else (8, 0)
    return {2: 85, 4: 17}.get(depth, 1) if colour == 0 else 1
