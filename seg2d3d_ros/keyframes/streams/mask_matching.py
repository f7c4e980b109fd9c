"""Which mask belongs to which keyframe: that of the same camera with the same stamp, or the nearest within a tolerance."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from typing import Any, NamedTuple

from seg2d3d_ros.recording.naming import camera_name, stamp_to_ns

KEPT = 200
"""Masks that wait for their keyframe: most belong to images that do not become one."""


class Moment(NamedTuple):
    """One image of one camera: its cleaned name, and nanoseconds."""

    camera: str
    stamp_ns: int

    @classmethod
    def of(cls, header: Any) -> Moment:
        """That of a message, by its ``std_msgs/Header`` of any origin."""
        return cls(camera_name(header.frame_id), stamp_to_ns(header.stamp))


class MaskMatching:
    """Keyframes and masks arrive one by one, in any order.

    The same stamp goes before. Only when masks of later images have come, or the keyframe's patience is over (``settle``), the
    nearest one within the tolerance is taken. Masks whose ``frame_id`` no camera has (a segmenter's own frame) are matched by
    their stamps alone, where only one camera has an image of that moment.

    Args:
        tolerance: seconds between the stamps of a mask and its image.
        kept: masks, and keyframes, that wait for each other at most.
        cameras: names of the cameras, as far as they are known before their keyframes come: no other camera gets their masks.

    Attributes:
        came: number of masks.
    """

    def __init__(self, tolerance: float, kept: int = KEPT, cameras: Iterable[str] = ()) -> None:
        self._tolerance, self._kept = round(tolerance * 1e9), kept
        self._masks: OrderedDict[Moment, Any] = OrderedDict()
        self._keyframes: OrderedDict[Moment, None] = OrderedDict()
        self._known = frozenset(cameras)
        self._cameras = set(self._known)
        self.came = 0

    def __len__(self) -> int:
        """Masks that wait for their keyframe."""
        return len(self._masks)

    def anew(self) -> MaskMatching:
        """One that has seen nothing yet."""
        return MaskMatching(self._tolerance * 1e-9, self._kept, self._known)

    def keyframe(self, moment: Moment) -> Any | None:
        """A keyframe came; returns its mask, if that is here already."""
        self._cameras.add(moment.camera)
        self._keyframes[moment] = None
        while len(self._keyframes) > self._kept:
            self._keyframes.popitem(last=False)
        return self.settle(moment) if moment in self._masks or self._passed(moment) else None

    def mask(self, moment: Moment, mask: Any) -> list[tuple[Moment, Any]]:
        """A mask came; returns keyframes that need not wait any longer, with their masks."""
        self.came += 1
        self._masks[moment] = mask
        while len(self._masks) > self._kept:
            self._masks.popitem(last=False)
        ready = [moment] if moment in self._keyframes else [other for other in self._keyframes if self._passed(other)]
        return [(other, found) for other in ready if (found := self.settle(other)) is not None]

    def settle(self, moment: Moment) -> Any | None:
        """The best of the masks that are here for a keyframe, which then waits no longer; None, and it goes on waiting."""
        found = moment if moment in self._masks else self._nearest(moment)
        if found is None:
            return None
        self._keyframes.pop(moment, None)
        return self._masks.pop(found)

    def forget(self, camera: str, before_ns: int) -> None:
        """Drop the masks of a camera's earlier images."""
        for mask in [mask for mask in self._masks if mask.camera == camera and mask.stamp_ns < before_ns]:
            del self._masks[mask]

    def why_not(self, moment: Moment) -> str:
        """Why no mask that came belongs to this keyframe, in words; empty where none of the kept ones is near."""
        cameras = {mask.camera for mask in self._masks}
        if cameras and moment.camera not in cameras:
            return f"the masks have the frame_id {', '.join(sorted(cameras)[:3])}, the image {moment.camera}"
        gaps = [mask.stamp_ns - moment.stamp_ns for mask in self._masks if mask.camera == moment.camera]
        if not gaps:
            return ""
        gap = min(gaps, key=abs) * 1e-6
        off = f"{abs(gap):.0f} ms" if abs(gap) < 10_000 else f"{abs(gap) / 1000:.0f} s"
        return f"the nearest mask is {off} off, more than segmentation.stamp_tolerance ({self._tolerance * 1e-6:.0f} ms)"

    def _fitting(self, moment: Moment) -> list[Moment]:
        """The masks that may be of the keyframe's camera."""
        own = [mask for mask in self._masks if mask.camera == moment.camera]
        if own:
            return own
        others = [mask for mask in self._masks if mask.camera not in self._cameras]
        # Several frames are several cameras, whose keyframes have yet to come.
        return others if len({mask.camera for mask in others}) == 1 else []

    def _passed(self, moment: Moment) -> bool:
        """Whether masks of later images have come."""
        return any(mask.stamp_ns > moment.stamp_ns + self._tolerance for mask in self._fitting(moment))

    def _nearest(self, moment: Moment) -> Moment | None:
        near = [mask for mask in self._fitting(moment) if abs(mask.stamp_ns - moment.stamp_ns) <= self._tolerance]
        if near and near[0].camera != moment.camera:
            rivals = {other.camera for other in self._keyframes if abs(other.stamp_ns - moment.stamp_ns) <= self._tolerance}
            if len(rivals | {moment.camera}) > 1 or len({mask.camera for mask in near}) > 1:
                return None
        return min(near, key=lambda mask: abs(mask.stamp_ns - moment.stamp_ns), default=None)
