"""When and with what a photograph was taken, from its EXIF header."""

from __future__ import annotations

import io
import json
import re
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any, NamedTuple

# Tags of EXIF 2.32 (CIPA DC-008): section 4.6.4 (make, model) and 4.6.5 (date and time).
_MAKE, _MODEL, _DATE_TIME, _DESCRIPTION, _EXIF_IFD = 0x010F, 0x0110, 0x0132, 0x010E, 0x8769
_ORIGINAL, _OFFSET, _SUBSECOND = 0x9003, 0x9011, 0x9291


@dataclass(frozen=True)
class PhotoHeader:
    """What the EXIF header says: ``stamp_ns`` since the epoch (0 = unknown), ``device`` (make and model, or empty)."""

    stamp_ns: int = 0
    device: str = ""


def read_header(encoded: bytes) -> PhotoHeader:
    """The EXIF header of an encoded image; the empty header where there is none or it is damaged."""
    from PIL import Image

    try:
        with Image.open(io.BytesIO(encoded)) as image:
            exif = image.getexif()
            photo = exif.get_ifd(_EXIF_IFD)
    except (OSError, ValueError, SyntaxError, KeyError, TypeError, Image.DecompressionBombError):
        return PhotoHeader()
    street = _mapillary(_text(exif.get(_DESCRIPTION)))
    make, model = _text(exif.get(_MAKE)) or street.device_make, _text(exif.get(_MODEL)) or street.device_model
    device = model if model.lower().startswith(make.lower()) else f"{make} {model}"
    taken = _text(photo.get(_ORIGINAL)) or _text(exif.get(_DATE_TIME))
    stamp = stamp_nanoseconds(taken, _text(photo.get(_SUBSECOND)), _text(photo.get(_OFFSET)))
    return PhotoHeader(stamp or stamp_nanoseconds(street.taken, street.subsecond), device.strip())


class _Street(NamedTuple):
    taken: str = ""
    subsecond: str = ""
    device_make: str = ""
    device_model: str = ""


def _mapillary(description: str) -> _Street:
    """Mapillary's apps leave the standard tags empty and write JSON into the description instead."""
    if not description.startswith("{"):
        return _Street()
    try:
        facts = json.loads(description)
    except ValueError:
        return _Street()
    parts = re.fullmatch(r"(\d+)_(\d+)_(\d+)_(\d+)_(\d+)_(\d+)_(\d+)", _text(facts.get("MAPCaptureTime")))
    taken = "{}:{}:{} {}:{}:{}".format(*parts.groups()[:6]) if parts else ""
    make, model = _text(facts.get("MAPDeviceMake")), _text(facts.get("MAPDeviceModel"))
    return _Street(taken, parts[7] if parts else "", make, model)


def stamp_nanoseconds(taken: str, subsecond: str = "", offset: str = "") -> int:
    """``2024:05:06 07:08:09`` with fraction digits and ``+02:00`` as nanoseconds since the epoch, 0 if it is no time.

    Without an offset the time counts as UTC: only differences between photos matter.
    """
    try:
        moment = datetime.strptime(taken, "%Y:%m:%d %H:%M:%S").replace(tzinfo=timezone.utc)
    except ValueError:
        return 0
    if zone := re.fullmatch(r"([+-])(\d\d):(\d\d)", offset):
        shift = timedelta(hours=int(zone[2]), minutes=int(zone[3]))
        moment -= shift if zone[1] == "+" else -shift
    fraction = subsecond if subsecond.isascii() and subsecond.isdigit() else ""
    seconds = (moment - datetime(1970, 1, 1, tzinfo=timezone.utc)) // timedelta(seconds=1)
    return max(0, seconds * 1_000_000_000 + int(fraction[:9].ljust(9, "0")))


def _text(value: Any) -> str:
    return value.strip("\0 ") if isinstance(value, str) else ""
