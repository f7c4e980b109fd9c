"""Parameters of structure from motion."""

from __future__ import annotations

from dataclasses import dataclass

from seg2d3d_ros.declaration import param


@dataclass(frozen=True)
class ReconstructionConfig:
    """Structure from motion."""

    mode: str = param(
        "auto",
        "online = each keyframe is added to the map as it comes, in any order, and global solutions check it; "
        "batch = all keyframes at once, again and again; auto = online in the nodes, batch with all images at hand (run, bag)",
        choices=("auto", "online", "batch"),
    )
    model: str = param("", "folder of a finished COLMAP model of the images, taken as it is: nothing is matched or mapped")
    mapper: str = param(
        "auto", "global = GLOMAP, incremental = COLMAP, auto = the better of both", choices=("auto", "global", "incremental")
    )
    features: str = param(
        "sift",
        "keypoints, and who matches them: sift = without a model, on any machine; superpoint = SuperPoint and LightGlue, for "
        "images far apart: slow without a GPU, and SuperPoint's weights are for non-commercial use",
        choices=("sift", "superpoint"),
    )
    features_model: str = param(
        "ETH-CVG/lightglue_superpoint",
        "superpoint: LightGlue with its SuperPoint; a folder, or an id that `seg2d3d models` lists (how and where models run: "
        "segmentation.device, precision, models_dir, allow_download)",
    )
    max_image_size: int = param(1600, "images are scaled down to this for feature extraction", unit="px", low=200, high=10000)
    max_features: int = param(4096, "features of an image", low=100, high=100000)
    max_pairs: int = param(20, "candidate partners of an image, by appearance, position and time", low=1, high=1000)
    min_pair_inliers: int = param(15, "verified matches that make a pair of images", low=6, high=1000)
    masks: str = param(
        "",
        "what cameras see of their own vehicle: one mask image for all cameras, or a folder of <camera>.png; black = ignored",
    )
    rig: str = param(
        "auto",
        "where the cameras are on the vehicle: a YAML file, auto = from TF where it is recorded or published, none = unknown",
    )
    rig_tolerance: float = param(
        0.005, "images of different cameras that are this close in time are of one moment", unit="s", low=0.0, high=1.0
    )
    refine_rig: bool = param(False, "correct the cameras' places on the vehicle by the images; else they stay as given")
    max_gps_sigma: float = param(
        50.0, "positions with a larger standard deviation are ignored", unit="m", low=0.01, high=10000.0
    )
    trust: str = param(
        "prior",
        "given poses (--poses, pose_topic): prior = evidence beside the images, weighed by their uncertainties, "
        "fixed = they are right, and only points are found",
        choices=("prior", "fixed"),
    )
    seed: int = param(0, "seed of every random choice", low=0, high=2**31 - 1)
    threads: int = param(0, "threads; 0 = all cores, 1 = bit-identical results", low=0, high=1024)

    def is_online(self, *, live: bool) -> bool:
        """Whether each keyframe is added to the map as it comes; ``live``: keyframes arrive one after the other."""
        return live if self.mode == "auto" else self.mode == "online"
