"""What a run folder holds: packs, model folders, results of evaluations, and the photos that they were made on."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Optional

import numpy as np

from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.core.files.atomic import PathLike, read_json
from gluon_mtcnn.core.ops.boxes import sides
from gluon_mtcnn.core.packs.manifest import MANIFEST_NAME, listed_sets
from gluon_mtcnn.core.types import Annotation
from gluon_mtcnn.tools.evaluate.annotated_photos import read_annotations
from gluon_mtcnn.tools.evaluate.detections import read_json_detections
from gluon_mtcnn.tools.evaluate.origin import Origin, read_origin
from gluon_mtcnn.tools.evaluate.wider.files import read_ground_truth

RESULTS = ("boxes.json", "wider.json", "landmarks.json", "stages.json")
CURVES = ("DiscROC.txt", "ContROC.txt")
MODEL_FILES = ("model.json", "history.csv", "summary.json")
SKIPPED = ("checkpoints",)


@dataclass
class RunParts:
    """The parts of a run, each in the order of their paths.

    Attributes
    ----------
    root : Path
    packs, models, curves : folders with .rec files, or a manifest of deleted ones; with weights or histories; with
        DiscROC.txt or ContROC.txt
    results : dict of file name (of `RESULTS`) to paths
    annotations : ``*_bbx_gt.txt`` and CSV files that may say where the faces are
    folders : all folders, below which photos may be
    """

    root: Path
    packs: list[Path] = field(default_factory=list)
    models: list[Path] = field(default_factory=list)
    curves: list[Path] = field(default_factory=list)
    results: dict[str, list[Path]] = field(default_factory=lambda: {name: [] for name in RESULTS})
    annotations: list[Path] = field(default_factory=list)
    folders: list[Path] = field(default_factory=list)

    def name(self, path: Path) -> str:
        """Return a path as the page shows it: below the run, or the run's own name."""
        relative = path.relative_to(self.root).as_posix()
        return self.root.resolve().name if relative == "." else relative

    def is_empty(self) -> bool:
        """Return whether there is nothing to report."""
        return not (self.packs or self.models or self.curves or any(self.results.values()))


def find_parts(root: PathLike) -> RunParts:
    """Look for the parts of a run in a folder and all below it; hidden ones, checkpoints and links aside."""
    parts = RunParts(Path(root))
    for folder, below, files in os.walk(parts.root):
        below[:] = sorted(name for name in below if not name.startswith(".") and name not in SKIPPED)
        _sort_in(parts, Path(folder), sorted(files))
    parts.models = list(_without_copies(parts.models))
    return parts


def _without_copies(folders: Iterable[Path]) -> Iterator[Path]:
    """Leave out folders whose trainings were all told of before: nets from which a model was assembled."""
    told: set[str] = set()
    for folder in folders:
        trainings = set(_trainings(folder))
        if not trainings or not trainings <= told:
            yield folder
        told |= trainings


def _trainings(folder: Path) -> Iterator[str]:
    try:
        summary = read_json(folder / "summary.json")
    except InputError:  # none, or the page says what is wrong with it
        return
    nets = summary.get("nets") if isinstance(summary, dict) else None
    yield from (json.dumps(entry, sort_keys=True) for entry in (nets.values() if isinstance(nets, dict) else ()))


def _sort_in(parts: RunParts, folder: Path, files: list[str]) -> None:
    parts.folders.append(folder)
    for places, there in (
        (parts.packs, any(name.endswith(".rec") for name in files) or _is_deleted_pack(folder, files)),
        (parts.models, any(name in MODEL_FILES for name in files)),
        (parts.curves, any(name in CURVES for name in files)),
    ):
        if there:
            places.append(folder)
    for name in RESULTS:
        if name in files:
            parts.results[name].append(folder / name)
    listed = (n for n in files if n.endswith("_bbx_gt.txt") or (n.endswith(".csv") and n not in MODEL_FILES))
    parts.annotations.extend(folder / name for name in listed)


def _is_deleted_pack(folder: Path, files: list[str]) -> bool:
    """Return whether a pack was here, of which a manifest is left that says what it held."""
    try:
        return MANIFEST_NAME in files and bool(listed_sets(folder))
    except InputError:
        return False


@dataclass(frozen=True)
class Evaluated:
    """Detections of photos whose faces are known.

    Attributes
    ----------
    folder : Path
        Of the evaluation.
    photos : list of Annotation
    detections : dict of photo name to (n, 5) float64
    """

    folder: Path
    photos: list[Annotation]
    detections: dict[str, np.ndarray]


def find_evaluated(
    parts: RunParts, folder: Path, annotations: Optional[Path] = None, images: Optional[Path] = None
) -> Optional[Evaluated]:
    """Return an evaluation's detections with the faces of their photos; None where no annotations fit.

    Parameters
    ----------
    parts : RunParts
    folder : Path
        With the evaluation's detections.json, and evaluation.json, which says what it was made of.
    annotations, images : Path, optional
        Where to look first; then where evaluation.json says; then among what the run holds. Annotations fit when they
        know all photos.

    Raises
    ------
    InputError
        detections.json, evaluation.json, or the file given as `annotations`, is not what it should be.
    """
    if not (folder / "detections.json").is_file():
        return None
    detections, origin = read_json_detections(folder / "detections.json"), read_origin(folder)
    if not detections:
        return None
    for path, required in _annotation_files(parts, origin, annotations):
        try:
            known = {photo.name: photo for photo in _read_faces(path, origin)}
        except InputError:
            if required:
                raise
            continue  # gone, or a table of something else
        if set(detections) <= set(known):
            given = [images] if images else [Path(origin.images)] if origin.images else []
            near = [path.parent, path.parent / "images", *parts.folders]
            root = _photo_root(next(iter(detections)), given, near)
            photos = [known[name] for name in detections]
            return Evaluated(folder, [replace(p, image=str(root / p.name)) for p in photos], detections)
    return None


def _annotation_files(parts: RunParts, origin: Origin, given: Optional[Path]) -> Iterator[tuple[Path, bool]]:
    """Yield where an evaluation's faces may be annotated, the likeliest first, and whether that must be readable."""
    if given:
        yield given, True
    for named in filter(None, (origin.annotations, origin.ground_truth)):
        yield Path(named), False
    for path in parts.annotations:
        yield path, False


def _read_faces(path: Path, origin: Origin) -> list[Annotation]:
    """Read annotations with the faces ignored that the evaluation ignored; of a ground truth, those not in "hard"."""
    if path.is_dir():
        return _read_truth(path)
    photos = read_annotations(path, Path(), origin.ignore, max_left_out=1, quiet=True)
    return [replace(p, ignore=p.ignore | (np.minimum(*sides(p.boxes)) < origin.min_face_px)) for p in photos]


def _read_truth(folder: Path) -> list[Annotation]:
    """Return a ground truth's photos; boxes end one pixel late, as the evaluation matched them."""
    truth = read_ground_truth(folder)
    return [
        Annotation("", faces, ~counted, name=f"{name}.jpg")
        for name, faces, counted in zip(truth.names, truth.faces, truth.counted["hard"])
    ]


def _photo_root(name: str, given: Sequence[Path], folders: Iterable[Path]) -> Path:
    """Return the folder below which a photo is; the first one tried where it is nowhere."""
    tried = [place for folder in given for place in (folder, folder / "images")]
    tried += [*folders]
    return next((folder for folder in tried if (folder / name).is_file()), tried[0])
