"""Every pair of thresholds of P- and R-Net in one go: what pairs have in common is computed once for all of them.

NMS takes boxes by falling score, so the boxes that R-Net leaves at a high threshold are those above it that it leaves
at a low one. R-Net therefore runs once for each threshold of P-Net, at the lowest of its own.
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Callable

import numpy as np

from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.core.nets.presets import ChosenOptions
from gluon_mtcnn.tools.benchmark.pareto.measured import Tally
from gluon_mtcnn.tools.cli.detector_options import LOW_LAST_THRESHOLD


@dataclass(frozen=True)
class Grid:
    """Which settings of a detector to measure: all combinations.

    Attributes
    ----------
    pnet, rnet : sequences of float
        Thresholds.
    augmentation : sequence of bool
        O-Net with test-time augmentation, without, or both.
    min_face, scale_factor : sequences of float
        Smallest faces in pixels, and factors between levels of the pyramid.
    """

    pnet: Sequence[float] = ()
    rnet: Sequence[float] = ()
    augmentation: Sequence[bool] = (False,)
    min_face: Sequence[float] = (ChosenOptions.min_face,)
    scale_factor: Sequence[float] = (ChosenOptions.scale_factor,)

    def pyramids(self) -> Iterator[tuple[float, float]]:
        """Yield smallest face and factor."""
        yield from itertools.product(self.min_face, self.scale_factor)


@dataclass(frozen=True)
class GridSetting:
    """One combination of a grid.

    Attributes
    ----------
    min_face, scale_factor, pnet, rnet : float
    augmentation : bool
    """

    min_face: float
    scale_factor: float
    pnet: float
    rnet: float
    augmentation: bool

    def label(self) -> str:
        """Return thresholds, test-time augmentation, and what differs from the usual pyramid."""
        parts = [f"{self.pnet:g} {self.rnet:g}", "augmented" if self.augmentation else ""]
        parts += [f"min face {self.min_face:g}" if self.min_face != ChosenOptions.min_face else ""]
        parts += [f"factor {self.scale_factor:g}" if self.scale_factor != ChosenOptions.scale_factor else ""]
        return " ".join(filter(None, parts))

    def options(self) -> dict[str, Any]:
        """Return the options of a detector as a preset names them; the last threshold is that of the curve."""
        return {
            "thresholds": [self.pnet, self.rnet, LOW_LAST_THRESHOLD],
            "min_face": self.min_face,
            "scale_factor": self.scale_factor,
            "test_time_augmentation": self.augmentation,
        }


def log_odds_steps(text: str) -> tuple[float, ...]:
    """Parse thresholds: ``0.6,0.7`` or ``0.6:0.95:5``, five from 0.6 to 0.95 at equal steps of the log-odds.

    Raises
    ------
    ValueError
        Not of that form, or not between 0 and 1.
    """
    first, *others = text.split(":")
    if not others:
        values = tuple(float(part) for part in text.split(","))
    else:
        low, high, count = float(first), float(others[0]), int(others[1])
        if count < 1 or not (0 < low < 1 and 0 < high < 1):
            raise ValueError(f"expected LOW:HIGH:COUNT with thresholds between 0 and 1, got {text}")
        odds = np.linspace(math.log(low / (1 - low)), math.log(high / (1 - high)), count)
        values = tuple(float(f"{value:.4g}") for value in 1 - 1 / (1 + np.exp(odds)))
    if not all(0 <= value <= 1 for value in values):
        raise ValueError(f"expected thresholds from 0 to 1, got {text}")
    return values


class GridRun:
    """Measures all settings of a grid for one model and engine.

    Parameters
    ----------
    grid : Grid
    open_detector : function of keyword arguments of a Detector
        Opens the model.

    Attributes
    ----------
    tallies : dict of GridSetting to Tally
    engine : str
    """

    def __init__(self, grid: Grid, open_detector: Callable[..., Any]) -> None:
        if not grid.pnet or not grid.rnet:
            raise InputError("benchmark pareto: expected thresholds of P-Net and of R-Net, got none of one")
        self._grid = grid
        lowest = min(grid.rnet)
        self._last = {
            on: open_detector(thresholds=(0.5, 0.5, LOW_LAST_THRESHOLD), test_time_augmentation=on)
            for on in grid.augmentation
        }
        self.engine = next(iter(self._last.values())).engine
        self._first: dict[tuple[float, float, float], Any] = {}
        for min_face, factor in grid.pyramids():
            detector = open_detector(
                thresholds=(0.5, lowest, 1), min_face=min_face, scale_factor=factor, test_time_augmentation=False
            )
            for p in grid.pnet:
                self._first[min_face, factor, p] = detector.with_thresholds((p, lowest, 1))
        self.tallies = {
            GridSetting(min_face, factor, p, r, on): Tally()
            for (min_face, factor, p), r, on in itertools.product(self._first, grid.rnet, grid.augmentation)
        }

    def warm_up(self, image: np.ndarray) -> None:
        """Run everything once, so that planning of shapes is not counted."""
        for _ in self._run(image):
            pass

    def add(self, name: str, image: np.ndarray) -> None:
        """Measure one photo."""
        for setting, faces, seconds, boxes in self._run(image):
            tally = self.tallies[setting]
            tally.found[name] = faces
            for stage, value in seconds.items():
                tally.add_time(stage, value)
            for net, count in boxes.items():
                tally.add_boxes(net, count)

    def _run(self, image: np.ndarray) -> Iterator[tuple[GridSetting, np.ndarray, dict[str, float], dict[str, int]]]:
        """Yield each setting, its faces (n, 5), the processor seconds of its stages, and the boxes into its nets."""
        for (min_face, factor, p), detector in self._first.items():
            proposed, p_seconds = clocked(detector.stage, "pnet", image, np.zeros((0, 4)))
            left, r_seconds = clocked(detector.stage, "rnet", image, proposed.after[:, :4])
            for r, on in itertools.product(self._grid.rnet, self._grid.augmentation):
                kept = left.after[left.after[:, 4] > np.float32(r)]
                faces, o_seconds = clocked(self._last[on].stage, "onet", image, kept[:, :4])
                seconds = {"pnet": p_seconds, "rnet": r_seconds, "onet": o_seconds}
                boxes = {"rnet": len(proposed.after), "onet": len(kept)}
                yield GridSetting(min_face, factor, p, r, on), faces.after, seconds, boxes


def clocked(function: Callable[..., Any], *arguments: Any) -> tuple[Any, float]:
    """Return ``function(*arguments)`` and the processor seconds of this process that it took."""
    before = time.process_time()
    result = function(*arguments)
    return result, time.process_time() - before
