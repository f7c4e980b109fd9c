"""The formats that a map can be written in: one table for the command line and the documents."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Format:
    """One format.

    Attributes:
        module: below ``seg2d3d_ros.export``; it has ``export(contents, path) -> summary``.
        what: what is written, for people.
        lost: what of a map the format cannot hold, or is not written.
        crs: None = ``--crs`` may be any, else the only one that the format allows; "" = the map's frame, or pixels.
        needs: the libraries of the extra ``export`` that write it.
        folder: whether ``--out`` is a folder, which must be new or empty.
        cloud: whether ``--cloud`` matters.
        parts: whether a city is written in it, block by block (``export_parts``).
        instances: whether it holds nothing, and is not written, where a map has no instance.
    """

    module: str
    what: str
    lost: str
    crs: str | None = ""
    needs: tuple[str, ...] = ()
    folder: bool = False
    cloud: bool = False
    parts: bool = False
    instances: bool = False


FORMATS = {
    "ply": Format(
        "clouds.ply_writer",
        "the labelled cloud, coloured by instance, for any point cloud viewer",
        "images, tracks, boxes, the frame",
        cloud=True,
        parts=True,
    ),
    "laz": Format(
        "clouds.laz_writer",
        "the labelled cloud as LAS 1.4 (.las) or LAZ",
        "images, tracks, boxes",
        None,
        ("laspy", "lazrs", "pyproj"),
        cloud=True,
        parts=True,
    ),
    "copc": Format(
        "clouds.copc_writer",
        "the labelled cloud as cloud-optimised LAZ",
        "images, tracks, boxes",
        None,
        ("copclib", "pyproj"),
        cloud=True,
    ),
    "e57": Format(
        "clouds.e57_writer",
        "the labelled cloud as a scan for each instance, with its pose in the system",
        "images, tracks, boxes",
        None,
        ("pye57", "pyproj"),
        cloud=True,
    ),
    "gpkg": Format(
        "gis.gpkg_writer",
        "instances, cameras and observations as three layers of a GeoPackage",
        "masks, points",
        None,
        ("pyogrio", "pyproj", "shapely"),
        parts=True,
    ),
    "geojson": Format(
        "gis.geojson_writer",
        "the instances' footprints and attributes",
        "masks, points, cameras, observations",
        "EPSG:4326",
        ("pyproj",),
        parts=True,
        instances=True,
    ),
    "geoparquet": Format(
        "gis.geoparquet_writer",
        "the instances' footprints and attributes as GeoParquet 1.1",
        "masks, points, cameras, observations",
        None,
        ("pyarrow", "pyproj", "shapely"),
        instances=True,
    ),
    "cityjson": Format(
        "gis.cityjson_writer",
        "CityJSON 2.0, each footprint extruded to its height (LoD 1.2)",
        "masks, points, cameras",
        None,
        ("pyproj",),
        instances=True,
    ),
    "parquet": Format(
        "gis.parquet_writer",
        "one table each of instances, observations and points",
        "masks",
        None,
        ("pyarrow", "pyproj"),
        folder=True,
        cloud=True,
        parts=True,
    ),
    "3dtiles": Format(
        "clouds.tiles_writer",
        "the labelled cloud as 3D Tiles 1.1, each point with its instance's attributes",
        "images, tracks, boxes",
        "EPSG:4978",
        ("pyproj",),
        folder=True,
        cloud=True,
    ),
    "oriented-imagery": Format(
        "gis.oriented_imagery_writer",
        "an Oriented Imagery table: photographs with places, attitudes and instances",
        "masks, points, boxes; distortion",
        None,
        ("pyproj",),
    ),
    "panoramax": Format(
        "gis.panoramax_writer",
        "annotations for Panoramax, as the bodies of its API's requests",
        "points, boxes, scores; holes in masks",
        instances=True,
    ),
    "coco": Format(
        "annotations.coco_writer",
        "instances as run lengths in one COCO file, with track_id and score",
        "points, boxes in 3D, poses",
        instances=True,
    ),
    "panoptic": Format(
        "annotations.panoptic_writer",
        "COCO panoptic: a PNG per image, whose ids are the instances', and a JSON file",
        "points, boxes in 3D, poses",
        folder=True,
        instances=True,
    ),
    "labelme": Format(
        "annotations.labelme_writer",
        "a LabelMe file per image; group_id is the instance's id",
        "points, boxes in 3D, poses; holes become slits",
        folder=True,
        instances=True,
    ),
    "cvat": Format(
        "annotations.cvat_writer",
        "CVAT for images 1.1, masks as run lengths; group_id and an attribute are the instance's id",
        "points, boxes in 3D, poses, scores",
        instances=True,
    ),
    "yolo": Format(
        "annotations.yolo_writer",
        "YOLO segmentation: a polygon per instance and image, links to the photographs, data.yaml",
        "points, boxes in 3D, poses, scores, the instances' ids; holes and parts hang on slits",
        folder=True,
        instances=True,
    ),
    "mot": Format(
        "annotations.mot_writer",
        "MOTChallenge: a sequence per camera with gt.txt, seqinfo.ini and a table of its images",
        "points, boxes in 3D, poses, masks, scores, how much is hidden",
        folder=True,
        instances=True,
    ),
    "kitti-mots": Format(
        "annotations.kitti_mots_writer",
        "KITTI MOTS: a sequence per camera with masks as run lengths, and tables of images and tracks",
        "points, boxes in 3D, poses, scores; ids beyond 999 are numbered anew",
        folder=True,
        instances=True,
    ),
    "colmap": Format(
        "poses.colmap_writer",
        "COLMAP's text model of the largest component, links to the photographs, masks",
        "boxes in 3D, tracks, which instance a point is of, images without a pose, other components",
        folder=True,
    ),
    "nerfstudio": Format(
        "poses.nerfstudio_writer",
        "transforms.json with intrinsics per image, the points, masks; the photographs stay where they are",
        "boxes in 3D, tracks, observations, images without a pose, other components, lenses of another kind",
        folder=True,
    ),
    "tum": Format(
        "poses.tum_writer",
        "a TUM trajectory per camera, a table of its images and intrinsics, masks",
        "points, boxes in 3D, tracks, images without a pose, other components",
        folder=True,
    ),
    "kitti": Format(
        "poses.kitti_writer",
        "a KITTI trajectory per camera, a table of its images and intrinsics, masks",
        "points, boxes in 3D, tracks, images without a pose, other components",
        folder=True,
    ),
    "kapture": Format(
        "poses.kapture_writer",
        "kapture 1.1: sensors, records, trajectories, points, links to the photographs, masks",
        "boxes in 3D, tracks, observations, images without a pose, other components",
        folder=True,
    ),
}
