"""Which pictures of an instance are shown to a model, and how they are cut out."""

import shutil

import numpy as np
import pytest
from test_language_search import Double

from seg2d3d_ros.findings import Findings
from seg2d3d_ros.language.embedding import embed_map
from seg2d3d_ros.language.instance_crops import cut_out, largest_views
from seg2d3d_ros.mapstore.store import MapStore

GREY = np.array([128, 128, 128], np.uint8)


def test_a_crop_is_square_with_its_surroundings_once_and_alone_once():
    image, labels = np.full((60, 100, 3), 10, np.uint8), np.zeros((60, 100), np.uint16)
    image[20:40, 0:10], labels[20:40, 0:10] = (200, 40, 40), 7
    crop = cut_out(image, labels, 7, (0, 20, 10, 40), 48, GREY)
    assert crop.whole.shape == crop.alone.shape == (48, 48, 3)
    assert crop.size == pytest.approx(200 / 48**2)
    # 24 pixels around (5, 30), shown twice as large: the object is 20 × 40 pixels, and the first 14 columns are no photograph.
    assert crop.whole[24, 24].tolist() == crop.alone[24, 24].tolist() == [200, 40, 40]
    assert crop.whole[24, 40].tolist() == [10, 10, 10]
    assert crop.alone[24, 40].tolist() == GREY.tolist()
    assert crop.whole[24, 5].tolist() == GREY.tolist()  # outside the photograph
    assert cut_out(image, labels, 8, (0, 20, 10, 40), 48, GREY) is None
    assert cut_out(image, labels, 7, (50, 50, 50, 60), 48, GREY) is None


def test_the_largest_views_count_and_drawn_regions_only_where_there_is_nothing_else():
    def seen(image, side, **more):
        return {"image": image, "box": [0, 0, side, side], **more}

    drawn = seen("d", 90, recovered=True)
    assert list(largest_views({"observations": [seen("a", 10), seen("b", 30), seen("c", 20), drawn]}, 2)) == ["b", "c"]
    assert list(largest_views({"observations": [drawn]}, 2)) == ["d"]
    parts = [{"image": "a", "box": [0, 0, 5, 5]}, {"image": "a", "box": [4, 2, 9, 8]}]
    assert largest_views({"observations": parts}, 2) == {"a": (0, 0, 9, 8)}


def test_both_pictures_make_the_vector(street, tmp_path):
    """A picture with background is one axis, without the other: the vector lies between."""

    shutil.copytree(street[0], tmp_path / "map")

    class Sides(Double):
        def images(self, pictures):
            grey = [(picture == 128).all(axis=2).mean() > 0.3 for picture in pictures]
            return np.array([[0.0, 1.0] if alone else [1.0, 0.0] for alone in grey], np.float32)

    vectors = embed_map(MapStore(tmp_path / "map"), Sides(), 1, Findings()).vectors
    wide = vectors[::3]  # houses: less than a third of their square is outside the photograph
    np.testing.assert_allclose(wide, np.sqrt(0.5), atol=1e-5)
