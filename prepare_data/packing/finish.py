"""The end of a run: cut records become the packs of a folder, as BMP or coded, with index and manifest."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from gluon_mtcnn.core.files.atomic import move_into_place
from gluon_mtcnn.core.packs.layout import idx_path, rec_path
from gluon_mtcnn.core.packs.manifest import MANIFEST_NAME, read_manifest, set_entry, write_manifest
from gluon_mtcnn.core.packs.readers import open_records
from gluon_mtcnn.core.packs.writer import PackWriter, write_index
from gluon_mtcnn.prepare_data.packing.selection import SET_NAMES

CODED = "coded"  # folder of packs that are not BMP
CHUNK = 1 << 12  # records that are coded together


def finish_packs(
    work: Path, out: Path, size: int, sets: dict[str, tuple[dict[str, int], dict[str, Any]]], payload: str, quiet: bool
) -> None:
    """Put finished packs in place of older ones.

    Parameters
    ----------
    work : folder of the cut records, ``train.rec`` ...
    out : folder of the packs; sets that are not made now are removed from it
    size : int
        Side of the images in pixels.
    sets : dict of set to (records of each class, metadata)
    payload : {"bmp", "jpg", "png"}
        What the records are to be; the cut ones are BMP.
    """
    source = work if payload == "bmp" else work / CODED
    entries = {}
    for name, (classes, metadata) in sets.items():
        if payload == "bmp":
            count = sum(classes.values())
            write_index(idx_path(work, name), count, size)
            entries[name] = set_entry(rec_path(work, name), size, count, classes, metadata=metadata)
        else:
            entries[name] = _code(work, name, size, metadata, payload, quiet)
    (out / MANIFEST_NAME).unlink(missing_ok=True)  # a folder between two packs has none
    for name in SET_NAMES:
        for path in (rec_path, idx_path):
            if name in sets:
                move_into_place(path(source, name), path(out, name))
            else:
                path(out, name).unlink(missing_ok=True)
    write_manifest(out, entries)


def _code(work: Path, name: str, size: int, metadata: dict[str, Any], payload: str, quiet: bool) -> dict[str, Any]:
    """Write a set again with other records, one after another: where one lies depends on all before it."""
    folder = work / CODED
    with PackWriter(folder, name, size, payload, metadata) as writer:
        for images, rows in _pieces(rec_path(work, name), size, f"{payload} of {name}", quiet):
            writer.append(images, rows)
    return read_manifest(folder)["sets"][name]


def _pieces(path: Path, size: int, title: str, quiet: bool) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    records = open_records(path, size)
    with tqdm(total=len(records), desc=title, unit="record", disable=quiet) as bar:
        for start in range(0, len(records), CHUNK):
            numbers = np.arange(start, min(start + CHUNK, len(records)))
            yield records.read(numbers)
            bar.update(len(numbers))
