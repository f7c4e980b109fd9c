"""Segments that somebody else made, as COCO JSON instances."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from seg2d3d_ros.errors import DataError, UsageError
from seg2d3d_ros.findings import NOTE, Findings, Kind
from seg2d3d_ros.geometry.masks import Region
from seg2d3d_ros.geometry.overlapping.run_lengths import load_pycocotools
from seg2d3d_ros.image_files import pixel_limit
from seg2d3d_ros.sections.segmentation_config import SegmentationConfig
from seg2d3d_ros.segmentation.files.class_table import ClassTable
from seg2d3d_ros.segmentation.files.coco_document import CocoDocument, CocoImage
from seg2d3d_ros.segmentation.files.coco_masks import decode, run_lengths_size, written_by_rows
from seg2d3d_ros.segmentation.files.mask_placement import SWAPPED, MaskPlacement, orientation_of, same_aspect
from seg2d3d_ros.segmentation.files.photo_names import PhotoName, match_names, some
from seg2d3d_ros.segmentation.files.placed_masks import placed_masks
from seg2d3d_ros.segmentation.finest import flat_choice
from seg2d3d_ros.segmentation.resolve import resolve_overlaps
from seg2d3d_ros.segmentation.segmenter import segments_from_labels
from seg2d3d_ros.types import Keyframe, Segments

MIN_VISIBLE = 0.05
"""A mask that better ones cover but for this share is dropped."""

NOT_LISTED = Kind(
    "photos_not_in_coco",
    "photos that the COCO file does not know",
    cause="looked for {wanted}; the file names {present}",
    remedy="let file_name be the photo's name; objects of other photos are carried there where 3D points show them",
)
NO_PHOTO = Kind(
    "coco_images_without_photo",
    "images of the COCO file without a photo",
    cause="the photos are not in the folder of images, or several could be meant",
    remedy="give all photos, or let each file_name be the name of one",
)
SIZE_DOUBTED = Kind(
    "coco_size_doubted",
    "images whose size in the COCO file is missing, or has width and height exchanged",
    cause="the exporter did not know them, or obeyed the EXIF orientation; the masks were taken in the photo's size",
    remedy="compare the masks with the photos in the report",
    level=NOTE,
)
BY_ROWS = Kind(
    "coco_rows_for_columns",
    "images whose masks fall into stripes",
    cause="their run lengths seem to be written row by row; COCO counts down the columns",
    remedy="encode the masks with pycocotools, or transpose them before",
)


class CocoInstances:
    """Reads a COCO instances file (``images``, ``annotations``, ``categories``), or what its results format adds: ``score``.

    An image is found by its file name below the folder of images, else as ``photo_names`` finds things. Categories are
    matched with the prompts by name; others are dropped. ``iscrowd`` regions hold several objects and are left out, and so is,
    one by one, whatever is damaged.
    """

    given = True
    """Somebody made the masks; they are not found by a model."""

    def __init__(self, path: Path, config: SegmentationConfig, findings: Findings | None = None):
        """Read the file; ``config`` has the prompts.

        Raises:
            UsageError: no such file, no prompts, or pycocotools is not installed.
            DataError: not such a file.
        """
        self.path, self._config = Path(path), config
        if not self.path.is_file():
            raise UsageError(f"{path}: no such COCO JSON file")
        load_pycocotools()
        self._findings = Findings() if findings is None else findings
        self._classes = ClassTable(config.prompts, self._findings)
        self._document = CocoDocument(self.path, self._classes, self._findings)
        self._things = [image.named for image in self._document.images]
        self._place = MaskPlacement(config.segments_orientation, self._findings)
        self._known: dict[str, int | None] = {}

    def expect(self, photos: Sequence[PhotoName]) -> None:
        """Look for all photos beforehand; what does not fit becomes a finding.

        Raises:
            DataError: the file knows none of them, or has no annotation of a class that was asked for.
        """
        if not self._document.categories:
            raise DataError(f"{self.path}: has no usable annotation")
        self._classes.require_some(self._document.categories, str(self.path))
        matches = match_names(photos, self._things)
        self._known = {photo.name: matches.found.get(photo.name) for photo in photos}
        without = [photo for photo in photos if photo.name not in matches.found]
        wanted = (without[0].file_name or without[0].name) if without else ""
        present = some(self._things[index].label for index in matches.unused) or "no other image"
        if photos and not matches.found:
            raise DataError(
                f"{self.path}: knows 0 of {len(photos)} photos; looked for {wanted}; the file names {present}: "
                "let file_name be the photo's name"
            )
        if without:
            self._findings.add(NOT_LISTED, *(photo.name for photo in without), of=len(photos), wanted=wanted, present=present)
        alone = [self._things[index].label for index in matches.unused]
        if alone:
            self._findings.add(NO_PHOTO, *alone, of=len(self._things))

    def segment(self, keyframe: Keyframe) -> Segments | None:
        """The annotated objects of ``keyframe``; None where the file does not know the image, or where somebody annotated
        other images by hand and this one not at all.

        Raises:
            DataError: an image of another size.
        """
        image = self._image(PhotoName(keyframe.name, keyframe.file_name))
        if image is None or not (image.annotated or self._document.scored):
            return None
        width, height = self._canvas(image, keyframe)
        regions: list[Region | None] = []
        rows: list[tuple[int, float]] = []
        for class_id, score, segmentation in image.found:
            try:
                region, reasons = decode(segmentation, height, width)
            except ValueError as error:
                self._document.left_out(str(error))
                continue
            for reason in reasons:
                self._document.left_out(reason)
            if region is None:
                self._document.left_out("a mask without a pixel in the image")
            elif isinstance(segmentation, dict) and not rows and written_by_rows(region, height, width):
                self._findings.add(BY_ROWS, keyframe.name)
            regions.append(region)
            rows.append((class_id, score))
        if self._config.overlapping:
            kept = [(region, (*row, 1.0)) for region, row in zip(regions, rows, strict=True) if region is not None]
            whole, facts = [region for region, _ in kept], [fact for _, fact in kept]
            where = f"{self.path}: {image.file_name}"
            return flat_choice(placed_masks(keyframe, (height, width), whole, facts, self._config.segments_orientation, where))
        classes, scores = [row[0] for row in rows], [row[1] for row in rows]
        limits = {"min_area": self._config.min_area, "min_visible": MIN_VISIBLE}
        drawn = resolve_overlaps(keyframe.name, (height, width), regions, classes, scores, **limits)
        known = dict(zip(drawn.ids.tolist(), zip(drawn.classes.tolist(), drawn.scores.tolist(), strict=True), strict=True))
        placed = self._place(drawn.labels, keyframe, f"{self.path}: {image.file_name}")
        return segments_from_labels(keyframe.name, placed, known.get)

    def close(self) -> None:
        """Nothing to free."""

    def _image(self, photo: PhotoName) -> CocoImage | None:
        if photo.name not in self._known:
            matches = match_names([photo], self._things)
            self._known[photo.name] = matches.found.get(photo.name)
            if not matches.found:  # nobody could ask for all photos beforehand: they come from a recording
                present = some(thing.label for thing in self._things) or "no image"
                self._findings.add(NOT_LISTED, photo.name, wanted=photo.file_name or photo.name, present=present)
        index = self._known[photo.name]
        return None if index is None else self._document.images[index]

    def _canvas(self, image: CocoImage, keyframe: Keyframe) -> tuple[int, int]:
        """Width and height of the image that the annotations were made in."""
        photo, sizes = keyframe.size, {run_lengths_size(segmentation) for _, _, segmentation in image.found}
        # Run lengths know their size; one that disagrees with outlines, or with others, is wrong.
        size = (sizes.pop() if len(sizes) == 1 else None) or image.size
        if size is None:
            size = photo
            self._findings.add(SIZE_DOUBTED, keyframe.name)
        elif size != photo and size == photo[::-1] and orientation_of(keyframe) not in SWAPPED:
            # Nothing turns this photo: if the outlines fit into it, only the numbers are exchanged.
            if all(_fits(segmentation, *photo) for _, _, segmentation in image.found):
                size = photo
                self._findings.add(SIZE_DOUBTED, keyframe.name)
        elif image.size is not None and image.size != size:
            self._findings.add(SIZE_DOUBTED, keyframe.name)
        if size[0] * size[1] > pixel_limit() or not (same_aspect(size, photo) or same_aspect(size[::-1], photo)):
            raise DataError(
                f"{self.path}: {keyframe.name} is {size[0]}×{size[1]} there, its photo {photo[0]}×{photo[1]}: they do not show "
                "the same picture; annotate the photos as they are, without borders or cuts"
            )
        return size


def _fits(segmentation: object, width: int, height: int) -> bool:
    """Whether all points of polygons lie in an image of this size; what cannot be read does not matter here."""
    try:
        polygons = segmentation if isinstance(segmentation, list) else []
        flat = [polygon for polygon in polygons if isinstance(polygon, list)] or [polygons]
        return all(max(p[0::2], default=0) <= width + 1 and max(p[1::2], default=0) <= height + 1 for p in flat)
    except TypeError:
        return True
