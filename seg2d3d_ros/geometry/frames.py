"""Where the sensors are on the vehicle: a tree of named frames, as TF tells it."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any

from seg2d3d_ros.errors import DataError
from seg2d3d_ros.geometry.pose import Pose


class FrameTree:
    """Transforms between frames that do not move against each other.

    A static transform replaces one from ``/tf``; of the latter the first is kept. Names are taken without a leading slash.
    """

    def __init__(self) -> None:
        self._links: dict[tuple[str, str], tuple[bool, Pose]] = {}

    def add(self, parent: str, child: str, parent_from_child: Pose, *, static: bool = True) -> None:
        """Learn a transform."""
        key = (parent.lstrip("/"), child.lstrip("/"))
        if static or key not in self._links:
            self._links[key] = (static, parent_from_child)

    def add_message(self, message: Any, *, static: bool) -> None:
        """Learn from a ``tf2_msgs/TFMessage``; transforms that are none (no unit quaternion) are left out."""
        for item in message.transforms:
            pose = Pose.from_ros(item.transform.translation, item.transform.rotation)
            if pose is not None:
                self.add(item.header.frame_id, item.child_frame_id, pose, static=static)

    def __len__(self) -> int:
        """How many transforms are known."""
        return len(self._links)

    def copy(self) -> FrameTree:
        """A tree that does not change when this one does."""
        tree = FrameTree()
        tree._links = dict(self._links)
        return tree

    def root(self, name: str) -> str:
        """The frame above all others that ``name`` hangs from by static transforms."""
        name = name.lstrip("/")
        parents = {child: parent for (parent, child), (static, _) in self._links.items() if static}
        seen = {name}
        while (parent := parents.get(name)) is not None and parent not in seen:
            name = parent
            seen.add(name)
        return name

    def find(self, target: str, source: str) -> Pose | None:
        """``target_from_source``, or None where the two are not connected.

        Ways over static transforms alone are preferred.
        """
        target, source = target.lstrip("/"), source.lstrip("/")
        for only_static in (True, False):
            found = self._search(target, source, only_static)
            if found is not None:
                return found
        return None

    def get(self, target: str, source: str) -> Pose:
        """``target_from_source``.

        Raises:
            DataError: the two are not connected.
        """
        found = self.find(target, source)
        if found is None:
            known = ", ".join(sorted({name for link in self._links for name in link})) or "none"
            raise DataError(
                f"no transform between {source!r} and {target!r} (frames: {known}): record or publish it on /tf_static, "
                "e.g. with 'ros2 run tf2_ros static_transform_publisher'"
            )
        return found

    def mounts(self, frame_of_camera: Mapping[str, str], base: str = "") -> dict[str, Pose]:
        """Camera name -> ``base_from_camera``, of the cameras whose place is known.

        Args:
            frame_of_camera: camera name -> frame_id.
            base: the vehicle's frame, as odometry names it; without it the frame that all others hang from (``base_link``
                on most vehicles): cameras relative to each other are all that a rig needs.
        """
        for candidate in dict.fromkeys([base, *(self.root(frame) for _, frame in sorted(frame_of_camera.items()))]):
            found = {name: self.find(candidate, frame) for name, frame in frame_of_camera.items()} if candidate else {}
            mounts = {name: pose for name, pose in found.items() if pose is not None}
            alone = [frame for name, frame in frame_of_camera.items() if name in mounts] == [candidate]
            if len(mounts) > 1 or (mounts and len(frame_of_camera) == 1 and not alone):
                return mounts
        return {}

    def _search(self, target: str, source: str, only_static: bool) -> Pose | None:
        steps: dict[str, list[tuple[str, Pose]]] = {}
        for (parent, child), (static, pose) in self._links.items():
            if static or not only_static:
                steps.setdefault(child, []).append((parent, pose))
                steps.setdefault(parent, []).append((child, pose.inverse()))
        waiting, seen = deque([(source, Pose.identity())]), {source}
        while waiting:
            name, name_from_source = waiting.popleft()
            if name == target:
                return name_from_source
            for other, other_from_name in steps.get(name, []):
                if other not in seen:
                    seen.add(other)
                    waiting.append((other, other_from_name @ name_from_source))
        return None
