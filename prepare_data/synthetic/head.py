"""What a head of the built-in data set looks like: faces, what may cover them, and what almost looks like one.

A head is painted upright in its own units: the face is the ellipse of half-height 1 and half-width `aspect` around
(0, 0), from the top of the forehead to the chin. Features are placed by fractions of the half-axes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Optional

import cv2
import numpy as np

from gluon_mtcnn.prepare_data.synthetic.canvas import Canvas

FACE = "face"
COVERED_FRACTION = 0.22  # of the faces

_SKIN = np.array(
    [[190, 212, 242], [160, 190, 232], [130, 165, 214], [98, 134, 188], [66, 96, 146], [44, 64, 104]], float
)
_HAIR = np.array([[24, 22, 26], [30, 44, 66], [44, 72, 116], [96, 150, 196], [34, 52, 128], [150, 152, 156]], float)

Point = tuple[float, float]


EYE_LINE, NOSE_LINE, MOUTH_LINE = -0.12, 0.2, 0.54  # fractions of the half-height below the centre
_LEFT_EYE, _RIGHT_EYE = (-0.42, EYE_LINE), (0.42, EYE_LINE)


@dataclass(frozen=True)
class Layout:
    """Where the features of a head lie, as fractions of its half-axes; an absent feature is not painted."""

    eyes: tuple[Point, ...] = (_LEFT_EYE, _RIGHT_EYE)
    nose: Optional[Point] = (0.0, NOSE_LINE)
    mouth: Optional[Point] = (0.0, MOUTH_LINE)
    up: float = 1.0  # -1: every feature the other way up
    turn: float = 0.0  # degrees by which the whole head is turned


LAYOUTS = {
    FACE: Layout(),
    "left_eye_only": Layout(eyes=(_LEFT_EYE,)),
    "right_eye_only": Layout(eyes=(_RIGHT_EYE,)),
    "cyclops": Layout(eyes=((0.0, -0.2),)),
    "no_eyes": Layout(eyes=()),
    "no_mouth": Layout(mouth=None),
    "features_upside_down": Layout(up=-1.0),
    "head_upside_down": Layout(turn=180.0),
    "lying": Layout(turn=90.0),
    "mouth_on_top": Layout(eyes=((-0.42, 0.3), (0.42, 0.3)), nose=(0.0, 0.0), mouth=(0.0, -0.35)),
    "scrambled": Layout(eyes=((-0.35, 0.5), (0.4, -0.25)), nose=(0.35, 0.3), mouth=(-0.1, -0.4)),
}


class Head:
    """The looks of one head, and the maps from fractions of the face to units of its canvas."""

    def __init__(self, rng: np.random.Generator, kind: str) -> None:
        self.kind, self.layout = kind, LAYOUTS.get(kind, Layout())
        tone = rng.uniform(0, len(_SKIN) - 1)
        self.skin = np.array([np.interp(tone, range(len(_SKIN)), channel) for channel in _SKIN.T])
        self.skin = np.clip(self.skin * rng.normal(1, 0.03, 3), 20, 250)
        self.hair = _HAIR[rng.integers(len(_HAIR))] * rng.uniform(0.7, 1.2)
        self.cloth = random_colour(rng)
        self.aspect = rng.uniform(0.74, 0.84)
        self.yaw, self.pitch = rng.uniform(-0.22, 0.22), rng.uniform(-0.07, 0.07)
        self.eye_spread, self.mouth_width = rng.uniform(0.92, 1.08), rng.uniform(0.3, 0.42)
        self.shoulders = bool(rng.random() < 0.65) and kind in LAYOUTS
        self.smile, self.open_mouth = rng.uniform(-0.02, 0.11), bool(rng.random() < 0.25)

    def place(self, x: float, y: float) -> Point:
        """Return the canvas point of face fractions x, y; turning the head moves the middle more than the rim."""
        y = y * self.layout.up
        return self.aspect * (x + self.yaw * (1 - x * x)), y + self.pitch * (1 - y * y)

    @property
    def reach(self) -> float:
        """Return how far from the face's centre anything is painted, in half-heights."""
        return 2.4 if self.shoulders else 1.6

    def points(self) -> list[Point]:
        """Return the five points of a complete face with these looks."""
        fractions = [(side * 0.42 * self.eye_spread, EYE_LINE) for side in (-1, 1)]
        fractions += [(0.0, NOSE_LINE)] + [(side * self.mouth_width, MOUTH_LINE) for side in (-1, 1)]
        return [self.place(*fraction) for fraction in fractions]


def random_colour(rng: np.random.Generator) -> np.ndarray:
    """Return a colour (3,) of any hue; every fifth is close to skin, so that colour alone gives no face away."""
    if rng.random() < 0.2:
        return np.clip(_SKIN[rng.integers(len(_SKIN))] + rng.normal(0, 12, 3), 0, 255)
    hsv = np.array([[[rng.uniform(0, 180), 255 * rng.beta(1.2, 2.2), rng.uniform(35, 240)]]]).astype(np.uint8)
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR)[0, 0].astype(np.float64)


# Parts of a person


def paint(canvas: Canvas, head: Head, rng: np.random.Generator) -> None:
    """Paint a head of any kind."""
    OBJECTS.get(head.kind, _paint_person)(canvas, head, rng)


def paint_cover(canvas: Canvas, head: Head, rng: np.random.Generator) -> None:
    """Paint something that hides a part of a face."""
    _COVERS[rng.integers(len(_COVERS))](canvas, head, rng)


def _paint_person(canvas: Canvas, head: Head, rng: np.random.Generator) -> None:
    style = rng.choice(["bald", "short", "long", "hat", "shawl"], p=[0.12, 0.36, 0.26, 0.14, 0.12])
    if head.shoulders:
        _paint_shoulders(canvas, head)
    _paint_behind(canvas, head, rng, style)
    _paint_skin(canvas, head)
    for x, y in head.layout.eyes:
        _paint_eye(canvas, head, rng, x * head.eye_spread, y)
    if head.layout.nose:
        _paint_nose(canvas, head, *head.layout.nose)
    if head.layout.mouth:
        _paint_mouth(canvas, head, *head.layout.mouth)
    _paint_on_top(canvas, head, rng, style)


def _paint_shoulders(canvas: Canvas, head: Head) -> None:
    canvas.ellipse((0, 1.72), (1.4, 0.58), head.cloth)
    canvas.polygon([(-0.4, 0.6), (0.4, 0.6), (0.46, 1.35), (-0.46, 1.35)], head.skin * 0.78)


def _paint_behind(canvas: Canvas, head: Head, rng: np.random.Generator, style: str) -> None:
    if style == "long":
        canvas.ellipse((0, 0.08), (head.aspect * rng.uniform(1.25, 1.45), rng.uniform(1.2, 1.4)), head.hair)
    elif style == "short":
        canvas.ellipse((0, -0.2), (head.aspect * rng.uniform(1.08, 1.2), rng.uniform(0.95, 1.05)), head.hair)
    elif style == "shawl":
        canvas.ellipse((0, 0.1), (head.aspect * rng.uniform(1.25, 1.4), rng.uniform(1.25, 1.4)), head.cloth)


def _paint_skin(canvas: Canvas, head: Head) -> None:
    for side in (-1, 1):
        canvas.ellipse((side * head.aspect * 0.99, 0.02), (0.12, 0.2), head.skin * 0.85)
    canvas.ellipse((0, 0), (head.aspect, 1), head.skin)


def _paint_eye(canvas: Canvas, head: Head, rng: np.random.Generator, x: float, y: float) -> None:
    up, (cx, cy) = head.layout.up, head.place(x, y)
    canvas.ellipse((cx, cy - 0.03 * up), (0.22, 0.15), head.skin * 0.72)
    canvas.ellipse((cx, cy), (0.165, rng.uniform(0.07, 0.1)), (225, 228, 232))
    canvas.ellipse((cx + 0.25 * head.yaw, cy), (0.085, 0.09), (28, 30, 36))
    canvas.line(
        [(cx - 0.18, cy - 0.02 * up), (cx, cy - 0.11 * up), (cx + 0.18, cy - 0.02 * up)], head.skin * 0.35, 0.035
    )
    brow = np.minimum(head.hair, head.skin) * 0.6
    canvas.line([(cx - 0.2, cy - 0.22 * up), (cx, cy - 0.28 * up), (cx + 0.2, cy - 0.22 * up)], brow, 0.075)


def _paint_nose(canvas: Canvas, head: Head, x: float, y: float) -> None:
    tip, top = head.place(x, y), head.place(x, y - 0.34)
    side = 0.13 if head.yaw >= 0 else -0.13
    canvas.polygon([top, (tip[0] + side, tip[1]), tip], head.skin * 0.8)
    canvas.ellipse(tip, (0.13, 0.06), head.skin * 0.72)
    for nostril in (-0.07, 0.07):
        canvas.ellipse((tip[0] + nostril, tip[1] + 0.02 * head.layout.up), (0.03, 0.025), head.skin * 0.35)


def _paint_mouth(canvas: Canvas, head: Head, x: float, y: float) -> None:
    left, right = head.place(x - head.mouth_width, y), head.place(x + head.mouth_width, y)
    middle = head.place(x, y)
    lips = head.skin * (0.5, 0.5, 0.78)
    depth = (0.16 if head.open_mouth else 0.085) * head.layout.up
    droop = head.smile * head.layout.up
    t = np.linspace(0, np.pi, 9)
    across = np.linspace(left[0], right[0], 9)
    rim = np.linspace(left[1], right[1], 9) + (droop + middle[1] - (left[1] + right[1]) / 2) * np.sin(t)
    upper, lower = np.stack([across, rim - 0.5 * depth * np.sin(t)], 1), np.stack([across, rim + depth * np.sin(t)], 1)
    canvas.polygon(np.concatenate([upper, lower[::-1]]), lips)
    if head.open_mouth:
        inside = np.stack([across, rim], 1) * 0.75 + np.array([middle[0], middle[1] + droop]) * 0.25
        teeth = inside + np.stack([np.zeros(9), 0.6 * depth * np.sin(t)], 1)
        canvas.polygon(np.concatenate([inside, teeth[::-1]]), (215, 220, 225))
    canvas.line(np.stack([across, rim], 1), head.skin * 0.3, 0.03)


def _paint_on_top(canvas: Canvas, head: Head, rng: np.random.Generator, style: str) -> None:
    if style in ("short", "long"):
        line, part = rng.uniform(-0.7, -0.52), rng.uniform(-0.5, 0.5) * head.aspect
        rim = np.deg2rad(np.arange(200, 341, 10))
        top = np.stack([1.04 * head.aspect * np.cos(rim), 1.06 * np.sin(rim)], 1)
        edge = [(head.aspect * 0.7, line + 0.05), (part, line - 0.14), (-head.aspect * 0.7, line + 0.05)]
        canvas.polygon(np.concatenate([top, edge]), head.hair)
    elif style == "hat":
        canvas.ellipse((0, -0.66), (head.aspect * 1.04, rng.uniform(0.6, 0.85)), head.cloth, half=True)
        canvas.ellipse((0, -0.64), (head.aspect * rng.uniform(1.1, 1.5), 0.13), head.cloth * 0.75)
    elif style == "shawl":
        canvas.ellipse((0, -0.62), (head.aspect * 0.85, 0.46), head.cloth * 0.92, half=True)


# What may hide a part of a face


def _cover_sunglasses(canvas: Canvas, head: Head, rng: np.random.Generator) -> None:
    (left, right), colour = head.points()[:2], rng.uniform(8, 60, 3)
    for x, y in (left, right):
        canvas.ellipse((x, y + 0.02), (0.27, rng.uniform(0.17, 0.21)), colour)
    canvas.line([left, right], colour, 0.07)
    canvas.line([(-head.aspect, left[1] - 0.05), left], colour, 0.05)
    canvas.line([right, (head.aspect, right[1] - 0.05)], colour, 0.05)


def _cover_scarf(canvas: Canvas, head: Head, rng: np.random.Generator) -> None:
    colour, top = random_colour(rng), rng.uniform(0.38, 0.5)
    wide = head.aspect * 1.12
    canvas.polygon(
        [(-wide, top - 0.08), (0, top + 0.03), (wide, top - 0.08), (wide * 0.8, 1.12), (-wide * 0.8, 1.12)], colour
    )
    for y in np.arange(top + 0.14, 1.05, rng.uniform(0.16, 0.3)):
        canvas.line([(-wide * 0.95, y - 0.06), (0, y + 0.03), (wide * 0.95, y - 0.06)], colour * 0.7, 0.05)


def _cover_pole(canvas: Canvas, head: Head, rng: np.random.Generator) -> None:
    x, lean, half = rng.uniform(-0.6, 0.6) * head.aspect, rng.uniform(-0.4, 0.4), rng.uniform(0.07, 0.15)
    colour = random_colour(rng)
    for shrink, tone in ((1.0, 0.7), (0.5, 1.0)):
        w = half * shrink
        canvas.polygon(
            [(x - w - lean, -1.4), (x + w - lean, -1.4), (x + w + lean, 1.4), (x - w + lean, 1.4)], colour * tone
        )


def _cover_object(canvas: Canvas, head: Head, rng: np.random.Generator) -> None:
    side, colour = rng.choice([-1.0, 1.0]), random_colour(rng)
    centre = (side * head.aspect * rng.uniform(0.75, 1.0), rng.uniform(-0.5, 0.9))
    axes = rng.uniform(0.35, 0.6, 2)
    canvas.ellipse(centre, axes, colour * 0.75, angle=rng.uniform(0, 180))
    canvas.ellipse((centre[0] - 0.06, centre[1] - 0.06), axes * 0.7, colour)


# Things that are no head at all


def _paint_blank(canvas: Canvas, head: Head, rng: np.random.Generator) -> None:
    _paint_behind(canvas, head, rng, str(rng.choice(["bald", "short", "long"])))
    _paint_skin(canvas, head)


def _paint_blobs(canvas: Canvas, head: Head, rng: np.random.Generator) -> None:
    _paint_blank(canvas, head, rng)
    for _ in range(rng.integers(3, 8)):
        angle, distance = rng.uniform(0, 2 * np.pi), rng.uniform(0, 0.7)
        centre = (head.aspect * distance * np.cos(angle), distance * np.sin(angle))
        canvas.ellipse(centre, rng.uniform(0.06, 0.24, 2), head.skin * rng.uniform(0.2, 0.8), rng.uniform(0, 180))


_WRONG_DOTS = (
    ((0.0, -0.45), (-0.4, 0.35), (0.4, 0.35)),
    ((0.0, -0.55), (0.0, 0.0), (0.0, 0.55)),
    ((-0.45, 0.0), (0.0, 0.0), (0.45, 0.0)),
    ((-0.4, -0.4), (0.0, 0.0), (0.4, 0.4)),
)


def _paint_dots(canvas: Canvas, head: Head, rng: np.random.Generator) -> None:
    canvas.ellipse((0, 0), (head.aspect, 1), 0.2 * head.cloth + 0.8 * head.skin)
    for x, y in _WRONG_DOTS[rng.integers(len(_WRONG_DOTS))]:
        canvas.ellipse((x * head.aspect, y), (0.17, 0.15), (30, 32, 40))


def _paint_clock(canvas: Canvas, head: Head, rng: np.random.Generator) -> None:
    radius = 0.92
    canvas.ellipse((0, 0), (radius, radius), head.cloth * 0.6)
    canvas.ellipse((0, 0), (radius * 0.86, radius * 0.86), 0.5 * head.skin + 0.5 * 235)
    for hour in np.deg2rad(np.arange(0, 360, 30)):
        spoke = np.array([np.cos(hour), np.sin(hour)])
        canvas.line(np.stack([spoke * 0.66, spoke * 0.75]), (40, 40, 40), 0.05)
    for length, width in ((0.4, 0.08), (0.62, 0.05)):
        hand = rng.uniform(0, 2 * np.pi)
        canvas.line([(0, 0), (length * np.cos(hand), length * np.sin(hand))], (25, 25, 30), width)


def _paint_button(canvas: Canvas, head: Head, rng: np.random.Generator) -> None:
    colour = head.skin if rng.random() < 0.5 else head.cloth
    canvas.ellipse((0, 0), (0.9, 0.9), colour * 0.7)
    canvas.ellipse((0, 0), (0.74, 0.74), colour)
    holes: Sequence[Point] = [(-0.24, -0.24), (0.24, -0.24), (-0.24, 0.24), (0.24, 0.24)]
    for centre in holes if rng.random() < 0.7 else holes[:2]:
        canvas.ellipse(centre, (0.12, 0.12), colour * 0.2)


Painter = Callable[[Canvas, Head, np.random.Generator], None]
_COVERS: tuple[Painter, ...] = (_cover_sunglasses, _cover_scarf, _cover_pole, _cover_object)
OBJECTS: dict[str, Painter] = {
    "blank": _paint_blank,
    "blobs": _paint_blobs,
    "dots": _paint_dots,
    "clock": _paint_clock,
    "button": _paint_button,
}
DISTRACTORS = tuple(name for name in LAYOUTS if name != FACE) + tuple(OBJECTS)
