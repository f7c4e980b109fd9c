"""Panoramas: recognised, cut into views, and put together again."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
from PIL import Image

from seg2d3d_ros.errors import DataError
from seg2d3d_ros.findings import Findings
from seg2d3d_ros.geometry.panorama.equirectangular import Equirectangular
from seg2d3d_ros.geometry.panorama.panorama_view import ABOVE, BELOW, PanoramaView
from seg2d3d_ros.images import decode_rgb, write_labels
from seg2d3d_ros.keyframes.folder import read_folder
from seg2d3d_ros.keyframes.panoramas.panorama import PanoramaNote, looks_like_panorama, read_note, shape_of
from seg2d3d_ros.keyframes.panoramas.panorama_cutting import PANORAMAS, PANORAMAS_NOT_READ
from seg2d3d_ros.mapstore.panoramas import panorama_boxes, panorama_labels
from seg2d3d_ros.sections.keyframe_config import KeyframeConfig
from seg2d3d_ros.sections.segmentation_config import SegmentationConfig
from seg2d3d_ros.segmentation.factory import create_segmenter
from seg2d3d_ros.segmentation.files.panorama_masks import BEYOND_VIEWS

NOTE = '<x:xmpmeta><rdf:Description xmlns:GPano="http://ns.google.com/photos/1.0/panorama/" {}/></x:xmpmeta>'


def note(projection="equirectangular", **numbers):
    """The XMP that cameras write."""
    facts = "".join(f' GPano:{name}="{value}"' for name, value in numbers.items())
    return NOTE.format(f'GPano:ProjectionType="{projection}"{facts}').encode()


def sizes(full, cropped, top=0):
    names = ("FullPanoWidthPixels", "FullPanoHeightPixels", "CroppedAreaImageWidthPixels", "CroppedAreaImageHeightPixels")
    return {**dict(zip(names, (*full, *cropped), strict=True)), "CroppedAreaTopPixels": top}


def colours(shape):
    """A smooth panorama whose colour at each place is known by the direction: (H, W, 3) uint8."""
    columns, rows = np.meshgrid(np.arange(shape.width) + 0.5, np.arange(shape.height) + 0.5)
    return colour_of(shape.directions(np.stack([columns, rows], axis=-1)))


def colour_of(direction):
    return np.clip(np.rint(128 + 100 * direction), 0, 255).astype(np.uint8)


def view(number=1, count=6, shape=None):
    return PanoramaView("pano", "cam", "pano.jpg", "", shape or Equirectangular(720, 360), number, count)


class TestGeometry:
    @pytest.mark.parametrize(
        ("pixel", "direction"),
        [((360, 180), (1, 0, 0)), ((540, 180), (0, -1, 0)), ((180, 180), (0, 1, 0)), ((360, 90), (0.5**0.5, 0, 0.5**0.5))],
    )
    def test_columns_are_azimuths_and_rows_elevations(self, pixel, direction):
        shape = Equirectangular(720, 360)
        assert shape.directions(np.array(pixel, float)) == pytest.approx(direction, abs=1e-12)
        assert shape.pixels(np.array(direction, float)) == pytest.approx(pixel)

    @pytest.mark.parametrize("shape", [Equirectangular(720, 360), Equirectangular(720, 200, 60.0)])
    def test_a_view_shows_what_lies_in_its_directions(self, shape):
        one = view(2, 6, shape)
        picture = one.cut(colours(shape)).astype(int)
        rows, columns = np.mgrid[0 : one.camera.height, 0 : one.camera.width] + 0.5
        rays = one.camera.rays(np.stack([columns.ravel(), rows.ravel()], axis=1))
        expected = colour_of(rays @ one.panorama_from_view.rotation.T / np.linalg.norm(rays, axis=1, keepdims=True))
        assert np.abs(picture.reshape(-1, 3) - expected).max() <= 3
        ahead = one.panorama_from_view.rotation @ [0.0, 0.0, 1.0]
        assert ahead == pytest.approx([math.cos(math.radians(120)), -math.sin(math.radians(120)), 0.0])

    def test_a_crop_bounds_what_views_show(self):
        assert view().reach == pytest.approx((-BELOW, ABOVE))
        assert np.degrees(view(shape=Equirectangular(720, 200, 140.0)).reach) == pytest.approx([-35.0, 20.0])

    def test_a_large_panorama_gives_views_of_bearable_size(self):
        camera = view(shape=Equirectangular(16000, 8000)).camera
        assert 1000 < max(camera.width, camera.height) <= 2400

    @pytest.mark.parametrize("count", [4, 5, 6, 8])
    def test_labels_cut_into_views_come_back_as_they_were(self, count):
        shape = Equirectangular(720, 360)
        rng = np.random.default_rng(0)
        labels = np.kron(rng.integers(1, 60000, (36, 72)), np.ones((10, 10))).astype(np.uint16)
        views = [view(number, count, shape) for number in range(count)]
        cut = {one.tag: one.cut(labels) for one in views}
        back = panorama_labels([(one.tag, one) for one in views], cut.get)
        seen = back > 0
        assert (back[seen] == labels[seen]).mean() > 0.98  # neighbours where a view's pixels lie between the panorama's
        elevation = 90 - (np.arange(360) + 0.5) / 2
        everywhere = elevation[seen.all(axis=1)]
        assert everywhere.max() > 44
        assert everywhere.min() < -25
        assert panorama_labels([("x", views[0])], {}.get) is None


class TestBoxes:
    def test_an_instance_across_the_border_has_one_box(self):
        labels = np.zeros((10, 100), np.uint16)
        labels[2:5, 90:] = labels[3:7, :8] = 5
        labels[1:3, 20:30] = 6
        boxes = panorama_boxes("p", labels)
        assert boxes[5].box == (90, 2, 108, 7)
        assert boxes[6].box == (20, 1, 30, 3)

    def test_one_that_lies_all_around(self):
        assert panorama_boxes("p", np.full((4, 50), 3, np.uint16))[3].box == (0, 0, 50, 4)


class TestNotes:
    def test_attributes_and_elements_are_read(self):
        said = PanoramaNote("equirectangular", 720, 360, 720, 200, 60)
        assert read_note(note(**sizes((720, 360), (720, 200), 60))) == said
        elements = "".join(f"<GPano:{k}>{v}</GPano:{k}>" for k, v in sizes((720, 360), (720, 200), 60).items())
        assert read_note(f"<GPano:ProjectionType>equirectangular</GPano:ProjectionType>{elements}".encode()) == said
        assert read_note(b"<x:xmpmeta/>") is None

    def test_what_a_panorama_shows(self):
        assert shape_of(None, 720, 360) == Equirectangular(720, 360)
        cropped = read_note(note(**sizes((720, 360), (720, 200), 60)))
        assert shape_of(cropped, 720, 200) == Equirectangular(720, 200, 60.0)
        assert shape_of(cropped, 360, 100) == Equirectangular(360, 100, 30.0)  # scaled since

    @pytest.mark.parametrize(
        ("said", "size", "reason"),
        [
            (None, (720, 300), "not 2:1"),
            ({}, (720, 300), "not 2:1"),
            ({"projection": "cylindrical"}, (720, 360), "cylindrical"),
            (sizes((720, 360), (540, 360)), (540, 360), "270° of the 360°"),
            (sizes((720, 360), (720, 200), 60), (720, 150), "cut afterwards"),
            (sizes((720, 300), (720, 200), 60), (720, 200), "cut afterwards"),
            (sizes((720, 360), (720, 100), 0), (720, 100), "from 40° to 90°"),
            (sizes((720, 360), (720, 200), 300), (720, 200), "above the horizon"),
        ],
    )
    def test_what_cannot_be_a_panorama_of_a_street(self, said, size, reason):
        with pytest.raises(DataError, match=reason):
            shape_of(None if said is None else read_note(note(**said)), *size)


def street_panorama(width=1024):
    """A full panorama whose borders continue each other, under a plain sky."""
    angle = np.linspace(0, 2 * np.pi, width, endpoint=False)
    waves = sum(np.sin(k * angle + k * k) for k in range(1, 5))
    rows = np.linspace(-1, 1, width // 2)[:, None]
    value = 120 + 30 * np.clip(rows + 0.9, 0, 1) * waves
    return np.clip(np.repeat(value[..., None], 3, axis=2), 0, 255).astype(np.uint8)


def photograph(width, height, seed=0):
    small = np.random.default_rng(seed).integers(0, 255, (height // 8, width // 8, 3), dtype=np.uint8)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)


def read(root, **options):
    findings = Findings()
    config = KeyframeConfig(**options)
    source = read_folder(root, findings=findings, config=config)
    return {k.name: k for k in source}, {finding.kind: finding for finding in findings.list()}


class TestFolder:
    def test_panoramas_become_views_and_photographs_stay(self, tmp_path):
        Image.fromarray(photograph(320, 160)).save(tmp_path / "noted.jpg", xmp=note())
        Image.fromarray(street_panorama()).save(tmp_path / "seamless.jpg")
        Image.fromarray(photograph(320, 160, seed=2)).save(tmp_path / "wide.jpg")
        assert not looks_like_panorama(street_panorama()[:, :, 0], 300, 200)
        keyframes, told = read(tmp_path)
        around = ("000", "060", "120", "180", "240", "300")
        assert sorted(keyframes) == sorted([*(f"{p}_{v}" for p in ("noted", "seamless") for v in around), "wide"])
        assert told[PANORAMAS].count == 2
        assert "6 images" in told[PANORAMAS].text
        one = keyframes["noted_060"]
        assert (one.camera_name, one.file_name, one.camera.calibrated) == ("camera_060", "noted_060.jpg", True)
        assert (one.view.panorama, one.view.degrees, one.view.file_name) == ("noted", 60.0, "noted.jpg")
        assert decode_rgb(one.encoded).shape == (one.camera.height, one.camera.width, 3)

    def test_the_parameter_decides_of_pictures_without_a_note(self, tmp_path):
        Image.fromarray(photograph(320, 160)).save(tmp_path / "a.jpg")
        assert sorted(read(tmp_path)[0]) == ["a"]
        assert len(read(tmp_path, panorama="always", panorama_views=4)[0]) == 4
        Image.fromarray(photograph(320, 160)).save(tmp_path / "a.jpg", xmp=note())
        assert sorted(read(tmp_path, panorama="never")[0]) == ["a"]

    def test_what_is_no_full_turn_is_left_out_by_name(self, tmp_path):
        Image.fromarray(photograph(240, 160)).save(tmp_path / "part.jpg", xmp=note(**sizes((320, 160), (240, 160))))
        Image.fromarray(photograph(320, 160)).save(tmp_path / "a.jpg", xmp=note())
        Image.fromarray(photograph(96, 64)).save(tmp_path / "a_060.jpg")
        keyframes, told = read(tmp_path)
        assert sorted(keyframes) == ["a_060"]  # the photograph, not the view
        assert told[PANORAMAS_NOT_READ].count == 2
        assert told[PANORAMAS_NOT_READ].examples == ("a.jpg", "part.jpg")

    def test_views_share_the_position_and_stamp_of_their_panorama(self, tmp_path):
        name = "front_1780300800000000000"
        Image.fromarray(photograph(320, 160)).save(tmp_path / f"{name}.jpg", xmp=note())
        (tmp_path / "gps.csv").write_text(f"image,latitude,longitude\n{name}.jpg,51,13\n")
        views = list(read_folder(tmp_path, gps=tmp_path / "gps.csv"))
        assert {v.stamp_ns for v in views} == {1780300800000000000}
        assert {v.geo.latitude for v in views} == {51.0}
        assert views[1].name == "front_060_1780300800000000000"


class TestMasks:
    def test_masks_of_panoramas_are_cut_into_the_views(self, tmp_path):
        images, masks, findings = tmp_path / "images", tmp_path / "masks", Findings()
        images.mkdir()
        Image.fromarray(photograph(320, 160)).save(images / "a.jpg", xmp=note())
        labels = np.zeros((160, 320), np.uint16)
        labels[70:90, 300:] = labels[70:90, :20] = 7  # behind
        labels[:20] = 9  # the zenith
        masks.mkdir()
        write_labels(masks / "a.png", labels)
        segmenter = create_segmenter(SegmentationConfig(prompts=("building",)), masks, findings)
        found = {k.name: segmenter.segment(k) for k in read_folder(images)}
        assert {name for name, segments in found.items() if 7 in segments.ids} == {"a_120", "a_180", "a_240"}
        behind, k = found["a_180"], next(v for v in read_folder(images) if v.name == "a_180")
        assert behind.labels.shape == k.size[::-1]
        rows, columns = np.nonzero(behind.labels == 7)
        cx, cy = k.camera.principal_point
        assert columns.mean() == pytest.approx(cx, abs=1.5)
        assert rows.mean() == pytest.approx(cy, abs=1.5)
        assert [f.kind for f in findings.list()] == [BEYOND_VIEWS]
        (masks / "a.png").write_bytes(b"no image")
        damaged = create_segmenter(SegmentationConfig(prompts=("building",)), masks, Findings())
        with pytest.raises(DataError, match=r"a\.png"):
            damaged.segment(k)
