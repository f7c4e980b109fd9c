"""The mask files in a folder, and to which photo each belongs."""

from __future__ import annotations

import os
import re
import string
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path, PurePosixPath

from seg2d3d_ros.errors import DataError, UsageError
from seg2d3d_ros.findings import Findings, Kind
from seg2d3d_ros.images import IMAGE_SUFFIXES
from seg2d3d_ros.segmentation.files.photo_names import Matches, Named, PhotoName, match_names, some

MASK_SUFFIXES = (".png", ".tif", ".tiff", ".bmp", ".gif", ".pgm", ".ppm")
OTHER_SUFFIXES = (".jpg", ".jpeg", ".webp", ".npy", ".npz", ".mat", ".txt", ".json", ".xml")
"""Files that are no label images, but whose names show what somebody meant to give."""
TRIED = 20
"""Photos whose names are looked for inside other names."""
DEPTH = 5
"""Folders inside folders that are looked into."""
FIELDS = ("stem", "name", "folder", "key")
_PREFIX = re.compile(r"(?:mask|label|seg|gt|inst(?:ance)?)s?[ _-]+(?=.)", re.IGNORECASE)
_AFFIX = re.compile(
    r"(?<=.)[ _.-]+(?:(?:gtfine|gt|panoptic)_)?(?:mask|label|seg|segment|segmentation|instance|inst|object|annotation|gt|id)s?"
    r"(?:_?(?:train)?ids?)?$",
    re.IGNORECASE,
)

WITHOUT_MASK = Kind(
    "photos_without_mask",
    "photos without a mask",
    cause="looked for {wanted}; found {present}",
    remedy="rename the masks or give --segments-pattern; objects of other photos are carried there where 3D points show them",
)
AMBIGUOUS = Kind(
    "masks_ambiguous",
    "photos to which several mask files could belong, and none was taken",
    cause="e.g. {candidates}",
    remedy="say which by --segments-pattern (docs/segmenters.md), or remove the others",
)
UNUSED = Kind(
    "masks_unused",
    "mask files that belong to no photo",
    cause="their photos are not in the folder of images, or have other names",
    remedy="rename them, or give --segments-pattern",
)


class MaskFiles:
    """Finds a photo's mask file, or its folder of one file per object.

    Args:
        pattern: where a photo's mask is below the folder: text with ``{stem}`` (0001), ``{name}`` (0001.jpg), ``{folder}``
            (front) and ``{key}`` (front_0001); empty = as ``photo_names`` does.
    """

    def __init__(self, directory: Path, pattern: str, findings: Findings) -> None:
        """List the folder.

        Raises:
            UsageError: a pattern that cannot be.
        """
        self.directory, self._pattern, self._findings = directory, pattern, findings
        if pattern:
            _check_pattern(pattern)
        files = sorted(_walk(directory))
        self._masks = [path for path in files if PurePosixPath(path).suffix.lower() in MASK_SUFFIXES]
        self._others = [path for path in files if path not in set(self._masks)]
        folders = sorted({parent for path in self._masks if (parent := PurePosixPath(path).parent.as_posix()) != "."})
        self._paths = [*self._masks, *folders]
        self._things = [*map(_file, self._masks), *(Named(f"{path}/", ((), (), (), (path,))) for path in folders)]
        self._known: dict[str, str | None] = {}

    def expect(self, photos: Sequence[PhotoName]) -> None:
        """Find the masks of all photos; who has none, and what belongs to nobody, becomes a finding.

        Raises:
            DataError: not one photo has a mask.
        """
        matches = self._match(photos)
        self._known = {p.name: self._paths[matches.found[p.name]] if p.name in matches.found else None for p in photos}
        without = [photo for photo in photos if photo.name not in matches.found]
        if photos and not matches.found:
            raise DataError(self._nothing(photos, matches))
        if without:
            wanted, present, names = self.wanted(without[0]), self._present(matches), [photo.name for photo in without]
            self._findings.add(WITHOUT_MASK, *names, of=len(photos), wanted=wanted, present=present)
        if matches.ambiguous:
            name, indices = next(iter(matches.ambiguous.items()))
            candidates = f"{name}: {some(self._things[index].label for index in indices)}"
            self._findings.add(AMBIGUOUS, *matches.ambiguous, of=len(photos), candidates=candidates)
        taken = {self._paths[index] for index in matches.found.values()}
        unused = [path for path in self._unused(matches) if PurePosixPath(path).parent.as_posix() not in taken]
        if unused:
            self._findings.add(UNUSED, *unused, of=len(self._masks))

    def find(self, photo: PhotoName) -> Path | None:
        """A photo's mask file or folder of masks; None where it has none. Files that came later are seen, too."""
        if self._known.get(photo.name) is None and not self._pattern:
            for stem in dict.fromkeys((photo.name, photo.below)):
                if (path := self.directory / f"{stem}.png").is_file():
                    return path
        if photo.name not in self._known:
            found = self._match([photo]).found
            self._known[photo.name] = self._paths[found[photo.name]] if found else None
        known = self._known[photo.name]
        return None if known is None else self.directory / known

    def wanted(self, photo: PhotoName) -> str:
        """The name that a photo's mask should have."""
        return self._filled(photo) if self._pattern else f"{photo.below}.png"

    def _match(self, photos: Sequence[PhotoName]) -> Matches:
        if not self._pattern:
            return match_names(photos, self._things)
        things = [Named(path, ((path,), (PurePosixPath(path).with_suffix("").as_posix(),))) for path in self._paths]
        return match_names(photos, things, {photo.name: self._filled(photo) for photo in photos})

    def _filled(self, photo: PhotoName) -> str:
        values = {"stem": photo.stem, "name": PurePosixPath(photo.file_name or photo.name).name}
        return self._pattern.format(**values, folder=photo.folder, key=photo.name).lstrip("/")

    def _unused(self, matches: Matches) -> list[str]:
        return [self._paths[index] for index in matches.unused if index < len(self._masks)]

    def _present(self, matches: Matches) -> str:
        """What there is that nobody took."""
        return some(self._unused(matches) or self._others or (["no other file"] if self._masks else ["no image"]))

    def _nothing(self, photos: Sequence[PhotoName], matches: Matches) -> str:
        words = f"{self.directory}: masks for 0 of {len(photos)} photos; looked for {self.wanted(photos[0])}; "
        if matches.ambiguous:
            indices = next(iter(matches.ambiguous.values()))
            between = some(self._things[index].label for index in indices)
            return (
                f"{words}found several that could be it ({between}): say which by --segments-pattern, e.g. '{{stem}}_mask.png'"
            )
        there = self._masks or self._others
        if not there:
            return f"{words}found no file: give the folder that holds a PNG per photo"
        if not self._masks:
            return f"{words}found {some(there)}: save label images as PNG (or TIFF), whose pixels are ids"
        return f"{words}found {some(there)}: rename them or give --segments-pattern, e.g. {self._likely_pattern(photos)!r}"

    def _likely_pattern(self, photos: Sequence[PhotoName]) -> str:
        """With what stands around a photo's stem in a mask's name."""
        holding = ((photo.stem, path) for photo in photos[:TRIED] for path in self._masks if photo.stem in path)
        stem, path = next(holding, ("", ""))
        return path.replace(stem, "{stem}", 1) if path and not set("{}") & set(path) else "{stem}_mask.png"


def _walk(directory: Path) -> Iterator[str]:
    """Files below a folder, as paths from there; hidden ones and what macOS adds to archives left out."""
    for folder, folders, files in os.walk(directory):
        inside = Path(folder).relative_to(directory)
        folders[:] = [f for f in folders if f[0] != "." and f != "__MACOSX"] if len(inside.parts) < DEPTH else []
        for file in files:
            if file[0] != "." and Path(file).suffix.lower() in (*MASK_SUFFIXES, *OTHER_SUFFIXES) and file != "segments.json":
                yield (inside / file).as_posix()


def _file(path: str) -> Named:
    """A mask file with its readings: a plain PNG; another ending; what tools append."""
    plain = PurePosixPath(path).with_suffix("").as_posix()
    is_png = path.endswith(".png")
    return Named(path, ((plain,) if is_png else (), () if is_png else (plain,), tuple(_stripped(plain))))


def _stripped(plain: str) -> list[str]:
    """``x`` of ``x.jpg``, ``x_mask``, ``mask_x``, ``x.jpg_mask`` and ``x_mask.jpg``."""
    folder, slash, name = plain.rpartition("/")
    steps: tuple[Callable[[str], str], ...] = (
        _without_ending,
        lambda n: _AFFIX.sub("", n),
        lambda n: _PREFIX.sub("", n, count=1),
    )
    found = [name]
    for step in (*steps, *steps[:1]):
        found += [shorter for text in list(found) if (shorter := step(text)) and shorter not in found]
    return [f"{folder}{slash}{text}" for text in found[1:]]


def _without_ending(name: str) -> str:
    path = PurePosixPath(name)
    return path.stem if path.suffix.lower() in IMAGE_SUFFIXES else name


def _check_pattern(pattern: str) -> None:
    known = ", ".join(f"{{{field}}}" for field in FIELDS)
    try:
        fields = [field for _, field, _, _ in string.Formatter().parse(pattern) if field is not None]
    except ValueError as error:
        raise UsageError(f"--segments-pattern {pattern!r}: {error}; known are {known}") from error
    if not fields or any(field not in FIELDS for field in fields):
        raise UsageError(f"--segments-pattern {pattern!r}: write where a photo's mask is, with {known}, e.g. {{stem}}_mask.png")
    if ".." in PurePosixPath(pattern).parts:
        raise UsageError(f"--segments-pattern {pattern!r}: stays inside the folder of masks; give that folder to --segments")
