"""The official code's arithmetic (kpzhang93/MTCNN_face_detection_alignment, MTCNNv1/detect_face.m, 2016), re-stated.

What it does otherwise than the detector's own arithmetic:

- MATLAB counts pixels from 1, and boxes are truncated (``fix``) in those coordinates.
- The pyramid's sides are rounded up; a level is used while the shorter side is at least 12 before rounding.
- Images are shrunk by averaging areas and enlarged bilinearly, and stay in floating point.
- A cell of P-Net starts one pixel later, and P-Net's offsets count in x2 - x1, those of R and O in x2 - x1 + 1.
- The side of a square is x2 - x1; the crop around it is one pixel more.
- O-Net's landmarks are the mean over the crop and its mirror image.
- Boxes are single precision from P-Net's scores on, since MATLAB makes an array single as soon as one number in it is.
  A truncation can depend on it.
- The scale of level k is ``12 / min_face * factor ^ k``, not a product of k factors, which can differ in the last bit.
- P-Net requires score >= threshold, the others >. Among equal scores NMS prefers the later one.

Landmarks are ``x1 + w * l - 1`` in the official code. That 1 takes them from MATLAB's coordinates to those that count
from 0; here they are ``x1 + w * l``. Boxes go in and come out as everywhere: inclusive pixels, counted from 0. `FIRST`
is MATLAB's first index; the width of a pixel is in `core.ops.boxes` alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np

from gluon_mtcnn.core.detection.cascade import StageOutput
from gluon_mtcnn.core.detection.official_nets import CELL, STRIDE, OfficialNets
from gluon_mtcnn.core.ops import boxes as box_ops
from gluon_mtcnn.core.ops.image import cut_out
from gluon_mtcnn.core.ops.nms import nms
from gluon_mtcnn.core.types import INPUT_SIZE, NETS

FIRST = 1  # index of MATLAB's first pixel


def resample(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Return a float image of another size: areas averaged where it shrinks, bilinear where it grows."""
    shrinks = height < image.shape[0] or width < image.shape[1]
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)


def crop(image: np.ndarray, squares: np.ndarray, size: int) -> np.ndarray:
    """Return the crops (n, size, size, 3) float32 of integer boxes (n, 4) counted from 0; zero beyond the image."""
    crops = np.empty((len(squares), size, size, 3), np.float32)
    for target, square in zip(crops, squares.astype(int).tolist()):
        target[:] = resample(cut_out(image, *square).astype(np.float32), size, size)
    return crops


def squares(boxes: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Return the truncated squares around boxes (n, 4), both counted from 1, that touch an image (h, w, ...)."""
    width, height = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
    side = np.maximum(width, height)
    x1, y1 = boxes[:, 0] + width * 0.5 - side * 0.5, boxes[:, 1] + height * 0.5 - side * 0.5
    found = np.trunc(np.stack([x1, y1, x1 + side, y1 + side], axis=1))
    return found[box_ops.touching(found - FIRST, *shape[:2])]


def _order(scores: np.ndarray) -> np.ndarray:
    return np.argsort(scores, kind="stable")[::-1]


def _with_scores(boxes: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Return boxes counted from 1, (n, 4) float32, as rows x1 y1 x2 y2 score counted from 0, without rounding."""
    return np.concatenate([boxes.astype(np.float64) - FIRST, scores[:, None]], axis=1)


class OfficialCascade:
    """The stages of the official code on the nets of a model.

    Parameters
    ----------
    nets : mapping of str to Net
    min_face, scale_factor : float
    thresholds : three floats
    device : MXNet context, optional
    """

    def __init__(
        self, nets: Mapping[str, Any], min_face: float, scale_factor: float, thresholds: tuple, device: Any = None
    ) -> None:
        self.nets = OfficialNets(nets, device)
        self._min_face, self._factor = min_face, scale_factor
        self._thresholds = dict(zip(NETS, map(np.float32, thresholds)))

    def propose(self, image: np.ndarray) -> StageOutput:
        """Run P-Net over the pyramid of an image (h, w, 3)."""
        image = image.astype(np.float32)
        first, rows = CELL / self._min_face, [np.zeros((0, 9), np.float32)]
        shorter = min(image.shape[:2]) * first
        while shorter >= CELL:
            rows.append(self._level(image, first * self._factor ** (len(rows) - 1)))
            shorter *= self._factor
        found = np.concatenate(rows)
        boxes, scores, offsets = found[:, :4], found[:, 4], found[:, 5:]
        keep = nms(boxes, scores, 0.7, order=_order(scores))
        boxes, scores, offsets = boxes[keep], scores[keep], offsets[keep]
        moved = boxes + offsets * np.tile(boxes[:, 2:] - boxes[:, :2], 2)
        return StageOutput(_with_scores(boxes, scores), _with_scores(moved, scores))

    def _level(self, image: np.ndarray, scale: float) -> np.ndarray:
        """Return the cells of one level that may be faces: rows x1 y1 x2 y2 (from 1), score, four offsets."""
        height, width = (int(np.ceil(side * scale)) for side in image.shape[:2])
        probability, offsets = self.nets.level(resample(image, height, width))
        passed = probability >= self._thresholds["pnet"]
        columns, rows = np.nonzero(passed.T)  # column by column, as MATLAB
        scores = probability[rows, columns]
        corner = np.stack([columns, rows], axis=1) * float(STRIDE)
        boxes = np.trunc(box_ops.from_corners(corner + FIRST, CELL) / scale).astype(np.float32)
        keep = nms(boxes, scores, 0.5, order=_order(scores))
        rows, columns = rows[keep], columns[keep]
        return np.concatenate([boxes[keep], scores[keep, None], offsets[:, rows, columns].T], axis=1)

    def refine(self, kind: str, image: np.ndarray, candidates: np.ndarray) -> StageOutput:
        """Run R- or O-Net on the squares around candidates (n, 4)."""
        landmarks = self.nets[kind].spec.landmarks
        boxes = squares((np.asarray(candidates, np.float64) + FIRST).astype(np.float32), image.shape)
        if len(boxes) == 0:
            return StageOutput(np.zeros((0, 5)), np.zeros((0, 5)), np.zeros((0, 5, 2)) if landmarks else None)
        crops = crop(image, boxes - FIRST, INPUT_SIZE[kind])
        scores, offsets, *fractions = self.nets.batch(kind, crops)
        passed = scores > self._thresholds[kind]
        boxes, scores, moved = boxes[passed], scores[passed], box_ops.decode(boxes, offsets)[passed]
        if kind == "rnet":
            keep = nms(boxes, scores, 0.7, order=_order(scores))
            before, scores = _with_scores(boxes[keep], scores[keep]), scores[keep]
        else:
            keep = nms(moved, scores, 0.7, "minimum", _order(scores))
            before, scores = _with_scores(boxes, scores)[_order(scores)], scores[keep]
        points = self._points(kind, boxes[keep], crops[passed][keep], fractions[0][passed][keep]) if landmarks else None
        return StageOutput(before, _with_scores(moved[keep], scores), points)

    def _points(self, kind: str, boxes: np.ndarray, crops: np.ndarray, fractions: np.ndarray) -> np.ndarray:
        """Return the landmarks (n, 5, 2) counted from 0: the mean of what the net sees in the crops and in a mirror."""
        if len(boxes):
            mirrored = self.nets.batch(kind, np.ascontiguousarray(crops[:, :, ::-1]))[2]
            fractions = (fractions + box_ops.mirror_landmarks(mirrored)) / 2
        return box_ops.decode_landmarks(boxes, fractions) - FIRST
