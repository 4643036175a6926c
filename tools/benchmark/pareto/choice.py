"""Presets out of a comparison: the highest mean AP within a processor time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Optional

from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.core.nets.model_folder import load_model, write_presets
from gluon_mtcnn.core.nets.presets import Preset
from gluon_mtcnn.tools.benchmark.pareto.measured import Point
from gluon_mtcnn.tools.benchmark.pareto.run import ParetoResult


@dataclass(frozen=True)
class Choice:
    """Which presets to choose.

    Attributes
    ----------
    budgets : mapping of preset to float
        Most processor milliseconds a photo.
    column : str, optional
        Whose score at the target precision becomes the last threshold. Default: the first column.
    write : bool
        Put the presets into the model.json of their model, beside those that it has.
    """

    budgets: Mapping[str, float] = field(default_factory=dict)
    column: Optional[str] = None
    write: bool = False


def choose_presets(result: ParetoResult, choice: Choice) -> dict[str, Preset]:
    """Return the presets; write them if asked to.

    Raises
    ------
    InputError
        No setting is as fast, the column is not there or does not reach the precision, or settings of several models.
    """
    places = {name: _best(result, name, most) for name, most in choice.budgets.items()}
    presets = {name: _preset(result.points[place], choice.column) for name, place in places.items()}
    if choice.write:
        folders = {result.points[place].settings["model"] for place in places.values()}
        if len(folders) > 1:
            raise InputError(f"benchmark pareto: --write: expected settings of one model, got {', '.join(folders)}")
        folder = folders.pop()
        write_presets(folder, {**load_model(folder).presets, **presets})
    return presets


def _best(result: ParetoResult, name: str, most: float) -> int:
    """Return the place of the point of highest mean AP among those that take at most some milliseconds."""
    ours = [(point.mean_ap or 0, i) for i, point in enumerate(result.points) if "model" in point.settings]
    fitting = [(ap, i) for ap, i in ours if result.points[i].processor_ms <= most]
    if not fitting:
        least = min((result.points[i].processor_ms for _, i in ours), default=0)
        raise InputError(
            f"benchmark pareto: {name}: expected a setting within {most:g} ms, the least is {least:.1f} ms"
        )
    return max(fitting)[1]


def _preset(point: Point, column: Optional[str]) -> Preset:
    column = next(iter(point.accuracy)) if column is None else column
    if column not in point.accuracy:
        raise InputError(
            f"benchmark pareto: --precision-column: expected one of {', '.join(point.accuracy)}, got {column!r}"
        )
    score = point.accuracy[column]["score"]
    if score is None:
        raise InputError(f"benchmark pareto: {point.label}: no score of {column} reaches the target precision")
    options = {name: value for name, value in point.settings.items() if name in vars(Preset())}
    return Preset(**{**options, "thresholds": (*point.settings["thresholds"][:2], round(score, 3))})
