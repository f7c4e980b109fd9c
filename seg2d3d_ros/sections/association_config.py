"""Parameters: which segments are the same object."""

from __future__ import annotations

from dataclasses import dataclass

from seg2d3d_ros.declaration import param


@dataclass(frozen=True)
class AssociationConfig:
    """Which segments are the same object."""

    method: str = param(
        "consensus",
        "consensus = all views vote on which segments are one object, codebook = features of points and a codebook of "
        "objects are learnt from the masks (needs torch), published = the paper's two-stage method",
        choices=("consensus", "codebook", "published"),
    )
    project: bool = param(True, "consensus, codebook: count points also in views that should see them but did not match them")
    enough_points: int = param(
        60,
        "consensus, codebook: find more 3D points for segments with fewer than this by a guided search; 0 = never",
        low=0,
        high=100000,
    )
    repair: bool = param(True, "consensus, codebook: cut segments that show several objects")
    granularity: str = param(
        "auto",
        "of overlapping masks, which objects there are: coarse = whole ones, fine = their smallest parts, auto = what the "
        "views support best, 0, 1, … = a level of the tree, none = masks are made flat in each image by itself",
    )
    rays: bool = param(
        True,
        "consensus, codebook: associate thin and small things, whose segments hold hardly any 3D point, by their masks' rays",
    )
    recover: bool = param(True, "draw objects that the detector missed in a view, from their 3D points, marked as such")
    spread: bool = param(
        True,
        "draw objects, from their 3D points, also in images for which no masks were given, marked as such",
    )
    edits: bool = param(True, "make the corrections of people again that are in the map's edits.jsonl")
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
    consensus_min_images: int = param(1, "consensus, codebook: images an object needs", low=1, high=100000)
    codebook_mapping: str = param(
        "area",
        "codebook: how the masks of an image find their codes: area = large masks choose before small ones, mean = all alike",
        choices=("area", "mean"),
    )
    codebook_concentration: bool = param(True, "codebook: draw codes to the features of the points that they stand for")
    codebook_filter: float = param(
        0.2, "codebook: how like its mask a point's feature must be for the mask to count; 0 = all count", low=0.0, high=1.0
    )
    codebook_norm: bool = param(True, "codebook: keep the lengths of features near 1 while they are learnt")
    similarity: float = param(
        0.05, "published: Jaccard index with the reference above which a segment belongs to its track (tau)", low=0.0, high=1.0
    )
    merge_similarity: float = param(0.8, "published: Jaccard index above which two tracks merge (tau_M)", low=0.0, high=1.0)
    min_points: int = param(10, "published: distinct 3D points a track needs", low=1, high=100000)
    min_images: int = param(4, "published: images a track needs", low=1, high=100000)
