"""COLMAP's text model in ``sparse/0``, with ``images`` (links), ``masks`` and ``labels`` beside it."""

from __future__ import annotations

from pathlib import Path

from seg2d3d_ros.colmap import pycolmap
from seg2d3d_ros.errors import DataError
from seg2d3d_ros.export.contents import Contents
from seg2d3d_ros.export.folders import new_folder
from seg2d3d_ros.export.names import inside, without_separators
from seg2d3d_ros.export.photos import link_photo, photo_path
from seg2d3d_ros.export.poses.pose_masks import write_masks
from seg2d3d_ros.export.poses.posed_images import posed_images, write_frame_note
from seg2d3d_ros.findings import NOTE, Kind
from seg2d3d_ros.reconstruction.model_io import model_folders, open_model

IMAGES_RENAMED = Kind(
    "export_images_renamed",
    "images with spaces or commas in their names, which are called otherwise in what is written",
    cause="readers of this format cut names there, COLMAP among them",
    remedy="nothing, as long as the links to the photographs beside the poses are used: they have the new names",
    level=NOTE,
)


def export(contents: Contents, path: Path) -> str:
    """Write the largest model in the map's frame.

    Raises:
        DataError: the map has no model, or it cannot be written.
    """
    images = posed_images(contents)
    model = open_model(model_folders(contents.store.root)[0])
    new_names = without_separators(image.name for image in model.images.values())
    if renamed := sorted(old for old, new in new_names.items() if old != new):
        contents.findings.add(IMAGES_RENAMED, *renamed, of=len(new_names))
    for image_id in list(model.images):
        model.image(image_id).name = new_names[model.image(image_id).name]
    with new_folder(path) as folder:
        sparse = folder / "sparse" / "0"
        sparse.mkdir(parents=True)
        _write(model, sparse)
        files = {image.record.name: new_names.get(image.record.file_name, image.record.file_name) for image in images}
        for image in images:
            link_photo(photo_path(contents, image.record.image), inside(folder / "images", files[image.record.name]))
        masks = write_masks(contents, folder, files)
        frame = write_frame_note(folder, contents.models[0].frame)
    return f"{model.num_reg_images()} images, {model.num_points3D()} points, {len(masks)} masks; {frame}"


def _write(model: pycolmap.Reconstruction, folder: Path) -> None:
    """Write and read back: COLMAP does not notice that a disk is full."""
    whole = model.num_reg_images(), model.num_points3D()
    try:
        model.write_text(folder)
        again = pycolmap.Reconstruction(folder)
        if (again.num_reg_images(), again.num_points3D()) == whole:
            return
        reason = "what was written reads back as less"
    except (RuntimeError, ValueError, LookupError) as error:
        reason = str(error).strip().splitlines()[-1]
    raise DataError(f"{folder}: the model cannot be written ({reason}); free space on the disk or choose another folder")
