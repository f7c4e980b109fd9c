"""Parameters: which objects, and who finds them."""

from __future__ import annotations

from dataclasses import dataclass

from seg2d3d_ros.declaration import param
from seg2d3d_ros.networks.obtaining import NetworkSettings


@dataclass(frozen=True)
class SegmentationConfig:
    """Which objects, and who finds them."""

    segmenter: str = param(
        "label_images",
        "who cuts out the objects: label_images = masks from a directory, coco = masks from a COCO JSON file, "
        "topic = masks from a ROS topic, grounded_sam = text to boxes to masks, panoptic = a model of fixed classes, "
        "everything = masks of any object, sam3 = text to masks in one model, none = reconstruction only",
        choices=("label_images", "coco", "topic", "grounded_sam", "panoptic", "everything", "sam3", "none"),
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
    overlapping: bool = param(
        False,
        "label_images, coco: masks of one image may overlap and are all kept; one granularity is chosen for all images "
        "(association.granularity). everything: always",
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
    concept_model: str = param("facebook/sam3", "sam3: the model; a folder, or an id that `seg2d3d models` lists")
    concept_threshold: float = param(0.5, "sam3: masks with a lower score are dropped", low=0.0, high=1.0)
    exemplars: str = param(
        "",
        "sam3: a JSON file with boxes around examples, which go with the prompts in these images: "
        '{image: [{"label": "house", "box": [x0, y0, x1, y1], "positive": true}]}',
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
        (), "grounded_sam, panoptic, sam3: other thresholds for some prompts, each as prompt=score"
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
        "grounded_sam, everything, sam3: also look at tiles of this size, for small objects in large images; 0 = off",
        unit="px",
        low=0,
        high=20000,
    )
    tile_overlap: float = param(0.25, "what neighbouring tiles share", unit="share of a tile", low=0.0, high=0.9)
    second_look: bool = param(
        True,
        "grounded_sam, sam3: ask the model again where the 3D model says that an object was missed (the nodes: at finalize)",
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
    def networks(self) -> NetworkSettings:
        """Where models come from and run, those of other stages too."""
        return NetworkSettings(self.models_dir, self.allow_download, self.device, self.precision, self.batch_size)

    @property
    def movable_only(self) -> tuple[str, ...]:
        """The movable classes that are no prompts, hence no objects of the map."""
        prompts = {prompt.casefold() for prompt in self.prompts}
        return tuple(name for name in dict.fromkeys(self.movable) if name.casefold() not in prompts)

    @property
    def asked(self) -> tuple[str, ...]:
        """All classes that the segmenter looks for; class id k is the k-th of them."""
        return (*self.prompts, *self.movable_only)
