"""What each stage of the cascade finds and lets through, over thresholds. Pure numpy.

A box belongs to the face that it overlaps best, by an IoU of at least 0.5. A face is found when a box that scores above
the threshold belongs to it. A box that belongs to no face is a false positive; the second box of a face is a duplicate.
Boxes that belong to an ignored face count as boxes only. Source of the rules: tools/evaluate/matching.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Optional

import numpy as np

from gluon_mtcnn.core.ops.boxes import area
from gluon_mtcnn.core.types import Annotation
from gluon_mtcnn.tools.evaluate.matching import match

GRID = np.round(np.arange(0, 1, 0.005), 3)
SIZE_EDGES = (0.0, 12.0, 20.0, 40.0, 80.0, 160.0, np.inf)  # pixels; a size lies in [low, high)
PROPOSALS = (100, 200, 500, 800)


@dataclass(frozen=True)
class FaceSet:
    """The annotated faces of a set of photos.

    Attributes
    ----------
    boxes : per photo (m, 4) float64, inclusive pixels
    sizes : (f,) float64
        Square root of the area of each face, over all photos in order.
    counted : (f,) bool
        Faces to be found; the others are ignored.
    """

    boxes: Sequence[np.ndarray]
    sizes: np.ndarray
    counted: np.ndarray

    @classmethod
    def of(cls, photos: Sequence[Annotation], min_sqrt_area: float = 0) -> FaceSet:
        """Return the faces of annotated photos; those of a sqrt(w h) below `min_sqrt_area` are ignored too."""
        boxes = [photo.boxes.astype(np.float64) for photo in photos]
        sizes = np.sqrt(area(np.concatenate([np.zeros((0, 4)), *boxes])))
        ignored = np.concatenate([np.zeros(0, bool), *(photo.ignore for photo in photos)])
        return cls(boxes, sizes, ~ignored & (sizes >= min_sqrt_area))

    def size_masks(self) -> dict[str, np.ndarray]:
        """Return which faces are counted in each class of size: ``{"20-40": (f,) bool, ...}``."""
        masks = {}
        for low, high in zip(SIZE_EDGES, SIZE_EDGES[1:]):
            label = f"{low:g}+" if high == np.inf else f"{low:g}-{high:g}"
            masks[label] = self.counted & (self.sizes >= low) & (self.sizes < high)
        return masks


@dataclass(frozen=True)
class StageScores:
    """The scores of the boxes that one stage left, by what they met.

    Attributes
    ----------
    best : (f,) float64
        Of each face the score of its best box; -inf without one.
    boxes, false, duplicates : (n,) float64
        Scores of all boxes; of the false positives; of further boxes of counted faces.
    """

    best: np.ndarray
    boxes: np.ndarray
    false: np.ndarray
    duplicates: np.ndarray


def stage_scores(faces: FaceSet, rows: Sequence[np.ndarray]) -> StageScores:
    """Match the boxes that a stage left with the faces.

    Parameters
    ----------
    faces : FaceSet
    rows : per photo (n, 5) float64 ``x1 y1 x2 y2 score``, inclusive pixels
    """
    matches = match(rows, faces.boxes)
    best = np.full(len(faces.sizes), -np.inf)
    best[matches.faces[matches.first]] = matches.scores[matches.first]
    on_face = matches.faces >= 0
    further = on_face & ~matches.first
    further[further] = faces.counted[matches.faces[further]]
    return StageScores(best, matches.scores, matches.scores[~on_face], matches.scores[further])


def cut(thresholds: Any) -> np.ndarray:
    """Return thresholds as the detector compares with them, rounded to float32."""
    return np.asarray(thresholds, np.float32).astype(np.float64)


def count_above(scores: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """Return (k,) how many of n scores are greater than each of k thresholds, in any order."""
    return len(scores) - np.searchsorted(np.sort(scores), cut(thresholds), side="right")


@dataclass(frozen=True)
class Sweep:
    """A stage over k thresholds, ascending; each attribute (k,), `recall_by_size` a dict of them.

    Attributes
    ----------
    recall, recall_by_size
        Share of the counted faces that are found; sizes without a face are left out.
    kept
        Share found among the faces that the stage before has found; None for the first.
    boxes, false, duplicates
        A photo.
    precision
        Faces found by boxes that are neither false nor duplicates.
    """

    thresholds: np.ndarray
    recall: np.ndarray
    recall_by_size: dict[str, np.ndarray]
    kept: Optional[np.ndarray]
    boxes: np.ndarray
    false: np.ndarray
    duplicates: np.ndarray
    precision: np.ndarray

    def at(self, index: int) -> dict[str, Any]:
        """Return the figures at one threshold."""
        return {
            "threshold": float(self.thresholds[index]),
            "recall": float(self.recall[index]),
            "kept": None if self.kept is None else float(self.kept[index]),
            "boxes_per_photo": float(self.boxes[index]),
            "false_positives_per_photo": float(self.false[index]),
            "duplicates_per_photo": float(self.duplicates[index]),
            "precision": float(self.precision[index]),
            "recall_by_size": {label: float(values[index]) for label, values in self.recall_by_size.items()},
        }

    def as_lists(self) -> dict[str, Any]:
        """Return the curves as JSON holds them, six digits after the point."""
        curves = {
            "threshold": self.thresholds,
            "recall": self.recall,
            "boxes_per_photo": self.boxes,
            "false_positives_per_photo": self.false,
            "duplicates_per_photo": self.duplicates,
            "precision": self.precision,
        }
        lists: dict[str, Any] = {name: np.round(values, 6).tolist() for name, values in curves.items()}
        lists["recall_by_size"] = {k: np.round(values, 6).tolist() for k, values in self.recall_by_size.items()}
        return lists


def sweep(
    faces: FaceSet, scores: StageScores, thresholds: np.ndarray, found_before: Optional[np.ndarray] = None
) -> Sweep:
    """Count a stage at k ascending thresholds.

    Parameters
    ----------
    faces : FaceSet
    scores : StageScores
    thresholds : (k,)
    found_before : (f,) bool, optional
        Counted faces that the stage before has found.
    """
    thresholds = np.asarray(thresholds, np.float64)
    photos = max(len(faces.boxes), 1)

    def share(mask: np.ndarray) -> np.ndarray:
        return count_above(scores.best[mask], thresholds) / max(int(mask.sum()), 1)

    false, duplicates = count_above(scores.false, thresholds), count_above(scores.duplicates, thresholds)
    hits = count_above(scores.best[faces.counted], thresholds)
    return Sweep(
        thresholds,
        share(faces.counted),
        {label: share(mask) for label, mask in faces.size_masks().items() if mask.any()},
        None if found_before is None else share(found_before),
        count_above(scores.boxes, thresholds) / photos,
        false / photos,
        duplicates / photos,
        hits / np.maximum(hits + false + duplicates, 1),
    )


def at_proposals(faces: FaceSet, scores: StageScores, proposals: Sequence[int] = PROPOSALS) -> list[dict[str, float]]:
    """Return the recall where one threshold for all photos leaves on average at most so many boxes a photo.

    ``boxes_per_photo`` says how many there are: fewer where the stage was not run with a threshold low enough.
    """
    descending = -np.sort(-scores.boxes)
    photos = max(len(faces.boxes), 1)
    thresholds = np.array([descending[n * photos] if n * photos < len(descending) else -np.inf for n in proposals])
    found = count_above(scores.best[faces.counted], thresholds) / max(int(faces.counted.sum()), 1)
    boxes = count_above(scores.boxes, thresholds) / photos
    rows = zip(proposals, found.tolist(), boxes.tolist())
    return [{"proposals": limit, "recall": recall, "boxes_per_photo": left} for limit, recall, left in rows]


def pick_by_recall(shares: np.ndarray, target: float) -> Optional[int]:
    """Return the index of the highest threshold that keeps at least `target`, or None; shares (k,) fall with it."""
    enough = np.flatnonzero(shares >= target)
    return int(enough[-1]) if len(enough) else None


def pick_by_precision(precision: np.ndarray, target: float) -> Optional[int]:
    """Return the index of the lowest threshold, hence of the best recall, whose precision reaches the target."""
    enough = np.flatnonzero(precision >= target)
    return int(enough[0]) if len(enough) else None


def pick_by_f1(recall: np.ndarray, precision: np.ndarray) -> int:
    """Return the index of the threshold with the best harmonic mean of recall and precision, the highest of equals."""
    f1 = 2 * recall * precision / np.maximum(recall + precision, np.finfo(float).tiny)
    return len(f1) - 1 - int(np.argmax(f1[::-1]))
