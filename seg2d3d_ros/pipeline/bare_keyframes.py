"""Keyframes that nobody segmented, beside those with segments: what is drawn there is drawn on an empty label image."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from seg2d3d_ros.segmentation.segmenter import no_segments
from seg2d3d_ros.types import Segments, SparseModel


class WithBareKeyframes(Mapping[str, Segments]):
    """The segments of all keyframes of a map; those of a keyframe that nobody segmented are none, made when they are asked for.

    Args:
        segments: of the keyframes that somebody looked for objects in.
        models: have the sizes of the others' images.
    """

    def __init__(self, segments: Mapping[str, Segments], models: Sequence[SparseModel]) -> None:
        self._segments = segments
        cameras = {name: camera for model in models for name, camera in zip(model.names, model.cameras, strict=False)}
        self.bare = {name: (c.height, c.width) for name, c in cameras.items() if name not in segments}

    def __getitem__(self, name: str) -> Segments:
        return no_segments(name, self.bare[name]) if name in self.bare else self._segments[name]

    def __iter__(self) -> Iterator[str]:
        yield from self._segments
        yield from self.bare

    def __len__(self) -> int:
        return len(self._segments) + len(self.bare)
