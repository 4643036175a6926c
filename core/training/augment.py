"""Augmentation of a whole batch at once: mirror, turn, blur, coarser pixels, erase, colour, grey.

The caller draws the random numbers. The default ranges come from trials (docs/training-log.md): gain +-20 %, offset
+-0.16 of half the range, channels +-6 %, 10 % grey.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.core.ops.boxes import mirror_landmarks, mirror_offsets, turn_landmarks, turn_offsets
from gluon_mtcnn.core.ops.image import WARP_LIMIT, planar

MIDDLE = 127.5
BGR_TO_GREY = np.array([0.114, 0.587, 0.299], np.float32)  # ITU-R BT.601
CHANNEL_LIMIT = 512  # OpenCV's CV_CN_MAX
COARSEST = 3.0  # greatest factor by which `coarsen` shrinks the side
# Numbers that a sample needs, by their column: mirror, blur or coarse, grey, gain, offset, three channels.
MIRROR, BLUR, GREY, GAIN, OFFSET, CHANNELS = range(6)
DRAWS = 8
# Those of later augmentations have a stream of their own, so that runs without these see the same samples as before.
TURN, ERASE, WIDTH, HEIGHT, LEFT, TOP, LEVEL = range(DRAWS, DRAWS + 7)
ERASED = (0.2, 0.5)  # sides of an erased rectangle, in sides of the image
MOST_TURNED = 45  # degrees


@dataclass(frozen=True)
class AugmentSpec:
    """How much a training sample may be changed.

    Attributes
    ----------
    mirror, blur, coarse, grey : float
        Probabilities, 0 to 1. No sample is both blurred and coarse.
    gain, channel : float
        Contrast about middle grey is multiplied by a factor drawn uniformly from 1 +- gain, and that of each channel by
        one from 1 +- channel.
    offset : float
        Brightness changes by up to +- this share of half the range of grey levels: 0.16 is 20 levels.
    turn : float
        A sample is turned about its centre by up to +- this many degrees, uniformly, at most 45. Its edge is repeated.
    erase : float
        Probability that a rectangle of 0.2 to 0.5 of the image's sides becomes grey. Samples with landmarks are spared.
    mirror_landmarks : bool
        Also mirror samples with landmarks. Turn this off for packs that hold mirrored samples whose landmarks are not
        mirror images (``prepare --landmark-shift``).
    """

    mirror: float = 0.5
    blur: float = 0.1
    grey: float = 0.1
    gain: float = 0.2
    offset: float = 0.16
    channel: float = 0.06
    coarse: float = 0.0
    turn: float = 0.0
    erase: float = 0.0
    mirror_landmarks: bool = True

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            most = MOST_TURNED if name == "turn" else 1
            if not 0 <= value <= most:
                raise InputError(f"augmentation: {name}: expected 0 to {most}, got {value}")

    @property
    def changes_shape(self) -> bool:
        """Whether the numbers of the second stream are needed."""
        return bool(self.turn or self.erase)

    @property
    def changes_colour(self) -> bool:
        """Whether any sample's colours change."""
        return any((self.grey, self.gain, self.offset, self.channel))


def augment(
    data: np.ndarray, offsets: np.ndarray, landmarks: np.ndarray, draws: np.ndarray, spec: AugmentSpec
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return a changed batch; the arguments stay as they are.

    Parameters
    ----------
    data : (n, 3, S, S) uint8, BGR
    offsets : (n, 4) float32
        Box targets.
    landmarks : (n, 10) float32
        x1 y1 .. x5 y5 as fractions; rows of zeros have no landmarks and stay zero.
    draws : (n, 8) float, (n, 16) where the spec changes shapes
        Independent uniform numbers in [0, 1).
    spec : AugmentSpec
    """
    mirrored = draws[:, MIRROR] < spec.mirror
    if not spec.mirror_landmarks:
        mirrored &= ~landmarks.any(axis=1)
    data, offsets, landmarks = mirror(data, offsets, landmarks, mirrored)
    if spec.turn:
        data, offsets, landmarks = turn(data, offsets, landmarks, spec.turn * (2 * draws[:, TURN] - 1))
    blurred = np.flatnonzero(draws[:, BLUR] < spec.blur)
    if len(blurred):
        data[blurred] = blur(data[blurred])
    coarse = np.flatnonzero((spec.blur <= draws[:, BLUR]) & (draws[:, BLUR] < spec.blur + spec.coarse))
    if len(coarse):  # where in its interval the number lies is again uniform
        data[coarse] = coarsen(data[coarse], (draws[coarse, BLUR] - spec.blur) / spec.coarse)
    if spec.erase:
        erased = (draws[:, ERASE] < spec.erase) & ~landmarks.any(axis=1)
        data[erased] = erase(data[erased], draws[erased])
    if spec.changes_colour:
        data = recolour(data, draws, spec)
    return data, offsets, landmarks


def mirror(
    data: np.ndarray, offsets: np.ndarray, landmarks: np.ndarray, chosen: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the batch with the samples of a mask (n,) mirrored left to right, targets too. Twice is the identity."""
    data, offsets, landmarks = data.copy(), offsets.copy(), landmarks.copy()
    some = np.flatnonzero(chosen)
    if len(some):
        lines = data[some].reshape(-1, data.shape[-1])
        data[some] = cv2.flip(lines, 1).reshape(-1, *data.shape[1:])
        offsets[some] = mirror_offsets(offsets[some])
    with_points = np.flatnonzero(chosen & landmarks.any(axis=1))
    landmarks[with_points] = mirror_landmarks(landmarks[with_points])
    return data, offsets, landmarks


def turn(
    data: np.ndarray, offsets: np.ndarray, landmarks: np.ndarray, degrees: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the batch turned clockwise by so many degrees (n,) about the images' centres, bilinear, edges repeated.

    Landmarks turn with it. A box keeps its sides, and its centre turns. Rows of zeros stay zero.
    """
    with_points = landmarks.any(axis=1, keepdims=True)
    out = np.empty_like(data)
    together = (WARP_LIMIT - 1) // data.shape[-1]
    for i in range(0, len(data), together):
        part = slice(i, i + together)
        out[part] = _turn_images(data[part], degrees[part])
    return out, turn_offsets(offsets, degrees), np.where(with_points, turn_landmarks(landmarks, degrees), landmarks)


def _turn_images(data: np.ndarray, degrees: np.ndarray) -> np.ndarray:
    """Return images (n, 3, S, S), which OpenCV sees as one that is S wide and n S high."""
    count, size = len(data), data.shape[-1]
    radians = np.deg2rad(degrees).astype(np.float32)[:, None, None]
    cos, sin = np.cos(radians), np.sin(radians)
    middle = (size - 1) / 2
    x = np.arange(size, dtype=np.float32) - middle
    y = x[:, None]
    column, row = cos * x + sin * y + middle, cos * y - sin * x + middle  # the source of each pixel: turned back
    # Rounded to 1/32 px, as OpenCV does, which far down rounds differently: samples must not depend on their place.
    column, row = (np.rint(32 * np.clip(place, 0, size - 1)) / 32 for place in (column, row))
    row += size * np.arange(count, dtype=np.float32)[:, None, None]
    planes = np.ascontiguousarray(data.transpose(1, 0, 2, 3)).reshape(3, count * size, size)
    image = cv2.remap(cv2.merge(list(planes)), column.reshape(-1, size), row.reshape(-1, size), cv2.INTER_LINEAR)
    return planar(image.reshape(count, size, size, 3))


def erase(data: np.ndarray, draws: np.ndarray) -> np.ndarray:
    """Return images (n, 3, S, S) uint8, each with one rectangle of one grey, as its numbers (n, 16) say."""
    size = data.shape[-1]
    sides = np.rint(size * (ERASED[0] + (ERASED[1] - ERASED[0]) * draws[:, [WIDTH, HEIGHT]]))
    corner = np.floor((size - sides + 1) * draws[:, [LEFT, TOP]])
    place = np.arange(size)
    inside = (place >= corner[..., None]) & (place < (corner + sides)[..., None])  # (n, 2, S)
    level = (256 * draws[:, LEVEL]).astype(np.uint8)
    return np.where((inside[:, 1, :, None] & inside[:, 0, None, :])[:, None], level[:, None, None, None], data)


def blur(data: np.ndarray) -> np.ndarray:
    """Return images (n, 3, S, S) uint8 under a binomial kernel: 3 px wide, 5 from 48 px of side, 7 from 72, ...

    OpenCV takes up to 512 planes as the channels of one image: 8 times as fast as numpy at 12 px.
    """
    size, width = data.shape[-1], 2 * max(1, data.shape[-1] // 24) + 1
    out = np.empty_like(data)
    for i in range(0, len(data), CHANNEL_LIMIT // 3):
        part = data[i : i + CHANNEL_LIMIT // 3]
        image = cv2.transpose(part.reshape(-1, size * size)).reshape(size, size, -1)
        image = cv2.GaussianBlur(image, (width, width), 0, borderType=cv2.BORDER_REPLICATE)
        out[i : i + len(part)] = cv2.transpose(image.reshape(size * size, -1)).reshape(part.shape)
    return out


def coarsen(data: np.ndarray, draws: np.ndarray) -> np.ndarray:
    """Return images (n, 3, S, S) uint8 as if they had been enlarged from fewer pixels, as crops of small faces are.

    Each is shrunk by area to a side between S / 3 and S, log-uniform by its number (n,) in [0, 1), and enlarged again
    bilinearly. Both are linear, so that an image costs two small matrix products.
    """
    size = data.shape[-1]
    smallest = int(np.ceil(size / COARSEST))
    sides = np.maximum(smallest, np.floor(size * COARSEST**-draws)).astype(np.int64)
    weights = _coarsening(size, smallest)[sides - smallest][:, None]
    return np.rint(weights @ data.astype(np.float32) @ weights.transpose(0, 1, 3, 2)).astype(np.uint8)


@lru_cache(maxsize=8)
def _coarsening(size: int, smallest: int) -> np.ndarray:
    """Return (k, S, S) float32: what shrinking to `smallest`, ... S pixels and enlarging does to a column."""
    return np.stack(
        [
            cv2.resize(np.eye(side, dtype=np.float32), (side, size), interpolation=cv2.INTER_LINEAR)
            @ cv2.resize(np.eye(size, dtype=np.float32), (size, side), interpolation=cv2.INTER_AREA)
            for side in range(smallest, size + 1)
        ]
    )


def recolour(data: np.ndarray, draws: np.ndarray, spec: AugmentSpec) -> np.ndarray:
    """Return images (n, 3, S, S) uint8 with contrast, brightness and channels changed, some of them grey."""
    swing = (2 * draws[:, GAIN:DRAWS] - 1).astype(np.float32)  # gain, offset, three channels, each -1..1
    scale = (1 + spec.gain * swing[:, :1]) * (1 + spec.channel * swing[:, CHANNELS - GAIN :])
    shift = MIDDLE - MIDDLE * scale + 128 * spec.offset * swing[:, OFFSET - GAIN, None]
    pixels = data.reshape(len(data), 3, -1).astype(np.float32)
    pixels *= scale[..., None]
    pixels += shift[..., None]
    grey = np.flatnonzero(draws[:, GREY] < spec.grey)
    pixels[grey] = np.einsum("c,ncp->np", BGR_TO_GREY, pixels[grey])[:, None]
    np.maximum(pixels, 0, out=pixels)
    return cv2.convertScaleAbs(pixels.reshape(3 * len(data), -1)).reshape(data.shape)  # rounds, and cuts at 255
