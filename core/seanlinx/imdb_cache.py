"""Cache pickles of the Seanlinx layout: rows of plain dicts, written for Python 2, read without trusting them.

Keys of a row: ``image`` (str); in training also ``label`` (int), ``flipped`` (bool), ``bbox_target`` ((4,) float64)
and, where the sample has landmarks, ``landmark_target`` ((10,) float64). A manifest beside each cache of ours,
``.json`` for ``.pkl``, tells what it was made from.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterable, Sequence
from pathlib import Path
from reprlib import repr as shortened  # of what a pickle holds: its own repr could be endless
from typing import Any, Optional

import numpy as np

from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.core.files.atomic import PathLike, read_json, sha256, write_json
from gluon_mtcnn.core.ops.boxes import mirror_landmarks, mirror_offsets
from gluon_mtcnn.core.seanlinx import py2_pickle, safe_pickle
from gluon_mtcnn.core.seanlinx.imglist import ImageList, image_file
from gluon_mtcnn.core.types import LABEL_NAMES

FORMAT_VERSION = 1  # of the manifest
Entry = dict[str, Any]

log = logging.getLogger(__name__)


def to_entries(samples: ImageList) -> list[Entry]:
    """Return samples, whose names are paths, as the rows of a cache."""
    offsets, landmarks = samples.offsets.astype(np.float64), samples.landmarks.astype(np.float64)
    entries: list[Entry] = [
        {"image": path, "label": label, "flipped": False, "bbox_target": target}
        for path, label, target in zip(samples.names, samples.labels.tolist(), offsets)
    ]
    for i in np.flatnonzero(samples.has_landmarks()):
        entries[i]["landmark_target"] = landmarks[i]
    return entries


def mirror_entries(entries: Sequence[Entry]) -> list[Entry]:
    """Return new rows for the mirrored images: ``flipped`` inverted, targets mirrored."""
    targets = mirror_offsets(_stack([entry["bbox_target"] for entry in entries], 4))
    mirrored = [
        {**entry, "flipped": not entry["flipped"], "bbox_target": target} for entry, target in zip(entries, targets)
    ]
    faces = [entry for entry in mirrored if "landmark_target" in entry]
    points = mirror_landmarks(_stack([entry["landmark_target"] for entry in faces], 10))
    for entry, target in zip(faces, points):
        entry["landmark_target"] = target
    return mirrored


def _stack(targets: Sequence[np.ndarray], size: int) -> np.ndarray:
    return np.array(targets, np.float64).reshape(-1, size)


def write_cache(path: PathLike, entries: Iterable[Entry], source: dict[str, Any]) -> None:
    """Write a cache that the original loads, and its manifest.

    Parameters
    ----------
    path : file to write, atomically
    entries : rows, read once
    source : dict
        What the rows were made from, as JSON; `staleness` compares it.
    """
    py2_pickle.dump(iter(entries), path)
    # Written last and bound to these very bytes, so that no crash leaves a manifest that vouches for another cache.
    manifest = {"format_version": FORMAT_VERSION, **source, "cache_sha256": sha256(path)}
    write_json(manifest_path(path), manifest)


def manifest_path(cache: PathLike) -> Path:
    """Return where the manifest of a cache lies."""
    return Path(cache).with_suffix(".json")


def read_manifest(cache: PathLike) -> Optional[dict[str, Any]]:
    """Return the manifest of a cache, or None when there is none that belongs to exactly this file."""
    path = manifest_path(cache)
    manifest = read_json(path) if path.is_file() else None
    ours = isinstance(manifest, dict) and manifest.get("cache_sha256") == sha256(cache)
    return manifest if ours else None


def staleness(path: PathLike, source: dict[str, Any], wanted: Sequence[Entry], names: Sequence[str]) -> str:
    """Say in what a cache differs from what it should hold, or return "".

    Its manifest decides. A cache without one, of unknown origin, is compared row by row; its paths may be of another
    place as long as they end in the names of the list.

    Raises
    ------
    InputError
        A cache of unknown origin is not a pickle of plain rows.
    """
    manifest = read_manifest(path)
    if manifest is None:
        return _disagreement(read_cache(path), wanted, names)
    changed = [key for key, value in source.items() if manifest.get(key) != value]
    return f"{', '.join(changed)} changed" if changed else ""


def _disagreement(cached: Sequence[Entry], wanted: Sequence[Entry], names: Sequence[str]) -> str:
    if len(cached) != len(wanted):
        return f"{len(cached)} rows, the list has {len(wanted)}"
    for i, (row, right, name) in enumerate(zip(cached, wanted, names)):
        if row["image"] != right["image"] and not row["image"].endswith("/images/" + image_file(name)):
            return f"row {i} is {row['image']}, the list has {name}"
        same = (np.array_equal(row[key], right[key]) for key in row.keys() - {"image"})
        if row.keys() != right.keys() or not all(same):
            return f"row {i} ({name}) has other values than the list"
    return ""


def read_cache(path: PathLike) -> list[Entry]:
    """Read a cache of any origin, without trusting it.

    Returns
    -------
    list of dict
        Rows; images as written in the cache, with forward slashes.

    Raises
    ------
    InputError
        It is no pickle of plain data, or not such a list; the message names the row.
    """
    return parse_cache(safe_pickle.load(path), path)


def parse_cache(rows: Any, path: PathLike) -> list[Entry]:
    """Return what `read_cache` does, of a pickle that has been read; `path` names it in messages."""
    if not isinstance(rows, list):
        raise InputError(f"{path}: expected a list of rows, got a {type(rows).__name__}")
    training = bool(rows) and isinstance(rows[0], dict) and "label" in rows[0]
    for i, row in enumerate(rows):
        _check_row(row, training, f"{path}: row {i}")
    entries: list[Entry] = [{"image": _as_path(row["image"])} for row in rows]
    if training:
        targets = _stack_checked(dict(enumerate(row.get("bbox_target") for row in rows)), 4, f"{path}: bbox_target")
        for entry, row, target in zip(entries, rows, targets):
            entry.update(label=int(row["label"]), flipped=bool(row.get("flipped", False)), bbox_target=target)
        points = {i: row["landmark_target"] for i, row in enumerate(rows) if "landmark_target" in row}
        for i, target in zip(points, _stack_checked(points, 10, f"{path}: landmark_target")):
            entries[i]["landmark_target"] = target
    return entries


def short(value: object) -> str:
    """Describe a value of a pickle in a message."""
    try:
        return shortened(value)
    except ValueError:  # a number of thousands of digits
        return f"a {type(value).__name__} that is too long to print"


def _check_row(row: object, training: bool, where: str) -> None:
    if not isinstance(row, dict) or not isinstance(row.get("image"), str) or training != ("label" in row):
        raise InputError(f"{where}: expected a dict with 'image'" + (" and 'label'" if training else ", no 'label'"))
    if training:
        label, flipped = row["label"], row.get("flipped", False)
        if not isinstance(label, (int, np.integer)) or label not in LABEL_NAMES:
            raise InputError(f"{where}: expected label 1, 0, -1 or -2, got {short(label)}")
        if not isinstance(flipped, (bool, np.bool_)):
            raise InputError(f"{where}: expected flipped True or False, got {short(flipped)}")


def _stack_checked(targets: dict[int, Any], size: int, where: str) -> np.ndarray:
    """Return the targets of rows as (n, size) float64."""
    numeric = {i: x for i, x in targets.items() if isinstance(x, np.ndarray) and x.dtype.kind in "biuf"}
    shaped = {i: target for i, target in numeric.items() if target.shape == (size,)}
    stacked = _stack(list(shaped.values()), size)
    finite = (np.abs(stacked) <= np.finfo(np.float32).max).all(axis=1)
    wrong = targets.keys() - {i for i, good in zip(shaped, finite.tolist()) if good}
    if wrong:
        first = min(wrong)
        raise InputError(f"{where} of row {first}: expected {size} finite numbers, got {short(targets[first])}")
    return stacked


def _as_path(text: str) -> str:
    """Return a path of a cache. Python 2 wrote bytes; they were read as latin-1 but mostly are UTF-8."""
    with contextlib.suppress(UnicodeError):
        text = text.encode("latin1").decode("utf-8")
    return text.replace("\\", "/")


def read_cached_samples(path: PathLike) -> ImageList:
    """Return the training samples of a cache, paths as names.

    Rows of mirrored images, which the original never caches, are left out with a warning: they repeat others.

    Raises
    ------
    InputError
        As `read_cache`, or it is the cache of a test set.
    """
    entries = read_cache(path)
    if any("label" not in entry for entry in entries):
        raise InputError(f"{path}: expected training rows, got a test set: images without labels")
    own = [entry for entry in entries if not entry["flipped"]]
    if len(own) < len(entries):
        log.warning("%s: %d flipped rows left out", path, len(entries) - len(own))
    none = np.zeros(10)
    return ImageList(
        [entry["image"] for entry in own],
        np.array([entry["label"] for entry in own], np.int8),
        _stack([entry["bbox_target"] for entry in own], 4),
        _stack([entry.get("landmark_target", none) for entry in own], 10),
    )
