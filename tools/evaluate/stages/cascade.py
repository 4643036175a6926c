"""The stages of a cascade, one after the other: each is counted over thresholds, and one threshold is picked."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Optional

import numpy as np
from tqdm import tqdm

from gluon_mtcnn.core.ops import image
from gluon_mtcnn.core.types import NETS
from gluon_mtcnn.tools.evaluate.stages.counts import (
    GRID,
    FaceSet,
    Sweep,
    at_proposals,
    cut,
    pick_by_f1,
    pick_by_precision,
    pick_by_recall,
    stage_scores,
    sweep,
)

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Targets:
    """By what the threshold of each stage is picked.

    Attributes
    ----------
    recall : two floats
        Share of all counted faces that P-Net must find, and share of those that R-Net must keep.
    precision : float, optional
        O-Net's threshold is the lowest of this precision; default: the one of the best F1.
    thresholds : three floats, optional
        Take these instead.
    """

    recall: tuple[float, ...] = (0.97, 0.95)
    precision: Optional[float] = None
    thresholds: Optional[tuple[float, ...]] = None

    def fixed(self, kind: str) -> Optional[float]:
        """Return the given threshold of a net; None where it is to be picked."""
        return None if self.thresholds is None else self.thresholds[NETS.index(kind)]


def run_stage(
    detector: Any, kind: str, paths: Sequence[str], candidates: Sequence[np.ndarray], quiet: bool = False
) -> list[np.ndarray]:
    """Run one net over photos; return per photo the calibrated boxes (n, 5) that it leaves.

    Parameters
    ----------
    detector : core.detection.detector.Detector
    kind : {"pnet", "rnet", "onet"}
    paths : of the photos
    candidates : per photo (n, 4)
        What the net before left, inclusive pixels; not used by P-Net.
    quiet : bool
        No progress bar.
    """
    progress = tqdm(paths, desc=kind, unit="photo", disable=quiet)
    return [detector.stage(kind, image.read(path), before).after for path, before in zip(progress, candidates)]


def time_stages(detector: Any, paths: Sequence[str]) -> dict[str, float]:
    """Return the median milliseconds a photo that each stage takes at the detector's thresholds."""
    times: dict[str, list[float]] = {kind: [] for kind in detector.kinds}
    for path in [paths[0], *paths]:  # the first photo also compiles the nets: its first time is left out below
        photo, boxes = image.read(path), np.zeros((0, 4))
        for kind in detector.kinds:
            start = time.perf_counter()
            boxes = detector.stage(kind, photo, boxes).after[:, :4]
            times[kind].append(1000 * (time.perf_counter() - start))
    return {kind: float(np.median(values[1:])) for kind, values in times.items()}


def pick(kind: str, curve: Sweep, targets: Targets) -> int:
    """Return the index of the threshold to use after a stage.

    Where no threshold reaches the target, that is logged and the nearest is taken.
    """
    fixed = targets.fixed(kind)
    if fixed is not None:
        return int(np.argmin(np.abs(curve.thresholds - fixed)))
    if kind == "onet":
        best, target = pick_by_f1(curve.recall, curve.precision), targets.precision
        if target is None:
            return best
        found = pick_by_precision(curve.precision, target)
        nearest, what = best, f"a precision of {target:g}; taking the best F1"
    else:
        shares = curve.recall if curve.kept is None else curve.kept
        target = targets.recall[NETS.index(kind)]
        found = pick_by_recall(shares, target)
        nearest, what = 0, f"{target:g} of the faces: {shares[0]:.4f} at the lowest (--lowest goes lower)"
    if found is None:
        logger.warning("%s: no threshold reaches %s", kind, what)
        return nearest
    return found


def sweep_stages(
    detector: Any, photos: Sequence[str], faces: FaceSet, targets: Targets, quiet: bool = False
) -> tuple[dict[str, Sweep], dict[str, dict[str, Any]]]:
    """Run the stages one after the other, each on what passes the threshold picked for the one before.

    Parameters
    ----------
    detector : core.detection.detector.Detector
        Its thresholds are where the curves begin.
    photos : paths
    faces : FaceSet of the photos
    targets : Targets
    quiet : bool
        No progress bar.

    Returns
    -------
    curves : dict of kind to Sweep
    figures : dict of kind to dict
        What stages.json says of each stage, times aside.
    """
    candidates = [np.zeros((0, 4))] * len(photos)
    found: Optional[np.ndarray] = None
    curves, figures = {}, {}
    for kind in detector.kinds:
        lowest = detector.thresholds[NETS.index(kind)]
        rows = run_stage(detector, kind, photos, candidates, quiet)
        scores = stage_scores(faces, rows)
        curve = sweep(faces, scores, _grid(lowest, targets.fixed(kind)), found)
        chosen = pick(kind, curve, targets)
        threshold = cut(curve.thresholds[chosen])
        at = curve.at(chosen)
        if kind == "onet" and detector.look_again:  # at a lower threshold it looks at more faces, and finds more
            exact = detector.with_thresholds((*detector.thresholds[:2], float(threshold)))
            again = stage_scores(faces, run_stage(exact, kind, photos, candidates, quiet))
            at = sweep(faces, again, curve.thresholds[[chosen]], found).at(0)
        found = faces.counted & (scores.best > threshold)
        candidates = [boxes[boxes[:, 4] > threshold, :4] for boxes in rows]
        curves[kind] = curve
        figures[kind] = {"lowest": lowest, **at, "at_proposals": at_proposals(faces, scores)}
    return curves, figures


def _grid(lowest: float, fixed: Optional[float]) -> np.ndarray:
    """Return the thresholds to count at: from the lowest on, the given one among them."""
    extra = [lowest] if fixed is None else [lowest, fixed]
    return np.unique([*(value for value in GRID.tolist() if value > lowest), *extra])
