"""What the detector asks of an inference engine, and what engines on folded nets share."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Optional, Protocol

import numpy as np

from gluon_mtcnn.core.detection.pyramid_tiling import Tape, planar, planar_levels
from gluon_mtcnn.core.nets.model_folder import Model
from gluon_mtcnn.core.ops.image import crop_and_resize, mirror_some
from gluon_mtcnn.core.ops.nms import nms
from gluon_mtcnn.core.types import INPUT_SIZE

BATCHES = {"rnet": (4, 8, 16, 24, 32, 48, 64), "onet": (1, 2, 4, 6, 8, 12, 16)}
BOX, POINTS = slice(1, 5), slice(5, 15)  # outputs of a folded net; 0 is the logit
LOGIT_MARGIN = 1e-3  # far more than rounding: cells that may pass are found by logit, then asked for their score


@dataclass
class Cells:
    """Cells of the pyramid that may hold a face, level by level, each in the order row, column.

    Attributes
    ----------
    level, row, column : (n,) integers
    scores : (n,) float32
    offsets : (n, 4) float32
    """

    level: np.ndarray
    row: np.ndarray
    column: np.ndarray
    scores: np.ndarray
    offsets: np.ndarray

    @classmethod
    def concatenate(cls, parts: list[Cells]) -> Cells:
        """Return the cells of all parts, in order; no parts give no cells."""
        none = np.zeros(0, np.int64)
        empty = (none, none, none, np.zeros(0, np.float32), np.zeros((0, 4), np.float32))
        fields = [(p.level, p.row, p.column, p.scores, p.offsets) for p in parts]
        return cls(*(np.concatenate(column) for column in zip(empty, *fields)))

    def __getitem__(self, index: Any) -> Cells:
        return Cells(self.level[index], self.row[index], self.column[index], self.scores[index], self.offsets[index])


class Engine(Protocol):
    """What the detector needs. An engine is for one thread; `clone` gives another thread its own."""

    def propose(self, image: np.ndarray, sizes: list[tuple[int, int]], threshold: float) -> Cells:
        """Run the P-Net on the image resized to each (height, width); return the cells above the threshold."""

    def refine(
        self, kind: str, image: np.ndarray, squares: np.ndarray, mirrored: Optional[np.ndarray] = None
    ) -> tuple[np.ndarray, np.ndarray, Optional[np.ndarray]]:
        """Run R- or O-Net on squares (n, 4), n >= 1; return log-odds (n,), offsets (n, 4), landmarks (n, 10) or None.

        Squares of the mask `mirrored` (n,) are seen mirrored, and what is said of them is of the mirror image.
        """

    def nms(self, boxes: np.ndarray, scores: np.ndarray, threshold: float, mode: str, order: np.ndarray) -> np.ndarray:
        """Suppress, as `core.ops.nms.nms`."""

    def clone(self) -> Engine:
        """Return an engine that shares the weights and may work at the same time."""


def face_probability(logits: np.ndarray) -> np.ndarray:
    """Return the softmax of the face (n,) float32 from the difference of the two logits (n,), its log-odds."""
    small = np.exp(-np.abs(logits), dtype=np.float32)
    return np.where(logits >= 0, np.float32(1), small) / (1 + small)


def log_odds(probability: float) -> float:
    """Return ``log(p / (1 - p))``; infinite from 0 down and from 1 up."""
    if not 0 < probability < 1:
        return -math.inf if probability <= 0 else math.inf
    return math.log(probability / (1 - probability))


class FoldedEngine:
    """What engines on folded nets share: pixels into batches of few shapes, outputs back to cells and crops.

    A subclass gives `_bind`, which compiles a net for one shape.
    """

    def __init__(self, model: Model) -> None:
        self._specs = {kind: model.spec(kind) for kind in model.nets}
        self._bound: dict[tuple[str, tuple[int, ...]], Any] = {}

    def _bind(self, kind: str, shape: tuple[int, ...]) -> Any:
        """Return an object with ``input``, a float32 array of the shape to write to, and ``run() -> array``."""
        raise NotImplementedError

    def _runner(self, kind: str, shape: tuple[int, ...]) -> Any:
        if (kind, shape) not in self._bound:
            self._bound[kind, shape] = self._bind(kind, shape)
        return self._bound[kind, shape]

    def propose(self, image: np.ndarray, sizes: list[tuple[int, int]], threshold: float) -> Cells:
        """See `Engine`."""
        if not sizes:
            return Cells.concatenate([])
        spec = self._specs["pnet"]
        tape, levels = Tape(sizes, spec.ceil, spec.cell, spec.stride), planar_levels(image, sizes)
        least, parts = log_odds(threshold) - LOGIT_MARGIN, []
        for window in tape.windows():
            runner = self._runner("pnet", (1, 4, window.height, window.width))
            tape.paint(window, levels, runner.input[0])
            output = runner.run()[0]
            rows, columns = np.nonzero(output[0] > least)
            inside, level, row, column = tape.locate(window, rows, columns)
            values = output[:5, rows[inside], columns[inside]]
            parts.append(Cells(level, row, column, face_probability(values[0]), values[BOX].T))
        cells = Cells.concatenate(parts)
        cells = cells[cells.scores > np.float32(threshold)]
        return cells[np.lexsort((cells.column, cells.row, cells.level))]

    def refine(
        self, kind: str, image: np.ndarray, squares: np.ndarray, mirrored: Optional[np.ndarray] = None
    ) -> tuple[np.ndarray, np.ndarray, Optional[np.ndarray]]:
        """See `Engine`."""
        size, largest = INPUT_SIZE[kind], BATCHES[kind][-1]
        outputs = []
        for start in range(0, len(squares), largest):
            crops = crop_and_resize(image, squares[start : start + largest], size)
            if mirrored is not None:
                mirror_some(crops, mirrored[start : start + largest])
            count = len(crops)
            batch = next(b for b in BATCHES[kind] if b >= count)
            runner = self._runner(kind, (batch, 3, size, size))
            pixels = planar(crops.reshape(-1, size, 3)).reshape(3, count, size, size)
            runner.input[:count] = pixels.transpose(1, 0, 2, 3)
            outputs.append(runner.run()[:count])
        output = np.concatenate(outputs)
        return (
            output[:, 0],
            output[:, BOX],
            output[:, POINTS] if self._specs[kind].landmarks else None,
        )

    def nms(self, boxes: np.ndarray, scores: np.ndarray, threshold: float, mode: str, order: np.ndarray) -> np.ndarray:
        """See `Engine`."""
        return nms(boxes, scores, threshold, mode, order)
