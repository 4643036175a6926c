"""The sections of a report about how a run was made: training curves, data, configuration, versions."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.core.packs.manifest import listed_sets
from gluon_mtcnn.core.packs.pack import Pack
from gluon_mtcnn.core.training import history
from gluon_mtcnn.core.types import LABEL_NAMES, NETS
from gluon_mtcnn.tools.report import page
from gluon_mtcnn.tools.report.contact_sheet import class_sheets
from gluon_mtcnn.tools.report.results import read_object
from gluon_mtcnn.tools.report.run_parts import RunParts
from gluon_mtcnn.tools.report.svg_chart import Axis, Line, line_chart

SUMMARY = {  # column of the table -> name in summary.json, digits
    "epochs": ("epochs", 0),
    "best": ("best_epoch", 0),
    "validation loss": ("val_loss", 4),
    "accuracy": ("val_accuracy", 4),
    "on faces": ("val_accuracy_positive", 4),
    "on background": ("val_accuracy_negative", 4),
    "box error": ("val_box_error", 4),
    "samples/s": ("samples_per_second", 0),
    "seconds": ("seconds", 0),
    "threads": ("threads", 0),
}


DATA_HEAD = ("set", "crop", "samples", *LABEL_NAMES.values(), "photos", "size")
TOLD = ("config", "versions", "train_pack", "val_pack")  # of summary.json, in the configuration
DRAWN = {"positive": ", with the face", "part": ", with the face", "landmark": ", with the points"}


def training_blocks(parts: RunParts, folder: Path) -> list[str]:
    """Return the curves of all nets of a model folder, a table of their best epochs, and all epochs to unfold."""
    blocks = []
    name = parts.name(folder)
    if (folder / "summary.json").is_file():
        nets = by_net(read_object(folder / "summary.json"))
        rows = [[net, *(page.number(at.get(key), n) for key, n in SUMMARY.values())] for net, at in nets.items()]
        blocks.append(page.table(f"{name}: the best epoch of each net", ("net", *SUMMARY), rows))
        dead = {net: at["dead_kernels"] for net, at in nets.items() if at.get("dead_kernels")}
        blocks += [page.note(f"Dead kernels (all weights below 1e-5): {dead}")] if dead else []
    try:
        rows_by_net = _by_net(history.read_csv(folder / "history.csv"))
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{folder / 'history.csv'}: expected a history as CSV text: {error}") from None
    for net, epochs in rows_by_net.items():
        blocks.append(page.heading(f"{name}: {net}"))
        blocks.append(page.grid([_panel(net, title, columns, epochs) for title, columns in history.PANELS]))
        used = [key for key in epochs[0] if key != "net" and any(row.get(key) for row in epochs)]
        used.sort(key=lambda key: key != "epoch")
        rows = [[_short(row.get(key)) for key in used] for row in epochs]
        heads = [key.replace("_", " ") for key in used]
        blocks.append(page.details(f"All epochs of {net}", page.table(f"{net}, epoch by epoch", heads, rows)))
    return blocks


def by_net(summary: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the entries of a summary.json by net, in the order of the cascade."""
    nets = summary.get("nets") or {summary.get("net", "net"): summary}
    return {net: nets[net] for net in sorted(nets, key=lambda n: NETS.index(n) if n in NETS else len(NETS))}


def _by_net(rows: list[dict[str, str]]) -> dict[str, list[dict[str, str]]]:
    found: dict[str, list[dict[str, str]]] = {}
    for row in rows:
        found.setdefault(row["net"], []).append(row)
    return {net: found[net] for net in sorted(found, key=lambda n: NETS.index(n) if n in NETS else len(NETS))}


def _panel(net: str, title: str, columns: tuple[str, ...], epochs: list[dict[str, str]]) -> str:
    x = [_float(row.get("epoch")) for row in epochs]
    lines = [Line(key.replace("_", " "), x, [_float(row.get(key)) for row in epochs]) for key in columns]
    return line_chart(f"{net}: {title}", lines, Axis("epoch", whole=True), Axis(title.split(",")[0]))


def _float(text: Any) -> float:
    try:
        return float(text)
    except (TypeError, ValueError):
        return float("nan")


def _short(text: Any) -> str:
    value = _float(text)
    return f"{value:.5g}" if value == value else page.NOTHING


def data_rows(parts: RunParts, folder: Path) -> list[list[str]]:
    """Return the rows of `DATA_HEAD` for the sets of a pack."""
    rows = []
    for path in sorted(folder.glob("*.rec")):
        pack = Pack(folder, path.stem)
        classes = pack.manifest.get("classes") or pack.class_counts()
        counts = [page.number(classes.get(label)) for label in LABEL_NAMES.values()]
        photos = page.number(pack.manifest.get("metadata", {}).get("photos"))
        name = f"{parts.name(folder)}/{path.stem}"
        rows.append([name, f"{pack.size} px", page.number(len(pack)), *counts, photos, _size(path)])
    for key, entry in listed_sets(folder).items():
        if not (folder / f"{key}.rec").is_file():
            counts = [page.number(entry["classes"].get(label)) for label in LABEL_NAMES.values()]
            photos = page.number(entry["metadata"].get("photos"))
            name = f"{parts.name(folder)}/{key}"
            rows.append([name, f"{entry['size']} px", page.number(entry["count"]), *counts, photos, "deleted"])
    return rows


def sheet_blocks(parts: RunParts, folder: Path, album: page.Album) -> list[str]:
    """Return contact sheets of every class of each set of a pack; those of validation sets are folded."""
    blocks = []
    for path in sorted(folder.glob("*.rec")):
        name = f"{parts.name(folder)}/{path.stem}"
        figures = []
        for label, sheet in class_sheets(Pack(folder, path.stem)).items():
            drawn = DRAWN.get(label, "")
            alt = f"{name}: contact sheet of {label} samples{drawn}"
            figures.append(page.picture(album.add(sheet, 75), alt, f"{label}{drawn}", sheet.shape))
        if any(figures):
            for_validation = path.stem == "val" or folder.name.endswith("-val")
            blocks.append(page.details(f"Samples of {name}", page.grid(figures, "sheets"), not for_validation))
    return blocks


def _size(path: Path) -> str:
    return f"{path.stat().st_size / 1e6:,.1f} MB"


def configuration_blocks(parts: RunParts, folder: Path) -> list[str]:
    """Return what a model folder says of its nets, how they were trained, and with which versions."""
    blocks, name = [], parts.name(folder)
    if (folder / "model.json").is_file():
        model = read_object(folder / "model.json")
        rows = [
            [
                net,
                str(entry.get("sha256", page.NOTHING))[:12],
                "yes" if entry.get("landmarks") else "no",
                entry.get("pooling", page.NOTHING),
                entry.get("order", page.NOTHING),
            ]
            for net, entry in model["nets"].items()
        ]
        blocks.append(page.table(f"{name}: nets", ("net", "sha256", "landmarks", "pooling", "order"), rows))
        thresholds = ", ".join(f"{t:g}" for t in model["thresholds"])
        blocks.append(page.paragraph(f"Thresholds {thresholds}; calibration {model.get('calibration')}."))
        origins = {net: entry.get("origin") or {} for net, entry in model["nets"].items()}
        blocks += [_unfolded(f"Origin of {net}", origin) for net, origin in origins.items() if origin]
    if (folder / "summary.json").is_file():
        nets = by_net(read_object(folder / "summary.json"))
        versions = {", ".join(f"{key} {v}" for key, v in at.get("versions", {}).items()): None for at in nets.values()}
        blocks += [page.paragraph(f"Trained with {text}.") for text in versions if text]
        for net, summary in nets.items():
            chosen = {key: value for key, value in summary.items() if key in TOLD}
            blocks.append(_unfolded(f"Training of {net}", chosen))
    return blocks


def _unfolded(title: str, value: Mapping[str, Any]) -> str:
    return page.details(title, page.table(title, ("setting", "value"), list(flatten(value).items())))


def flatten(value: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Return nested JSON as a flat dict of text: ``{"loss.ohem": "0.7"}``."""
    flat: dict[str, str] = {}
    for key, item in value.items():
        if isinstance(item, Mapping):
            flat.update(flatten(item, f"{prefix}{key}."))
        else:
            flat[f"{prefix}{key}"] = ", ".join(map(str, item)) if isinstance(item, list) else str(item)
    return flat
