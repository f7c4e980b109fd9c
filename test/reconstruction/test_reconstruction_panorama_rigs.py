"""The views of a panorama are one frame: whatever their stamps and names say, and whatever is known of the vehicle."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from seg2d3d_ros.errors import UsageError
from seg2d3d_ros.geometry.attitude import FLU_FROM_CAMERA
from seg2d3d_ros.geometry.given_pose import GivenPose
from seg2d3d_ros.geometry.panorama.equirectangular import Equirectangular
from seg2d3d_ros.geometry.panorama.panorama_view import PanoramaView
from seg2d3d_ros.geometry.pose import Pose
from seg2d3d_ros.images import encode_jpeg
from seg2d3d_ros.keyframes.panoramas.panorama_cutting import cut_panorama, views_of
from seg2d3d_ros.reconstruction.database import FeatureDatabase, Features, ImageRow
from seg2d3d_ros.reconstruction.features.camera_masks import CameraMasks
from seg2d3d_ros.reconstruction.features.pairs import candidate_pairs, partners_of
from seg2d3d_ros.reconstruction.features.place_recognition import PlaceRecognition
from seg2d3d_ros.reconstruction.rigs.moments import find_moments
from seg2d3d_ros.reconstruction.rigs.rig_frames import make_rig
from seg2d3d_ros.reconstruction.world.locator import Locator
from seg2d3d_ros.sections.reconstruction_config import ReconstructionConfig
from seg2d3d_ros.types import Keyframe

TAGS = ("000", "090", "180", "270")
SECOND = 1_000_000_000


def panorama_rows(names, camera="cam", stamp=0, first=1):
    """The views of some panoramas, all with one stamp."""
    return [
        ImageRow(first + 4 * n + k, k + 1, f"{name}_{tag}", f"{name}_{tag}.jpg", f"{camera}_{tag}", stamp, 100, None, name)
        for n, name in enumerate(names)
        for k, tag in enumerate(TAGS)
    ]


def mounts(camera="cam"):
    shape = Equirectangular(64, 32)
    views = [PanoramaView("p", camera, "", "", shape, k, 4) for k in range(4)]
    return {f"{camera}_{view.tag}": view.panorama_from_view for view in views}


def names_of(frames):
    return sorted(sorted(row.name for row in frame) for frame in frames)


class TestMoments:
    @pytest.mark.parametrize("stamp", [0, 5 * SECOND])
    @pytest.mark.parametrize("pairing", ["auto", "time", "stem", "order"])
    def test_each_panorama_is_a_moment(self, stamp, pairing):
        rows = panorama_rows(["a", "b"], stamp=stamp)
        rows.remove(rows[4])  # a view without features
        whole = [sorted(row.name for row in rows if row.panorama == name) for name in "ab"]
        assert names_of(find_moments(rows, 0.005, pairing)) == whole

    def test_other_cameras_belong_to_a_panoramas_moment(self):
        left = ImageRow(99, 9, "left_1", "left_1.jpg", "left", SECOND, 100, None)
        (moment,) = find_moments([*panorama_rows(["a"], stamp=SECOND), left], 0.005)
        assert len(moment) == 5


class TestRig:
    def test_views_are_exact_and_at_one_place(self):
        rig = make_rig(mounts(), panorama_rows(["a", "b"]), 0.005, refine=True)
        assert rig.exact
        assert not rig.has_length
        assert not rig.refine
        assert rig.companions({2}) == {1, 2, 3, 4}

    def test_cameras_whose_places_are_unknown_make_no_common_frame(self):
        rows = panorama_rows(["a"], "front", SECOND) + panorama_rows(["b"], "rear", SECOND, first=11)
        known = {**mounts("front"), **mounts("rear")}
        loose = make_rig(known, rows, 0.005, refine=False, loose=set(known))
        assert names_of(loose.frames) == [[f"a_{tag}" for tag in TAGS], [f"b_{tag}" for tag in TAGS]]
        together = make_rig(known, rows, 0.005, refine=False)
        assert [len(frame) for frame in together.frames] == [8]
        assert not together.exact

    def test_mounts_with_a_length_are_not_free_of_scale(self):
        known = {**mounts(), "left": Pose(np.eye(3), np.array([0.0, 0.5, 0.0]))}
        left = ImageRow(99, 9, "left_1", "left_1.jpg", "left", SECOND, 100, None)
        assert make_rig(known, [*panorama_rows(["a"], stamp=SECOND), left], 0.005, refine=False).has_length


class TestMounts:
    @pytest.fixture
    def database(self, tmp_path):
        database = FeatureDatabase(tmp_path / "database.db")
        panorama = Keyframe("p", "cam", 0, encode_jpeg(np.zeros((64, 128, 3), np.uint8)), file_name="p.jpg")
        nothing = Features(1, 1, np.zeros((0, 4), np.float32), np.zeros((0, 128), np.uint8), np.zeros((0, 3), np.uint8))
        for view in cut_panorama(panorama, views_of(panorama, Equirectangular(128, 64), 4)):
            database.add_image(view, database.camera_id(view.camera_name, view.camera), nothing)
        yield database
        database.close()

    def locator(self, database, given=None):
        return Locator(database, database.images(), ReconstructionConfig(), given)

    def test_without_a_mount_the_panoramas_frame_is_the_base(self, database):
        locator = self.locator(database)
        assert {row.panorama for row in database.images()} == {"p"}
        assert locator.loose == {f"cam_{tag}" for tag in TAGS}
        ahead = locator.mounts["cam_090"].rotation @ [0.0, 0.0, 1.0]
        assert ahead == pytest.approx([0.0, -1.0, 0.0], abs=1e-12)

    def test_a_mount_of_the_panoramas_camera_holds_for_its_views(self, database):
        turned = Pose(FLU_FROM_CAMERA @ np.diag([-1.0, 1.0, -1.0]), np.array([1.0, 2.0, 3.0]))  # looks back
        locator = self.locator(database, {"cam": turned})
        assert not locator.loose
        mount = locator.mounts["cam_000"]
        assert mount.translation == pytest.approx([1.0, 2.0, 3.0])
        assert mount.rotation @ [0.0, 0.0, 1.0] == pytest.approx([-1.0, 0.0, 0.0], abs=1e-12)
        assert mount.rotation @ [0.0, -1.0, 0.0] == pytest.approx([0.0, 0.0, 1.0], abs=1e-12)  # upright

    def test_the_mount_of_a_keyframe_is_that_of_its_view(self):
        mounted = Pose(FLU_FROM_CAMERA, np.array([0.0, 0.0, 2.0]))
        panorama = Keyframe("p", "cam", 0, encode_jpeg(np.zeros((64, 128, 3), np.uint8)), mount=mounted)
        views = list(cut_panorama(panorama, views_of(panorama, Equirectangular(128, 64), 4)))
        assert views[1].mount.rotation == pytest.approx(views[1].view.panorama_from_view.rotation, abs=1e-12)
        assert views[1].mount.translation == pytest.approx([0.0, 0.0, 2.0])


class TestGivenPoses:
    @pytest.mark.parametrize(
        ("axes", "body"), [("optical", "camera"), ("optical", "auto"), ("ned", "camera"), ("ned", "auto"), ("ned", "vehicle")]
    )
    def test_a_panoramas_pose_is_turned_to_its_views(self, axes, body):
        """A panorama whose middle column looks north, level: its view 90° to the right looks east."""
        optical = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, -1.0, 0.0]])
        rotation = optical if axes == "optical" else optical @ FLU_FROM_CAMERA.T
        given = GivenPose(rotation, None, axes, body, 1.0, 0.01)
        panorama = Keyframe("p", "cam", 0, encode_jpeg(np.zeros((64, 128, 3), np.uint8)), given=given)
        right = list(cut_panorama(panorama, views_of(panorama, Equirectangular(128, 64), 4)))[1]
        (world_from_view, *_) = right.given.readings(right.view.panorama_from_view).values()
        assert world_from_view @ [0.0, 0.0, 1.0] == pytest.approx([1.0, 0.0, 0.0], abs=1e-12)
        assert world_from_view @ [0.0, -1.0, 0.0] == pytest.approx([0.0, 0.0, 1.0], abs=1e-12)


class TestPairs:
    rows = tuple(replace(row, stamp_ns=SECOND * (1 + n // 4)) for n, row in enumerate(panorama_rows("abcdefgh")))
    recognition = PlaceRecognition(lambda i, n: np.random.default_rng(i).integers(0, 255, (50, 128)).astype(np.uint8), 0)

    @pytest.mark.parametrize("most", [8, 100])
    def test_views_of_one_panorama_are_not_matched(self, most):
        panorama = {row.image_id: row.panorama for row in self.rows}
        positions = {row.image_id: np.array([float(ord(row.panorama)), 0.0, 0.0]) for row in self.rows}
        pairs = candidate_pairs(self.rows, positions, self.recognition, most)
        assert len(pairs) > 50
        assert not [pair for pair in pairs if panorama[pair[0]] == panorama[pair[1]]]
        found = partners_of(self.rows[5], self.rows, positions, self.recognition, 6)
        assert {panorama[i] for i in found}.isdisjoint({self.rows[5].panorama})
        assert {2, 10} <= set(found)  # the same view before and after


class TestMasks:
    def test_a_panoramas_mask_is_cut_into_its_views(self, tmp_path):
        mask = np.full((64, 128), 255, np.uint8)
        mask[40:, 56:72] = 0  # the bonnet, ahead
        Image.fromarray(mask).save(tmp_path / "cam.png")
        panorama = Keyframe("p", "cam", 0, encode_jpeg(np.zeros((64, 128, 3), np.uint8)))
        ahead, right, *_ = cut_panorama(panorama, views_of(panorama, Equirectangular(128, 64), 4))
        masks = CameraMasks(tmp_path)
        ignored = masks.of_keyframe(ahead)
        assert ignored.shape == ahead.size[::-1]
        assert ignored[-1, ignored.shape[1] // 2]
        assert not ignored[0].any()
        assert not masks.of_keyframe(right).any()
        small = tmp_path / "small.png"
        Image.fromarray(mask[::2, ::2]).save(small)
        with pytest.raises(UsageError, match="64×32, the images of camera 'cam' are 128×64"):
            CameraMasks(small).of_keyframe(ahead)
