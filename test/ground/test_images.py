"""Pictures of every kind come out as the same 8-bit RGB; what would be too large, or is damaged inside, is known before."""

from __future__ import annotations

import io
import struct
import tracemalloc
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image

from seg2d3d_ros import image_files
from seg2d3d_ros.errors import DataError, UsageError
from seg2d3d_ros.image_files import PIXEL_LIMIT, TooManyPixels, UnreadFormat, damage
from seg2d3d_ros.images import decode_labels, decode_rgb, decode_small_gray, encode_jpeg, image_size, used_bits


@pytest.fixture(scope="module")
def scene():
    rng = np.random.default_rng(0)
    return cv2.resize(rng.integers(0, 255, (12, 16, 3), dtype=np.uint8), (160, 120), interpolation=cv2.INTER_CUBIC)


def saved(image, form, **options):
    out = io.BytesIO()
    image.save(out, form, **options)
    return out.getvalue()


def written(pixels, ending):
    return cv2.imencode(ending, pixels[..., ::-1] if pixels.ndim == 3 else pixels)[1].tobytes()


def kinds(rgb):
    """Encoded forms of one picture, and how far their mean may be from its."""
    image, wide = Image.fromarray(rgb), rgb.astype(np.uint16)
    frames = [image.resize((80, 60)), image.resize((40, 30))]
    yield "rgba", saved(Image.fromarray(np.dstack([rgb, np.zeros_like(rgb[..., 0])])), "PNG"), 1
    yield "palette", saved(image.quantize(256), "PNG"), 10
    yield "cmyk", saved(image.convert("CMYK"), "JPEG", quality=95), 3
    yield "progressive", saved(image, "JPEG", progressive=True, quality=95), 2
    yield "mpo", saved(image, "MPO", save_all=True, append_images=frames, quality=95), 2
    yield "16 bits", written(wide * 257, ".png"), 1
    yield "12 of 16 bits", written(wide * 16, ".png"), 1
    yield "10 of 16 bits, TIFF", written(wide * 4, ".tif"), 1
    yield "10 bits shifted to the top", written(wide * 256, ".png"), 2
    yield "pages", saved(image, "TIFF", save_all=True, append_images=[image.rotate(180)]), 1
    yield "animation", saved(image, "WEBP", save_all=True, append_images=[image.rotate(180)], quality=95), 3
    yield "bmp", saved(image, "BMP"), 1


def test_every_kind_of_file_shows_the_same_picture(scene):
    for name, encoded, tolerance in kinds(scene):
        rgb = decode_rgb(encoded, name)
        assert (rgb.shape, rgb.dtype, image_size(encoded)) == (scene.shape, np.uint8, (160, 120)), name
        assert np.abs(rgb.astype(int) - scene).mean() < tolerance + 2, name
        small = decode_small_gray(encoded, 4, name)
        assert small.shape == (30, 40), name
        assert abs(float(small.mean()) - cv2.cvtColor(scene, cv2.COLOR_RGB2GRAY).mean()) < tolerance + 2, name


def test_grey_one_bit_and_float_pictures(scene):
    gray = cv2.cvtColor(scene, cv2.COLOR_RGB2GRAY)
    image = Image.fromarray(gray)
    for encoded in (
        saved(image, "JPEG", quality=95),
        saved(image.convert("LA"), "PNG"),
        saved(Image.fromarray(gray.astype(np.float32) / 255), "TIFF"),
        written(gray.astype(np.uint16) * 16, ".tif"),
    ):
        assert np.abs(decode_rgb(encoded)[..., 1].astype(int) - gray).mean() < 2
    assert set(np.unique(decode_rgb(saved(image.convert("1"), "PNG")))) == {0, 255}


def test_a_camera_of_12_bits_is_stretched_alike_whatever_its_single_hot_pixels(scene):
    wide = scene.astype(np.uint16) * 16
    hot = wide.copy()
    hot[5, 7] = 65535
    assert (used_bits(wide), used_bits(hot)) == (12, 12)
    assert np.abs(decode_rgb(written(hot, ".png")).astype(int) - decode_rgb(written(wide, ".png"))).mean() < 0.1


def test_heic_is_read_where_its_reader_is_installed_and_named_with_the_command_where_not(scene, monkeypatch):
    ftyp = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"
    monkeypatch.setattr(image_files, "can_read_heic", lambda: False)
    with pytest.raises(UnreadFormat, match=r"HEIC photo.*pip install pi-heif"):
        image_size(ftyp + bytes(100), "a.jpg")
    monkeypatch.undo()
    pytest.importorskip("pi_heif")
    with pytest.raises(DataError):
        image_size(ftyp + bytes(100), "a.jpg")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"GIF89a" + bytes(20), "a GIF"),
        (b"<!DOCTYPE html>", "a web page"),
        (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
        (b"\0\0\0\x1cftypavif" + bytes(16), "AVIF"),
        (b"II*\0" + bytes(100), "raw data"),
    ],
)
def test_what_is_no_image_that_is_read_is_named(content, words):
    with pytest.raises(UnreadFormat, match=words):
        decode_rgb(content, "a.jpg")


def bomb(width, height):
    """A PNG of a few kilobytes whose pixels would take gigabytes."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")


@pytest.mark.parametrize("decode", [decode_rgb, decode_small_gray, decode_labels, image_size])
def test_the_size_is_checked_before_a_pixel_is_decoded(decode):
    encoded = bomb(60000, 60000)
    tracemalloc.start()
    try:
        with pytest.raises(TooManyPixels, match=rf"60000×60000.*{PIXEL_LIMIT}"):
            decode(encoded)
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()


def test_the_limit_is_a_parameter_and_counts_deep_pixels_by_their_bytes(scene, monkeypatch):
    monkeypatch.setenv(PIXEL_LIMIT, "20000")
    assert decode_rgb(written(scene, ".png")).shape == scene.shape
    for deep in (written(scene.astype(np.uint16) * 257, ".png"), written(scene.astype(np.uint16) * 257, ".tif")):
        with pytest.raises(TooManyPixels):
            decode_rgb(deep)
    monkeypatch.setenv(PIXEL_LIMIT, "much")
    with pytest.raises(UsageError, match="whole number"):
        decode_rgb(written(scene, ".png"))


def test_photos_of_200_megapixels_are_within_the_limit_and_no_bomb_to_pil():
    with pytest.raises(DataError, match="cannot be decoded"):  # the pixels are not there, but they would have been decoded
        decode_labels(bomb(16320, 12240), "large")


def test_damage_inside_a_jpeg_is_known_although_it_decodes(scene):
    pytest.importorskip("simplejpeg")
    noise = np.random.default_rng(1).integers(0, 255, scene.shape, dtype=np.uint8)
    whole = encode_jpeg(noise, 95)
    middle = len(whole) // 2
    assert damage(whole) == ""
    assert damage(written(scene, ".png")) == ""
    for torn in (whole[:middle] + whole[middle + 1000 :], whole[:middle] + bytes(1000) + whole[middle + 1000 :]):
        assert decode_rgb(torn).shape == scene.shape
        assert "Corrupt" in damage(torn)
