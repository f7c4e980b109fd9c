"""What mask files hold: palettes, colours, depths, "ignore", black and white; and how they lie on their photos."""

from __future__ import annotations

import contextlib
import io

import cv2
import numpy as np
import pytest
from PIL import Image

from seg2d3d_ros.errors import DataError
from seg2d3d_ros.findings import Findings
from seg2d3d_ros.image_files import PIXEL_LIMIT
from seg2d3d_ros.sections.segmentation_config import SegmentationConfig
from seg2d3d_ros.segmentation.files.label_images import LabelImages
from seg2d3d_ros.segmentation.files.mask_images import read_mask
from seg2d3d_ros.segmentation.files.mask_placement import ORIENTATION_DOUBTED, TURNED
from seg2d3d_ros.segmentation.files.mask_values import BINARY, NO_BACKGROUND, VOID, VOID_DOUBTED
from seg2d3d_ros.segmentation.files.photo_names import PhotoName
from seg2d3d_ros.types import Keyframe

WIDTH, HEIGHT = 40, 30
IDS = np.zeros((HEIGHT, WIDTH), np.uint8)
IDS[4:14, 4:14], IDS[16:26, 20:34] = 1, 2
COLOURS = np.array([(0, 0, 0), (200, 10, 10), (10, 200, 10)], np.uint8)[IDS]


def photo(name="a", orientation=None, size=(WIDTH, HEIGHT)):
    stream, exif = io.BytesIO(), Image.Exif()
    if orientation is not None:
        exif[0x0112] = orientation
    Image.new("RGB", size, "grey").save(stream, "JPEG", exif=exif)
    return Keyframe(name, "camera", 0, stream.getvalue(), file_name=f"{name}.jpg")


def segmented(folder, keyframes=None, **config):
    """Segments by name after all masks were expected, and the findings by kind."""
    keyframes, findings = keyframes or [photo()], Findings()
    reader = LabelImages(folder, SegmentationConfig(**config), findings)
    reader.expect([PhotoName(k.name, k.file_name) for k in keyframes])
    found = {k.name: reader.segment(k) for k in keyframes}
    return found, {finding.kind: finding.count for finding in findings.list()}


def palette(values):
    image = Image.fromarray(values, "P")
    image.putpalette(np.random.default_rng(0).integers(0, 256, 768).astype(np.uint8).tolist())
    return image


FORMS = {
    "palette.png": lambda p: palette(IDS).save(p),
    "palette.gif": lambda p: palette(IDS).save(p),
    "grey.pgm": lambda p: Image.fromarray(IDS.astype(np.uint8)).save(p),
    "grey.png": lambda p: Image.fromarray(IDS).save(p),
    "sixteen.png": lambda p: cv2.imwrite(str(p), IDS.astype(np.uint16)),
    "thirtytwo.tif": lambda p: Image.fromarray(IDS.astype(np.int32)).save(p),
    "float.tif": lambda p: Image.fromarray(IDS.astype(np.float32)).save(p),
    "equal.png": lambda p: Image.fromarray(np.dstack([IDS] * 3)).save(p),
    "colours.png": lambda p: Image.fromarray(COLOURS).save(p),
    "alpha.png": lambda p: Image.fromarray(np.dstack([COLOURS, np.full(IDS.shape, 255, np.uint8)])).save(p),
    "clear.png": lambda p: Image.fromarray(np.dstack([COLOURS + 7 * (IDS == 0)[..., None].astype(np.uint8), 255 * (IDS > 0)])
                                           .astype(np.uint8)).save(p),
    "four.png": lambda p: p.write_bytes(four_bits(IDS)),
}  # fmt: skip


def four_bits(values):
    """A grey PNG of 4 bits, which Pillow reads but does not write."""
    import struct
    import zlib

    rows = b"".join(b"\0" + bytes((row[0::2] << 4 | row[1::2]).tolist()) for row in values)
    header = struct.pack(">IIBBBBB", values.shape[1], values.shape[0], 4, 0, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    packed = [struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in chunks]
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)


@pytest.mark.parametrize("form", FORMS)
def test_each_form_gives_the_same_two_objects(tmp_path, form):
    path = tmp_path / f"a{form[form.index('.') :]}"
    FORMS[form](path)
    found, kinds = segmented(tmp_path)
    values = found["a"].labels
    assert [np.array_equal(values == i, k == IDS) for k, i in enumerate(np.unique(values))][1:] in (
        [True, True],
        [False, False],
    )
    assert len(found["a"].ids) == 2
    np.testing.assert_array_equal(values > 0, IDS > 0)
    assert kinds == {}


@pytest.mark.parametrize("form", ["palette.png", "grey.png", "four.png", "equal.png", "float.tif", "sixteen.png"])
def test_ids_are_those_in_the_file(tmp_path, form):
    path = tmp_path / f"a{form[form.index('.') :]}"
    FORMS[form](path)
    np.testing.assert_array_equal(read_mask(path).values, IDS)


def test_more_bits_than_labels_have_are_numbered_and_their_facts_found(tmp_path):
    Image.fromarray(IDS.astype(np.int32) * 1_000_000).save(tmp_path / "a.tif")
    (tmp_path / "segments.json").write_text('{"a": {"1000000": {"score": 0.25}, "2000000": {"score": 0.5}}}')
    found, _ = segmented(tmp_path)
    assert found["a"].ids.tolist() == [1, 2]
    assert found["a"].scores.tolist() == [0.25, 0.5]


def refused(folder, name, image, words, **options):
    image.save(folder / name, **options)
    with pytest.raises(DataError, match=words):
        read_mask(folder / name)


def test_what_is_no_label_image_is_refused_with_the_reason(tmp_path):
    refused(tmp_path, "a.jpg", Image.fromarray(COLOURS), "JPEG mixes")
    refused(tmp_path, "a.webp", Image.fromarray(COLOURS), "WEBP mixes")
    noise = np.random.default_rng(0).integers(0, 256, (40, 40, 3)).astype(np.uint8)
    refused(tmp_path, "a.png", Image.fromarray(noise), "1600 colours")
    refused(tmp_path, "a.tif", Image.fromarray(IDS.astype(np.float32) / 2), "fractions")
    refused(tmp_path, "b.tif", Image.fromarray(-IDS.astype(np.int32)), "negative")


@pytest.mark.parametrize("form", ["palette.png", "grey.png", "colours.png", "thirtytwo.tif"])
def test_a_damaged_file_is_a_sentence_whatever_is_damaged(tmp_path, form):
    path, rng = tmp_path / f"a{form[form.index('.') :]}", np.random.default_rng(0)
    FORMS[form](path)
    whole = path.read_bytes()
    for _ in range(60):
        damaged = bytearray(whole)
        for place in rng.integers(8, len(whole), rng.integers(1, 6)):
            damaged[place] = rng.integers(256)
        path.write_bytes(bytes(damaged[: rng.integers(len(whole) // 2, len(whole) + 1)]))
        with contextlib.suppress(DataError):
            read_mask(path)


def test_sizes_are_checked_before_the_pixels_are_read(tmp_path, monkeypatch):
    monkeypatch.setenv(PIXEL_LIMIT, "1000")
    Image.fromarray(IDS).save(tmp_path / "a.png")
    monkeypatch.setattr(np, "asarray", lambda *_: pytest.fail("decoded"))
    with pytest.raises(DataError, match="40×30 pixels are more than the 1,000"):
        read_mask(tmp_path / "a.png")


def with_border(values, void):
    grown = cv2.dilate(values, np.ones((5, 5), np.uint8))
    return np.where((grown > 0) & (values == 0), void, values.astype(np.uint16))


def test_ignore_is_told_by_palettes_borders_and_depth(tmp_path):
    forms = {
        "palette": palette(with_border(IDS, 255).astype(np.uint8)),
        "border": Image.fromarray(with_border(IDS, 255).astype(np.uint8)),
    }
    voc = COLOURS.copy()
    voc[with_border(IDS, 255) == 255] = (224, 224, 192)
    forms["voc"] = Image.fromarray(voc)
    for name, image in forms.items():
        (tmp_path / name).mkdir()
        image.save(tmp_path / name / "a.png")
        found, kinds = segmented(tmp_path / name)
        np.testing.assert_array_equal(found["a"].labels > 0, IDS > 0)
        assert kinds == {VOID: 1}, name
    strip = IDS.copy()
    strip[-3:] = 255
    palette(strip).save(tmp_path / "palette/a.png")
    assert segmented(tmp_path / "palette")[1] == {VOID: 1}
    (tmp_path / "deep").mkdir()
    corner = IDS.astype(np.uint16)
    corner[-3:] = 65535
    cv2.imwrite(str(tmp_path / "deep/a.png"), corner)
    assert segmented(tmp_path / "deep")[0]["a"].ids.tolist() == [1, 2]


def test_255_as_an_object_is_kept_doubted_and_up_to_the_user(tmp_path):
    values = IDS.copy()
    values[0:2] = 255
    Image.fromarray(values).save(tmp_path / "a.png")
    found, kinds = segmented(tmp_path)
    assert found["a"].ids.tolist() == [1, 2, 255]
    assert kinds == {VOID_DOUBTED: 1}
    found, kinds = segmented(tmp_path, segments_void=255)
    assert (found["a"].ids.tolist(), kinds) == ([1, 2], {})
    Image.fromarray(with_border(IDS, 255).astype(np.uint8)).save(tmp_path / "a.png")
    found, kinds = segmented(tmp_path, segments_void=0)
    assert (found["a"].ids.tolist(), kinds) == ([1, 2, 255], {})


def test_ids_that_are_stretched_to_the_whole_range_are_all_objects(tmp_path):
    Image.fromarray(np.array([0, 85, 170, 255], np.uint8)[IDS + (IDS == 2) * np.eye(HEIGHT, WIDTH, dtype=np.uint8)]).save(
        tmp_path / "a.png"
    )
    found, kinds = segmented(tmp_path)
    assert found["a"].ids.tolist() == [85, 170, 255]
    assert kinds == {}


def test_a_value_means_the_same_in_the_whole_folder(tmp_path):
    """An image with nothing but a border of 'ignore' holds no object."""
    for name in ("a", "b"):
        Image.fromarray(with_border(IDS, 255).astype(np.uint8)).save(tmp_path / f"{name}.png")
    only = np.zeros_like(IDS)
    only[-4:] = 255
    Image.fromarray(only).save(tmp_path / "c.png")
    found, kinds = segmented(tmp_path, [photo(name) for name in "abc"])
    assert [len(found[name].ids) for name in "abc"] == [2, 2, 0]
    assert kinds == {VOID: 3}


def test_black_and_white_is_one_object_and_said(tmp_path):
    for name, image in (("a", Image.fromarray(255 * (IDS > 0).astype(np.uint8))), ("b", Image.fromarray(IDS > 0))):
        image.save(tmp_path / f"{name}.png")
    found, kinds = segmented(tmp_path, [photo("a"), photo("b")])
    for segments in found.values():
        assert len(segments.ids) == 1
        np.testing.assert_array_equal(segments.labels > 0, IDS > 0)
    assert kinds == {BINARY: 2}


def test_a_file_without_background_is_doubted(tmp_path):
    Image.fromarray(np.where(IDS > 0, 2, 7).astype(np.uint8)).save(tmp_path / "a.png")
    assert segmented(tmp_path)[1] == {NO_BACKGROUND: 1}


class TestOrientation:
    """A mask drawn on a photo as a viewer shows it that obeys the EXIF orientation (Pillow's own is the reference)."""

    @staticmethod
    def shown(stored, orientation):
        image = Image.fromarray(stored)
        image.getexif()[0x0112] = orientation
        from PIL import ImageOps

        return np.asarray(ImageOps.exif_transpose(image))

    @pytest.mark.parametrize("orientation", range(1, 9))
    def test_it_is_turned_back_where_that_is_said(self, tmp_path, orientation):
        Image.fromarray(self.shown(IDS, orientation)).save(tmp_path / "a.png")
        found, kinds = segmented(tmp_path, [photo(orientation=orientation)], segments_orientation="shown")
        np.testing.assert_array_equal(found["a"].labels, IDS)
        assert kinds == ({TURNED: 1} if orientation > 1 else {})

    @pytest.mark.parametrize("orientation", [5, 6, 7, 8])
    def test_width_and_height_tell(self, tmp_path, orientation):
        Image.fromarray(self.shown(IDS, orientation)).save(tmp_path / "a.png")
        Image.fromarray(IDS).save(tmp_path / "b.png")
        found, kinds = segmented(tmp_path, [photo(orientation=orientation), photo("b", orientation)])
        np.testing.assert_array_equal(found["a"].labels, IDS)
        np.testing.assert_array_equal(found["b"].labels, IDS)
        assert kinds == {TURNED: 1}

    @pytest.mark.parametrize("orientation", [2, 3, 4])
    def test_where_nothing_tells_it_is_doubted(self, tmp_path, orientation):
        Image.fromarray(IDS).save(tmp_path / "a.png")
        found, kinds = segmented(tmp_path, [photo(orientation=orientation)])
        np.testing.assert_array_equal(found["a"].labels, IDS)
        assert kinds == {ORIENTATION_DOUBTED: 1}
        assert segmented(tmp_path, [photo(orientation=orientation)], segments_orientation="stored")[1] == {}

    def test_without_a_tag_another_aspect_is_refused(self, tmp_path):
        Image.fromarray(np.ascontiguousarray(IDS.T)).save(tmp_path / "a.png")
        with pytest.raises(DataError, match=r"30×40.*40×30"):
            segmented(tmp_path)
