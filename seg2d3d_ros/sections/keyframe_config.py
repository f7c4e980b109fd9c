"""Parameters: which images become keyframes."""

from __future__ import annotations

from dataclasses import dataclass

from seg2d3d_ros.declaration import param


@dataclass(frozen=True)
class KeyframeConfig:
    """Which images become keyframes."""

    min_motion: float = param(
        0.02,
        "an image becomes a keyframe when the picture has moved by this share of its width since the last one",
        unit="image widths",
        low=0.0,
        high=1.0,
    )
    max_interval: float = param(
        0.0, "take a keyframe at least this often even without motion; 0 = never without motion", unit="s", low=0.0, high=3600.0
    )
    max_wait: float = param(
        2.0, "the first image of a place waits at most this long for a sharper one", unit="s", low=0.0, high=60.0
    )
    max_pending: int = param(
        50, "keyframes that may wait for the next stage; beyond it the oldest is dropped and counted", low=1, high=10000
    )
    max_fix_gap: float = param(
        2.5, "GPS positions are interpolated between fixes at most this far apart", unit="s", low=0.0, high=60.0
    )
    max_fix_sigma: float = param(
        100.0, "GPS fixes with a greater horizontal standard deviation are not used", unit="m", low=0.0, high=1e6
    )
    fix_clock_offset: float = param(
        0.0,
        "added to the stamps of GPS fixes, where the receiver's clock is not the images' (GPS time is 18 s ahead: -18)",
        unit="s",
        low=-1e10,
        high=1e10,
    )
    panorama: str = param(
        "auto",
        "which images are equirectangular panoramas, to be cut into views: auto = of a folder, those with a GPano note, and "
        "2:1 pictures whose borders continue each other; always = all of 2:1, those of streams too; never = none",
        choices=("auto", "always", "never"),
    )
    panorama_views: int = param(6, "views around that a panorama is cut into, each 90° wide", low=4, high=12)
    ignore_fix_status: bool = param(False, "use GPS fixes whose status says 'no fix': some drivers never set it")
    pose_body: str = param(
        "auto",
        "what given poses (--poses, pose_topic) are of: camera, vehicle (then the mounts are added: TF, --rig), "
        "auto = whichever agrees with the images",
        choices=("auto", "camera", "vehicle"),
    )
    pose_angles: str = param(
        "auto",
        "roll, pitch and yaw of given poses: ned = yaw clockwise from north, nose up is positive (INS), enu = yaw "
        "counter-clockwise from east, nose down is positive (ROS), auto = whichever agrees with the images",
        choices=("auto", "ned", "enu"),
    )
    pose_sigma: float = param(
        0.1, "standard deviation of given poses' places, where they do not say it", unit="m", low=0.001, high=1000.0
    )
    pose_rotation_sigma: float = param(
        0.5, "standard deviation of given poses' rotations, where they do not say it", unit="degrees", low=0.001, high=180.0
    )
