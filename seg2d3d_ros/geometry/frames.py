"""Where the sensors are on the vehicle: a tree of named frames, as TF tells it."""

from __future__ import annotations

from collections import deque
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from seg2d3d_ros.errors import DataError


class FrameTree:
    """Transforms between frames that do not move against each other.

    A static transform replaces one from ``/tf``; of the latter the first is kept. Names are taken without a leading slash.
    """

    def __init__(self) -> None:
        self._links: dict[tuple[str, str], tuple[bool, np.ndarray]] = {}

    def add(self, parent: str, child: str, parent_from_child: np.ndarray, *, static: bool = True) -> None:
        """Learn a transform, (4, 4)."""
        key = (parent.lstrip("/"), child.lstrip("/"))
        if static or key not in self._links:
            self._links[key] = (static, np.asarray(parent_from_child, float))

    def add_message(self, message: Any, *, static: bool) -> None:
        """Learn from a ``tf2_msgs/TFMessage``; transforms that are none (no unit quaternion) are left out."""
        for item in message.transforms:
            turn, shift = item.transform.rotation, item.transform.translation
            quaternion = np.array([turn.x, turn.y, turn.z, turn.w])
            values = np.array([shift.x, shift.y, shift.z])
            if np.isfinite([*quaternion, *values]).all() and abs(np.linalg.norm(quaternion) - 1.0) < 1e-2:
                pose = np.eye(4)
                pose[:3, :3], pose[:3, 3] = Rotation.from_quat(quaternion).as_matrix(), values
                self.add(item.header.frame_id, item.child_frame_id, pose, static=static)

    def __len__(self) -> int:
        """How many transforms are known."""
        return len(self._links)

    def copy(self) -> FrameTree:
        """A tree that does not change when this one does."""
        tree = FrameTree()
        tree._links = dict(self._links)
        return tree

    @property
    def names(self) -> list[str]:
        """All frames."""
        return sorted({name for link in self._links for name in link})

    def root(self, name: str) -> str:
        """The frame above all others that ``name`` hangs from by static transforms."""
        name = name.lstrip("/")
        parents = {child: parent for (parent, child), (static, _) in self._links.items() if static}
        seen = {name}
        while (parent := parents.get(name)) is not None and parent not in seen:
            name = parent
            seen.add(name)
        return name

    def find(self, target: str, source: str) -> np.ndarray | None:
        """(4, 4) ``target_from_source``, or None where the two are not connected.

        Ways over static transforms alone are preferred.
        """
        target, source = target.lstrip("/"), source.lstrip("/")
        for only_static in (True, False):
            found = self._search(target, source, only_static)
            if found is not None:
                return found
        return None

    def get(self, target: str, source: str) -> np.ndarray:
        """(4, 4) ``target_from_source``.

        Raises:
            DataError: the two are not connected.
        """
        found = self.find(target, source)
        if found is None:
            known = ", ".join(self.names) or "none"
            raise DataError(
                f"no transform between {source!r} and {target!r} (frames: {known}): record or publish it on /tf_static, "
                "e.g. with 'ros2 run tf2_ros static_transform_publisher'"
            )
        return found

    def _search(self, target: str, source: str, only_static: bool) -> np.ndarray | None:
        steps: dict[str, list[tuple[str, np.ndarray]]] = {}
        for (parent, child), (static, pose) in self._links.items():
            if static or not only_static:
                steps.setdefault(child, []).append((parent, pose))
                steps.setdefault(parent, []).append((child, np.linalg.inv(pose)))
        waiting, seen = deque([(source, np.eye(4))]), {source}
        while waiting:
            name, name_from_source = waiting.popleft()
            if name == target:
                return name_from_source
            for other, other_from_name in steps.get(name, []):
                if other not in seen:
                    seen.add(other)
                    waiting.append((other, other_from_name @ name_from_source))
        return None
