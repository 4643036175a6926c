"""Backgrounds of the built-in data set: smooth colours, noise, patterns and clutter, none of which is a face."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import cv2
import numpy as np

from gluon_mtcnn.prepare_data.synthetic.canvas import Canvas, rectangle, rotation
from gluon_mtcnn.prepare_data.synthetic.head import random_colour


def paint_background(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Return a scene without heads, (height, width, 3) uint8."""
    image = gradient(rng, height, width)
    if rng.random() < 0.6:
        image = cv2.addWeighted(image, 0.5, pattern(rng, height, width), 0.5, 0)
    image = add_grey(image, fractal_noise(rng, height, width) * np.float32(rng.uniform(3, 18)))
    canvas = Canvas(image, scale=float(max(height, width)))
    for i in rng.choice(len(CLUTTER), size=rng.integers(1, 4), replace=False):
        CLUTTER[i](canvas, rng)
    return canvas.image


def add_grey(image: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """Return an image (h, w, 3) uint8 with `levels` (h, w) added to all three channels, saturated."""
    return cv2.add(image, cv2.merge([levels.astype(np.int16)] * 3), dtype=cv2.CV_8U)


def gradient(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Return a smooth change between random colours, (height, width, 3) uint8."""
    rows, columns = rng.integers(2, 4), rng.integers(2, 5)
    base = random_colour(rng)
    corners = np.clip(base + rng.normal(0, 28, (rows, columns, 3)), 0, 255).astype(np.uint8)
    return cv2.resize(corners, (width, height), interpolation=cv2.INTER_CUBIC)


def fractal_noise(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Return noise of three sizes of grain, (height, width) float32 of standard deviation about 1."""
    noise = np.zeros((height, width), np.float32)
    for grain in (24, 8, 3):
        coarse = rng.standard_normal((height // grain + 2, width // grain + 2), np.float32)
        noise += cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR)
    return noise


def pattern(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Return stripes, checks, plaid, waves or rings of two colours, (height, width, 3) uint8."""
    angle, period = rng.uniform(0, np.pi), rng.uniform(8, 60)
    x = np.arange(width, dtype=np.float32)[None] - np.float32(rng.uniform(0, width))
    y = np.arange(height, dtype=np.float32)[:, None] - np.float32(rng.uniform(0, height))
    u = (x * np.float32(np.cos(angle)) + y * np.float32(np.sin(angle))) * np.float32(2 * np.pi / period)
    v = (y * np.float32(np.cos(angle)) - x * np.float32(np.sin(angle))) * np.float32(2 * np.pi / period)
    kind = rng.integers(5)
    if kind == 0:
        wave = np.sin(u)
    elif kind == 1:
        wave = np.sin(u) * np.sin(v) * 2
    elif kind == 2:
        wave = np.maximum(np.sin(u), np.sin(v))
    elif kind == 3:
        wave = np.sin(u + 2 * np.sin(v / 2))
    else:
        wave = np.sin(np.sqrt(u * u + v * v))
    share = np.clip(128 + wave * np.float32(rng.uniform(128, 1024)), 0, 255).astype(np.uint8)
    ramp = np.linspace(random_colour(rng), random_colour(rng), 256).astype(np.uint8)
    return cv2.LUT(cv2.merge([share] * 3), ramp[None])


# Clutter. The longer side of the scene is one unit.


def _foliage(canvas: Canvas, rng: np.random.Generator) -> None:
    count = int(rng.integers(60, 160))
    middle = rng.uniform(0, 1, 2) * canvas.extent
    centres = middle + rng.normal(0, rng.uniform(0.08, 0.3), (count, 2))
    leaf = random_colour(rng) if rng.random() < 0.3 else np.array([60, 130, 80]) * rng.uniform(0.5, 1.4)
    outline = np.array([(-1, 0), (-0.4, 0.4), (0.4, 0.35), (1, 0), (0.4, -0.35), (-0.4, -0.4)])
    turns = np.stack([rotation(degrees) for degrees in rng.uniform(0, 360, count)])
    leaves = outline @ turns * rng.uniform(0.006, 0.03, (count, 1, 1)) + centres[:, None]
    canvas.polygons(leaves, leaf * rng.uniform(0.5, 1.25, (count, 1)))


def _grid(x: np.ndarray, y: np.ndarray, size: Sequence[float]) -> np.ndarray:
    """Return the rectangles (len(x) * len(y), 4, 2) of one size whose corners form a grid."""
    corners = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 1, 2)
    return rectangle(corners, size)


def _buildings(canvas: Canvas, rng: np.random.Generator) -> None:
    width, height = canvas.extent
    left, ground = -rng.uniform(0, 0.1), height * rng.uniform(0.75, 1.05)
    while left < width:
        side, tall, step = rng.uniform(0.1, 0.26), rng.uniform(0.2, 0.7) * height, rng.uniform(0.03, 0.06)
        canvas.polygon(rectangle((left, ground - tall), (side, tall)), random_colour(rng))
        columns = np.arange(left + 0.3 * step, left + side - 0.7 * step, step)
        rows = np.arange(ground - tall + 0.4 * step, ground - step, step * 1.3)
        windows = _grid(columns, rows, (0.5 * step, 0.7 * step))
        canvas.polygons(windows, np.tile(random_colour(rng), (len(windows), 1)))
        left += side + rng.uniform(-0.02, 0.08)


def _blobs(canvas: Canvas, rng: np.random.Generator) -> None:
    for _ in range(rng.integers(6, 25)):
        centre, axes = rng.uniform(0, 1, 2) * canvas.extent, rng.uniform(0.01, 0.1, 2)
        colour, turn = random_colour(rng), rng.uniform(0, 180)
        canvas.ellipse(centre, axes, colour, turn)
        if rng.random() < 0.5:
            canvas.ellipse(centre - 0.15 * axes, axes * 0.6, colour * 1.2 + 12, turn)


def _shards(canvas: Canvas, rng: np.random.Generator) -> None:
    for _ in range(rng.integers(5, 20)):
        middle = rng.uniform(0, 1, 2) * canvas.extent
        canvas.polygon(middle + rng.normal(0, rng.uniform(0.02, 0.12), (rng.integers(3, 6), 2)), random_colour(rng))


def _lines(canvas: Canvas, rng: np.random.Generator) -> None:
    for _ in range(rng.integers(4, 20)):
        start = rng.uniform(0, 1, 2) * canvas.extent
        steps = np.cumsum(rng.normal(0, rng.uniform(0.01, 0.1), (rng.integers(2, 12), 2)), axis=0)
        canvas.line(start + steps, random_colour(rng), rng.uniform(0.002, 0.02))


def _bricks(canvas: Canvas, rng: np.random.Generator) -> None:
    corner, (width, height) = rng.uniform(-0.2, 0.5, 2), rng.uniform(0.25, 0.7, 2)
    wide = rng.uniform(0.04, 0.09)
    tall, brick = wide * rng.uniform(0.35, 0.6), random_colour(rng)
    canvas.polygon(rectangle(corner, (width, height)), random_colour(rng))
    for first, start in ((0.0, 0.0), (wide / 2, tall)):
        columns, rows = np.arange(first, width - wide, wide), np.arange(start, height - tall, 2 * tall)
        bricks = _grid(columns, rows, (0.9 * wide, 0.85 * tall)) + corner
        canvas.polygons(bricks, brick * rng.uniform(0.8, 1.1, (len(bricks), 1)))


CLUTTER: tuple[Callable[[Canvas, np.random.Generator], None], ...] = (
    _foliage,
    _buildings,
    _blobs,
    _shards,
    _lines,
    _bricks,
)
