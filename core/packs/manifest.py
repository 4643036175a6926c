"""manifest.json of a pack's folder: what each set of records holds, how its labels are laid out, where it came from."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Optional

import numpy as np

from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.core.files.atomic import PathLike, read_json, sha256, write_json
from gluon_mtcnn.core.packs import recordio
from gluon_mtcnn.core.packs.layout import MAX_SIZE, ROW_LAYOUT, ROW_WIDTH, record_bytes
from gluon_mtcnn.core.types import LABEL_NAMES

FORMAT, FORMAT_VERSION = "gluon-mtcnn pack", 1
MANIFEST_NAME = "manifest.json"
PAYLOADS = ("bmp", "jpg", "png")


def count_labels(labels: np.ndarray) -> dict[str, int]:
    """Return how many of the labels are of each class: ``{"positive": 12, ...}``."""
    return {name: int(np.count_nonzero(np.asarray(labels) == label)) for label, name in LABEL_NAMES.items()}


def set_entry(
    path: PathLike,
    size: int,
    count: int,
    classes: dict[str, int],
    payload: str = "bmp",
    metadata: Optional[dict[str, Any]] = None,
) -> dict[str, Any]:
    """Return the manifest's entry of one finished .rec file, its digest computed here.

    Parameters
    ----------
    path : path of the .rec file, which may still bear a temporary name
    size, count : int
        Side of the images in pixels; number of records.
    classes : dict
        What `count_labels` returns.
    payload : {"bmp", "jpg", "png"}
    metadata : dict or None
        Anything that JSON can hold: seed, sources, recipe, digests of the inputs.
    """
    return {
        "size": int(size),
        "count": int(count),
        "payload": payload,
        "stride": record_bytes(size) if payload == "bmp" else None,
        "bytes": os.path.getsize(path),
        "sha256": sha256(path),
        "classes": classes,
        "metadata": metadata or {},
    }


def write_manifest(folder: PathLike, sets: dict[str, dict[str, Any]]) -> None:
    """Write manifest.json atomically: the given sets (`set_entry`) replace those of the same name, others stay."""
    path = Path(folder) / MANIFEST_NAME
    kept = read_manifest(folder)["sets"] if path.exists() else {}
    meaning = {str(label): name for label, name in LABEL_NAMES.items()}
    label = {"width": ROW_WIDTH, "dtype": "float32", "layout": list(ROW_LAYOUT), "classes": meaning}
    head = {"format": FORMAT, "version": FORMAT_VERSION, "color": "BGR", "label": label}
    write_json(path, {**head, "sets": {**kept, **sets}})


def read_manifest(folder: PathLike) -> dict[str, Any]:
    """Return the content of a folder's manifest.json.

    Raises
    ------
    InputError
        It is missing, not JSON, not a pack's, or of a newer version than this program.
    """
    path = Path(folder) / MANIFEST_NAME
    manifest = read_json(path)
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT or not isinstance(manifest.get("sets"), dict):
        raise InputError(f"{path}: expected the manifest of a {FORMAT}, got something else")
    if manifest.get("version") != FORMAT_VERSION:
        raise InputError(f"{path}: expected version {FORMAT_VERSION}, got {manifest.get('version')!r}")
    if manifest.get("label", {}).get("layout") != list(ROW_LAYOUT):
        raise InputError(f"{path}: expected the label layout {' '.join(ROW_LAYOUT)}, got another")
    return manifest


def listed_sets(folder: PathLike) -> dict[str, dict[str, Any]]:
    """Return the sets that a pack's manifest.json names, their files there or not; none where it is no pack's.

    Raises
    ------
    InputError
        manifest.json is not JSON.
    """
    path = Path(folder) / MANIFEST_NAME
    value = read_json(path) if path.is_file() else None
    sets = value.get("sets") if isinstance(value, dict) and value.get("format") == FORMAT else None
    return sets if isinstance(sets, dict) else {}


def manifest_entry(folder: PathLike, set_name: str) -> dict[str, Any]:
    """Return a set's entry, its fields checked; empty where nobody wrote one (packs of other programs)."""
    path = Path(folder) / MANIFEST_NAME
    entry = read_manifest(folder)["sets"].get(set_name, {}) if path.exists() else {}
    for name, limit in {"size": range(1, MAX_SIZE + 1), "count": range(recordio.MAGIC + 1)}.items() if entry else ():
        value = entry.get(name)
        if type(value) is not int or value not in limit:  # a range looks for anything but an int number by number
            wanted = f"{limit[0]}..{limit[-1]}"
            raise InputError(f"{path}: sets.{set_name}.{name}: expected {wanted}, got {value!r}")
    if entry and entry.get("payload") not in PAYLOADS:
        wanted = ", ".join(PAYLOADS)
        raise InputError(f"{path}: sets.{set_name}.payload: expected {wanted}, got {entry.get('payload')!r}")
    return entry
