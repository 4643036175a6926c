"""WIDER FACE's protocol: AP on the easy, medium and hard settings. Pure: arrays in, arrays out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Optional

import numpy as np

from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.tools.evaluate.matching import average_precision, match, operating_point, outcomes, precision_recall
from gluon_mtcnn.tools.evaluate.wider.files import SETTINGS, GroundTruth, plain_name

STEPS = 1000
THRESHOLDS = 1 - np.arange(1, STEPS + 1) / STEPS


@dataclass(frozen=True)
class SettingResult:
    """What the protocol says of one setting.

    Attributes
    ----------
    faces : int
        How many faces the setting counts in the evaluated photos.
    ap : float or None
        None when there is no face.
    precision, recall : (1000,)
        At the thresholds 1 - k/1000 of the normalised score.
    point : dict or None
        TP, FP, recall and precision at the operating threshold.
    """

    faces: int
    ap: Optional[float]
    precision: np.ndarray
    recall: np.ndarray
    point: Optional[dict] = None

    def summary(self) -> dict[str, Any]:
        """Return what goes into wider.json."""
        summary: dict[str, Any] = {"AP": self.ap, "faces": self.faces}
        return summary if self.point is None else {**summary, "operating_point": self.point}


def normalise_scores(scores: np.ndarray) -> np.ndarray:
    """Return the scores (n,) stretched to 0..1; all 1 where they are all the same."""
    if len(scores) == 0 or scores.min() == scores.max():
        return np.ones(len(scores))
    return (scores - scores.min()) / (scores.max() - scores.min())


def evaluate_settings(
    truth: GroundTruth, detections: Sequence[np.ndarray], threshold: Optional[float] = None
) -> dict[str, SettingResult]:
    """Evaluate the detections of a set of photos.

    Parameters
    ----------
    truth : GroundTruth
    detections : per photo of `truth` (n, 5) float64 ``x1 y1 x2 y2 score``
    threshold : float, optional
        Also count the detections that score above it.

    Returns
    -------
    dict of setting to SettingResult
    """
    scores = np.concatenate([np.zeros(0), *(rows[:, 4] for rows in detections)])
    normalised = normalise_scores(scores)
    # Photos without a box take part in the normalisation, then contribute nothing.
    has_faces = np.array([len(boxes) > 0 for boxes in truth.faces], bool)
    evaluated = np.repeat(has_faces, [len(rows) for rows in detections])
    matches = match([rows if some else rows[:0] for rows, some in zip(detections, has_faces)], truth.faces)
    results = {}
    for setting in SETTINGS:
        counted = np.concatenate([np.zeros(0, bool), *truth.counted[setting]])
        hits, false = outcomes(matches, ~counted)
        faces = int(counted.sum())
        precision, recall = precision_recall(normalised[evaluated], hits, false, faces, THRESHOLDS)
        ap = average_precision(precision, recall) if faces else None
        point = None if threshold is None else operating_point(matches.scores, hits, false, faces, threshold)
        results[setting] = SettingResult(faces, ap, precision, recall, point)
    return results


def align(
    truth: GroundTruth, detections: Mapping[str, np.ndarray], source: object, missing_as_empty: bool
) -> list[np.ndarray]:
    """Return the detections in the order of the photos; names match with or without suffix, others are left out.

    Raises
    ------
    InputError
        Two entries for one photo, photos without an entry unless `missing_as_empty`, or entries of which none fits.
    """
    by_name: dict[str, np.ndarray] = {}
    for name, rows in detections.items():
        if plain_name(name) in by_name:
            raise InputError(f"{source}: two entries for {plain_name(name)}")
        by_name[plain_name(name)] = rows
    missing = [name for name in truth.names if name not in by_name]
    if by_name and len(missing) == len(truth.names):
        raise InputError(f"{source}: expected entries like {truth.names[0]}.jpg, got none of the {len(missing)} photos")
    if missing and not missing_as_empty:
        raise InputError(
            f"{source}: no entry for {len(missing)} of {len(truth.names)} photos, the first is {missing[0]}.jpg "
            "(--missing-as-empty counts them as empty, --image-list names the photos to evaluate)"
        )
    return [by_name.get(name, np.zeros((0, 5))) for name in truth.names]
