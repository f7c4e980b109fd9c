"""Every parameter, declared once: default, type, range, unit, description.

The command line, the YAML files, the ROS parameters and the documentation are all made from these dataclasses.
Precedence: command line over file over preset over the defaults here.
"""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from seg2d3d_ros.declaration import Declaration, Value, declarations_of, nearest, param
from seg2d3d_ros.disk.documents import read_yaml, shown
from seg2d3d_ros.errors import UsageError


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
    ignore_fix_status: bool = param(False, "use GPS fixes whose status says 'no fix': some drivers never set it")


@dataclass(frozen=True)
class SegmentationConfig:
    """Which objects, and who finds them."""

    segmenter: str = param(
        "label_images",
        "who cuts out the objects: label_images = masks from a directory, coco = masks from a COCO JSON file, "
        "topic = masks from a ROS topic, grounded_sam = text to boxes to masks, panoptic = a model of fixed classes, "
        "everything = masks of any object, none = reconstruction only",
        choices=("label_images", "coco", "topic", "grounded_sam", "panoptic", "everything", "none"),
    )
    prompts: tuple[str, ...] = param(("building",), "text labels of the objects; each is a class")
    movable: tuple[str, ...] = param(
        (),
        "classes of things that move (car, person, …): looked for beside the prompts; their keypoints stay out of the model",
    )
    min_area: float = param(0.0, "smaller segments are dropped", unit="share of the image", low=0.0, high=1.0)
    stamp_tolerance: float = param(
        0.005, "topic, masks of a recording: how far a mask's stamp may be from its image's", unit="s", low=0.0, high=1.0
    )
    segments_pattern: str = param(
        "",
        "label_images: where a photo's mask is in the folder of masks, e.g. {stem}_mask.png; {stem} = 0001, {name} = 0001.jpg, "
        "{folder} = front, {key} = front_0001; empty = <stem>.png and what is much like it",
    )
    segments_void: int = param(
        -1,
        "label_images: the value that means 'ignore'; 0 = none, -1 = what is plain (65535; 255 in palettes or as a border)",
        low=-1,
        high=2**24,
    )
    segments_orientation: str = param(
        "auto",
        "label_images, coco: how masks lie: stored = as the photo's pixels are stored, shown = as viewers that obey EXIF do, "
        "auto = shown where width and height tell",
        choices=("auto", "stored", "shown"),
    )
    detector_model: str = param(
        "IDEA-Research/grounding-dino-tiny", "grounded_sam: who finds boxes; a folder, or an id that `seg2d3d models` lists"
    )
    mask_model: str = param(
        "sam_vit_b", "grounded_sam, everything: who cuts out masks; a .pth file, a folder, or an id that `seg2d3d models` lists"
    )
    panoptic_model: str = param(
        "shi-labs/oneformer_ade20k_swin_tiny",
        "panoptic: the model; a folder, or an id that `seg2d3d models` lists",
    )
    models_dir: str = param("", "folder of the models' weights; empty = $SEG2D3D_MODELS, else ~/.cache/seg2d3d_ros/models")
    allow_download: bool = param(False, "download weights that are missing")
    device: str = param("auto", "where models run: auto = a GPU if there is one, cpu, cuda, cuda:1, mps")
    precision: str = param(
        "auto", "arithmetic of the models: auto = half on a GPU, full on a CPU", choices=("auto", "full", "half")
    )
    batch_size: int = param(
        0,
        "images or tiles that go through a model at once, halved when memory runs out; 0 = 4 on a GPU, 1 on a CPU",
        low=0,
        high=256,
    )
    box_threshold: float = param(0.35, "grounded_sam: boxes with a lower score are dropped", low=0.0, high=1.0)
    class_thresholds: tuple[str, ...] = param(
        (), "grounded_sam, panoptic: other thresholds for some prompts, each as prompt=score"
    )
    nms_iou: float = param(
        0.7, "of two boxes of a class that overlap by more than this the worse one is dropped", low=0.0, high=1.0
    )
    panoptic_threshold: float = param(0.5, "panoptic: segments with a lower score are dropped", low=0.0, high=1.0)
    split_parts: bool = param(
        False, "panoptic, grounded_sam: disconnected parts of a mask become segments of their own (for classes without objects)"
    )
    min_mask_area: float = param(
        0.0005, "masks that a model makes smaller than this are dropped as noise", unit="share of the image", low=0.0, high=1.0
    )
    sky_limit: float = param(
        0.05,
        "what a model finds wholly within this upper part of the image is dropped; 0 = nothing",
        unit="share of the image's height",
        low=0.0,
        high=1.0,
    )
    clean: float = param(
        0.05,
        "holes and specks up to this size are mended in a model's masks; 0 = off",
        unit="share of the mask",
        low=0.0,
        high=1.0,
    )
    tile_size: int = param(
        0,
        "grounded_sam, everything: also look at tiles of this size, for small objects in large images; 0 = off",
        unit="px",
        low=0,
        high=20000,
    )
    tile_overlap: float = param(0.25, "what neighbouring tiles share", unit="share of a tile", low=0.0, high=0.9)
    second_look: bool = param(
        True,
        "grounded_sam: ask the mask model again where the 3D model says that an object was missed (the nodes: at finalize)",
    )
    points_per_side: int = param(32, "everything: points along the longer side of the image (or tile)", low=1, high=256)
    min_quality: float = param(0.88, "everything: masks that the model itself rates lower are dropped", low=0.0, high=1.0)
    min_stability: float = param(
        0.95,
        "everything: masks are dropped whose outline at a lower and at a higher threshold overlaps by less",
        low=0.0,
        high=1.0,
    )
    cache_dir: str = param(
        "", "models' results are kept here and found again; empty = ~/.cache/seg2d3d_ros/segments, none = keep nothing"
    )
    cache_size: int = param(2000, "the oldest results are deleted beyond this size", unit="MB", low=1, high=1000000)

    @property
    def movable_only(self) -> tuple[str, ...]:
        """The movable classes that are no prompts, hence no objects of the map."""
        prompts = {prompt.casefold() for prompt in self.prompts}
        return tuple(name for name in dict.fromkeys(self.movable) if name.casefold() not in prompts)

    @property
    def asked(self) -> tuple[str, ...]:
        """All classes that the segmenter looks for; class id k is the k-th of them."""
        return (*self.prompts, *self.movable_only)


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
    max_image_size: int = param(1600, "images are scaled down to this for feature extraction", unit="px", low=200, high=10000)
    max_features: int = param(4096, "SIFT features of an image", low=100, high=100000)
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
    seed: int = param(0, "seed of every random choice", low=0, high=2**31 - 1)
    threads: int = param(0, "threads; 0 = all cores, 1 = bit-identical results", low=0, high=1024)

    def is_online(self, *, live: bool) -> bool:
        """Whether each keyframe is added to the map as it comes; ``live``: keyframes arrive one after the other."""
        return live if self.mode == "auto" else self.mode == "online"


@dataclass(frozen=True)
class AssociationConfig:
    """Which segments are the same object."""

    method: str = param(
        "consensus",
        "consensus = all views vote on which segments are one object, published = the paper's two-stage method",
        choices=("consensus", "published"),
    )
    project: bool = param(True, "consensus: count points also in views that should see them but did not match them")
    enough_points: int = param(
        60, "consensus: find more 3D points for segments with fewer than this by a guided search; 0 = never", low=0, high=100000
    )
    repair: bool = param(True, "consensus: cut segments that show several objects")
    recover: bool = param(
        False, "draw objects that the detector missed in a view, from their 3D points, as observations of low score"
    )
    spread: bool = param(
        True,
        "draw objects, from their 3D points, also in images for which no masks were given, as observations of low score",
    )
    confirm_images: int = param(
        3,
        "nodes: images in which an object must be seen before it is shown; finalize shows all",
        low=1,
        high=100000,
    )
    overlay_width: int = param(
        1024,
        "of the pictures in overlays/, the labels on the photographs; 0 = none are drawn",
        unit="px",
        low=0,
        high=8192,
    )
    consensus_min_images: int = param(1, "consensus: images an object needs", low=1, high=100000)
    similarity: float = param(
        0.05, "published: Jaccard index with the reference above which a segment belongs to its track (tau)", low=0.0, high=1.0
    )
    merge_similarity: float = param(0.8, "published: Jaccard index above which two tracks merge (tau_M)", low=0.0, high=1.0)
    min_points: int = param(10, "published: distinct 3D points a track needs", low=1, high=100000)
    min_images: int = param(4, "published: images a track needs", low=1, high=100000)


@dataclass(frozen=True)
class CloudConfig:
    """Labels carried to a LiDAR's cloud, and dense depth."""

    interval: float = param(
        0.2, "scans closer in time to the last one are left out; 0 = all are used", unit="s", low=0.0, high=60.0
    )
    voxel: float = param(
        0.05,
        "of the points in a cube of this side one is kept, for each stretch of the drive; 0 = all",
        unit="m",
        low=0.0,
        high=10.0,
    )
    max_range: float = param(40.0, "between a camera and the points that it labels", unit="m", low=1.0, high=1000.0)
    max_gap: float = param(
        3.0, "a scan is placed between keyframes at most this far apart; others are left out", unit="s", low=0.01, high=3600.0
    )
    densify: bool = param(False, "run, bag: also compute a denser labelled cloud from the images (dense.ply)")
    dense_width: int = param(480, "width of the images that the denser cloud is computed from", unit="px", low=64, high=8192)


SECTIONS: dict[str, type] = {
    "keyframes": KeyframeConfig,
    "segmentation": SegmentationConfig,
    "reconstruction": ReconstructionConfig,
    "association": AssociationConfig,
    "cloud": CloudConfig,
}

PRESETS: dict[str, dict[str, Value]] = {
    "default": {},
    "fast": {"reconstruction.max_image_size": 1000, "reconstruction.max_features": 2048, "reconstruction.max_pairs": 10},
    "precise": {"reconstruction.max_image_size": 3200, "reconstruction.max_features": 12000, "reconstruction.max_pairs": 40},
}

ALIASES = {"prompts": "segmentation.prompts", "segmenter": "segmentation.segmenter", "method": "association.method"}
"""Short names for launch files and the nodes' command lines; where both are given the short one wins."""


@dataclass(frozen=True)
class Config:
    """The whole configuration, passed as one value."""

    keyframes: KeyframeConfig = KeyframeConfig()
    segmentation: SegmentationConfig = SegmentationConfig()
    reconstruction: ReconstructionConfig = ReconstructionConfig()
    association: AssociationConfig = AssociationConfig()
    cloud: CloudConfig = CloudConfig()

    def flat(self) -> dict[str, Value]:
        """All parameters as ``section.name: value``."""
        return {
            f"{section}.{f.name}": getattr(getattr(self, section), f.name)
            for section, cls in SECTIONS.items()
            for f in dataclasses.fields(cls)
        }

    def to_yaml(self, nodes: str = "/**") -> str:
        """A ROS 2 parameter file that states every parameter; ``load`` reads it back."""
        tree: dict[str, dict[str, Any]] = {}
        for key, value in self.flat().items():
            section, name = key.split(".")
            tree.setdefault(section, {})[name] = list(value) if isinstance(value, tuple) else value
        return yaml.safe_dump({nodes: {"ros__parameters": tree}}, sort_keys=False, allow_unicode=True)


def declarations() -> dict[str, Declaration]:
    """All parameters by ``section.name``, in their order of declaration."""
    return {key: d for section, cls in SECTIONS.items() for key, d in declarations_of(cls, f"{section}.").items()}


def make_config(values: Mapping[str, Any], base: Config | None = None, *, source: str = "") -> Config:
    """A configuration from ``section.name`` keys over ``base``; ``source`` begins the message about a bad one.

    Raises:
        UsageError: an unknown key (with the nearest known one) or a bad value.
    """
    known = declarations()
    merged = (base or Config()).flat()
    for key, value in values.items():
        if key not in known:
            raise UsageError(f"{source}unknown parameter {shown(key)}{nearest(key, known)}")
        merged[key] = known[key].check(value, source)
    sections: dict[str, dict[str, Any]] = {name: {} for name in SECTIONS}
    for key, value in merged.items():
        section, name = key.split(".")
        sections[section][name] = value
    return Config(**{name: cls(**sections[name]) for name, cls in SECTIONS.items()})


def read_parameters(path: Path, *, core_only: bool = False) -> dict[str, Any]:
    """``section.name: value`` from a ROS 2 parameter file or plain nested YAML.

    Args:
        path: the file.
        core_only: resolve short names, and leave out the plain names of a ROS 2 parameter file: they are the nodes' own.

    Raises:
        UsageError: not a readable YAML mapping.
    """
    tree = read_yaml(path, error=UsageError)
    if tree is None:
        return {}
    if not isinstance(tree, dict):
        raise UsageError(f"{path}: expected 'section: {{name: value}}', got {type(tree).__name__}")
    bodies = [body["ros__parameters"] for body in tree.values() if isinstance(body, dict) and "ros__parameters" in body]
    values: dict[str, Any] = {}
    for body in bodies or [tree]:
        if not isinstance(body or {}, dict):
            raise UsageError(f"{path}: expected 'section: {{name: value}}', got {shown(body)}")
        for section, entries in (body or {}).items():
            if isinstance(entries, dict):
                values.update({f"{section}.{name}": value for name, value in entries.items()})
            else:
                values[str(section)] = entries
    if not core_only:
        return values
    values.update({name: values.pop(alias) for alias, name in ALIASES.items() if alias in values})
    return {key: value for key, value in values.items() if "." in key or not bodies}


def load_config(
    *, preset: str = "default", file: Path | None = None, overrides: Mapping[str, Any] = types.MappingProxyType({})
) -> Config:
    """The effective configuration: overrides over file over preset over defaults."""
    if preset not in PRESETS:
        raise UsageError(f"unknown preset {preset!r}: choose {', '.join(PRESETS)}{nearest(preset, PRESETS)}")
    config = make_config(PRESETS[preset])
    if file is not None:
        config = make_config(read_parameters(file, core_only=True), config, source=f"{file}: ")
    return make_config(overrides, config)
