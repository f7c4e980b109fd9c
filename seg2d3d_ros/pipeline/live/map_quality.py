"""The quality of a live map, looked at with each revision: told while the vehicle can still drive a stretch again."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from seg2d3d_ros.findings import Findings
from seg2d3d_ros.mapstore.records import KeyframeRecord
from seg2d3d_ros.pipeline.live.camera_watch import CameraWatch
from seg2d3d_ros.pipeline.live.registration_trend import RegistrationTrend
from seg2d3d_ros.reconstruction.reconstructor import Reconstruction


class MapQuality:
    """Of one map; a new one begins with another.

    Args:
        findings: gets what is doubtful at present.
    """

    def __init__(self, findings: Findings) -> None:
        self._findings = findings
        self._seen: Reconstruction | None = None
        self._trend, self._cameras = RegistrationTrend(), CameraWatch()
        self._values: dict[str, str] = {}

    def look(
        self, reconstruction: Reconstruction | None, records: Mapping[str, KeyframeRecord], taken: Collection[str]
    ) -> dict[str, str]:
        """Values for diagnostics; looked at anew with another revision only.

        Args:
            records: of all keyframes, in the order of their arrival.
            taken: names of those that the reconstruction was given.
        """
        if reconstruction is None or reconstruction is self._seen:
            return self._values
        self._seen = reconstruction
        names = [name for name in records if name in taken]
        share, sinks = self._trend.look(names, {name for model in reconstruction.models for name in model.names})
        images: dict[str, list[str]] = {}
        for name in names:
            images.setdefault(records[name].camera_name, []).append(name)
        calibrated = {camera: records[keyframes[-1]].camera is not None for camera, keyframes in images.items()}
        self._cameras.look(reconstruction.models, images, calibrated)
        for finding in (sinks, *self._cameras.findings()):
            self._findings.put(finding)
        self._values = self._cameras.values()
        if share is not None:
            self._values["registration ratio of the newest"] = f"{share:.3f}"
        return self._values
