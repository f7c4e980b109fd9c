"""Where images are by GPS and odometry, how large models are by these, and models moved to where their images were."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property

import numpy as np

from seg2d3d_ros.colmap import pycolmap
from seg2d3d_ros.findings import EXAMPLES, NOTE, Finding, Findings, Kind
from seg2d3d_ros.geometry import wgs84
from seg2d3d_ros.geometry.attitude import FLU_FROM_CAMERA
from seg2d3d_ros.geometry.pose import Pose
from seg2d3d_ros.geometry.similarity import Similarity
from seg2d3d_ros.geometry.up import Up, Z, rotation_between
from seg2d3d_ros.geometry.vertical.camera_up import UNTOLD, Held, held_as
from seg2d3d_ros.geometry.vertical.verticals import verticals
from seg2d3d_ros.reconstruction.database import FeatureDatabase, ImageRow
from seg2d3d_ros.reconstruction.world import odometry_scale
from seg2d3d_ros.reconstruction.world.georeference import Fit, Scale, fit_upright
from seg2d3d_ros.reconstruction.world.given_attitudes import up_by_attitudes
from seg2d3d_ros.reconstruction.world.levers import camera_positions
from seg2d3d_ros.reconstruction.world.position_residuals import PositionResiduals, position_residuals
from seg2d3d_ros.reconstruction.world.rolled_images import tell_rolled, tell_upside_down
from seg2d3d_ros.reconstruction.world.scale_certainty import combined, sigma_by_positions, tell_uncertain
from seg2d3d_ros.sections.reconstruction_config import ReconstructionConfig
from seg2d3d_ros.types import SparseModel, WorldFrame

NOT_GEOREFERENCED = Kind(
    "not_georeferenced",
    "models of arbitrary scale and orientation",
    cause="{reason}",
    remedy="give positions of at least four images that are farther apart than the positions' errors, or the cameras' mounts",
)
ALTITUDE_UNKNOWN = Kind(
    "altitude_unknown",
    "positions without an altitude",
    cause="they are used east and north only, heights come from {reference}",
    remedy="record altitudes if heights above the ellipsoid matter",
    level=NOTE,
)
UP_ASSUMED = Kind(
    "up_assumed",
    "models whose vertical is as their cameras were held",
    cause="nothing else tells it: the positions lie along too straight a line for their errors",
    remedy="if pictures stand on their side or head, turn them or give the cameras' mounts (TF, --rig), else the map lies as "
    "they do; nothing need be done where they stand upright",
    level=NOTE,
)
UP = (0.0, 0.0, 1.0)
FRAME_KEPT = Kind(
    "given_frame_kept",
    "positions that are not used",
    cause="what was given, a {what}, keeps its own frame and scale",
    remedy="bring it to east, north, up before (COLMAP's model_aligner; poses with latitude and longitude), or run without it",
    level=NOTE,
)
LEVER_ROUNDS = 4
"""Fits after that of the antenna's positions for the cameras': levers turn with the model, each time by a tenth as much."""
ODOMETRY_SIGMA = 0.03
"""Relative standard deviation of a model's scale by wheels."""


class Locator:
    """What is known of where some images were taken.

    Args:
        database: of the map; its datum is chosen as soon as there are enough positions, and stays.
        rows: the images.
        config: which positions are good enough.
        mounts: camera name -> ``base_from_camera``; None = as the keyframes said.
        antenna: (3,) metres, where positions are measured on the vehicle; None = at the cameras.

    Attributes:
        world: the frame of ``positions``: east, north, up of a datum, or that of given poses; None without positions.
        positions: image id -> (3,) metres east, north, up by GPS, or the places of poses in a frame of their own (whose
            unit counts as metres). Where the altitude is unknown, up is the median of the known ones, or 0.
        heights: ids of the images whose altitude is known.
        sigmas: image id -> standard deviation of its position in metres.
        given: image id -> the pose that it was given.
    """

    def __init__(
        self,
        database: FeatureDatabase,
        rows: Sequence[ImageRow],
        config: ReconstructionConfig,
        mounts: Mapping[str, Pose] | None = None,
        antenna: np.ndarray | None = None,
    ) -> None:
        self._database, self._rows, self._seed = database, rows, config.seed
        self._given_mounts, self._antenna = mounts, antenna
        sigmas = {row.image_id: row.geo.sigma for row in rows if row.geo is not None}
        known = {row.image_id: row.geo for row in rows if row.geo and sigmas[row.image_id] <= config.max_gps_sigma}
        ids = {row.image_id for row in rows}
        self.given = {image_id: given for image_id, given in database.given_poses().items() if image_id in ids}
        self.world: WorldFrame | None = None
        self.positions: dict[int, np.ndarray] = {}
        if own := {i: given for i, given in self.given.items() if given.position is not None}:
            self.world = WorldFrame("metric" if all(given.metric for given in own.values()) else "arbitrary", given=True)
            self.positions = {i: given.position for i, given in own.items() if given.position is not None}
            self.heights, self.sigmas = set(own), {i: given.sigma for i, given in own.items()}
            return
        datum = database.datum()
        if datum is None and len(known) >= wgs84.DATUM_POSITIONS:
            datum = wgs84.choose_datum(list(known.values()))
            database.set_datum(datum)
        if datum is not None:
            self.world = WorldFrame("enu", datum)
            metres = wgs84.to_enu(list(known.values()), datum)
            unknown = np.isnan(metres[:, 2])
            metres[unknown, 2] = np.median(metres[~unknown, 2]) if not unknown.all() else 0.0
            self.positions = dict(zip(known, metres, strict=True))
        self.heights = {image_id for image_id in self.positions if known[image_id].has_altitude}
        self.sigmas = {image_id: sigmas[image_id] for image_id in self.positions}

    @cached_property
    def mounts(self) -> Mapping[str, Pose]:
        """Camera name -> ``base_from_camera``; of views of panoramas (``loose``) that of the panorama's frame."""
        known = self._database.mounts() if self._given_mounts is None else self._given_mounts
        views = {}
        for name, (camera, panorama_from_view) in self._database.views().items():
            if name not in known:
                optical = Pose(FLU_FROM_CAMERA.T, np.zeros(3)) @ panorama_from_view
                views[name] = known[camera] @ optical if camera in known else panorama_from_view
        return {**known, **views}

    @cached_property
    def loose(self) -> frozenset[str]:
        """Cameras that are views of panoramas of which nobody said where they are on the vehicle."""
        known = self._database.mounts() if self._given_mounts is None else self._given_mounts
        views = self._database.views()
        return frozenset(name for name, (camera, _) in views.items() if name not in known and camera not in known)

    @cached_property
    def odometry(self) -> Mapping[int, np.ndarray]:
        """Image id -> (3,) metres by odometry."""
        return odometry_scale.positions(self._database.odometry(), self.mounts, self._rows)

    @cached_property
    def attitudes(self) -> Mapping[int, Mapping[str, np.ndarray]]:
        """Image id -> what its given rotation may mean -> (3, 3) ``world_from_camera``; see ``GivenPose.readings``."""
        return {i: given.readings(self.mounts.get(self._camera_of[i])) for i, given in self.given.items()}

    @cached_property
    def levers(self) -> Mapping[int, np.ndarray]:
        """Image id -> (3,) metres in the camera's frame, where its position was measured if that is not the camera: at the
        antenna, or at the vehicle's origin where poses are said to be the vehicle's."""
        found = {}
        for image_id in self.positions:
            mount, given = self.mounts.get(self._camera_of[image_id]), self.given.get(image_id)
            if mount is not None and given is not None and given.body == "vehicle":
                found[image_id] = mount.inverse().translation
            elif mount is not None and given is None and self._antenna is not None:
                found[image_id] = mount.inverse().apply(self._antenna[None])[0]
        return found

    @property
    def rotation_sigma(self) -> float:
        """Of the given rotations, in radians (median)."""
        return float(np.median([given.rotation_sigma for given in self.given.values()])) if self.given else 0.0

    @property
    def places(self) -> Mapping[int, np.ndarray]:
        """Image id -> (3,) metres for the search of neighbours: by GPS, or by odometry where there is no GPS."""
        return self.positions or self.odometry

    def scale(self, model: pycolmap.Reconstruction, by_rig: Scale | None = None) -> Scale | None:
        """A model's scale by the rig, where that is known, else by odometry; None where neither says."""
        if by_rig is not None:
            return by_rig
        known = self.odometry
        centers = {i: model.image(i).projection_center() for i in model.reg_image_ids()} if known else {}
        metres = odometry_scale.scale_by_odometry(centers, known, self._rows)
        return None if metres is None else Scale(metres, ODOMETRY_SIGMA)

    def best_scale(self, model: pycolmap.Reconstruction, by_rig: Scale | None = None) -> float | None:
        """Metres per model unit by all that is known, the rig or odometry and GPS, each weighed by its uncertainty."""
        scale = self.scale(model, by_rig)
        found = self.fit(model, scale).similarity
        if found is not None:
            return found.scale
        return None if scale is None else scale.factor

    def fit(self, model: pycolmap.Reconstruction, scale: Scale | None = None) -> Fit:
        """The similarity that takes a model to its images' GPS positions, or why there is none."""
        if self.world is None:
            return Fit(None, problem="there is no GPS")
        ids = sorted(model.reg_image_ids())
        poses = Pose.stack([Pose.from_colmap(model.image(i).cam_from_world()) for i in ids])
        located = [k for k, i in enumerate(ids) if i in self.positions]
        metres = np.array([self.positions[ids[k]] for k in located]).reshape(-1, 3)
        sigmas = np.array([self.sigmas[ids[k]] for k in located])
        heights = np.array([ids[k] in self.heights for k in located], bool)
        rest = sigmas, self._seed, scale, self.verticals(ids, poses), heights
        found = fit_upright(poses[located], metres, *rest)
        for _ in range(LEVER_ROUNDS if self.levers else 0):
            if found.similarity is None:
                break
            world_from_model = found.similarity.rotation  # tells the levers' directions
            turns = {ids[k]: poses[k].rotation @ world_from_model.T for k in located}
            moved = camera_positions({ids[k]: self.positions[ids[k]] for k in located}, self.levers, turns)
            found = fit_upright(poses[located], np.array([moved[ids[k]] for k in located]), *rest)
        return found

    def at_cameras(self, model: pycolmap.Reconstruction) -> dict[int, np.ndarray]:
        """Image id -> (3,) metres, where the cameras are by the positions, of a model in the positions' frame."""
        turns = {i: model.image(i).cam_from_world().rotation.matrix() for i in model.reg_image_ids()}
        return camera_positions(self.positions, self.levers, turns)

    def verticals(self, image_ids: Sequence[int], poses: Pose) -> list[Up]:
        """The verticals that a model's frame may have by its images (K,), the likeliest first."""
        known = [k for k, i in enumerate(image_ids) if i in self.attitudes]
        given = up_by_attitudes(poses[known], [self.attitudes[image_ids[k]] for k in known], self.rotation_sigma)
        return verticals(poses, [self._held.get(i, UNTOLD) for i in image_ids]) if given is None else [given]

    @cached_property
    def _camera_of(self) -> Mapping[int, str]:
        return {row.image_id: row.camera_name for row in self._rows}

    @cached_property
    def _held(self) -> Mapping[int, Held]:
        """Image id -> how its camera was held."""
        return {row.image_id: held_as(row.up, self.mounts.get(row.camera_name)) for row in self._rows}

    def tell_doubts(self, model: pycolmap.Reconstruction, findings: Findings, fit: Fit | None = None) -> None:
        """Say what does not come from GPS in a model that is in its frame: heights, and which way is up."""
        if self.world is not None and self.world.kind == "enu":
            tell_rolled(model, self._rows, self.mounts, findings)
        if len(self.heights) < len(self.positions):
            reference = "the other images" if self.heights else "nothing: heights in the map count from its cameras"
            count = len(self.positions) - len(self.heights)
            findings.put(Finding(ALTITUDE_UNKNOWN, count, len(self.positions), details={"reference": reference}))
        if self.world is not None and self.world.given:
            located = [row.name for row in self._rows if row.geo is not None]
            details = {"what": "trajectory or a set of poses"}
            findings.put(Finding(FRAME_KEPT, len(located), len(self._rows), tuple(located[:EXAMPLES]), details))
        if (fit or self.fit(model)).either_way_up:
            findings.add(UP_ASSUMED, self._shown(model))
            tell_upside_down(model, self._rows, self.mounts, findings, self._shown(model))

    def residuals(self, models: Sequence[SparseModel]) -> PositionResiduals | None:
        """How far the images of those models that are in the positions' frame lie from their positions."""
        placed = [model for model in models if model.frame == self.world]
        if not placed:
            return None
        name_of = {row.image_id: row.name for row in self._rows}
        poses = {name: pose for model in placed for name, pose in zip(model.names, model.pose, strict=True)}
        turns = {i: poses[name].rotation for i, name in name_of.items() if name in poses}
        positions = camera_positions(self.positions, self.levers, turns)
        return position_residuals(
            {name: pose.origin for name, pose in poses.items()},
            {row.name: row.camera_name for row in self._rows},
            {name_of[i]: position for i, position in positions.items()},
            {name_of[i]: sigma for i, sigma in self.sigmas.items()},
            {name_of[i] for i in self.heights},
            {row.name: row.stamp_ns for row in self._rows},
        )

    def _shown(self, model: pycolmap.Reconstruction) -> str:
        """A model in words: its images and the name of the first, as the person knows it."""
        ids = set(model.reg_image_ids())
        return f"{len(ids)} images from {min(row.file_name for row in self._rows if row.image_id in ids)}"

    def georeference(
        self, model: pycolmap.Reconstruction, scale: Scale | None, findings: Findings, *, level: bool = True
    ) -> WorldFrame:
        """Move a model to metres east, north, up by GPS; without GPS to metres where its scale is known.

        Without GPS z is up as the cameras are held (``geometry.up``), so that viewers show the model standing.

        Args:
            model: changed in place.
            scale: of the model, if it is known.
            findings: gets why a model keeps an arbitrary scale although there is GPS or a rig, and ``tell_doubts``.
            level: turn a model without GPS.
        """
        fit = self.fit(model, scale)
        if fit.similarity is not None and self.world is not None:
            model.transform(fit.similarity.to_colmap())
            self.tell_doubts(model, findings, fit)
            return self.frame_of(model, scale)
        upright = self._upright(model) if level else np.eye(3)
        model.transform(Similarity(1.0 if scale is None else scale.factor, upright, np.zeros(3)).to_colmap())
        tell_rolled(model, self._rows, self.mounts, findings)
        tell_upside_down(model, self._rows, self.mounts, findings, self._shown(model))
        if scale is not None:
            return WorldFrame("metric", up=UP, scale_sigma=scale.sigma)
        mounted = self.mounts.keys() - self.loose
        if self.world is not None or mounted:
            unknown = ", and the mounted cameras share no points that tell the scale" if mounted else ""
            findings.add(NOT_GEOREFERENCED, self._shown(model), reason=fit.problem + unknown)
        return WorldFrame(up=UP)

    def frame_of(self, model: pycolmap.Reconstruction, scale: Scale | None) -> WorldFrame:
        """The frame of the positions, with how well these and all else that is known tell the scale of a model in it.

        Args:
            model: in the positions' frame.
            scale: by the mounts or by odometry, if these tell it.
        """
        if self.world is None or self.world.kind == "arbitrary":
            return self.world or WorldFrame()
        at_cameras = self.at_cameras(model)
        order = sorted(self._rows, key=lambda row: (row.stamp_ns, row.name))
        there = at_cameras.keys() & set(model.reg_image_ids())
        ids = [row.image_id for row in order if row.image_id in there]
        centers = np.array([model.image(i).projection_center() for i in ids]).reshape(-1, 3)
        positions = np.array([at_cameras[i] for i in ids]).reshape(-1, 3)
        sigmas, heights = np.array([self.sigmas[i] for i in ids]), np.array([i in self.heights for i in ids], bool)
        by_positions = sigma_by_positions(centers, positions, sigmas, heights)
        return replace(self.world, scale_sigma=combined(by_positions, scale.sigma if scale else None))

    def tell_scales(self, models: Sequence[SparseModel], findings: Findings) -> None:
        """Say of which models the scale is poorly known, and by what it is."""
        ids = {row.name: row.image_id for row in self._rows}
        for model in models:
            own = [ids[name] for name in model.names if ids.get(name) in self.positions] if model.frame == self.world else []
            length = float(np.linalg.norm(np.ptp([self.positions[i] for i in own], axis=0))) if own else 0.0
            sigma = float(np.median([self.sigmas[i] for i in own])) if own else 0.0
            sources = (
                f"{len(own)} positions ({sigma:.2g} m) over {length:.0f} m" if own else "the cameras' mounts, or of odometry,"
            )
            tell_uncertain(model.frame.scale_sigma, sources, f"{len(model.names)} images from {min(model.names)}", findings)

    def _upright(self, model: pycolmap.Reconstruction) -> np.ndarray:
        """(3, 3) rotation that takes the model's vertical to the z axis."""
        ids = sorted(model.reg_image_ids())
        poses = Pose.stack([Pose.from_colmap(model.image(i).cam_from_world()) for i in ids])
        return rotation_between(self.verticals(ids, poses)[0].direction, Z)
