"""The glue of grounded_sam and everything, with a detector and a mask model whose answers are known."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from seg2d3d_ros.errors import DataError, UsageError
from seg2d3d_ros.geometry.masks import Region, region_of
from seg2d3d_ros.images import encode_png
from seg2d3d_ros.networks.runtime import Runtime
from seg2d3d_ros.sections.segmentation_config import SegmentationConfig
from seg2d3d_ros.segmentation.models.detections import Detections
from seg2d3d_ros.segmentation.models.everything import Everything, cut_off, distinct, grid
from seg2d3d_ros.segmentation.models.grounded_sam import GroundedSam
from seg2d3d_ros.segmentation.models.mask_models import Mask
from seg2d3d_ros.types import Keyframe

PLAIN = SegmentationConfig(segmenter="grounded_sam", clean=0.0, min_mask_area=0.0, sky_limit=0.0)
"""Nothing is dropped or mended."""


def scene(width: int, height: int, *objects: tuple[int, tuple[int, int, int, int]], name: str = "k") -> Keyframe:
    """A picture in which each object (grey value, box) is a rectangle of its own grey value."""
    image = np.zeros((height, width, 3), np.uint8)
    for value, (x0, y0, x1, y1) in objects:
        image[y0:y1, x0:x1] = value
    return Keyframe(name, "camera", 0, encode_png(image))


class GreyDetector:
    """Finds every grey value as what it stands for; so what it says follows from the pixels it is shown, as in a tile."""

    def __init__(self, meaning: dict[int, tuple[str, float]], extra=()):
        self.meaning, self.extra, self.calls, self.freed = meaning, extra, [], 0

    def load(self):
        pass

    def free(self):
        self.freed += 1

    def detect(self, images, prompts, floor):
        self.calls.append(([image.shape[:2] for image in images], list(prompts), floor))
        answers = []
        for image in images:
            boxes, classes, scores = [], [], []
            for value, (prompt, score) in self.meaning.items():
                region = region_of(image[..., 0] == value)
                if region is not None and prompt in prompts and score >= floor:
                    boxes.append(region.box)
                    classes.append(prompts.index(prompt) + 1)
                    scores.append(score)
            for box, number, score in self.extra:
                boxes.append(box)
                classes.append(number)
                scores.append(score)
            answers.append(Detections.of(boxes, classes, scores))
        return answers


class GreyMasks:
    """The mask of a box: the pixels of the most frequent grey value in it that is not black."""

    def __init__(self):
        self.calls = []

    def load(self):
        pass

    def free(self):
        pass

    def from_boxes(self, images, boxes):
        self.calls.append([(image.shape[:2], np.asarray(wanted).tolist()) for image, wanted in zip(images, boxes, strict=True)])
        return [[self._mask(image[..., 0], box) for box in wanted] for image, wanted in zip(images, boxes, strict=True)]

    def _mask(self, grey, box):
        x0, y0, x1, y1 = np.round(box).astype(int)
        inside = np.zeros(grey.shape, bool)
        inside[y0:y1, x0:x1] = True
        counts = np.bincount(grey[inside], minlength=256)
        counts[0] = 0
        region = region_of(inside & (grey == counts.argmax())) if counts.any() else None
        return Mask(region, 0.9, 0.99) if region else None

    def from_points(self, image, points, min_quality=0.0):
        self.calls.append((image.shape[:2], len(points)))
        grey, found = image[..., 0], []
        for x, y in points.astype(int):
            if value := int(grey[y, x]):
                quality = 0.95 if value < 200 else 0.5
                found.append(Mask(region_of(grey == value), quality, 0.9 if value == 150 else 0.99))
        return found


def make(detector, masks=None, **changes) -> GroundedSam:
    return GroundedSam(detector, masks or GreyMasks(), Runtime(), dataclasses.replace(PLAIN, **changes))


def test_boxes_become_masks_of_the_prompts_class():
    keyframe = scene(80, 60, (50, (5, 10, 30, 40)), (90, (40, 20, 60, 50)), (120, (65, 30, 75, 35)))
    detector = GreyDetector({50: ("house", 0.8), 90: ("car", 0.6), 120: ("house", 0.4)})
    segments = make(detector, prompts=("car", "house")).segment(keyframe)
    expected = np.zeros((60, 80), np.uint16)
    expected[10:40, 5:30], expected[20:50, 40:60], expected[30:35, 65:75] = 1, 2, 3
    np.testing.assert_array_equal(segments.labels, expected)
    assert segments.classes.tolist() == [2, 1, 2]
    np.testing.assert_allclose(segments.scores, [0.8, 0.6, 0.4])
    assert segments.name == "k"


def test_thresholds_hold_for_each_class():
    keyframe = scene(80, 60, (50, (5, 10, 30, 40)), (90, (40, 20, 60, 50)), (120, (65, 30, 75, 35)))
    detector = GreyDetector({50: ("house", 0.5), 90: ("car", 0.5), 120: ("house", 0.2)})
    segmenter = make(detector, prompts=("car", "house"), box_threshold=0.4, class_thresholds=("Car=0.6", "house = 0.2"))
    assert segmenter.segment(keyframe).classes.tolist() == [2, 2]
    assert detector.calls[0][2] == pytest.approx(0.2), "the detector is asked for the lowest threshold only"


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"class_thresholds": ("house",)}, "prompt=score"),
        ({"class_thresholds": ("house=2",)}, "0 to 1"),
        ({"class_thresholds": ("hous=0.3",)}, "did you mean 'house'"),
        ({"prompts": ()}, "no prompts"),
        ({"prompts": ("Car", "car")}, "twice"),
    ],
)
def test_senseless_prompts_and_thresholds_are_refused(changes, words):
    with pytest.raises(UsageError, match=words):
        make(GreyDetector({}), **{"prompts": ("house",), **changes})


def test_duplicates_rows_and_sky_are_dropped():
    houses = [(10, 40, 40, 90), (45, 40, 75, 90), (80, 40, 110, 90)]
    keyframe = scene(120, 100, *((50 + k, box) for k, box in enumerate(houses)), (99, (0, 0, 120, 4)))
    extra = [((11, 40, 40, 90), 1, 0.5), ((10, 40, 110, 90), 1, 0.9)]
    detector = GreyDetector({50 + k: ("building", 0.6) for k in range(3)} | {99: ("building", 0.9)}, extra)
    masks = GreyMasks()
    segments = make(detector, masks, sky_limit=0.05).segment(keyframe)
    assert [tuple(box) for box in segments.boxes.tolist()] == houses
    assert len(masks.calls[0][0][1]) == 3, "no mask is cut out for what is dropped"


def test_masks_that_end_tiny_are_dropped():
    keyframe = scene(80, 60, (50, (5, 10, 30, 40)), (90, (40, 20, 44, 22)))
    detector = GreyDetector({50: ("building", 0.6)}, extra=[((38, 10, 60, 40), 1, 0.9)])
    assert len(make(detector).segment(keyframe).ids) == 2
    assert len(make(detector, min_mask_area=0.002).segment(keyframe).ids) == 1, "8 of 4800 pixels in a large box"
    assert len(make(detector, min_area=0.002).segment(keyframe).ids) == 1


def test_overlapping_masks_are_resolved_by_score_and_mended():
    image = np.zeros((60, 80, 3), np.uint8)
    image[10:50, 10:50] = 50
    image[20:22, 20:22] = 0
    keyframe = Keyframe("k", "camera", 0, encode_png(image))
    detector = GreyDetector({50: ("building", 0.6)}, extra=[((30, 10, 50, 50), 1, 0.9)])
    segments = make(detector, clean=0.05).segment(keyframe)
    expected = np.zeros((60, 80), np.uint16)
    expected[10:50, 10:50], expected[10:50, 30:50] = 2, 1
    np.testing.assert_array_equal(segments.labels, expected)


def test_separate_parts_become_segments_where_asked():
    keyframe = scene(80, 60, (50, (5, 10, 20, 40)))
    image = np.zeros((60, 80, 3), np.uint8)
    image[10:40, 5:20] = image[10:40, 30:40] = 50
    keyframe = Keyframe("k", "camera", 0, encode_png(image))
    detector = GreyDetector({50: ("building", 0.6)})
    assert len(make(detector).segment(keyframe).ids) == 1
    assert make(detector, split_parts=True).segment(keyframe).boxes.tolist() == [[30, 10, 40, 40], [5, 10, 20, 40]]


def test_several_keyframes_share_a_call_and_keep_their_own_objects():
    frames = [scene(80, 60, (50, (k, 10, k + 20, 40)), name=f"k{k}") for k in range(5)]
    frames.insert(2, scene(80, 60, name="empty"))
    detector, masks = GreyDetector({50: ("building", 0.6)}), GreyMasks()
    together = make(detector, masks).segment_all(frames)
    assert [s.name for s in together] == ["k0", "k1", "empty", "k2", "k3", "k4"]
    assert [s.boxes.tolist() for s in together if len(s.ids)] == [[[k, 10, k + 20, 40]] for k in range(5)]
    assert len(together[2].ids) == 0
    assert len(detector.calls) == len(masks.calls) == 1
    alone = [make(detector).segment(frame) for frame in frames]
    for one, other in zip(together, alone, strict=True):
        np.testing.assert_array_equal(one.labels, other.labels)


def test_tiles_find_what_is_small_and_join_what_they_cut():
    """Three objects in an image of 4 tiles: a wide one across two, a small one in one, one across the corner of all."""
    wide, small, middle = (20, 20, 180, 60), (150, 150, 158, 158), (85, 85, 115, 115)
    keyframe = scene(200, 200, (50, wide), (60, small), (70, middle))

    class Nearsighted(GreyDetector):
        """In the whole image only the small object is missed; in tiles everything is seen, cut as the tile cuts it."""

        def detect(self, images, prompts, floor):
            answers = super().detect(images, prompts, floor)
            big = [k for k, image in enumerate(images) if image.shape[0] == 200]
            for k in big:
                size = np.prod(answers[k].xyxy[:, 2:] - answers[k].xyxy[:, :2], axis=1)
                answers[k] = answers[k].take((size > 500) & (size < 1000))
            return answers

    detector = Nearsighted({50: ("building", 0.8), 60: ("building", 0.7), 70: ("building", 0.6)})
    masks = GreyMasks()
    segments = make(detector, masks, tile_size=120, tile_overlap=0.3).segment(keyframe)
    assert [tuple(box) for box in segments.boxes.tolist()] == [wide, small, middle]
    shapes = detector.calls[0][0]
    assert shapes == [(200, 200)] + [(120, 120)] * 4, "image and tiles go through the detector together"
    cut_in = {tuple(map(tuple, boxes)): shape for shape, boxes in masks.calls[0]}
    assert cut_in[((20.0, 20.0, 180.0, 60.0),)] == (200, 200), "an object that no tile holds is cut out of the whole image"
    assert {shape for boxes, shape in cut_in.items() if boxes[0][2] - boxes[0][0] < 40} == {(120, 120)}
    assert len(make(detector, tile_size=0).segment(keyframe).ids) == 1


def test_new_prompts_use_the_loaded_models():
    keyframe = scene(80, 60, (50, (5, 10, 30, 40)), (90, (40, 20, 60, 50)))
    detector = GreyDetector({50: ("house", 0.8), 90: ("car", 0.6)})
    first = make(detector, prompts=("house",))
    second = first.asking_for(dataclasses.replace(PLAIN, prompts=("car",)))
    assert first.segment(keyframe).boxes.tolist() == [[5, 10, 30, 40]]
    assert second.segment(keyframe).boxes.tolist() == [[40, 20, 60, 50]]
    second.close()
    assert detector.freed == 1


def test_a_damaged_image_is_named():
    with pytest.raises(DataError, match="k"):
        make(GreyDetector({})).segment(Keyframe("k", "camera", 0, b"nothing"))


def everything(**changes) -> Everything:
    return Everything(GreyMasks(), Runtime(), dataclasses.replace(PLAIN, points_per_side=8, **changes))


def test_everything_keeps_each_good_mask_once():
    objects = [(50, (0, 0, 40, 30)), (150, (40, 0, 80, 30)), (220, (0, 30, 40, 60)), (90, (45, 35, 75, 55))]
    segments = everything(min_stability=0.8).segment(scene(80, 60, *objects))
    # 220 is rated too low by the model; every other object answers many points of the grid and is one segment.
    assert sorted(map(tuple, segments.boxes.tolist())) == [(0, 0, 40, 30), (40, 0, 80, 30), (45, 35, 75, 55)]
    assert set(segments.classes.tolist()) == {1}
    masks = segments.overlapping
    assert sorted(map(tuple, masks.boxes.tolist())) == sorted(map(tuple, segments.boxes.tolist()))
    assert ((masks.stabilities >= 0.8) & (masks.stabilities <= 1)).all()
    assert len(everything(min_stability=0.95).segment(scene(80, 60, *objects)).ids) == 2


def test_everything_in_tiles_drops_what_a_tile_cuts():
    objects = [(50, (10, 10, 150, 30)), (60, (70, 50, 80, 60))]
    segments = everything(tile_size=100, tile_overlap=0.25).segment(scene(160, 80, *objects))
    assert sorted(map(tuple, segments.boxes.tolist())) == [(10, 10, 150, 30), (70, 50, 80, 60)]


def test_the_grid_lies_in_the_middle_of_equal_cells():
    points = grid(80, 40, 4)
    assert points.tolist() == [[10, 10], [30, 10], [50, 10], [70, 10], [10, 30], [30, 30], [50, 30], [70, 30]]
    assert len(grid(1000, 3, 10)) == 10


def test_cut_masks_and_duplicates():
    region = Region((0, 0, 50, 10), np.ones((10, 50), bool))
    assert cut_off(region, np.array([0, 0, 50, 80]), 100, 80)
    assert not cut_off(region, np.array([0, 0, 100, 80]), 100, 80)
    assert not cut_off(region, np.array([0, 0, 60, 80]), 100, 80)
    shifted = region.shifted(2, 0)
    assert distinct([(region, 0.5), (shifted, 0.9), (region.shifted(40, 0), 0.1)], 0.7)[0][1] == 0.9
    assert len(distinct([(region, 0.5), (shifted, 0.9), (region.shifted(40, 0), 0.1)], 0.7)) == 2
