"""What a run folder holds: packs, model folders, results of evaluations, and the photos that they were made on."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Optional

import numpy as np

from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.core.files import PathLike
from gluon_mtcnn.core.types import Annotation
from gluon_mtcnn.tools.boxes_eval import read_annotations
from gluon_mtcnn.tools.detections import read_detections

RESULTS = ("boxes.json", "wider.json", "landmarks.json", "stages.json")
CURVES = ("DiscROC.txt", "ContROC.txt")
MODEL_FILES = ("model.json", "history.csv", "summary.json")
SKIPPED = ("checkpoints",)
IGNORE = "blur=2,occlusion=2,invalid=1"  # as `evaluate boxes` has it by default


@dataclass
class RunParts:
    """The parts of a run, each in the order of their paths.

    Attributes
    ----------
    root : Path
    packs, models, curves : folders with .rec files; with weights or histories; with DiscROC.txt or ContROC.txt
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
    return parts


def _sort_in(parts: RunParts, folder: Path, files: list[str]) -> None:
    parts.folders.append(folder)
    for places, there in (
        (parts.packs, any(name.endswith(".rec") for name in files)),
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
        With the evaluation's detections.json.
    annotations, images : Path, optional
        Where to look first; then among what the run holds. Annotations fit when they know all photos.

    Raises
    ------
    InputError
        detections.json, or the file given as `annotations`, is not what it should be.
    """
    if not (folder / "detections.json").is_file():
        return None
    detections = read_detections(folder / "detections.json")
    given = [annotations] if annotations else []
    for path in [*given, *parts.annotations]:
        try:
            known = {photo.name: photo for photo in read_annotations(path, Path(), IGNORE)}
        except InputError:
            if path in given:
                raise
            continue  # a table of something else
        if detections and set(detections) <= set(known):
            root = _photo_root(next(iter(detections)), [path.parent, path.parent / "images", *parts.folders], images)
            photos = [known[name] for name in detections]
            return Evaluated(folder, [replace(p, image=str(root / p.name)) for p in photos], detections)
    return None


def _photo_root(name: str, folders: Iterable[Path], given: Optional[Path]) -> Path:
    """Return the folder below which a photo is; the first one tried where it is nowhere."""
    tried = [given, given / "images"] if given else []
    tried += [*folders]
    return next((folder for folder in tried if (folder / name).is_file()), tried[0])
