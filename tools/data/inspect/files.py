"""What `inspect` says of the files of the Seanlinx layout: caches, detections, image lists."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Optional

import numpy as np

from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.core.files.atomic import read_json, sha256
from gluon_mtcnn.core.seanlinx import safe_pickle
from gluon_mtcnn.core.seanlinx.detection_files import parse_detections
from gluon_mtcnn.core.seanlinx.imdb import IMDB, image_path
from gluon_mtcnn.core.seanlinx.imdb_cache import Entry, parse_cache, read_manifest
from gluon_mtcnn.core.seanlinx.imglist import is_number, iterate_lines, read_imglist, read_names
from gluon_mtcnn.core.types import LABEL_NAMES

CACHE_SUFFIX = "_gt_roidb.pkl"


def describe_pickle(path: Path) -> dict[str, Any]:
    """Return what a cache or a detections.pkl holds; nothing in it is executed.

    Raises
    ------
    InputError
        It is neither.
    """
    content = safe_pickle.load(path)
    if isinstance(content, list) and content and isinstance(content[0], dict):
        return _describe_cache(path, parse_cache(content, path))
    if path.name.endswith(CACHE_SUFFIX):
        return _describe_cache(path, parse_cache(content, path))
    return _describe_detections(path, parse_detections(content, path))


def _describe_cache(path: Path, entries: list[Entry]) -> dict[str, Any]:
    training = bool(entries) and "label" in entries[0]
    manifest = read_manifest(path)
    about: dict[str, Any] = {
        "kind": "imdb cache",
        "mode": "train" if training else "test",
        "rows": len(entries),
        "missing_images": _missing(entry["image"] for entry in entries),
        "sha256": sha256(path),
        "manifest": manifest,
        "stale": _staleness(path, training, manifest),
    }
    if training:
        about["classes"] = _count(entry["label"] for entry in entries)
        about["flipped"] = sum(entry["flipped"] for entry in entries)
        about["with_landmarks"] = sum("landmark_target" in entry for entry in entries)
    return about


def _count(labels: Iterable[int]) -> dict[str, int]:
    counts = Counter(labels)
    return {name: counts[label] for label, name in LABEL_NAMES.items()}


def _missing(paths: Iterable[str]) -> int:
    return sum(not os.path.exists(path) for path in paths)


def _staleness(path: Path, training: bool, manifest: Optional[dict[str, Any]]) -> str:
    """Say in what a cache differs from its image list: "no", what has changed, or that there is no list."""
    imdb = _imdb_of(path, "train" if training else "test", manifest)
    if imdb is None:
        return "unknown: its image list was not found"
    return imdb.staleness() or "no"


def _imdb_of(path: Path, mode: str, manifest: Optional[dict[str, Any]]) -> Optional[IMDB]:
    """Return the image set that ``ROOT/cache/NAME_SET_gt_roidb.pkl`` is the cache of; NAME and SET may hold a "_"."""
    if not path.name.endswith(CACHE_SUFFIX):
        return None
    root, words = path.absolute().parent.parent, path.name[: -len(CACHE_SUFFIX)].split("_")
    for i in range(1, len(words)):
        name, image_set = "_".join(words[:i]), "_".join(words[i:])
        for dataset in ([manifest["dataset_path"]] if manifest else []) + [os.path.join(root, name)]:
            if Path(dataset, "imglists", f"{image_set}.txt").is_file():
                return IMDB(name, image_set, root, dataset, mode)
    return None


def _describe_detections(path: Path, detections: list[np.ndarray]) -> dict[str, Any]:
    counts = np.array([len(item) for item in detections], np.int64)
    scores = np.concatenate([np.zeros(0), *(item[:, 4] for item in detections)])
    about, digest = path.with_suffix(".json"), sha256(path)
    origin = read_json(about) if about.is_file() else {}
    return {
        "kind": "detections",
        "images": len(detections),
        "images_without": int(np.count_nonzero(counts == 0)),
        "boxes": int(counts.sum()),
        "most_in_an_image": int(counts.max(initial=0)),
        "scores": [float(scores.min()), float(scores.max())] if len(scores) else None,
        "sha256": digest,
        "sha256_matches": origin["sha256"] == digest if "sha256" in origin else None,
        "origin": {key: origin[key] for key in ("mining", "nets") if key in origin},
    }


def describe_imglist(path: Path) -> dict[str, Any]:
    """Return what an image list holds: a training list's classes, or a test list's names.

    Raises
    ------
    InputError
        A line of it is wrong.
    """
    training = _is_training(path)
    samples = read_imglist(path) if training else None
    names = samples.names if samples else read_names(path)
    dataset = path.absolute().parent.parent
    about: dict[str, Any] = {
        "kind": "image list",
        "mode": "train" if training else "test",
        "lines": len(names),
        "missing_images": _missing(image_path(dataset, name) for name in names),
        "sha256": sha256(path),
    }
    if samples:
        about["classes"] = _count(samples.labels.tolist())
        about["with_landmarks"] = int(np.count_nonzero(samples.has_landmarks()))
    return about


def _is_training(path: Path) -> bool:
    """Tell a training list by its first line, which ends in a number after the name."""
    for _, lines in iterate_lines(path):
        for line in lines:
            words = line.split()
            return len(words) > 1 and is_number(words[-1])
    raise InputError(f"{path}: expected an image list, found no line")
