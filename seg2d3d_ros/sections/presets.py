"""Presets: named sets of parameters for a kind of drive or collection, each value with its reason."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Preset:
    """A named set of parameters.

    Attributes:
        what: what it is for, in a line.
        values: ``section.name``: the value, and why it differs from the default.
    """

    what: str
    values: dict[str, tuple[Any, str]] = field(default_factory=dict)


PRESETS: dict[str, Preset] = {
    "default": Preset("what is right for most: photographs and drives alike"),
    "fast": Preset(
        "a first look, and slow machines",
        {
            "reconstruction.max_image_size": (
                1000,
                "finding features takes time by the pixels: 0.4 of the default's",
            ),
            "reconstruction.max_features": (2048, "matching a pair takes time in proportion to their square: a quarter"),
            "reconstruction.max_pairs": (10, "half as many pairs are matched"),
        },
    ),
    "precise": Preset(
        "few photographs of high resolution, where time does not matter",
        {
            "reconstruction.max_image_size": (3200, "keypoints are placed in four times as many pixels"),
            "reconstruction.max_features": (12000, "small and far objects get points, too"),
            "reconstruction.max_pairs": (40, "points are seen in more images, and their places are surer"),
        },
    ),
    "vehicle": Preset(
        "a survey vehicle with one or more cameras, mounts by TF or --rig, and GNSS",
        {
            "keyframes.min_motion": (
                0.05,
                "a facade at 8 m fills 16 m of a picture of 90 degrees, so this is an image each 0.8 m: enough",
            ),
            "reconstruction.max_gps_sigma": (
                10.0,
                "one that admits more stands between tall houses; images know better",
            ),
        },
    ),
    "walk": Preset(
        "a person with a camera or a phone in the hand",
        {
            "keyframes.max_wait": (4.0, "steps blur pictures for seconds, and at walking pace nothing is missed meanwhile"),
            "reconstruction.max_pairs": (
                30,
                "people turn and pass a place again: partners are of several times",
            ),
            "reconstruction.max_gps_sigma": (
                25.0,
                "a phone beside houses is off by tens of metres, which bends maps",
            ),
        },
    ),
    "drone": Preset(
        "photographs from the air in strips, looking down or slanting",
        {
            "reconstruction.max_image_size": (
                3200,
                "a house is small in a picture from the air",
            ),
            "reconstruction.max_features": (8192, "keypoints are spread over a whole quarter, and each house needs its own"),
            "reconstruction.max_pairs": (
                44,
                "at 80 % overlap ahead and 60 % aside a picture shares ground with four before, four behind, and two strips on "
                "either side: 9 x 5 - 1",
            ),
            "keyframes.panorama": ("never", "pictures of the air are never equirectangular streets; 2:1 is a crop"),
        },
    ),
    "archive": Preset(
        "photographs of many cameras and years, in no order",
        {
            "reconstruction.max_image_size": (2400, "pictures of one place from far apart share small details alone"),
            "reconstruction.max_features": (8192, "for the same reason"),
            "reconstruction.max_pairs": (
                60,
                "only looks tell partners, and their first guesses are often wrong",
            ),
            "reconstruction.max_gps_sigma": (25.0, "positions of phones and of map clicks are off by tens of metres"),
        },
    ),
}
"""By name. The values are stated by the reasons given, not measured on a data set."""


def preset_lines() -> list[str]:
    """For ``--help``: each preset with what it sets."""
    lines = []
    for name, preset in PRESETS.items():
        values = ", ".join(f"{key}={value}" for key, (value, _) in preset.values.items())
        lines.append(f"  {name:<9}{preset.what}" + (f": {values}" if values else ""))
    return lines
