"""From the parts of a run to the sections of its page."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Optional

from gluon_mtcnn import __version__
from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.tools.report import page, results, training
from gluon_mtcnn.tools.report.run_parts import Evaluated, RunParts, find_evaluated

logger = logging.getLogger(__name__)
PICTURES = 5_000_000  # bytes on the page, as text


def build(parts: RunParts, title: str, annotations: Optional[Path] = None, images: Optional[Path] = None) -> str:
    """Return the page of a run.

    Parameters
    ----------
    parts : RunParts
    title : str
    annotations, images : Path, optional
        Where the faces and photos of evaluations are, if not in the run.
    """
    report = _Report(parts, annotations, images)
    sections = [
        page.Section(anchor, heading, report.section(blocks, missing))
        for anchor, heading, blocks, missing in (
            ("results", "Results", report.results, "No boxes.json, wider.json, landmarks.json or FDDB curves."),
            ("curves", "Curves", report.curves, "No precision-recall or ROC curves."),
            ("stages", "Stages of the cascade", report.stages, "No stages.json (evaluate stages leaves it)."),
            ("errors", "Worst errors", report.errors, "No detections.json whose photos are annotated in the run."),
            ("training", "Training", report.training, "No history.csv or summary.json."),
            ("data", "Data", report.data, "No packs."),
            ("configuration", "Configuration", report.configuration, "No model.json or summary.json."),
        )
    ]
    foot = f"Made by gluon-mtcnn {__version__}: report."
    if report.album.left_out:
        foot += f" Pictures left out to keep the page small: {report.album.left_out}."
    return page.page(title, _lead(parts), sections, foot)


def _lead(parts: RunParts) -> str:
    evaluations = len(parts.curves) + sum(map(len, parts.results.values()))
    counted = {"pack": len(parts.packs), "model folder": len(parts.models), "evaluation": evaluations}
    return ", ".join(f"{count} {what}{'' if count == 1 else 's'}" for what, count in counted.items())


class _Report:
    """The blocks of every section. A part that cannot be read becomes a line of its section and of the log."""

    def __init__(self, parts: RunParts, annotations: Optional[Path], images: Optional[Path]) -> None:
        self.album = page.Album(PICTURES)
        self._parts, self._problems = parts, []  # type: tuple[RunParts, list[str]]
        self._detected = [*parts.results["boxes.json"], *parts.results["wider.json"]]
        self._evaluated: dict[Path, Evaluated] = {}
        for path in self._detected:
            for found in self._each([path.parent], lambda p: [find_evaluated(parts, p, annotations, images)]):
                self._evaluated[path] = found
        self._unmatched, self._problems = self._problems, []

    def section(self, blocks: Callable[[], Sequence[str]], missing: str) -> list[str]:
        """Return a section's blocks, then what could not be read; where there is nothing, a line that says so."""
        shown = [block for block in blocks() if block]
        shown += [page.note(problem) for problem in self._problems]
        self._problems = []
        return shown or [page.note(missing)]

    def _each(self, paths: Iterable[Path], show: Callable[[Path], Sequence[Any]]) -> list[Any]:
        """Return what `show` gives for every path, all in one list, leaving out None and paths that fail."""
        shown: list[Any] = []
        for path in paths:
            try:
                shown += [block for block in show(path) if block is not None]
            except InputError as error:
                self._problem(str(error))
            except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
                self._problem(f"{path}: not of the form that this version writes: {error!r}")
        return shown

    def _problem(self, text: str) -> None:
        logger.warning("%s", text)
        self._problems.append(text)

    def results(self) -> list[str]:
        """Return the main figures large, then a table of each kind of evaluation."""
        parts, by_name = self._parts, self._parts.results
        wider, points = by_name["wider.json"], by_name["landmarks.json"]
        figures = self._each([*self._detected, *points], lambda p: [results.figures(parts, p)])
        figures.sort(key=len, reverse=True)  # photos without faces have one figure: last
        rows = self._each(by_name["boxes.json"], lambda p: [results.boxes_row(parts, p)])
        caption = "Boxes: found with an IoU of at least 0.5; AP over all scores, the rest above the threshold"
        return [
            page.tiles([figure for group in figures for figure in group]) if figures else "",
            page.table(caption, results.BOXES_HEAD, rows) if rows else "",
            *self._each(wider, lambda p: [results.wider_table(parts, p)]),
            *self._each(parts.curves, lambda p: [results.roc_table(parts, p)]),
            *self._each(points, lambda p: [results.landmarks_table(parts, p)]),
        ]

    def curves(self) -> list[str]:
        """Return precision-recall and ROC curves, and those of the landmarks."""
        parts, album = self._parts, self.album
        points = [path.with_suffix(".png") for path in parts.results["landmarks.json"]]
        figures = [
            *self._each(self._detected, lambda p: [results.precision_recall(parts, p, self._evaluated.get(p), album)]),
            *self._each(parts.curves, lambda p: results.roc_charts(parts, p)),
            *self._each(
                filter(Path.is_file, points),
                lambda p: [results.png_figure(p, f"{parts.name(p.parent)}: error of the landmarks", album)],
            ),
        ]
        return [page.grid(figures)]

    def stages(self) -> list[str]:
        """Return what evaluate stages left."""
        return self._each(self._parts.results["stages.json"], lambda p: results.stages_blocks(self._parts, p))

    def errors(self) -> list[str]:
        """Return the worst misses and false positives."""
        self._problems += self._unmatched
        blocks = [page.paragraph("Green: annotated faces. Orange: boxes above the threshold.")] * bool(self._evaluated)
        for show in (results.miss_blocks, results.false_positive_blocks):
            blocks += self._each(
                self._evaluated,
                lambda p, show=show: show(self._parts, self._evaluated[p], _threshold(p), self.album),  # type: ignore[misc]
            )
        return blocks

    def training(self) -> list[str]:
        """Return the training curves."""
        return self._each(self._parts.models, lambda p: training.training_blocks(self._parts, p))

    def data(self) -> list[str]:
        """Return what the packs hold, and samples of it."""
        parts = self._parts
        rows = self._each(parts.packs, lambda p: training.data_rows(parts, p))
        if not rows:
            return []
        sheets = self._each(parts.packs, lambda p: training.sheet_blocks(parts, p, self.album))
        return [page.table("Samples of each class", training.DATA_HEAD, rows), *sheets]

    def configuration(self) -> list[str]:
        """Return the configuration and versions."""
        return self._each(self._parts.models, lambda p: training.configuration_blocks(self._parts, p))


def _threshold(path: Path) -> float:
    """Return the score above which an evaluation counted; -inf, all scores, where it does not say."""
    value = results.read_object(path)
    if path.name == "wider.json":
        value = next((at["operating_point"] for at in value.values() if "operating_point" in at), {})
    threshold = value.get("threshold")
    return -math.inf if threshold is None else float(threshold)
