"""All textures in one array with mipmaps, so that one vectorised look-up serves every pixel."""

from __future__ import annotations

import cv2
import numpy as np

from seg2d3d_ros.simulation.scene.textures import TextureSet


class TextureAtlas:
    """Mipmapped textures; ``area`` (T,) float32 = texels of each at full size."""

    def __init__(self, textures: TextureSet) -> None:
        levels = 1 + max(int(np.log2(min(image.shape[:2]))) for image in textures.images)
        count = len(textures.images)
        self._offset = np.zeros((count, levels), np.int64)
        self._size = np.zeros((count, levels, 2), np.int32)
        self.area = np.array([image.shape[0] * image.shape[1] for image in textures.images], np.float32)
        chunks, total = [], 0
        for index, image in enumerate(textures.images):
            for level in range(levels):
                if level and min(image.shape[:2]) > 1:
                    image = cv2.resize(image, (image.shape[1] // 2, image.shape[0] // 2), interpolation=cv2.INTER_AREA)
                self._offset[index, level], self._size[index, level] = total, image.shape[:2]
                chunks.append(cv2.cvtColor(image, cv2.COLOR_RGB2RGBA).view(np.uint32).ravel())
                total += len(chunks[-1])
        self._texels = np.concatenate(chunks)
        self._levels = levels

    def sample(self, texture: np.ndarray, uv: np.ndarray, texels_per_pixel: np.ndarray) -> np.ndarray:
        """Colours (N, 3) float32, bilinear in the mipmap level nearest to the footprint.

        Args:
            texture: (N,) indices; uv: (N, 2), repeating; texels_per_pixel: (N,) at full size.
        """
        level = np.log2(np.maximum(texels_per_pixel, 1e-3))
        level = np.clip(np.rint(level).astype(np.int32), 0, self._levels - 1)
        size = self._size[texture, level]
        offset = self._offset[texture, level]
        height, width = size[:, 0], size[:, 1]
        x = (uv[:, 0] - np.floor(uv[:, 0])) * width.astype(np.float32) - np.float32(0.5)
        y = (uv[:, 1] - np.floor(uv[:, 1])) * height.astype(np.float32) - np.float32(0.5)
        x0, y0 = np.floor(x).astype(np.int32), np.floor(y).astype(np.int32)
        fx, fy = (x - x0).astype(np.float32)[:, None], (y - y0).astype(np.float32)[:, None]
        left, right = np.where(x0 < 0, width - 1, x0), np.where(x0 + 1 >= width, 0, x0 + 1)
        top, bottom = offset + np.where(y0 < 0, height - 1, y0) * width, offset + np.where(y0 + 1 >= height, 0, y0 + 1) * width
        upper = self._mix(top + left, top + right, fx)
        return upper + fy * (self._mix(bottom + left, bottom + right, fx) - upper)

    def _mix(self, first: np.ndarray, second: np.ndarray, share: np.ndarray) -> np.ndarray:
        a = self._texels[first].view(np.uint8).reshape(-1, 4)[:, :3].astype(np.float32)
        b = self._texels[second].view(np.uint8).reshape(-1, 4)[:, :3]
        return a + share * (b - a)
