"""Overlapping masks that somebody else made, as a JSON file per photo: SAM's automatic generator, SA-1B, Grounded-SAM-2."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from seg2d3d_ros.disk.documents import read_json
from seg2d3d_ros.errors import DataError, UsageError
from seg2d3d_ros.findings import NOTE, Finding, Findings, Kind
from seg2d3d_ros.geometry.overlapping.annotations import MaskEntry, masks_of, read_entry
from seg2d3d_ros.geometry.overlapping.overlapping_masks import OverlappingMasks
from seg2d3d_ros.image_files import pixel_limit
from seg2d3d_ros.sections.segmentation_config import SegmentationConfig
from seg2d3d_ros.segmentation.files.class_table import ClassTable
from seg2d3d_ros.segmentation.files.coco_masks import run_lengths_size
from seg2d3d_ros.segmentation.files.mask_placement import MaskPlacement, same_aspect
from seg2d3d_ros.segmentation.files.photo_names import Named, PhotoName, match_names, some
from seg2d3d_ros.segmentation.files.placed_masks import placed_masks
from seg2d3d_ros.segmentation.finest import flat_choice
from seg2d3d_ros.types import Keyframe, Segments

EXPECTED = (
    "expected a list of masks with 'segmentation' {size, counts} (SAM's automatic generator with output_mode "
    "uncompressed_rle or coco_rle), or an object with such a list as 'annotations' (SA-1B, Grounded-SAM-2, COCO)"
)
UNUSABLE = Kind(
    "mask_entries_unusable",
    "masks of JSON files that cannot be used and were left out",
    cause="{reasons}",
    remedy="write these masks again, as run lengths with the size of the photo; the others are used",
)
WITHOUT_LIST = Kind(
    "photos_without_mask_list",
    "photos without a JSON file of masks",
    cause="looked for {wanted}; found {present}",
    remedy="name each file by its photo's stem; objects are carried into the other photos where 3D points show them",
)
LIST_UNUSED = Kind(
    "mask_lists_unused",
    "JSON files of masks that belong to no photo",
    cause="their photos are not in the folder of images, or have other names",
    remedy="name each file by its photo's stem",
)
EMPTY_LIST = Kind(
    "mask_lists_empty",
    "JSON files of masks that hold none",
    cause="the segmenter found nothing in these photos, or was ended before it wrote",
    remedy="nothing need be done where a photo shows nothing; else segment these photos again",
    level=NOTE,
)


def holds_mask_lists(directory: Path) -> bool:
    """Whether a folder has JSON files of masks, and no label image."""
    files = [path.suffix.lower() for path in directory.iterdir() if path.name != "segments.json"] if directory.is_dir() else []
    return ".json" in files and not {".png", ".tif", ".tiff", ".bmp"} & set(files)


class MaskLists:
    """Reads ``<image stem>.json`` of a folder: every mask is kept, whatever overlaps.

    A mask without a class is of the first prompt's; those of classes that no prompt has are dropped, unless the only prompt
    is ``object``, which is any.
    """

    given = True
    """Somebody made the masks; they are not found by a model."""

    def __init__(self, directory: Path, config: SegmentationConfig, findings: Findings | None = None):
        """List the folder; ``config`` has the prompts.

        Raises:
            UsageError: no such folder, or no prompts.
        """
        self.directory, self._config = Path(directory), config
        if not self.directory.is_dir():
            raise UsageError(f"{directory}: no such folder of JSON files of masks")
        self._findings = Findings() if findings is None else findings
        self._classes = ClassTable(config.prompts, self._findings)
        self._any = tuple(config.prompts) == ("object",)
        self._paths = sorted(path for path in self.directory.rglob("*.json") if path.name[0] != ".")
        below = [path.relative_to(self.directory).with_suffix("").as_posix() for path in self._paths]
        self._things = [Named(f"{name}.json", ((name,), (_plain(name),))) for name in below]
        self._known: dict[str, int | None] = {}
        self._place = MaskPlacement(config.segments_orientation, self._findings)
        self._reasons = Counter[str]()

    def expect(self, photos: Sequence[PhotoName]) -> None:
        """Look for the files of all photos beforehand; what does not fit becomes a finding.

        Raises:
            DataError: not one photo has a file.
        """
        matches = match_names(photos, self._things)
        if photos and not matches.found:
            there = some(thing.label for thing in self._things) or "no JSON file"
            raise DataError(
                f"{self.directory}: masks for 0 of {len(photos)} photos; looked for {photos[0].below}.json; found {there}: "
                "name each file by its photo's stem"
            )
        self._known = {photo.name: matches.found.get(photo.name) for photo in photos}
        without = [photo for photo in photos if photo.name not in matches.found]
        if without:
            present = some(self._things[k].label for k in matches.unused) or "no other file"
            names, wanted = [photo.name for photo in without], f"{without[0].below}.json"
            self._findings.add(WITHOUT_LIST, *names, of=len(photos), wanted=wanted, present=present)
        if matches.unused:
            self._findings.add(LIST_UNUSED, *(self._things[k].label for k in matches.unused), of=len(self._things))

    def segment(self, keyframe: Keyframe) -> Segments | None:
        """The masks of ``keyframe`` and a flat choice from them; None where it has no file.

        Raises:
            DataError: the file is no list of masks, or for another picture.
        """
        path = self._find(PhotoName(keyframe.name, keyframe.file_name))
        if path is None:
            return None
        entries, size = _entries(read_json(path, remedy=EXPECTED, unreadable=DataError, lenient=True), path)
        if not entries:
            self._findings.add(EMPTY_LIST, keyframe.name)
        width, height = size or keyframe.size
        photo = keyframe.size
        if width * height > pixel_limit() or not (same_aspect((width, height), photo) or same_aspect((height, width), photo)):
            raise DataError(
                f"{path}: masks of {width}×{height}, the photo is {photo[0]}×{photo[1]}: they do not show the same picture; "
                "make the masks from the photos as they are, without borders or cuts"
            )
        found = []
        for entry in entries:
            try:
                mask = read_entry(entry, (height, width))
                class_id = self._class_of(entry)
            except ValueError as error:
                self._left_out(str(error))
                continue
            if class_id is not None:
                found.append((mask, class_id))
        made = _masks(keyframe.name, (height, width), found)
        regions = [made.region(k) for k in range(len(made))]
        facts = [(class_id, mask.score, mask.stability) for mask, class_id in found]
        placed = placed_masks(keyframe, (height, width), regions, facts, self._config.segments_orientation, str(path))
        large = placed.areas >= self._config.min_area * photo[0] * photo[1]
        return flat_choice(placed.take(large.nonzero()[0]))

    def close(self) -> None:
        """Nothing to free."""

    def _find(self, photo: PhotoName) -> Path | None:
        if photo.name not in self._known:
            self._known[photo.name] = match_names([photo], self._things).found.get(photo.name)
            if self._known[photo.name] is None:  # nobody could ask for all photos beforehand: they come from a recording
                present = some(thing.label for thing in self._things) or "no JSON file"
                self._findings.add(WITHOUT_LIST, photo.name, wanted=f"{photo.below}.json", present=present)
        index = self._known[photo.name]
        return None if index is None else self._paths[index]

    def _class_of(self, entry: dict[str, Any]) -> int | None:
        name = entry.get("class_name", entry.get("label"))
        if name is None or self._any:
            return 1
        if not isinstance(name, str):
            raise ValueError("a class_name that is no text")
        return self._classes.number(name)

    def _left_out(self, reason: str) -> None:
        self._reasons[reason] += 1
        listed = ", ".join(f"{text}: {count}" for text, count in self._reasons.most_common(8))
        self._findings.put(Finding(UNUSABLE, self._reasons.total(), details={"reasons": listed}))


def _masks(name: str, shape: tuple[int, int], found: Sequence[tuple[MaskEntry, int]]) -> OverlappingMasks:
    return masks_of(name, shape, [mask for mask, _ in found], [class_id for _, class_id in found])


def _entries(document: Any, path: Path) -> tuple[list[Any], tuple[int, int] | None]:
    """The list of masks, and the size (width, height) that most of them are for; None where none says it.

    Raises:
        DataError: no such list.
    """
    entries = document.get("annotations") if isinstance(document, dict) else document
    if not isinstance(entries, list):
        raise DataError(f"{path}: no masks; {EXPECTED}")
    sizes = Counter(
        size for entry in entries if isinstance(entry, dict) and (size := run_lengths_size(entry.get("segmentation")))
    )
    return entries, sizes.most_common(1)[0][0] if sizes else None


def _plain(name: str) -> str:
    """``x`` of ``x_masks``, ``x.jpg`` and ``x_grounded_sam2_local_demo_results``."""
    folder, slash, file = name.rpartition("/")
    for ending in ("_masks", "_mask", "_results", "_segments", "_rle", "_grounded_sam2"):
        file = file.removesuffix(ending)
    return f"{folder}{slash}{PurePosixPath(file).stem}"
