"""Which images of a stream become keyframes: one, the sharpest, for each place."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import numpy as np

from seg2d3d_ros.errors import DataError
from seg2d3d_ros.images import decode_small_gray
from seg2d3d_ros.keyframes.motion import SHARPNESS_WIDTH, MotionView, motion, sharpness
from seg2d3d_ros.sections.keyframe_config import KeyframeConfig
from seg2d3d_ros.types import Keyframe

log = logging.getLogger(__name__)

Payload = TypeVar("Payload")

_SHARPER = 1.2  # a sharper image must be clearly so; the first of equals stays, which keeps the spacing even
_WINDOW = 0.5  # images within this share of min_motion after the first of a place compete to be its keyframe
_JUMP_NS = 1_000_000_000  # a stamp that far before the last one is a restarted recording, not a late message


@dataclass
class SelectionCounts:
    """What became of the images. ``seen`` is the sum of all but ``restarts``, and of those still undecided."""

    seen: int = 0
    kept: int = 0
    redundant: int = 0
    undecodable: int = 0
    repeated: int = 0
    late: int = 0
    restarts: int = 0


@dataclass
class _Candidate(Generic[Payload]):
    stamp_ns: int
    view: MotionView
    sharpness: float
    payload: Payload


@dataclass
class _Camera(Generic[Payload]):
    """The state of one camera: the last keyframe, and the images that compete to be the next one."""

    last: MotionView | None = None
    last_ns: int = 0
    place: MotionView | None = None
    place_ns: int = 0
    best: _Candidate[Payload] | None = None
    newest_ns: int = -1
    kept_ns: set[int] = field(default_factory=set)


class ImageSelector(Generic[Payload]):
    """Chooses among the images of several cameras, each by itself; pure, without threads or clocks.

    A place begins with an image that moved by ``min_motion`` against the last keyframe (or can no longer be tracked from
    it). The images within the next half ``min_motion`` compete; the sharpest becomes the keyframe as soon as an image lies
    beyond, ``max_wait`` is over, or on ``flush``. So keyframes lie at least ``min_motion`` apart, no place is lost to blur,
    and images that are that far apart anyway are all kept.

    The payload is what comes back for a chosen image; at most one per camera is held.
    """

    def __init__(self, config: KeyframeConfig):
        self._config = config
        self._cameras: dict[str, _Camera[Payload]] = {}
        self.counts = SelectionCounts()

    def offer(self, camera: str, stamp_ns: int, gray: Callable[[], np.ndarray], payload: Payload) -> list[Payload]:
        """Look at one image.

        Args:
            camera: its camera's name.
            stamp_ns: capture time. A stamp that was kept before (a looping bag) or that is the newest already is refused as
                ``repeated``, one a little older than the newest as ``late``; one far older starts the camera afresh.
            gray: makes the (H, W) uint8 grey image, 640 pixels wide or more where there are so many; called if needed.
            payload: what to give back if the image is chosen.

        Returns:
            The payloads that are chosen now, in order of time.
        """
        self.counts.seen += 1
        state = self._cameras.setdefault(camera, _Camera())
        if state.newest_ns - _JUMP_NS < stamp_ns <= state.newest_ns:
            if stamp_ns == state.newest_ns:
                self.counts.repeated += 1
            else:
                self.counts.late += 1
            return []
        try:
            pixels = gray()
        except DataError as error:
            self.counts.undecodable += 1
            log.warning("left out: %s", error)
            return []
        chosen: list[Payload] = []
        if stamp_ns < state.newest_ns:
            self.counts.restarts += 1
            log.warning("camera %s: time jumps back by %.1f s", camera, (state.newest_ns - stamp_ns) * 1e-9)
            chosen += self._decide(state)
            state.last = None
        state.newest_ns = stamp_ns
        view = MotionView(pixels)
        if stamp_ns in state.kept_ns:
            self.counts.repeated += 1
            chosen += self._decide(state)
            state.last, state.last_ns = view, stamp_ns
            return chosen
        return chosen + self._compete(state, _Candidate(stamp_ns, view, sharpness(pixels), payload))

    def flush(self) -> list[Payload]:
        """Decide what is open: the images chosen at the end of the stream, or when somebody asks for all of it."""
        return [payload for state in self._cameras.values() for payload in self._decide(state)]

    def _compete(self, state: _Camera[Payload], image: _Candidate[Payload]) -> list[Payload]:
        chosen: list[Payload] = []
        if state.best is not None and state.place is not None:
            waited = (image.stamp_ns - state.place_ns) * 1e-9
            if waited < self._config.max_wait and motion(state.place, image.view) < _WINDOW * self._config.min_motion:
                self.counts.redundant += 1
                if image.sharpness > _SHARPER * state.best.sharpness:
                    state.best = image
                return []
            chosen = self._decide(state)
        if self._is_new(state, image):
            state.place, state.place_ns, state.best = image.view, image.stamp_ns, image
        else:
            self.counts.redundant += 1
        return chosen

    def _is_new(self, state: _Camera[Payload], image: _Candidate[Payload]) -> bool:
        if state.last is None:
            return True
        overdue = 0 < self._config.max_interval <= (image.stamp_ns - state.last_ns) * 1e-9
        return overdue or motion(state.last, image.view) >= self._config.min_motion

    def _decide(self, state: _Camera[Payload]) -> list[Payload]:
        if (best := state.best) is None:
            return []
        state.last, state.last_ns, state.best, state.place = best.view, best.stamp_ns, None, None
        state.kept_ns.add(best.stamp_ns)
        self.counts.kept += 1
        return [best.payload]


def small_gray(keyframe: Keyframe) -> np.ndarray:
    """The image in grey, as small as the decoder can make it without falling below 640 pixels' width.

    Raises:
        DataError: it cannot be decoded.
    """
    source = keyframe.source or keyframe.name
    width, _ = keyframe.size
    return decode_small_gray(keyframe.encoded, next((r for r in (8, 4, 2) if width >= r * SHARPNESS_WIDTH), 1), source)
