"""What is compared: a model with a preset on an engine, a grid of settings of a model, and other detectors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Optional, Protocol

import numpy as np

from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.core.files.atomic import PathLike
from gluon_mtcnn.core.nets.model_folder import Model
from gluon_mtcnn.core.nets.presets import Preset
from gluon_mtcnn.core.types import NETS
from gluon_mtcnn.tools.benchmark.pareto.grid import Grid, GridRun, clocked
from gluon_mtcnn.tools.benchmark.pareto.measured import Tally
from gluon_mtcnn.tools.benchmark.peers import Peer, open_peers
from gluon_mtcnn.tools.cli.detector_options import LOW_LAST_THRESHOLD, open_model

PEER_MIN_FACE, PEER_THRESHOLDS = 20, (0.6, 0.7, LOW_LAST_THRESHOLD)
WITHOUT_PRESETS = {"one pass": Preset(test_time_augmentation=False), "augmented": Preset(test_time_augmentation=True)}


class Contender(Protocol):
    """Something that finds faces, under the clock.

    Attributes
    ----------
    group : str
        Its line in the plot.
    """

    group: str

    @property
    def problem(self) -> str:
        """Return why it has no results; "" where it has some."""

    def warm_up(self, image: np.ndarray) -> None:
        """Run once without counting."""

    def add(self, name: str, image: np.ndarray) -> None:
        """Measure one photo."""

    def results(self) -> Iterator[tuple[str, dict[str, Any], Tally]]:
        """Yield label, settings and what was measured."""


class DetectorContender:
    """A model with a preset on an engine; its last threshold is low, so that curves are full."""

    problem = ""

    def __init__(self, group: str, name: str, model: Model, engine: Optional[str], preset: Preset) -> None:
        from gluon_mtcnn.core.detection.detector import Detector

        own = model.detector_options(Preset(), preset).thresholds
        thresholds = (*own[:2], min(own[2], LOW_LAST_THRESHOLD))
        self.group, self._label = group, f"{group} {name}"
        self._detector = Detector(model, engine, thresholds=thresholds, preset=preset)
        self._tally = Tally()
        self._settings = {"model": model.path, "engine": self._detector.engine, "preset": name, **_options(preset, own)}

    def warm_up(self, image: np.ndarray) -> None:
        """Run once without counting."""
        self._detector.detect(image)

    def add(self, name: str, image: np.ndarray) -> None:
        """Measure one photo, stage by stage."""
        boxes = np.zeros((0, 4))
        for kind in NETS:
            stage, seconds = clocked(self._detector.stage, kind, image, boxes)
            self._tally.add_time(kind, seconds)
            if kind != "pnet":
                self._tally.add_boxes(kind, len(boxes))
            boxes = stage.after[:, :4]
        self._tally.found[name] = stage.after

    def results(self) -> Iterator[tuple[str, dict[str, Any], Tally]]:
        """Yield label, settings and what was measured."""
        yield self._label, self._settings, self._tally


class GridContender:
    """All settings of a grid of a model on an engine."""

    problem = ""

    def __init__(self, group: str, model: Model, engine: Optional[str], grid: Grid) -> None:
        from gluon_mtcnn.core.detection.detector import Detector

        self.group = group
        self._run = GridRun(grid, partial(Detector, model, engine, preset=Preset()))
        self._settings = {"model": model.path, "engine": self._run.engine}
        self.warm_up, self.add = self._run.warm_up, self._run.add

    def results(self) -> Iterator[tuple[str, dict[str, Any], Tally]]:
        """Yield label, settings and what was measured."""
        for setting, tally in self._run.tallies.items():
            yield f"{self.group} {setting.label()}", {**self._settings, **setting.options()}, tally


class PeerContender:
    """Another detector that is installed; one whose faces have no scores gets 1 for each."""

    def __init__(self, name: str, peer: Peer) -> None:
        self.group, self._peer, self._tally = name, peer, Tally()

    @property
    def problem(self) -> str:
        """What its first failure was."""
        return f"not measured: it fails: {self._peer.problem}" if self._peer.problem else ""

    def warm_up(self, image: np.ndarray) -> None:
        """Run once without counting."""
        self._peer.look(image)

    def add(self, name: str, image: np.ndarray) -> None:
        """Measure one photo."""
        boxes, seconds = clocked(self._peer.look, image)
        boxes = np.zeros((0, 5)) if boxes is None else boxes
        scores = np.ones((len(boxes), 5 - boxes.shape[1]))
        self._tally.found[name] = np.concatenate([boxes, scores], axis=1)
        self._tally.add_time("total", seconds)

    def results(self) -> Iterator[tuple[str, dict[str, Any], Tally]]:
        """Yield label, settings and what was measured."""
        settings = {"thresholds": list(PEER_THRESHOLDS), "min_face": PEER_MIN_FACE, "versions": self._peer.versions}
        yield self.group, settings, self._tally


def _options(preset: Preset, thresholds: Sequence[float]) -> dict[str, Any]:
    return {**preset.as_json(), "thresholds": list(thresholds)}


def open_contenders(
    models: Sequence[PathLike], presets: Sequence[str], engines: Sequence[str], grid: Optional[Grid], peers: bool
) -> tuple[list[Contender], dict[str, str]]:
    """Return what is to be measured, and other detectors that cannot be opened with the reason.

    Raises
    ------
    InputError
        A model cannot be opened or lacks a net, no model has such a preset, or an engine is missing.
    """
    contenders: list[Contender] = []
    opened = [open_model(folder) for folder in models or (None,)]
    known = {name for model in opened for name in (model.presets or WITHOUT_PRESETS)}
    for name in presets:
        if name not in known:
            raise InputError(f"benchmark pareto: expected presets among {', '.join(sorted(known))}, got {name!r}")
    for model in opened:
        model.require(NETS)
        for engine in engines or (None,):
            group = " ".join(filter(None, (Path(model.path).name, engine)))
            if grid is not None:
                contenders.append(GridContender(group, model, engine, grid))
                continue
            for name, preset in (model.presets or WITHOUT_PRESETS).items():
                if not presets or name in presets:
                    contenders.append(DetectorContender(group, name, model, engine, preset))
    found = open_peers(PEER_MIN_FACE, PEER_THRESHOLDS) if peers else {}
    contenders += [PeerContender(name, peer) for name, peer in found.items() if isinstance(peer, Peer)]
    return contenders, {name: peer for name, peer in found.items() if isinstance(peer, str)}
