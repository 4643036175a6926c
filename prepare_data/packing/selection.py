"""Which photos validate, and which planned samples are used: seeded choices in bounded memory."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from typing import Callable, Optional

import numpy as np

from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.core.types import ALL_FACES, LABEL_NAMES, LANDMARK, NEGATIVE, PART, POSITIVE
from gluon_mtcnn.prepare_data.packing.photo_table import PhotoTable

CLASSES = (POSITIVE, NEGATIVE, PART, LANDMARK)  # the order of ratios and counts
CLASS_NAMES = tuple(LABEL_NAMES[label] for label in CLASSES)
DEFAULT_RATIO = (1.0, 3.0, 1.0, 2.0)
TRAIN, VAL = 0, 1
SET_NAMES = ("train", "val")
_CLASS_OF_LABEL = np.array([1, 0, 3, 2])  # index of a label in CLASSES; -1 and -2 count from the end
_BINS, _SHIFT = 1 << 12, 51  # a key's upper 12 of 63 bits
_NUMBERS_AT_END = re.compile(r"([_-]?\d+|_[a-z])+$")


def class_of(labels: np.ndarray) -> np.ndarray:
    """Return the index in `CLASSES` of each label."""
    return _CLASS_OF_LABEL[np.asarray(labels, np.int64)]


def parse_four(text: str, what: str) -> tuple[float, ...]:
    """Return the four numbers of ``1:3:1:2`` (positive, negative, part, landmark).

    Raises
    ------
    InputError
        Not four numbers that are finite and not negative, or no positives.
    """
    try:
        values = tuple(float(part) for part in re.split("[:,]", text))
    except ValueError:
        values = ()
    if len(values) != len(CLASSES) or not all(0 <= v < np.inf for v in values) or values[0] == 0:
        raise InputError(f"{what}: expected four numbers {':'.join(CLASS_NAMES)} like 1:3:1:2, got {text!r}")
    return values


def targets(available: np.ndarray, ratio: Iterable[float], counts: Optional[Iterable[float]] = None) -> np.ndarray:
    """Return how many samples (4,) of each class to use: by `counts`, or all positives and the others by `ratio`.

    A class that has fewer is used whole.
    """
    if counts is not None:
        wanted = np.rint(list(counts))
    else:
        ratio = np.array(list(ratio))
        wanted = np.rint(available[0] / ratio[0] * ratio)
    return np.minimum(available, wanted).astype(np.int64)


def _group(name: str, path: str, source: int) -> tuple[str, str, str]:
    """Return (stratum, cluster, key) of a photo: its event, what must not be split between the sets, its place."""
    folder, _, file = name.rpartition("/")
    if source == ALL_FACES:
        return folder, path, name
    person = _NUMBERS_AT_END.sub("", file.rpartition(".")[0])  # lists name a person's photos NAME_0001, NAME_0002_a
    cluster = f"{folder}/{person or file}"
    return "", cluster, cluster


def _hash(text: str) -> int:
    digest = hashlib.blake2b(text.encode(errors="surrogateescape"), digest_size=8).digest()
    return int.from_bytes(digest, "little", signed=True)


def choose_validation(table: PhotoTable, fraction: float, rng: np.random.Generator) -> np.ndarray:
    """Return which photos (n,) bool validate.

    Stratified: photos in order of source, event and number of faces, of which every 1/fraction-th is taken from a
    random start. A photo that is listed twice, and the photos of a person in a landmark list, are not split.
    Neither the order of the list nor the folder of the photos matters.
    """
    if fraction == 0 or len(table) == 0:
        return np.zeros(len(table), bool)
    strata, clusters, keys = np.zeros((3, len(table)), np.int64)
    for i in range(len(table)):
        path, name = table.texts(i)
        strata[i], clusters[i], keys[i] = map(_hash, _group(name, path, int(table.photos["source"][i])))
    _, first, member = np.unique(clusters, return_index=True, return_inverse=True)
    by_key = np.lexsort((first, keys[first]))  # paths differ from machine to machine, names do not
    first, member = first[by_key], np.argsort(by_key)[member]
    faces, sources = (table.photos[field][first] for field in ("faces", "source"))
    order = np.lexsort((rng.random(len(first)), faces, strata[first], sources))
    steps = np.floor(np.arange(len(first) + 1) * fraction + rng.random())
    chosen = np.zeros(len(first), bool)
    chosen[order] = np.diff(steps) > 0
    if not chosen.any():
        chosen[rng.integers(len(first))] = True
    return chosen[member]


def choose_limits(
    read: Callable[[], Iterable[tuple[np.ndarray, np.ndarray]]], choose: Callable[[np.ndarray], np.ndarray], groups: int
) -> tuple[np.ndarray, np.ndarray]:
    """Choose random samples of each group by their keys, without having all keys in memory.

    Parameters
    ----------
    read : function that yields (group, key) arrays in pieces; called twice
        The first time the keys' upper bits are counted; the second time the keys that share them with a limit are
        sorted. Keys are random, below `plan.KEYS`, and so distinct or nearly.
    choose : function of the available samples (groups,) that returns how many to use (groups,)
    groups : int

    Returns
    -------
    limits : (groups,) int64
        A sample is used when its key is below its group's limit.
    available : (groups,) int64
    """
    histogram = np.zeros((groups, _BINS), np.int64)
    for group, key in read():
        histogram += np.bincount(group * _BINS + (key >> _SHIFT), minlength=groups * _BINS).reshape(groups, _BINS)
    total = histogram.cumsum(axis=1)
    available = total[:, -1]
    wanted = choose(available)
    bins = (total < wanted[:, None]).sum(axis=1)  # where the last wanted key lies
    shared: list[list[np.ndarray]] = [[] for _ in range(groups)]
    for group, key in read():
        near = (key >> _SHIFT) == bins[group]
        for index in np.unique(group[near]):
            shared[index].append(key[near & (group == index)])
    limits = np.zeros(groups, np.int64)
    for index in np.flatnonzero(wanted > 0):
        before = total[index, bins[index]] - histogram[index, bins[index]]
        limits[index] = np.sort(np.concatenate(shared[index]))[wanted[index] - before - 1] + 1
    return limits, available
