"""Façades: walls with windows, doors, shop fronts, dirt, cracks, posters and graffiti, painted into one texture each.

The windows come from a small pool that all houses of a street share, so that they repeat within and across houses.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from scipy import ndimage

from seg2d3d_ros.simulation.scene.textures import Color, bricks, cracks, noise, pick_color, plaster, spots, write_words

WALL_COLORS: tuple[Color, ...] = (
    (214, 202, 176),
    (196, 160, 120),
    (178, 190, 186),
    (222, 214, 204),
    (190, 142, 118),
    (206, 186, 130),
    (164, 170, 150),
    (150, 160, 178),
)
BRICK_COLORS: tuple[Color, ...] = ((150, 82, 62), (128, 74, 60), (168, 110, 84), (120, 96, 84), (186, 160, 128))
SIGN_COLORS: tuple[Color, ...] = ((40, 60, 90), (120, 30, 34), (30, 84, 60), (60, 56, 54), (196, 164, 60), (220, 216, 206))
WORDS = (
    "BAKERY", "BOOKS", "CAFE LUNA", "PHARMACY", "HOTEL POST", "BICYCLES", "FLOWERS", "OPTIK", "WEIN & MEHR", "TAILOR",
    "SHOES", "KIOSK 24", "MUSIC", "ANTIQUES", "RADIO KING", "BARBER", "TEA HOUSE", "PRINT", "GALERIE", "NOODLES",
)  # fmt: skip


@dataclass(frozen=True)
class Opening:
    """A window or door on a façade: metres from the façade's lower left corner."""

    left: float
    bottom: float
    width: float
    height: float
    window: bool


@dataclass(frozen=True)
class Facade:
    """A painted façade and where its openings are (relief is built around them).

    Attributes:
        floors: metres above the ground at which the storeys above the lowest begin.
        sign: the board over a shop, ``(left, bottom, width, height)`` in metres; None where there is none.
    """

    image: np.ndarray
    openings: tuple[Opening, ...]
    floors: tuple[float, ...]
    shop: bool
    sign: tuple[float, float, float, float] | None = None


def window_pool(rng: np.random.Generator, count: int, scale: float) -> list[np.ndarray]:
    """``count`` different windows, each about 1.3 × 1.7 m: frame, panes, reflections and curtains."""
    pool = []
    for _ in range(count):
        height, width = int(1.7 * scale), int(1.3 * scale)
        sky = np.linspace(118.0, 46.0, height, dtype=np.float32)[:, None] + 22.0 * noise(rng, height, width, height / 2, 4.0)
        image = np.stack([sky * 0.82, sky * 0.92, sky * 1.04], axis=-1)
        if rng.random() < 0.6:
            cloth = (
                190.0
                + 26.0 * np.sin(np.arange(width) / scale * rng.uniform(60, 110))[None]
                + 8.0 * noise(rng, height, width, 8)
            )
            inner = int(width * rng.uniform(0.18, 0.36))
            for part in (slice(0, inner), slice(width - inner, width)):
                image[:, part] = 0.35 * image[:, part] + 0.6 * cloth[:, part, None]
        frame = pick_color(rng, ((232, 230, 224), (96, 70, 50), (70, 84, 78), (206, 196, 170)))
        thick = max(2, int(0.07 * scale))
        for column in np.linspace(0, width, int(rng.integers(2, 4)) + 0).astype(int)[1:-1]:
            cv2.rectangle(image, (column - thick // 2, 0), (column + thick // 2, height), frame, -1)
        for row in np.linspace(0, height, int(rng.integers(2, 5))).astype(int)[1:-1]:
            cv2.rectangle(image, (0, row - thick // 3), (width, row + thick // 3), frame, -1)
        cv2.rectangle(image, (0, 0), (width - 1, height - 1), frame, 2 * thick)
        cv2.rectangle(image, (thick, thick), (width - 1 - thick, height - 1 - thick), tuple(0.6 * c for c in frame), 1)
        pool.append(image)
    return pool


def paste(image: np.ndarray, scale: float, opening: Opening, picture: np.ndarray) -> None:
    """Put ``picture`` where ``opening`` is, with a shadow line around it."""
    height = image.shape[0]
    x0, x1 = int(opening.left * scale), int((opening.left + opening.width) * scale)
    y0, y1 = int(height - (opening.bottom + opening.height) * scale), int(height - opening.bottom * scale)
    if x1 - x0 < 2 or y1 - y0 < 2:
        return
    cv2.rectangle(image, (x0 - 2, y0 - 2), (x1 + 1, y1 + 1), (60, 56, 52), 2)
    target = image[max(y0, 0) : y1, max(x0, 0) : x1]
    resized = cv2.resize(picture.astype(np.float32), (x1 - x0, y1 - y0), interpolation=cv2.INTER_AREA)
    target[:] = resized[max(-y0, 0) :, max(-x0, 0) :][: target.shape[0], : target.shape[1]]


def paint_door(rng: np.random.Generator, scale: float) -> np.ndarray:
    """A panelled door, 1.1 × 2.3 m."""
    height, width = int(2.3 * scale), int(1.1 * scale)
    color = np.array(pick_color(rng, ((92, 58, 40), (40, 62, 84), (60, 90, 70), (120, 40, 38), (140, 130, 118))))
    image = color * (1.0 + 0.08 * noise(rng, height, width, scale / 2)[..., None])
    image = np.ascontiguousarray(image, np.float32)
    for row in range(3):
        for column in range(2):
            low = (int((0.08 + 0.46 * column) * width), int((0.06 + 0.31 * row) * height))
            high = (int((0.44 + 0.46 * column) * width), int((0.31 + 0.31 * row) * height))
            cv2.rectangle(image, low, high, tuple(float(c) for c in 0.7 * color), max(1, int(scale / 30)))
    cv2.circle(image, (int(0.92 * width), int(0.55 * height)), max(2, int(0.03 * scale)), (210, 190, 120), -1)
    return image


def _shop_window(rng: np.random.Generator, scale: float, width: float) -> np.ndarray:
    """Goods behind glass."""
    shape = (int(2.0 * scale), max(8, int(width * scale)))
    image = np.repeat((58.0 + 16.0 * noise(rng, *shape, shape[0] / 2, 4.0))[..., None], 3, axis=2).astype(np.float32)
    for _ in range(int(14 * width)):
        size = rng.uniform(0.08, 0.34, 2) * scale
        x, y = rng.uniform(0, shape[1]), shape[0] * rng.choice([0.42, 0.7, 0.97])
        color = pick_color(
            rng, ((200, 60, 50), (60, 110, 170), (220, 200, 80), (90, 150, 90), (230, 230, 225), (40, 40, 46)), 25
        )
        cv2.rectangle(image, (int(x), int(y - size[1])), (int(x + size[0]), int(y)), color, -1)
    cv2.rectangle(image, (0, 0), (shape[1] - 1, shape[0] - 1), (52, 50, 48), max(2, int(0.08 * scale)))
    return image


def _poster(rng: np.random.Generator, scale: float) -> np.ndarray:
    """A printed sheet with a picture and words."""
    height, width = int(0.85 * scale), int(0.6 * scale)
    base = np.array(
        pick_color(rng, ((230, 225, 210), (240, 200, 60), (60, 120, 170), (200, 70, 60), (110, 160, 110)), 20), np.float32
    )
    image = np.ascontiguousarray(np.broadcast_to(base, (height, width, 3)), np.float32)
    for _ in range(9):
        center = (int(rng.uniform(0, width)), int(rng.uniform(0.25, 0.75) * height))
        cv2.circle(image, center, int(rng.uniform(0.04, 0.18) * scale), pick_color(rng, SIGN_COLORS, 40), -1)
    words = write_words(rng, image[: max(6, height // 4)], str(rng.choice(WORDS)), pick_color(rng, ((20, 20, 24),), 15))
    image[: max(6, height // 4)] = words
    return image


def paint_facade(
    rng: np.random.Generator, width: float, height: float, scale: float, windows: list[np.ndarray], decorated: bool = True
) -> Facade:
    """Paint a façade of ``width`` × ``height`` metres at ``scale`` pixels a metre.

    Args:
        windows: the street's window pool; one kind is chosen per house.
        decorated: False leaves out shop, posters, graffiti and signs (side and far walls).
    """
    h, w = max(8, int(height * scale)), max(8, int(width * scale))
    brick = rng.random() < 0.45
    image = (
        bricks(rng, h, w, pick_color(rng, BRICK_COLORS), scale)
        if brick
        else plaster(rng, h, w, pick_color(rng, WALL_COLORS), scale)
    ).astype(np.float32)
    ground = rng.uniform(3.2, 3.9)
    storey = rng.uniform(2.8, 3.3)
    count = max(1, int((height - ground) / storey))
    storey = (height - ground) / count
    floors = tuple(ground + i * storey for i in range(count))
    shop = decorated and rng.random() < 0.55
    if rng.random() < 0.6:
        base = bricks(rng, int(ground * scale), w, pick_color(rng, ((150, 144, 134), (120, 112, 104))), scale, (0.62, 0.36))
        image[h - len(base) :] = base if decorated else image[h - len(base) :]
    below = np.clip(1.0 - (h - np.arange(h, dtype=np.float32)) / scale / 1.6, 0.0, 1.0)[:, None]
    image *= (1.0 - 0.22 * below * (1.0 + 0.5 * noise(rng, h, w, scale / 2)))[..., None]
    streaks = cv2.resize(noise(rng, max(4, h // 40), w, scale / 2, 1.0), (w, h), interpolation=cv2.INTER_CUBIC)
    image *= (1.0 - 0.10 * np.clip(streaks, 0.0, None))[..., None]
    image = cracks(rng, image, int(width * height / 14), 1.2 * scale, (70.0, 64.0, 60.0))
    image = spots(rng, image, int(width * height * 0.7), 0.10 * scale, (-34.0, 22.0))
    for level in floors if rng.random() < 0.7 else ():
        row = h - int(level * scale)
        cv2.rectangle(image, (0, row - int(0.12 * scale)), (w, row), pick_color(rng, ((210, 206, 196), (130, 120, 110)), 6), -1)
    openings = _openings(rng, width, floors, storey, ground, shop)
    pane = windows[int(rng.integers(len(windows)))]
    door = paint_door(rng, scale)
    for opening in openings:
        if not opening.window:
            paste(image, scale, opening, door)
        elif opening.bottom < ground - 2.5 and shop:
            paste(image, scale, opening, _shop_window(rng, scale, opening.width))
        else:
            picture = pane
            if rng.random() < 0.2:
                picture = pane.copy()
                drop = int(len(pane) * rng.uniform(0.2, 0.75))
                blind = pick_color(rng, ((206, 200, 186), (150, 140, 124), (120, 136, 150)))
                slats = 1.0 - 0.16 * (np.arange(drop) % max(3, int(scale / 18)) == 0)
                picture[:drop, 6:-6] = np.asarray(blind) * slats[:, None, None]
            paste(image, scale, opening, picture)
    sign = _decorate(rng, image, scale, ground, shop, openings) if decorated else None
    return Facade(np.clip(image, 0, 255).astype(np.uint8), tuple(openings), floors, shop, sign)


def _openings(
    rng: np.random.Generator, width: float, floors: tuple[float, ...], storey: float, ground: float, shop: bool
) -> list[Opening]:
    size = (rng.uniform(0.95, 1.4), min(storey - 0.95, rng.uniform(1.4, 1.9)))
    columns = max(1, int((width - 0.6) / (size[0] + rng.uniform(0.5, 1.1))))
    centers = (np.arange(columns) + 0.5) * width / columns
    found = [Opening(c - size[0] / 2, level + 0.75, size[0], size[1], True) for level in floors for c in centers]
    at = int(rng.integers(columns))
    found.append(Opening(centers[at] - 0.55, 0.05, 1.1, 2.3, False))
    free = [i for i in range(columns) if i != at]
    wide = 0.86 * width / columns if shop else size[0]
    tall = (0.55, min(2.1, ground - 1.3)) if shop else (1.0, min(size[1], ground - 1.4))
    return found + [Opening(centers[i] - wide / 2, tall[0], wide, tall[1], True) for i in free]


def _rooted(mask: np.ndarray) -> np.ndarray:
    """Keep what is connected to the ground."""
    parts, _ = ndimage.label(mask)
    return np.isin(parts, np.setdiff1d(parts[-1], [0]))


def _decorate(
    rng: np.random.Generator, image: np.ndarray, scale: float, ground: float, shop: bool, openings: list[Opening]
) -> tuple[float, float, float, float] | None:
    """Shop sign, posters, graffiti, ivy, a house number: what makes one house unlike the next. Returns where the sign is."""
    h, w = image.shape[:2]
    board = None
    if shop:
        band = slice(h - int((ground - 0.1) * scale), h - int((ground - 0.65) * scale))
        left = int(rng.uniform(0.02, 0.2) * w)
        sign = image[band, left : w - int(rng.uniform(0.02, 0.2) * w)]
        board = left / scale, ground - 0.65, sign.shape[1] / scale, 0.55
        color = pick_color(rng, SIGN_COLORS)
        sign[:] = np.asarray(color) * (1.0 + 0.05 * noise(rng, sign.shape[0], sign.shape[1], scale / 2)[..., None])
        sign[:] = write_words(rng, sign, str(rng.choice(WORDS)), (235, 230, 215) if np.mean(color) < 140 else (36, 34, 40))
    for _ in range(int(rng.integers(2, 6))):
        sheet = _poster(rng, scale * rng.uniform(0.7, 1.3))
        wide = sheet.shape[1] / scale
        lefts = rng.uniform(0, max(0.1, w / scale - wide), 12)
        clear = [x for x in lefts if all(x + wide < o.left or x > o.left + o.width for o in openings if o.bottom < 2.0)]
        if not clear:
            continue
        x, y = int(clear[0] * scale), h - int(rng.uniform(1.2, 1.9) * scale)
        target = image[y : y + sheet.shape[0], x : x + sheet.shape[1]]
        target[:] = sheet[: target.shape[0], : target.shape[1]]
    for _ in range(int(rng.integers(0, 4))):
        points = np.cumsum(rng.normal(0, 0.16 * scale, (14, 2)), axis=0) + [
            rng.uniform(0, w),
            h - rng.uniform(0.5, 1.7) * scale,
        ]
        smooth = cv2.resize(points.astype(np.float32), (2, 90), interpolation=cv2.INTER_CUBIC).astype(np.int32)
        color = pick_color(rng, ((30, 30, 34), (190, 40, 60), (40, 90, 170), (230, 230, 225), (60, 150, 80)), 15)
        cv2.polylines(image, [smooth], False, color, max(2, int(0.045 * scale)), cv2.LINE_AA)
    if rng.random() < 0.25:
        density = noise(rng, h, w, 2.5 * scale, scale / 12, 0.65)
        side = np.abs(np.linspace(0, 1, w) - float(rng.integers(2))) * 2.4 + np.linspace(1.0, 0.0, h)[:, None] * 1.2
        mask = _rooted(density - side > -0.7)[..., None]
        leaf = np.array([58.0, 88.0, 42.0]) * (1.0 + 0.35 * noise(rng, h, w, 6.0, 1.0, 1.0)[..., None])
        image[:] = np.where(mask, leaf, image)
    plate = image[h - int(2.0 * scale) : h - int(1.75 * scale), int(0.03 * w) : int(0.03 * w) + int(0.3 * scale)]
    plate[:] = (40, 66, 130)
    plate[:] = write_words(rng, plate, str(int(rng.integers(1, 99))), (240, 240, 240))
    return board
