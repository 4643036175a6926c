"""The cascade: an image in, faces out (Zhang et al. 2016, section II-A).

One function a stage: P-Net over the pyramid, R-Net and O-Net on squared crops. Three arithmetics: "exact" maps cells
and squares without rounding more than the crop itself needs; "seanlinx" repeats the original to the digit (rounded
proposals that are one pixel wider, offsets counted from the clipped square); "official" is in `official_cascade`.
"exact" looks several times at each face that a net with points has found (`test_time_augmentation`).
"""

from __future__ import annotations

import copy
import os
import queue
import threading
from collections.abc import Generator, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Optional, Union

import numpy as np

from gluon_mtcnn.core.detection import test_time_augmentation as looks
from gluon_mtcnn.core.detection.engine_base import Cells, face_probability, log_odds
from gluon_mtcnn.core.detection.engines import open_engine
from gluon_mtcnn.core.detection.official_cascade import OfficialCascade
from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.core.files.threads import map_ahead
from gluon_mtcnn.core.nets.model_folder import Model, load_model
from gluon_mtcnn.core.ops import boxes as box_ops
from gluon_mtcnn.core.ops.image import COLORS, as_bgr, pyramid_scales, read
from gluon_mtcnn.core.ops.nms import legacy_order
from gluon_mtcnn.core.types import NETS, Detections
from gluon_mtcnn.model import DEFAULT_MODEL

OVERLAPS = {"scale": 0.5, "union": 0.7, "minimum": 0.7}  # above which a box goes: within a scale, P and R, O


@dataclass
class Stage:
    """What one net left of its candidates, best score first.

    Attributes
    ----------
    before : (n, 5) float64
        x1 y1 x2 y2 score as the boxes went into the net. P and R: the boxes that are left after NMS. O: all that passed
        its threshold at the first look (with what the boxes around add), since its NMS works on calibrated boxes.
    after : (m, 5) float64
        The boxes that are left, moved by the net's offsets; O-Net's boxes and scores are those of all its looks.
    landmarks : (m, 5, 2) float64 or None
    """

    before: np.ndarray
    after: np.ndarray
    landmarks: Optional[np.ndarray] = None

    def detections(self) -> Detections:
        """Return the faces after this stage."""
        return Detections(self.after[:, :4], self.after[:, 4], self.landmarks)


@dataclass
class _Candidates:
    """Boxes on their way through a stage, the same calibrated, scores, and what R- and O-Net give: points, log-odds.

    `support` is what O-Net's log-odds gain by other boxes (`looks.support`).
    """

    boxes: np.ndarray  # (n, 4)
    calibrated: np.ndarray  # (n, 4)
    scores: np.ndarray  # (n,)
    landmarks: Any = None  # (n, 5, 2)
    odds: Any = None  # (n,)
    support: Any = None  # (n,)

    def __getitem__(self, index: Any) -> _Candidates:
        given = (self.landmarks, self.odds, self.support)
        more = (None if field is None else field[index] for field in given)
        return _Candidates(self.boxes[index], self.calibrated[index], self.scores[index], *more)

    @property
    def evidence(self) -> np.ndarray:
        """Log-odds (n,) with what others add to them."""
        return self.odds + self.support


class Detector:
    """Finds faces with the nets of a model.

    Parameters
    ----------
    model : path of a model folder, or a loaded Model; default: the one that ships with the package
    engine : {"mxnet", "onnx", "plain"}
        What runs the nets; all find the same faces. "plain" works as the original did and is there to be compared with.
    min_face : float
        Smallest face to look for, pixels.
    thresholds : three floats, optional
        Face scores that P, R and O require (strictly more); the model's own by default.
    scale_factor : float
        Between levels of the pyramid.
    last_stage : {"pnet", "rnet", "onet"}, optional
        Where to stop; default: the last net up to which the model has all.
    compat : {"seanlinx", "official"}, optional
        Repeat the arithmetic of Seanlinx/mtcnn or of the official MATLAB code.
    look_again : bool, optional
        Let O-Net look several times at each face, and count the boxes around it (`test_time_augmentation`). Default: if
        it gives points, and not with `compat`.
        Which faces are near enough to be looked at again depends on the threshold: a few of those that pass a high one
        in a run at a low one are not found at the high one.
    color : {"bgr", "rgb"}
        Order of the channels in arrays; PIL images know theirs.
    device : MXNet context, optional

    Raises
    ------
    InputError
        An option out of range, or a net that the model does not have.

    Notes
    -----
    Threads may share a detector: one waits for the other. To work at the same time, give each thread a `clone`, or let
    `detect_many` do it.
    """

    def __init__(
        self,
        model: Union[str, os.PathLike, Model] = DEFAULT_MODEL,
        engine: str = "mxnet",
        min_face: float = 20,
        thresholds: Optional[tuple[float, ...]] = None,
        scale_factor: float = 0.709,
        last_stage: Optional[str] = None,
        compat: Optional[str] = None,
        color: str = "bgr",
        device: Any = None,
        look_again: Optional[bool] = None,
    ) -> None:
        self.model = model if isinstance(model, Model) else load_model(model)
        self.thresholds = tuple(self.model.thresholds if thresholds is None else thresholds)
        if len(self.thresholds) != 3 or not all(0 <= t <= 1 for t in self.thresholds):
            raise InputError(f"thresholds: expected three numbers from 0 to 1, got {self.thresholds}")
        if compat not in (None, "seanlinx", "official"):
            raise InputError(f"compat: expected 'seanlinx' or 'official', got {compat!r}")
        if compat == "official" and engine != "mxnet":
            raise InputError(f"compat 'official' runs with engine 'mxnet' only, got {engine!r}")
        if compat and look_again:
            raise InputError(f"compat {compat!r} looks once at a face, as the original does")
        if color not in COLORS:
            raise InputError(f"color must be 'bgr' or 'rgb', but got {color!r}")
        self.kinds = _stages(self.model, last_stage)
        spec = self.model.nets["pnet"].spec
        self._cell, self._stride = spec.cell, spec.stride
        if compat == "official" and self._cell != 12:
            raise InputError(f"compat 'official' runs P-Nets with cells of 12 px only, got {self._cell} px")
        self.min_face, self.scale_factor, self.color = min_face, scale_factor, color
        pyramid_scales(1, 1, min_face, scale_factor)  # refuse bad values here, not at the first image
        self._legacy = compat == "seanlinx"
        if look_again is None:
            look_again = compat is None and "onet" in self.model.nets and self.model.nets["onet"].spec.landmarks
        self.look_again = look_again
        self._clipped = self._legacy or self.model.calibration == "clipped"
        self._engine = open_engine(engine, self.model, device)
        self._official: Optional[OfficialCascade] = None
        if compat == "official":
            self._official = OfficialCascade(self.model.nets, min_face, scale_factor, self.thresholds, device)
        self._overlaps = OVERLAPS
        self._lock = threading.Lock()
        self._clones: list[Detector] = []

    def detect(self, image: Any) -> Detections:
        """Return the faces of an image, best score first; boxes in its inclusive pixels.

        Parameters
        ----------
        image : array or PIL image
            (h, w), (h, w, 1), (h, w, 3) or (h, w, 4), of any size from 0 on; uint8, uint16, bool or float 0..255.

        Raises
        ------
        InputError
            Not such an image.
        """
        return self.stages(image)[self.kinds[-1]].detections()

    def detect_batch(self, images: Sequence[Any]) -> list[Detections]:
        """Return the faces of each of several images of any sizes; arguments as of `detect`."""
        return [self.detect(image) for image in images]

    def detect_many(
        self, images: Iterable[Any], workers: int = 1, errors: str = "raise"
    ) -> Generator[Union[Detections, InputError], None, None]:
        """Detect in any number of images, reading ahead and in order.

        Memory holds about two images a worker, however many there are.

        Parameters
        ----------
        images : iterable of paths, arrays and PIL images
            Taken one by one; files are read without EXIF rotation.
        workers : int
            Threads that detect, each with a clone of this detector; one more reads.
        errors : {"raise", "return"}
            What to do about an image that cannot be read: end with its InputError, or give that in its place.

        Yields
        ------
        Detections
        """
        if errors not in ("raise", "return") or workers < 1:
            raise InputError(f"expected errors 'raise' or 'return' and workers >= 1, got {errors!r} and {workers}")
        self._clones += [self.clone() for _ in range(workers - 1 - len(self._clones))]
        idle: queue.SimpleQueue[Detector] = queue.SimpleQueue()
        for detector in (self, *self._clones[: workers - 1]):
            idle.put(detector)

        def detect(image: Any) -> Union[Detections, InputError]:
            try:
                pixels = read(image) if isinstance(image, (str, os.PathLike)) else as_bgr(image, self.color)
            except InputError as error:
                return error
            detector = idle.get()
            try:
                return detector._cascade(pixels)[self.kinds[-1]].detections()
            finally:
                idle.put(detector)

        with closing(map_ahead(detect, images, threads=workers + 1, ahead=2 * workers)) as results:
            for result in results:
                if isinstance(result, InputError) and errors == "raise":
                    raise result
                yield result

    def clone(self) -> Detector:
        """Return a detector that shares the weights, for another thread."""
        other = copy.copy(self)
        other._engine, other._clones = self._engine.clone(), []
        if not self._official:  # its nets are shared as they are: there threads go on waiting for each other
            other._lock = threading.Lock()
        return other

    def with_thresholds(self, thresholds: tuple[float, ...]) -> Detector:
        """Return a clone with these thresholds of P, R and O."""
        other = self.clone()
        other.thresholds = thresholds
        return other

    def with_thresholds_moved(self, step: float) -> Detector:
        """Return a clone whose thresholds of scores and of overlaps are all higher by `step`."""
        other = self.with_thresholds(tuple(threshold + step for threshold in self.thresholds))
        other._overlaps = {mode: overlap + step for mode, overlap in self._overlaps.items()}
        return other

    def stages(self, image: Any) -> dict[str, Stage]:
        """Return what each net left, by net; boxes before and after calibration."""
        return self._cascade(as_bgr(image, self.color))

    def stage(self, kind: str, image: Any, candidates: np.ndarray) -> Stage:
        """Return what one net leaves: the P-Net of the image alone, R and O of the boxes (n, 4) of the net before."""
        image = as_bgr(image, self.color)
        with self._lock:
            return self._propose(image) if kind == "pnet" else self._refine(kind, image, candidates)

    def _cascade(self, image: np.ndarray) -> dict[str, Stage]:
        """Return what each net leaves of a BGR image."""
        with self._lock:
            found = {"pnet": self._propose(image)}
            for kind in self.kinds[1:]:
                before = found[NETS[NETS.index(kind) - 1]]
                found[kind] = self._refine(kind, image, before.after[:, :4])
        return found

    def _propose(self, image: np.ndarray) -> Stage:
        """P-Net over the pyramid; NMS .5 within a scale, .7 over all."""
        if self._official:
            return Stage(*self._official.propose(image))
        height, width = image.shape[:2]
        scales = pyramid_scales(height, width, self.min_face, self.scale_factor, self._cell)
        sizes = [(int(height * scale), int(width * scale)) for scale in scales]
        cells = self._engine.propose(image, sizes, self.thresholds[0])
        ends = np.searchsorted(cells.level, np.arange(len(scales) + 1))
        levels = [
            self._propose_at(cells[start:end], scale, image.shape, size)
            for scale, size, start, end in zip(scales, sizes, ends, ends[1:])
        ]
        candidates = _Candidates(
            np.concatenate([np.zeros((0, 4)), *(level.boxes for level in levels)]),
            np.concatenate([np.zeros((0, 4)), *(level.calibrated for level in levels)]),
            np.concatenate([np.zeros(0, np.float32), *(level.scores for level in levels)]),
        )
        return self._suppress(candidates, "union")

    def _propose_at(self, cells: Cells, scale: float, shape: tuple[int, ...], level: tuple[int, int]) -> _Candidates:
        boxes = self._cells(cells.row, cells.column, scale, shape, level)
        keep = self._engine.nms(
            boxes, cells.scores, self._overlaps["scale"], "union", _order(cells.scores, self._legacy)
        )
        return _Candidates(boxes[keep], box_ops.decode(boxes[keep], cells.offsets[keep]), cells.scores[keep])

    def _cells(
        self, rows: np.ndarray, columns: np.ndarray, scale: float, shape: tuple[int, ...], level: tuple[int, ...]
    ) -> np.ndarray:
        """Return the boxes (n, 4) in the image that cells of a pyramid level look at."""
        corner = np.stack([columns, rows], axis=1) * float(self._stride)
        if self._legacy:
            return np.rint(np.concatenate([corner, corner + self._cell], axis=1) / scale)
        ratio = np.array([shape[1] / level[1], shape[0] / level[0]])
        return np.concatenate([corner * ratio, (corner + self._cell) * ratio - 1], axis=1)

    def _refine(self, kind: str, image: np.ndarray, candidates: np.ndarray) -> Stage:
        """R- or O-Net on squares around the candidates: threshold, NMS, calibrate (O: calibrate, then NMS)."""
        if self._official:
            return Stage(*self._official.refine(kind, image, candidates))
        squares = np.rint(box_ops.square(candidates))
        squares = squares[_touching(squares, image.shape)]
        mode = "union" if kind == "rnet" else "minimum"
        found = self._look(kind, image, squares)
        if kind == "onet" and self.look_again:
            return self._look_again(image, squares, found)
        return self._suppress(found[found.scores > np.float32(self.thresholds[NETS.index(kind)])], mode)

    def _look(
        self, kind: str, image: np.ndarray, squares: np.ndarray, mirrored: Optional[np.ndarray] = None
    ) -> _Candidates:
        """Return what R- or O-Net says of squares (n, 4), of those of the mask (n,) from their mirror images."""
        if len(squares) == 0:
            points = np.zeros((0, 5, 2)) if self.model.nets[kind].spec.landmarks else None
            nothing = np.zeros(0, np.float32)
            return _Candidates(squares, squares, nothing, points, nothing)
        odds, offsets, fractions = self._engine.refine(kind, image, squares, mirrored)
        if mirrored is not None:
            offsets = np.where(mirrored[:, None], box_ops.mirror_offsets(offsets), offsets)
            if fractions is not None:
                fractions = np.where(mirrored[:, None], box_ops.mirror_landmarks(fractions), fractions)
        bases = box_ops.clip(squares, *image.shape[:2]) if self._clipped else squares
        points = None if fractions is None else box_ops.decode_landmarks(squares, fractions)
        return _Candidates(bases, box_ops.decode(bases, offsets), face_probability(odds), points, odds)

    def _look_again(self, image: np.ndarray, squares: np.ndarray, first: _Candidates) -> Stage:
        """Return the faces as all looks of O-Net together see them, given the first look at each square (n, 4).

        What is near enough to the threshold is seen mirrored; NMS; what is left is seen in the squares around its box.
        The log-odds are the mean of those of the first two and of the others, plus what the boxes of the first look
        that lie on its own add; the box is the mean of the others'. Boxes may have met on one face, so NMS follows once
        more. Points come from the squares around the final box.
        """
        threshold = self.thresholds[NETS.index("onet")]
        first.support = looks.support(first.calibrated)
        first.scores = face_probability(first.evidence)
        passed = first[first.scores > np.float32(threshold)]
        passed = passed[_order(passed.scores, legacy=False)]
        least = log_odds(threshold) - np.array(looks.MARGINS)
        near = first.evidence > least[0]
        found = first[near]
        twin = self._look("onet", image, squares[near], np.ones(len(found.boxes), bool))
        found.calibrated = (found.calibrated + twin.calibrated) / 2
        found.odds = (found.odds + twin.odds) / 2
        found = self._strongest(found[found.evidence > least[1]])
        seen, again = self._look_around(image, found.calibrated, looks.FACE_LOOKS)
        found.calibrated[seen] = again.calibrated.mean(axis=0)
        found.odds[seen] = (found.odds[seen] + again.odds.mean(axis=0)) / 2
        found.scores = face_probability(found.evidence)
        found = self._strongest(found[found.scores > np.float32(threshold)])
        if found.landmarks is not None:
            seen, again = self._look_around(image, found.calibrated, looks.POINT_LOOKS)
            found.landmarks[seen] = again.landmarks.mean(axis=0)
        return Stage(_rows(passed.boxes, passed.scores), _rows(found.calibrated, found.scores), found.landmarks)

    def _strongest(self, found: _Candidates) -> _Candidates:
        """Return what NMS leaves of O-Net's faces, by log-odds: float32 has no digits for scores so near to 1."""
        odds = found.evidence
        order = _order(odds, legacy=False)
        return found[self._engine.nms(found.calibrated, odds, self._overlaps["minimum"], "minimum", order)]

    def _look_around(
        self, image: np.ndarray, boxes: np.ndarray, asked: Sequence[looks.Look]
    ) -> tuple[np.ndarray, _Candidates]:
        """Return which of the boxes (n, 4), m, lie in the image, and what k looks of O-Net see there: (k, m, ...)."""
        squares, mirrored = looks.squares_to_see(boxes, asked)
        seen = _touching(squares.reshape(-1, 4), image.shape).reshape(len(asked), -1).all(axis=0)
        found = self._look("onet", image, squares[:, seen].reshape(-1, 4), mirrored[:, seen].ravel())
        return seen, found[np.arange(len(found.boxes)).reshape(len(asked), -1)]

    def _suppress(self, found: _Candidates, mode: str) -> Stage:
        """Return what NMS leaves: on the boxes (union) or on the calibrated boxes (minimum)."""
        order = _order(found.scores, self._legacy)
        if mode == "union":
            left = before = found[self._engine.nms(found.boxes, found.scores, self._overlaps[mode], mode, order)]
        else:
            before = found[order]
            left = found[self._engine.nms(found.calibrated, found.scores, self._overlaps[mode], mode, order)]
        return Stage(_rows(before.boxes, before.scores), _rows(left.calibrated, left.scores), left.landmarks)


def _rows(boxes: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Return x1 y1 x2 y2 score (n, 5)."""
    return np.concatenate([boxes, scores[:, None]], axis=1)


def _order(scores: np.ndarray, legacy: bool) -> np.ndarray:
    """Return the order in which NMS takes boxes."""
    return legacy_order(scores) if legacy else np.argsort(-scores, kind="stable")


def _stages(model: Model, last: Optional[str]) -> tuple[str, ...]:
    """Return the nets to run, in order."""
    if last is not None and last not in NETS:
        raise InputError(f"last stage: expected {', '.join(NETS)}, got {last!r}")
    if last is None:
        last = next((kind for kind in reversed(NETS) if kind in model.nets), "pnet")
    kinds = NETS[: NETS.index(last) + 1]
    model.require(kinds)
    return kinds


def _touching(squares: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Return which squares have at least one pixel in the image and a positive side."""
    x1, y1, x2, y2 = squares.T
    return (x2 >= 0) & (y2 >= 0) & (x1 < shape[1]) & (y1 < shape[0]) & (x2 >= x1) & (y2 >= y1)
