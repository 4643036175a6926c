"""FDDB's discrete and continuous ROC: exact one-to-one matching at every score. Pure: arrays in, arrays out.

After V. Jain and E. Learned-Miller, "FDDB: A Benchmark for Face Detection in Unconstrained Settings", UMass Amherst
2010. At every distinct score the detections of at least that score are matched with the faces of their image for the
greatest total IoU. A pair is a discrete hit when its IoU is above 1/2; the continuous score of a pair is its IoU.

Two facts make this fast without changing a result. When detections join in descending score, one that the best
matching leaves out never comes back (the change is an alternating path that starts at the new detection and runs
through matched ones only), so no more detections are remembered than there are faces. And a detection that finds, for
each of k faces, k better ones already there is never needed.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Optional

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.tools.evaluate.fddb.official import DISCRETE_IOU, official_states, summed
from gluon_mtcnn.tools.evaluate.fddb.regions import ellipse_patches, pixel_iou

MATCHERS = ("optimal", "official")
FALLBACK_SIZE = (450, 450)  # (width, height): FDDB's photos are at most 450 px; curves move by up to 0.005
NO_DETECTION = sys.float_info.max  # threshold of the row that stands for "nothing detected"
BLOCK = 4096  # detections whose IoU is computed at once: bounds memory whatever the number of boxes
SMALL = 8  # faces: up to here one assignment costs less than finding out which faces are independent


@dataclass(frozen=True)
class Roc:
    """Both curves of a detector, lowest threshold first.

    Attributes
    ----------
    thresholds : (n,) float64
        Distinct scores; the last is DBL_MAX when some image has no detection.
    hits : (n,) int64
        Pairs with IoU > 1/2 among the detections of at least that score.
    overlap : (n,) float64
        Summed IoU of the pairs.
    kept : (n,) int64
        Detections of at least that score.
    faces : int
        Annotated faces in all images.
    """

    thresholds: np.ndarray
    hits: np.ndarray
    overlap: np.ndarray
    kept: np.ndarray
    faces: int

    @property
    def false_positives(self) -> np.ndarray:
        """(n,) int64, the same for both curves; 0 throughout when there is no face at all, as officially."""
        return self.kept - self.hits if self.faces else np.zeros_like(self.kept)

    @property
    def discrete(self) -> np.ndarray:
        """(n,) true positive rate: the share of faces that are hit."""
        return self.hits / max(self.faces, 1)

    @property
    def continuous(self) -> np.ndarray:
        """(n,) IoU per face."""
        return self.overlap / max(self.faces, 1)

    def disc_lines(self) -> Iterator[str]:
        """Yield the lines of DiscROC.txt: true positive rate, false positives, threshold; six significant digits."""
        columns = self.discrete.tolist(), self.false_positives.tolist(), self.thresholds.tolist()
        return ("{:g} {:g} {:g}\n".format(*row) for row in zip(*columns))

    def cont_lines(self) -> Iterator[str]:
        """Yield the lines of ContROC.txt: IoU per face, false positives."""
        return ("{:g} {:g}\n".format(*row) for row in zip(self.continuous.tolist(), self.false_positives.tolist()))


def evaluate(
    annotations: Mapping[str, np.ndarray],
    detections: Mapping[str, np.ndarray],
    sizes: Optional[Mapping[str, tuple[int, int]]] = None,
    matcher: str = MATCHERS[0],
) -> Roc:
    """Return the ROC of detections on annotated images.

    Parameters
    ----------
    annotations : mapping of name to (n, 5)
        Ellipses of every image of the set: major radius, minor radius, angle (radians), centre x, centre y.
    detections : mapping of name to (n, 5) or (n, 6)
        Rectangles ``left top width height score`` or ellipses with a score; an entry for every image, others are
        ignored. Finite numbers.
    sizes : mapping of name to (width, height), optional
        Pixels; 450 x 450 for all by default.
    matcher : {"optimal", "official"}
        Match for the greatest total IoU, or as the official program does (`tools.evaluate.fddb.kuhn`): then the order
        of images, faces and detections counts, and both curves are the program's.

    Raises
    ------
    InputError
        No image; an image that has no detections entry or no size.
    """
    if not annotations:
        raise InputError("FDDB: expected at least one image, got none")
    changes, states, scores = [np.zeros((0, 3))], [], []
    for name, faces in annotations.items():
        if name not in detections:
            raise InputError(f"no detections entry for image {name}")
        if sizes is not None and name not in sizes:
            raise InputError(f"no size for image {name}")
        rows = detections[name]
        scores.append(rows[:, -1])
        if not len(rows) or not len(faces):
            continue
        size = FALLBACK_SIZE if sizes is None else sizes[name]
        if matcher == "official":
            states.append(official_states(faces, rows, size))
        else:
            changes.append(match_image(faces, rows, size))
    roc = _accumulate(np.concatenate(changes), scores, sum(map(len, annotations.values())))
    if matcher != "official":
        return roc
    hits, overlap = summed(states, roc.thresholds)
    return replace(roc, hits=hits.astype(np.int64), overlap=overlap)


def _accumulate(changes: np.ndarray, scores: list[np.ndarray], faces: int) -> Roc:
    """Sum the changes (m, 3) of all images, ``score hits overlap``, over descending thresholds."""
    thresholds, counts = np.unique(np.concatenate(scores), return_counts=True)
    at = np.searchsorted(thresholds, changes[:, 0])
    columns = [counts, *(np.bincount(at, changes[:, i], len(thresholds)) for i in (1, 2))]
    kept, hits, overlap = (np.cumsum(column[::-1])[::-1] for column in columns)
    if not all(map(len, scores)):
        thresholds = np.append(thresholds, NO_DETECTION)
        kept, hits, overlap = (np.append(column, 0) for column in (kept, hits, overlap))
    return Roc(thresholds, np.rint(hits).astype(np.int64), overlap, kept.astype(np.int64), faces)


def match_image(ellipses: np.ndarray, rows: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Follow the best matching of one image as the threshold falls.

    Parameters
    ----------
    ellipses : (k, 5)
        Faces.
    rows : (n, 5) or (n, 6)
        Detections; any order.
    size : (width, height)

    Returns
    -------
    (m, 3) float64
        At some of the scores: the score, and by how much the number of hits and the summed IoU change there.
    """
    rows = rows[np.argsort(-rows[:, -1], kind="stable")]
    iou, columns = _useful_pairs(ellipses, rows, size)
    if not len(columns):
        return np.zeros((0, 3))
    scores = rows[columns, -1]
    groups = _independent_groups(iou)
    return np.concatenate([_follow_matching(iou[faces][:, chosen], scores[chosen]) for faces, chosen in groups])


def _useful_pairs(ellipses: np.ndarray, rows: np.ndarray, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Return the IoU (k, m) of those detections (m,) that are among the k best of some face when they appear.

    `rows` are in descending score.
    """
    faces = ellipse_patches(ellipses, size)
    best = np.zeros((len(faces), len(faces)))  # IoUs of the k best detections of each face so far, ascending
    ious, columns = [], []
    for start in range(0, len(rows), BLOCK):
        iou = pixel_iou(faces, rows[start : start + BLOCK], size)
        useful = np.flatnonzero((iou > best[:, :1]).any(axis=0))
        ious.append(iou[:, useful])
        columns.append(start + useful)
        if start + BLOCK < len(rows):
            best = np.sort(np.concatenate([best, ious[-1]], axis=1), axis=1)[:, -len(faces) :]
    return np.concatenate(ious, axis=1), np.concatenate(columns)


def _independent_groups(iou: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield index arrays of faces and detections that touch each other and nothing else."""
    count, total = len(iou), sum(iou.shape)
    if count <= SMALL:
        yield np.arange(count), np.arange(iou.shape[1])
        return
    face, column = np.nonzero(iou)
    graph = csr_array((np.ones(len(face), bool), (face, column + count)), shape=(total, total))
    _, labels = connected_components(graph, directed=False)
    for label in np.unique(labels[count:]):
        yield np.flatnonzero(labels[:count] == label), np.flatnonzero(labels[count:] == label)


def _follow_matching(iou: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Return the changes (m, 3), one for each distinct score; `iou` (k, n) and `scores` (n,) in descending score."""
    edges = [0, *(np.flatnonzero(scores[1:] < scores[:-1]) + 1).tolist(), len(scores)]
    states = np.zeros((len(edges), 3))  # the first stands for "above all scores"
    states[1:, 0] = scores[edges[:-1]]
    matched = np.zeros(0, np.int64)
    for step, (start, stop) in enumerate(zip(edges, edges[1:]), 1):
        pool = np.concatenate([matched, np.arange(start, stop)])
        face, column = linear_sum_assignment(iou[:, pool], maximize=True)
        matched = pool[column]
        pairs = iou[face, matched]
        states[step, 1:] = np.count_nonzero(pairs > DISCRETE_IOU), pairs.sum()
    states[1:, 1:] -= states[:-1, 1:].copy()
    return states[1:]
