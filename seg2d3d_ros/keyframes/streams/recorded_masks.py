"""The masks of a recording, matched with the keyframes by camera and stamp."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np

from seg2d3d_ros.errors import DataError
from seg2d3d_ros.findings import Finding, Kind
from seg2d3d_ros.images import decode_labels, encode_png
from seg2d3d_ros.keyframes.streams.mask_matching import MaskMatching, Moment
from seg2d3d_ros.recording.label_messages import labels_from_message

MASKS_UNREADABLE = Kind(
    "recorded_masks_unreadable",
    "recorded masks that cannot be read and were left out",
    cause="{reason}",
    remedy="publish masks as mono16, class_id * 1000 + k",
)
MASKS_TOO_LATE = Kind(
    "recorded_masks_late",
    "recorded masks that came after their keyframe had gone on",
    cause="they were recorded up to {seconds:.0f} s after their images; a keyframe waits for {patience:g} s",
    remedy="sort the recording by the headers' stamps, or write the masks as files and give --segments",
)
_KEPT = 5000
"""Masks that wait at most; old ones are forgotten before."""


class RecordedMasks:
    """Label images wait, as PNG, for the decision about their image: a hundredth of the memory.

    Args:
        topics: the masks' topic by camera name.
        tolerance: seconds between the stamps of a mask and its image.
        patience: seconds that a keyframe waits for its masks.
    """

    def __init__(self, topics: Mapping[str, str], tolerance: float, patience: float) -> None:
        self._topics, self._patience = topics, patience
        self._matching = MaskMatching(tolerance, _KEPT, topics)
        self._found: dict[Moment, bytes] = {}
        self._gone: dict[Moment, int] = {}
        self._read: Counter[str] = Counter()
        self._unreadable: Counter[str] = Counter()
        self._why: dict[str, str] = {}
        self._late = 0
        self._latest_ns = 0

    def __len__(self) -> int:
        """Masks that wait."""
        return len(self._matching) + len(self._found)

    @property
    def read(self) -> int:
        """Masks that could be read."""
        return self._read.total()

    @property
    def unreadable(self) -> int:
        """Masks that could not."""
        return self._unreadable.total()

    def add(self, camera: str, stamp_ns: int, message: Any, log_ns: int) -> None:
        """A mask of a camera."""
        topic = self._topics[camera]
        try:
            encoded = encode_png(labels_from_message(message, topic))
        except DataError as error:
            self._unreadable[topic] += 1
            self._why.setdefault(topic, str(error).removeprefix(f"{topic}: "))
            return
        self._read[topic] += 1
        for moment, mask in self._matching.mask(Moment(camera, stamp_ns), encoded):
            if (gone_ns := self._gone.pop(moment, None)) is None:
                self._found[moment] = mask
            else:
                self._late += 1
                self._latest_ns = max(self._latest_ns, log_ns - gone_ns)

    def await_for(self, camera: str, stamp_ns: int) -> None:
        """A keyframe was chosen."""
        moment = Moment(camera, stamp_ns)
        if (mask := self._matching.keyframe(moment)) is not None:
            self._found[moment] = mask

    def is_there(self, camera: str, stamp_ns: int) -> bool:
        """Whether a keyframe need not wait for its masks."""
        return camera not in self._topics or Moment(camera, stamp_ns) in self._found

    def take(self, camera: str, stamp_ns: int, log_ns: int) -> tuple[np.ndarray | None, str]:
        """A keyframe goes on, chosen or recorded at ``log_ns``: its masks (H, W) uint16, or None and why there are none."""
        if camera not in self._topics:
            return None, ""
        moment = Moment(camera, stamp_ns)
        encoded = self._found.pop(moment, None) or self._matching.settle(moment)
        if encoded is not None:
            return decode_labels(encoded, self._topics[camera]), ""
        self._gone[moment] = log_ns
        return None, self._reason(moment)

    def forget(self, camera: str, before_ns: int) -> None:
        """Drop the masks of a camera's images before a time."""
        self._matching.forget(camera, before_ns)

    def findings(self) -> list[Finding]:
        """What there is to say; kinds that do not apply have the count 0."""
        words = "; ".join(f"{topic} {count}: {self._why[topic]}" for topic, count in self._unreadable.items())
        late = {"seconds": self._latest_ns * 1e-9, "patience": self._patience}
        return [
            Finding(MASKS_UNREADABLE, self.unreadable, self.read + self.unreadable, (), {"reason": words}),
            Finding(MASKS_TOO_LATE, self._late, self.read, (), late),
        ]

    def _reason(self, moment: Moment) -> str:
        topic = self._topics[moment.camera]
        if not self._read[topic]:
            return f"{topic} has no mask that can be read" if self._unreadable[topic] else f"nothing came on {topic} by then"
        return self._matching.why_not(moment) or f"{topic} has no mask of that moment"
