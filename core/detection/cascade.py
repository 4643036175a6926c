"""The stages of the cascade on an engine: P-Net over the pyramid, R-Net and O-Net on squares around boxes.

Two arithmetics: "exact" maps cells and squares without rounding more than the crop itself needs; "seanlinx" repeats the
original to the digit (rounded proposals that are one pixel wider, offsets counted from the clipped square). A third is
in `official_cascade`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Optional, Protocol

import numpy as np

from gluon_mtcnn.core.detection.engine_base import Cells, Engine, face_probability, log_odds
from gluon_mtcnn.core.detection.test_time_augmentation import (
    FACE_VIEWS,
    LANDMARK_VIEWS,
    MARGINS,
    View,
    support,
    view_squares,
)
from gluon_mtcnn.core.nets.spec import NetSpec
from gluon_mtcnn.core.ops import boxes as box_ops
from gluon_mtcnn.core.ops.image import pyramid_scales
from gluon_mtcnn.core.ops.nms import legacy_order
from gluon_mtcnn.core.types import NETS, Detections

OVERLAPS = {"scale": 0.5, "union": 0.7, "minimum": 0.7}  # above which a box goes: within a scale, P and R, O


@dataclass
class StageOutput:
    """What one net left of its candidates, best score first.

    Attributes
    ----------
    before : (n, 5) float64
        x1 y1 x2 y2 score as the boxes went into the net. P and R: the boxes that are left after NMS. O: all that passed
        its threshold without test-time augmentation (but with `support`), since its NMS works on calibrated boxes.
    after : (m, 5) float64
        The boxes that are left, moved by the net's offsets; with test-time augmentation O-Net's boxes and scores are
        those of all views.
    landmarks : (m, 5, 2) float64 or None
    """

    before: np.ndarray
    after: np.ndarray
    landmarks: Optional[np.ndarray] = None

    def detections(self) -> Detections:
        """Return the faces after this stage."""
        return Detections(self.after[:, :4], self.after[:, 4], self.landmarks)


@dataclass(frozen=True)
class Candidates:
    """Boxes on their way through a stage.

    Attributes
    ----------
    boxes, calibrated : (n, 4)
        As they went into the net, and moved by its offsets.
    scores : (n,)
    landmarks : (n, 5, 2) or None
    odds : (n,) or None
        Log-odds of R- and O-Net.
    support : (n,) or None
        What O-Net's log-odds gain by other boxes (`test_time_augmentation.support`).
    """

    boxes: np.ndarray
    calibrated: np.ndarray
    scores: np.ndarray
    landmarks: Any = None
    odds: Any = None
    support: Any = None

    def __getitem__(self, index: Any) -> Candidates:
        given = (self.landmarks, self.odds, self.support)
        more = (None if field is None else field[index] for field in given)
        return Candidates(self.boxes[index], self.calibrated[index], self.scores[index], *more)

    @property
    def evidence(self) -> np.ndarray:
        """Log-odds (n,) with what others add to them."""
        return self.odds + self.support


@dataclass(frozen=True)
class CascadeSettings:
    """How a cascade works.

    Attributes
    ----------
    min_face : float
        Smallest face to find, pixels.
    scale_factor : float
        Between levels of the pyramid.
    thresholds : three floats
        Face scores that P, R and O require (strictly more).
    legacy : bool
        The arithmetic "seanlinx".
    clipped : bool
        Offsets of R and O count from the square clipped to the image.
    augmented : bool
        Run O-Net with test-time augmentation.
    overlaps : dict of str to float
        Above which NMS removes a box: see `OVERLAPS`.
    """

    min_face: float = 20
    scale_factor: float = 0.709
    thresholds: tuple[float, ...] = (0.6, 0.7, 0.7)
    legacy: bool = False
    clipped: bool = False
    augmented: bool = False
    overlaps: Mapping[str, float] = field(default_factory=lambda: OVERLAPS)


class Stages(Protocol):
    """What the detector runs: this module's cascade, or that of `official_cascade`."""

    def propose(self, image: np.ndarray) -> StageOutput:
        """Run P-Net over the pyramid of a BGR image (h, w, 3) uint8."""

    def refine(self, kind: str, image: np.ndarray, candidates: np.ndarray) -> StageOutput:
        """Run R- or O-Net on squares around candidates (n, 4)."""


class Cascade:
    """The stages on an engine, for one thread.

    Parameters
    ----------
    engine : Engine
    specs : dict of str to NetSpec
        Of the nets by kind.
    settings : CascadeSettings
    """

    def __init__(self, engine: Engine, specs: Mapping[str, NetSpec], settings: CascadeSettings) -> None:
        self._engine, self._specs, self._settings = engine, specs, settings
        self._cell, self._stride = specs["pnet"].cell, specs["pnet"].stride

    def clone(self, settings: CascadeSettings) -> Cascade:
        """Return a cascade for another thread with these settings, which shares the weights."""
        return Cascade(self._engine.clone(), self._specs, settings)

    def _threshold(self, kind: str) -> float:
        return self._settings.thresholds[NETS.index(kind)]

    def propose(self, image: np.ndarray) -> StageOutput:
        """Run P-Net over the pyramid of a BGR image (h, w, 3) uint8; NMS within each scale, then over all."""
        height, width = image.shape[:2]
        scales = pyramid_scales(height, width, self._settings.min_face, self._settings.scale_factor, self._cell)
        sizes = [(int(height * scale), int(width * scale)) for scale in scales]
        cells = self._engine.propose(image, sizes, self._threshold("pnet"))
        ends = np.searchsorted(cells.level, np.arange(len(scales) + 1))
        levels = [
            self._propose_at(cells[start:end], scale, image.shape, size)
            for scale, size, start, end in zip(scales, sizes, ends, ends[1:])
        ]
        candidates = Candidates(
            np.concatenate([np.zeros((0, 4)), *(level.boxes for level in levels)]),
            np.concatenate([np.zeros((0, 4)), *(level.calibrated for level in levels)]),
            np.concatenate([np.zeros(0, np.float32), *(level.scores for level in levels)]),
        )
        return self._suppress(candidates, "union")

    def _propose_at(self, cells: Cells, scale: float, shape: tuple[int, ...], level: tuple[int, int]) -> Candidates:
        boxes = self._cells(cells.row, cells.column, scale, shape, level)
        keep = self._nms(boxes, cells.scores, "union", self._settings.overlaps["scale"])
        return Candidates(boxes[keep], box_ops.decode(boxes[keep], cells.offsets[keep]), cells.scores[keep])

    def _cells(
        self, rows: np.ndarray, columns: np.ndarray, scale: float, shape: tuple[int, ...], level: tuple[int, ...]
    ) -> np.ndarray:
        """Return the boxes (n, 4) in the image that cells of a pyramid level cover."""
        corner = np.stack([columns, rows], axis=1) * float(self._stride)
        if self._settings.legacy:  # x2 and y2 are those of the next pixel
            return np.rint(np.concatenate([corner, corner + self._cell], axis=1) / scale)
        return box_ops.rescale(box_ops.from_corners(corner, self._cell), shape[1] / level[1], shape[0] / level[0])

    def refine(self, kind: str, image: np.ndarray, candidates: np.ndarray) -> StageOutput:
        """Run R- or O-Net on squares around candidates (n, 4): threshold, NMS, calibrate (O: calibrate, then NMS)."""
        squares = np.rint(box_ops.square(candidates))
        squares = squares[box_ops.touching(squares, *image.shape[:2])]
        found = self._run(kind, image, squares)
        if kind == "onet" and self._settings.augmented:
            return self._augment(image, squares, found)
        passed = found[found.scores > np.float32(self._threshold(kind))]
        return self._suppress(passed, "union" if kind == "rnet" else "minimum")

    def _run(
        self, kind: str, image: np.ndarray, squares: np.ndarray, mirrored: Optional[np.ndarray] = None
    ) -> Candidates:
        """Return what R- or O-Net says of squares (n, 4), of those of the mask (n,) from their mirror images."""
        if len(squares) == 0:
            points = np.zeros((0, 5, 2)) if self._specs[kind].landmarks else None
            nothing = np.zeros(0, np.float32)
            return Candidates(squares, squares, nothing, points, nothing)
        odds, offsets, fractions = self._engine.refine(kind, image, squares, mirrored)
        if mirrored is not None:
            offsets = np.where(mirrored[:, None], box_ops.mirror_offsets(offsets), offsets)
            if fractions is not None:
                fractions = np.where(mirrored[:, None], box_ops.mirror_landmarks(fractions), fractions)
        bases = box_ops.clip(squares, *image.shape[:2]) if self._settings.clipped else squares
        points = None if fractions is None else box_ops.decode_landmarks(squares, fractions)
        return Candidates(bases, box_ops.decode(bases, offsets), face_probability(odds), points, odds)

    def _augment(self, image: np.ndarray, squares: np.ndarray, first: Candidates) -> StageOutput:
        """Return the faces as all views of O-Net together show them, given the first view of each square (n, 4).

        Candidates near enough to the threshold are seen mirrored, then NMS; what is left is seen in the squares around
        its box. The log-odds are the mean of those of the first two views and of the others, plus what the boxes of the
        first view that lie on its own add; the box is the mean of the others'. Boxes may have met on one face, so NMS
        follows once more. Landmarks come from the squares around the final box.
        """
        threshold = self._threshold("onet")
        first = replace(first, support=support(first.calibrated))
        first = replace(first, scores=face_probability(first.evidence))
        passed = first[first.scores > np.float32(threshold)]
        passed = passed[self._order(passed.scores)]
        least = log_odds(threshold) - np.array(MARGINS)
        near = first.evidence > least[0]
        twin = self._run("onet", image, squares[near], np.ones(int(near.sum()), bool))
        found = first[near]
        found = replace(found, calibrated=(found.calibrated + twin.calibrated) / 2, odds=(found.odds + twin.odds) / 2)
        found = self._strongest(found[found.evidence > least[1]])
        seen, views = self._run_views(image, found.calibrated, FACE_VIEWS)
        odds = (found.odds[seen] + views.odds.mean(axis=0)) / 2
        found = replace(
            found,
            calibrated=_with(found.calibrated, seen, views.calibrated.mean(axis=0)),
            odds=_with(found.odds, seen, odds),
        )
        found = replace(found, scores=face_probability(found.evidence))
        found = self._strongest(found[found.scores > np.float32(threshold)])
        if found.landmarks is not None:
            seen, views = self._run_views(image, found.calibrated, LANDMARK_VIEWS)
            found = replace(found, landmarks=_with(found.landmarks, seen, views.landmarks.mean(axis=0)))
        return StageOutput(_rows(passed.boxes, passed.scores), _rows(found.calibrated, found.scores), found.landmarks)

    def _strongest(self, found: Candidates) -> Candidates:
        """Return what NMS leaves of O-Net's faces, by log-odds: float32 scores near 1 are all equal."""
        overlap = self._settings.overlaps["minimum"]
        return found[self._nms(found.calibrated, found.evidence, "minimum", overlap)]

    def _run_views(self, image: np.ndarray, boxes: np.ndarray, views: Sequence[View]) -> tuple[np.ndarray, Candidates]:
        """Return which of the boxes (n, 4), m, lie in the image, and what O-Net says of their k views: (k, m, ...)."""
        squares, mirrored = view_squares(boxes, views)
        seen = box_ops.touching(squares.reshape(-1, 4), *image.shape[:2]).reshape(len(views), -1).all(axis=0)
        found = self._run("onet", image, squares[:, seen].reshape(-1, 4), mirrored[:, seen].ravel())
        return seen, found[np.arange(len(found.boxes)).reshape(len(views), -1)]

    def _suppress(self, found: Candidates, mode: str) -> StageOutput:
        """Return what NMS leaves: on the boxes (union) or on the calibrated boxes (minimum)."""
        overlap = self._settings.overlaps[mode]
        if mode == "union":
            left = before = found[self._nms(found.boxes, found.scores, mode, overlap)]
        else:
            before = found[self._order(found.scores)]
            left = found[self._nms(found.calibrated, found.scores, mode, overlap)]
        return StageOutput(_rows(before.boxes, before.scores), _rows(left.calibrated, left.scores), left.landmarks)

    def _nms(self, boxes: np.ndarray, scores: np.ndarray, mode: str, overlap: float) -> np.ndarray:
        return self._engine.nms(boxes, scores, overlap, mode, self._order(scores))

    def _order(self, scores: np.ndarray) -> np.ndarray:
        """Return the order in which NMS takes boxes."""
        return legacy_order(scores) if self._settings.legacy else np.argsort(-scores, kind="stable")


def _with(array: np.ndarray, mask: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return a copy of an array with other values where the mask is true, in the type of the array."""
    changed = array.copy()
    changed[mask] = values
    return changed


def _rows(boxes: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Return x1 y1 x2 y2 score (n, 5)."""
    return np.concatenate([boxes, scores[:, None]], axis=1)
