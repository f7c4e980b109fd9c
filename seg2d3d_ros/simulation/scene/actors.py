"""What stands or moves in front of the houses: trees, poles, cars, people. None of it is labelled."""

from __future__ import annotations

import cv2
import numpy as np

from seg2d3d_ros.simulation.scene.mesh import Mesh, box, concatenate, ellipsoid, leaves, polygon, tube
from seg2d3d_ros.simulation.scene.textures import TextureSet, noise, pick_color, plain

CAR_COLORS = ((172, 176, 180), (34, 36, 42), (214, 214, 210), (128, 24, 30), (34, 60, 110), (90, 96, 92), (170, 150, 110))
# The side view of a car, metres from the rear axle's ground point: (x forward, z up), a low and a tall kind.
CAR_PROFILES = (
    ((-0.8, 0.32), (3.45, 0.32), (3.55, 0.75), (2.5, 0.98), (1.75, 1.44), (0.2, 1.46), (-0.75, 0.98), (-0.85, 0.6)),
    ((-0.8, 0.32), (3.6, 0.32), (3.7, 0.95), (2.9, 1.15), (2.2, 1.95), (-0.8, 1.95), (-0.9, 1.2), (-0.9, 0.6)),
)
CAR_LENGTH, CAR_HEIGHT, CAR_HALF_WIDTH = 4.6, 2.0, 0.88


def car(rng: np.random.Generator, textures: TextureSet) -> Mesh:
    """A car that points along +x, its middle at the origin on the ground."""
    profile = np.array(CAR_PROFILES[int(rng.random() < 0.3)])
    color = np.asarray(pick_color(rng, CAR_COLORS), np.float32)
    side = textures.add(_car_side(rng, profile, color))
    skin = textures.add(plain(rng, tuple(color), 32, 5.0))
    glass = textures.add(plain(rng, (52.0, 62.0, 72.0), 32, 10.0))
    black = textures.add(plain(rng, (26.0, 26.0, 28.0), 32, 6.0))
    middle = 1.4
    parts = []
    uv = np.stack([(profile[:, 0] + 0.9) / CAR_LENGTH, 1.0 - profile[:, 1] / CAR_HEIGHT], axis=1)
    for y in (-CAR_HALF_WIDTH, CAR_HALF_WIDTH):
        flat = np.column_stack([profile[:, 0] - middle, np.full(len(profile), y), profile[:, 1]])
        parts.append(polygon(flat, uv, side))
    for i in range(len(profile)):
        (xa, za), (xb, zb) = profile[i], profile[(i + 1) % len(profile)]
        windscreen = min(za, zb) > 0.9 and abs(zb - za) > 0.25
        corners = [
            (xa - middle, -CAR_HALF_WIDTH, za), (xa - middle, CAR_HALF_WIDTH, za),
            (xb - middle, CAR_HALF_WIDTH, zb), (xb - middle, -CAR_HALF_WIDTH, zb),
        ]  # fmt: skip
        parts.append(polygon(corners, [(0, 1), (1, 1), (1, 0), (0, 0)], glass if windscreen else skin))
    lamp = textures.add(plain(rng, (226.0, 220.0, 200.0), 16, 8.0))
    tail = textures.add(plain(rng, (160.0, 24.0, 24.0), 16, 8.0))
    plate = textures.add(plain(rng, (226.0, 226.0, 220.0), 16, 30.0))
    front, rear = profile[2][0] - middle, profile[-1][0] - middle
    for y in (-0.62, 0.62):
        parts.append(box((front - 0.12, y - 0.16, 0.62), (front + 0.01, y + 0.16, 0.74), lamp))
        parts.append(box((rear - 0.02, y - 0.16, 0.66), (rear + 0.1, y + 0.16, 0.86), tail))
        parts += [
            tube((x - middle, np.sign(y) * 0.66, 0.31), (x - middle, np.sign(y) * 0.9, 0.31), (0.31, 0.31), black, sides=14)
            for x in (0.05, 2.72)
        ]
    parts.append(box((rear - 0.03, -0.26, 0.45), (rear + 0.05, 0.26, 0.56), plate))
    parts.append(box((front - 0.05, -0.26, 0.4), (front + 0.03, 0.26, 0.51), plate))
    return concatenate(parts)


def _car_side(rng: np.random.Generator, profile: np.ndarray, color: np.ndarray, scale: float = 100.0) -> np.ndarray:
    """Doors, windows and wheels as painted on the car's flank."""
    height, width = int(CAR_HEIGHT * scale), int(CAR_LENGTH * scale)
    image = np.ascontiguousarray(color * (1.0 + 0.03 * noise(rng, height, width, 60.0)[..., None]), np.float32)
    shine = np.exp(-(((np.arange(height) - height * 0.58) / (0.06 * height)) ** 2))[:, None, None]
    image += 26.0 * shine.astype(np.float32)

    def at(x: float, z: float) -> tuple[int, int]:
        return int((x + 0.9) * scale), int((CAR_HEIGHT - z) * scale)

    top = float(profile[:, 1].max())
    glass = np.array([at(-0.35, 1.0), at(0.3, top - 0.1), at(1.7, top - 0.1), at(2.35, 1.0)], np.int32)
    cv2.fillPoly(image, [glass], (48.0, 56.0, 64.0), cv2.LINE_AA)
    pillar = tuple(float(c) for c in 0.8 * color)
    cv2.line(image, at(0.95, 0.95), at(0.95, top - 0.08), pillar, 7)
    for x in (-0.1, 0.95, 2.05):
        cv2.line(image, at(x, 0.4), at(x, 1.0), tuple(float(c) for c in 0.55 * color), 2)
    for x in (0.6, 1.7):
        cv2.line(image, at(x, 0.88), at(x + 0.2, 0.88), (30.0, 30.0, 30.0), 4)
    for x in (0.05, 2.72):
        cv2.circle(image, at(x, 0.31), int(0.36 * scale), (18.0, 18.0, 20.0), -1)
        cv2.circle(image, at(x, 0.31), int(0.2 * scale), (150.0, 152.0, 156.0), -1)
        for angle in np.arange(5) * 2 * np.pi / 5:
            cv2.line(image, at(x, 0.31), at(x + 0.19 * np.cos(angle), 0.31 + 0.19 * np.sin(angle)), (80.0, 80.0, 84.0), 5)
    return image


def person(rng: np.random.Generator, textures: TextureSet) -> Mesh:
    """A walking person who faces +x, feet at the origin."""
    coat = textures.add(
        plain(rng, pick_color(rng, ((40, 50, 80), (140, 40, 44), (90, 96, 70), (200, 190, 170), (50, 50, 54))), 64, 26.0)
    )
    trousers = textures.add(plain(rng, pick_color(rng, ((40, 44, 60), (70, 62, 54), (30, 30, 32))), 32, 10.0))
    skin = textures.add(plain(rng, pick_color(rng, ((224, 184, 156), (150, 104, 78), (96, 66, 50)), 6), 16, 6.0))
    hair = textures.add(plain(rng, pick_color(rng, ((40, 30, 24), (150, 110, 60), (170, 168, 164)), 8), 16, 16.0))
    size = rng.uniform(0.92, 1.06)
    stride = rng.uniform(0.1, 0.3)
    parts = [
        tube((stride, 0.1, 0.03), (0, 0.09, 0.86), (0.07, 0.1), trousers),
        tube((-stride, -0.1, 0.03), (0, -0.09, 0.86), (0.07, 0.1), trousers),
        ellipsoid((0, 0, 1.16), (0.15, 0.22, 0.38), coat),
        tube((-0.7 * stride, 0.26, 0.82), (0.02, 0.22, 1.4), (0.05, 0.07), coat),
        tube((0.7 * stride, -0.26, 0.82), (0.02, -0.22, 1.4), (0.05, 0.07), coat),
        ellipsoid((0.02, 0, 1.62), (0.1, 0.085, 0.13), skin),
        ellipsoid((-0.02, 0, 1.66), (0.11, 0.095, 0.12), hair),
    ]
    body = concatenate(parts)
    return Mesh((body.triangles * size).astype(np.float32), body.uv, body.texture, body.label)


def tree(rng: np.random.Generator, textures: TextureSet, bark: int) -> Mesh:
    """A street tree, 5 to 7 m tall, at the origin."""
    color = pick_color(rng, ((70, 100, 44), (96, 112, 46), (58, 86, 50)), 8)
    leaf = textures.add(plain(rng, color, 64, 30.0))
    height = rng.uniform(2.2, 2.9)
    top = height + rng.uniform(1.2, 1.8)
    parts = [tube((0, 0, 0), (rng.normal(0, 0.06), rng.normal(0, 0.06), top), (0.16, 0.07), bark)]
    for _ in range(5):
        angle, reach = rng.uniform(0, 2 * np.pi), rng.uniform(0.5, 1.1)
        tip = (reach * np.cos(angle), reach * np.sin(angle), top + rng.uniform(0.2, 1.4))
        parts.append(tube((0, 0, height * rng.uniform(0.8, 1.1)), tip, (0.07, 0.02), bark, sides=5))
        parts.append(leaves(rng, tip, rng.uniform(0.55, 0.95, 3), 170, 0.24, leaf))
    parts.append(leaves(rng, (0, 0, top + 0.8), (1.2, 1.2, 1.1), 320, 0.24, leaf))
    return concatenate(parts)


def bush(rng: np.random.Generator, textures: TextureSet, height: float) -> Mesh:
    """A bush of about ``height`` metres, or a climbing plant of twice that, at the origin."""
    leaf = textures.add(plain(rng, pick_color(rng, ((70, 100, 44), (58, 86, 50), (84, 110, 60)), 8), 64, 30.0))
    tall = height * (2.0 if rng.random() < 0.2 else 1.0)
    radii = (rng.uniform(0.35, 0.7), 0.3, 0.55 * tall)
    return leaves(rng, (0, 0, 0.55 * tall), radii, int(260 * tall), 0.16, leaf)


def lamp_post(rng: np.random.Generator, metal: int, glass: int) -> Mesh:
    """A street lamp whose arm reaches towards +y."""
    height = rng.uniform(5.0, 6.0)
    parts = [
        tube((0, 0, 0), (0, 0, height), (0.09, 0.05), metal),
        tube((0, 0, height), (0, 1.1, height + 0.2), (0.04, 0.03), metal),
    ]
    return concatenate([*parts, box((-0.12, 0.8, height + 0.05), (0.12, 1.4, height + 0.17), glass)])


def sign_post(metal: int, face: int) -> Mesh:
    """A traffic sign that faces -x."""
    parts = [
        tube((0, 0, 0), (0, 0, 2.7), (0.035, 0.035), metal, sides=6),
        box((-0.05, -0.3, 2.1), (-0.02, 0.3, 2.7), face, tile=0.6),
    ]
    return concatenate(parts)
