"""What is said of cameras' messages that cannot be used as they come, live and from recordings."""

from __future__ import annotations

from seg2d3d_ros.findings import NOTE, Kind

IMAGES_UNREADABLE = Kind(
    "images_unreadable",
    "images that cannot be read and were left out",
    cause="{reason}",
    remedy="mend or replace the driver's topic; the camera's other transport (raw, compressed) may be sound",
)
IMAGES_OUT_OF_ORDER = Kind(
    "images_out_of_order",
    "images left out for their stamps",
    cause="{late} are older than the one before them, {repeated} have the stamp of one that was seen",
    remedy="let the driver stamp each image when it is taken",
    level=NOTE,
)
STAMPS_ZERO = Kind(
    "stamps_zero",
    "messages without a stamp in their header",
    cause="{detail}; the time of recording is taken instead, which is later by the camera's delay",
    remedy="let the driver fill header.stamp, or positions and masks may be matched a little wrongly",
)
NO_CAMERA_INFO = Kind(
    "no_camera_info",
    "keyframes that go on uncalibrated",
    cause="no camera_info on {topic}",
    remedy="publish the calibration there; without it the focal length is estimated",
)
CALIBRATION_UNUSABLE = Kind(
    "calibration_unusable",
    "keyframes whose camera_info cannot be used",
    cause="{reason}",
    remedy="calibrate the camera, or mend its camera_info; without it the focal length is estimated",
)
