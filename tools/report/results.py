"""The sections of a report about what was found: main figures, curves, stages, worst errors."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Optional

import cv2
import numpy as np

from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.core.files.atomic import read_json
from gluon_mtcnn.tools.evaluate.boxes.protocol import score_boxes
from gluon_mtcnn.tools.evaluate.roc.curves import TABLE_AT, RocCurve, read_methods
from gluon_mtcnn.tools.report import page
from gluon_mtcnn.tools.report.run_parts import Evaluated, RunParts
from gluon_mtcnn.tools.report.svg_chart import Axis, Line, line_chart
from gluon_mtcnn.tools.report.worst_errors import CROP, Error, draw_error, worst_false_positives, worst_misses

WORST = 18  # pictures of each kind of error
ROC_END = 2000  # false positives
RATE = Axis("recall", 0, 1)
BOXES_HEAD = (
    "",
    "photos",
    "faces",
    "ignored",
    "AP",
    "threshold",
    "recall",
    "precision",
    "found",
    "false",
    "false/photo",
)
STAGE_COLUMNS = {  # title -> name in stages.json, digits
    "threshold": ("threshold", 3),
    "recall": ("recall", 4),
    "kept": ("kept", 4),
    "boxes/photo": ("boxes_per_photo", 1),
    "false/photo": ("false_positives_per_photo", 2),
    "duplicates/photo": ("duplicates_per_photo", 2),
    "precision": ("precision", 4),
    "ms/photo": ("milliseconds", 1),
}


def read_object(path: Path) -> dict[str, Any]:
    """Return the content of a JSON file that holds an object.

    Raises
    ------
    InputError
        It is missing, not JSON, or something else.
    """
    value = read_json(path)
    if not isinstance(value, dict):
        raise InputError(f"{path}: expected a JSON object, got {type(value).__name__}")
    return value


def figures(parts: RunParts, path: Path) -> list[tuple[str, str, str]]:
    """Return the main figures of one result file, as `report_page.tiles` takes them."""
    value, where = read_object(path), parts.name(path.parent)
    if path.name == "boxes.json":
        found = [("AP", page.number(value.get("AP")), where)] if value.get("faces") else []
        if value.get("faces"):
            found.append(("faces found", page.number(value.get("recall")), f"of {value['faces']}, {where}"))
        photos = f"{value.get('photos')} photos, {where}"
        return [*found, ("false positives a photo", page.number(value.get("false_positives_per_photo"), 2), photos)]
    if path.name == "wider.json":
        return [(f"AP {setting}", page.number(at.get("AP")), where) for setting, at in value.items()]
    return [("mean landmark error", page.number(value.get("mean")), f"{value.get('n')} faces, {where}")]


def boxes_row(parts: RunParts, path: Path) -> list[str]:
    """Return the row of `BOXES_HEAD` for one boxes.json."""
    value = read_object(path)
    names = ("photos", "faces", "ignored", "AP", "threshold", "recall", "precision")
    counts = ("true_positives", "false_positives")
    cells = [page.number(value.get(name), 2 if name == "threshold" else 4) for name in (*names, *counts)]
    return [parts.name(path.parent), *cells, page.number(value.get("false_positives_per_photo"), 2)]


def wider_table(parts: RunParts, path: Path) -> str:
    """Return the table of one wider.json."""
    value = read_object(path)
    rows, threshold = [], None
    for setting, at in value.items():
        point = at.get("operating_point") or {}
        threshold = point.get("threshold", threshold)
        counted = [page.number(point.get(name)) for name in ("TP", "FP", "recall", "precision")]
        rows.append([setting, page.number(at.get("AP")), page.number(at.get("faces")), *counted])
    above = "" if threshold is None else f"; the last four above the score {threshold:g}"
    head = ("setting", "AP", "faces", "TP", "FP", "recall", "precision")
    return page.table(f"{parts.name(path.parent)}: WIDER FACE{above}", head, rows)


def landmarks_table(parts: RunParts, path: Path) -> str:
    """Return the table of one landmarks.json."""
    value = read_object(path)
    cells = [page.number(value.get(name)) for name in ("n", "missed", "mean", "median", "fail10")]
    head = ("evaluation", "faces", "missed", "mean", "median", "above 0.1")
    caption = f"{parts.name(path.parent)}: error of the five points / distance between the eyes"
    return page.table(caption, head, [[parts.name(path.parent), *cells]])


def roc_charts(parts: RunParts, folder: Path) -> list[str]:
    """Return the figures of a folder's FDDB curves."""
    charts = []
    for title, label, curve in _fddb_curves(parts, folder):
        axis = Axis("false positives in all photos", 0, min(max(float(curve.fp.max()), 1.0), ROC_END))
        line = Line(title, *curve.points(ROC_END))
        charts.append(line_chart(f"{parts.name(folder)}: FDDB, {title} score", [line], axis, Axis(label, 0, 1)))
    return charts


def roc_table(parts: RunParts, folder: Path) -> str:
    """Return the rates of a folder's FDDB curves, and the mean AP."""
    rows = []
    for title, _, curve in _fddb_curves(parts, folder):
        cells = (f"{page.number(curve.rate_at(fp))}{'*' if fp > curve.fp.max() else ''}" for fp in TABLE_AT)
        rows.append([title, *cells])
    ap = folder / "ap.json"
    mean = f"; mean AP of the folds {page.number(read_object(ap).get('mean'))}" if ap.is_file() else ""
    caption = f"{parts.name(folder)}: FDDB, rate at false positives (*: the curve ends before){mean}"
    return page.table(caption, ("score", *map(str, TABLE_AT)), rows)


def _fddb_curves(parts: RunParts, folder: Path) -> list[tuple[str, str, RocCurve]]:
    (method,) = read_methods([folder], [parts.name(folder)])
    kinds = (("discrete", "true positive rate", method.disc), ("continuous", "IoU a face", method.cont))
    return [(title, label, curve) for title, label, curve in kinds if curve is not None]


def precision_recall(parts: RunParts, path: Path, evaluated: Optional[Evaluated], album: page.Album) -> Optional[str]:
    """Return the precision-recall figure of an evaluation; None where it left none.

    Drawn anew where annotations are there and give the figures that the evaluation wrote; else its own picture.
    """
    name, value = parts.name(path.parent), read_object(path)
    if evaluated and path.name == "boxes.json":
        summary, curve = score_boxes(evaluated.photos, evaluated.detections, value.get("threshold"))
        if summary["faces"] and all(summary[key] == value.get(key) for key in ("faces", "ignored", "AP")):
            line = Line("precision", curve.recall, curve.precision)
            return line_chart(f"{name}: AP {summary['AP']:.4f}", [line], RATE, Axis("precision", 0, 1))
        if not summary["faces"]:
            return None
    drawn = path.parent / "precision_recall.png"
    return png_figure(drawn, f"{name}: precision and recall", album) if drawn.is_file() else None


def png_figure(path: Path, caption: str, album: page.Album) -> Optional[str]:
    """Return a picture that a command left; None where it is no PNG."""
    picture = cv2.imread(str(path))
    if picture is None:
        return None
    return page.picture(album.add_png(path), caption, caption, picture.shape)


def stages_blocks(parts: RunParts, path: Path) -> list[str]:
    """Return the curves and tables of one stages.json."""
    value = read_object(path)
    stages, sizes, name = value["stages"], value["faces_by_size"], parts.name(path.parent)
    rows = [
        [kind, *(page.number(at.get(key), digits) for key, digits in STAGE_COLUMNS.values())]
        for kind, at in stages.items()
    ]
    caption = (
        f"{name}: {page.number(value['photos'])} photos, {page.number(value['faces'])} faces of at least "
        f"{value['min_face_px']:g} px; kept: of the faces that the stage before has found"
    )
    by_size = [["faces", *map(page.number, sizes.values())]]
    by_size += [[kind, *(page.number(at["recall_by_size"].get(size)) for size in sizes)] for kind, at in stages.items()]
    return [
        page.table(caption, ("stage", *STAGE_COLUMNS), rows),
        page.table(f"{name}: recall by size of the face, pixels", ("stage", *sizes), by_size),
        page.grid(
            [
                _stages_chart(stages, "boxes", "boxes_per_photo"),
                _stages_chart(stages, "false positives", "false_positives_per_photo"),
                *(_sizes_chart(kind, at["curve"]) for kind, at in stages.items()),
            ]
        ),
    ]


def _stages_chart(stages: Mapping[str, Any], what: str, key: str) -> str:
    lines = [Line(kind, at["curve"][key], at["curve"]["recall"], _place(at)) for kind, at in stages.items()]
    return line_chart(f"Recall over {what}, thresholds marked", lines, Axis(f"{what} a photo", log=True), RATE)


def _place(stage: Mapping[str, Any]) -> Optional[int]:
    """Return where the stage's threshold is on its curve."""
    thresholds = stage["curve"]["threshold"]
    return thresholds.index(stage["threshold"]) if stage["threshold"] in thresholds else None


def _sizes_chart(kind: str, curve: Mapping[str, Any]) -> str:
    sizes = {f"{size} px": recall for size, recall in curve["recall_by_size"].items()}
    lines = [Line(label, curve["threshold"], recall) for label, recall in {"all": curve["recall"], **sizes}.items()]
    return line_chart(f"After {kind}: recall by size of the face", lines, Axis("threshold", 0, 1), RATE)


def miss_blocks(parts: RunParts, evaluated: Evaluated, threshold: float, album: page.Album) -> list[str]:
    """Return the largest missed faces of an evaluation as pictures; nothing where it has no face to find."""
    faces = sum(int((~photo.ignore).sum()) for photo in evaluated.photos)
    errors, count = worst_misses(evaluated.photos, evaluated.detections, threshold, WORST)
    title = f"{parts.name(evaluated.folder)}: {count:,} of {faces:,} faces missed{_above(threshold)}"
    return _error_blocks(title, count, "the largest", errors, evaluated, threshold, album) if faces else []


def false_positive_blocks(parts: RunParts, evaluated: Evaluated, threshold: float, album: page.Album) -> list[str]:
    """Return the false positives of an evaluation that score highest as pictures."""
    errors, count = worst_false_positives(evaluated.photos, evaluated.detections, threshold, WORST)
    title = f"{parts.name(evaluated.folder)}: {count:,} false positives{_above(threshold)}"
    return _error_blocks(title, count, "those of the highest scores", errors, evaluated, threshold, album)


def _above(threshold: float) -> str:
    return "" if threshold == -math.inf else f" (boxes that score above {threshold:g})"


def _error_blocks(
    title: str,
    count: int,
    order: str,
    errors: Sequence[Error],
    evaluated: Evaluated,
    threshold: float,
    album: page.Album,
) -> list[str]:
    blocks = [page.heading(title)]
    if count > len(errors):
        blocks.append(page.paragraph(f"Shown: {order}."))
    kind = "Missed face" if order == "the largest" else "False positive"
    crops = [_error_figure(kind, error, evaluated.detections, threshold, album) for error in errors]
    if errors and all(crop is None for crop in crops):
        blocks.append(page.note("The photos are not in the run: --images says where they are."))
    return [*blocks, page.grid([crop for crop in crops if crop], "crops")]


def _error_figure(
    kind: str, error: Error, detections: Mapping[str, np.ndarray], threshold: float, album: page.Album
) -> Optional[str]:
    """Return the picture of an error with its caption; None where the photo is not there."""
    picture = draw_error(error, detections, threshold)
    if picture is None:
        return None
    score = "" if error.score is None else f"score {error.score:.2f}, "
    told = f"{score}{error.size:.0f} px, {error.reason}"
    caption = f"{told}; {error.photo.name.rsplit('/', 1)[-1]}"
    return page.picture(album.add(picture), f"{kind} in {error.photo.name}: {told}", caption, (CROP, CROP))
