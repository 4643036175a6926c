"""The curves of a run: history.csv, a row an epoch, and history.png."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.core.files.atomic import PathLike, replacing

Row = Mapping[str, Any]

# Panels of the figure: title, and the columns that go into it where a run has them.
PANELS = (
    ("loss", ("train_loss", "val_loss", "val_calibrated_loss")),
    (
        "accuracy",
        ("train_accuracy_positive", "train_accuracy_negative", "val_accuracy_positive", "val_accuracy_negative"),
    ),
    ("error, in sides of the crop", ("val_box_error", "val_landmark_error")),
)


def write_csv(path: PathLike, rows: Sequence[Row], net: str) -> None:
    """Write one net's rows, its epochs so far; rows of other nets in the file stay."""
    rows = [*(row for row in read_csv(path) if row.get("net") != net), *({"net": net, **row} for row in rows)]
    columns = list(dict.fromkeys(name for row in rows for name in row))
    with replacing(path) as temporary, open(temporary, "w", newline="") as file:
        writer = csv.DictWriter(file, columns, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows({name: "" if value is None else value for name, value in row.items()} for row in rows)


def read_csv(path: PathLike) -> list[dict[str, str]]:
    """Return the rows of a history.csv as text; none when there is no such file.

    Raises
    ------
    InputError
        It is not a history.
    """
    if not Path(path).is_file():
        return []
    with open(path, newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        if "net" not in (reader.fieldnames or ()):
            raise InputError(f"{path}:1: expected a history with a column net, got {reader.fieldnames}")
        return list(reader)


def plot(path: PathLike, rows: Sequence[Row]) -> None:
    """Draw the curves: a line of panels for each net, loss, accuracy and regression error over epochs.

    Not with GluonCV's TrainingHistory: it draws one panel with one scale, through pyplot's global figure.
    """
    from matplotlib.figure import Figure

    nets = list(dict.fromkeys(row["net"] for row in rows))
    figure = Figure(figsize=(15, 4 * len(nets)), layout="constrained")
    for net, axes in zip(nets, figure.subplots(len(nets), len(PANELS), squeeze=False)):
        mine = [row for row in rows if row["net"] == net]
        for axis, (title, columns) in zip(axes, PANELS):
            axis.set(title=f"{net}: {title}", xlabel="epoch")
            axis.grid(alpha=0.3)
            for name in columns:
                values = [_number(row.get(name)) for row in mine]
                if any(map(math.isfinite, values)):
                    axis.plot([_number(row["epoch"]) for row in mine], values, marker=".", label=name)
            if axis.get_lines():
                axis.legend()
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=100)


def _number(text: Any) -> float:
    return math.nan if text in (None, "") else float(text)
