"""A line about what a step of a pipeline left, and the table at its end."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from gluon_mtcnn.core.files.atomic import read_json
from gluon_mtcnn.core.packs.manifest import listed_sets
from gluon_mtcnn.core.types import NETS


def main_result(folders: Iterable[Path]) -> str:
    """Return the main figures of what a step left, in a few words; "" where there are none."""
    said = [text for folder in folders for text in _results(folder) if text]
    return "; ".join(dict.fromkeys(said))


def _results(path: Path) -> list[str]:
    if path.is_file():
        return [path.name]
    packs = listed_sets(path)
    if packs:
        return [", ".join(f"{name} {entry.get('count', 0):,}" for name, entry in packs.items()) + " samples"]
    said = [show(read_json(path / name)) for name, show in SHOWN.items() if (path / name).is_file()]
    lists = sorted(path.glob("*_bbx_gt.txt"))
    return [*said, f"lists of {' and '.join(file.name.partition('_')[0] for file in lists)}" if lists else ""]


def _number(value: Any, digits: int = 4) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _training(summary: Mapping[str, Any]) -> str:
    if len(summary.get("nets", {})) != 1:  # a folder of several nets tells nothing new
        return ""
    figures = {"loss": summary.get("val_loss"), "accuracy": summary.get("val_accuracy")}
    return f"epoch {summary.get('best_epoch')}" + "".join(
        f", {name} {value:.4f}" for name, value in figures.items() if value is not None
    )


def _model(model: Mapping[str, Any]) -> str:
    if len(model["nets"]) == 1:
        return ""
    thresholds = ",".join(f"{value:g}" for value in model["thresholds"])
    return f"{', '.join(net for net in NETS if net in model['nets'])} at {thresholds}"


def _boxes(value: Mapping[str, Any]) -> str:
    false = value.get("false_positives_per_photo")
    return f"AP {_number(value.get('AP'))}, recall {_number(value.get('recall'))}, false/photo {_number(false, 2)}"


def _stages(value: Mapping[str, Any]) -> str:
    return "recall " + ", ".join(f"{net} {_number(at.get('recall'))}" for net, at in value["stages"].items())


def _landmarks(value: Mapping[str, Any]) -> str:
    return f"mean error {_number(value.get('mean'))}, {value.get('missed')} of {value.get('n')} missed"


SHOWN = {
    "summary.json": _training,
    "model.json": _model,
    "boxes.json": _boxes,
    "wider.json": lambda value: "AP " + ", ".join(f"{name} {_number(at['AP'])}" for name, at in value.items()),
    "landmarks.json": _landmarks,
    "stages.json": _stages,
}


def table(entries: Mapping[str, Mapping[str, Any]], total: Mapping[str, float]) -> str:
    """Return a line for each step: its name, seconds and main result; then the sum."""
    width = max(map(len, ("stage", *entries)))
    lines = [f"{'stage':<{width}} {'seconds':>9} {'cpu':>9}  result"]
    for name, entry in entries.items():
        lines.append(f"{name:<{width}} {entry['seconds']:>9.1f} {entry['cpu_seconds']:>9.1f}  {entry['result']}")
    lines.append(f"{'all':<{width}} {total['seconds']:>9.1f} {total['cpu_seconds']:>9.1f}")
    return "\n".join(lines)
