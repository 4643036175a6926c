"""What an evaluation was made of, in evaluation.json beside its results: `report` finds the faces and photos by it."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Optional

from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.core.files.atomic import PathLike, read_json, write_json

FILE_NAME = "evaluation.json"
DEFAULT_IGNORE = "blur=2,occlusion=2,invalid=1"  # WIDER's heavily blurred, heavily occluded and invalid faces


@dataclass(frozen=True)
class Origin:
    """Where an evaluation's faces and photos are, and which faces it ignored.

    Attributes
    ----------
    annotations : str or None
        WIDER's text or CSV, of `evaluate boxes`.
    ground_truth : str or None
        Folder of .mat files, of `evaluate wider`.
    images : str or None
        Folder that the photos' names start from; None where detections were read.
    ignore : str
        Which of WIDER's faces were ignored, as --ignore has it.
    min_face_px : float
        Faces with a shorter side were ignored.
    """

    annotations: Optional[str] = None
    ground_truth: Optional[str] = None
    images: Optional[str] = None
    ignore: str = DEFAULT_IGNORE
    min_face_px: float = 0


PATHS = ("annotations", "ground_truth", "images")


def write_origin(folder: PathLike, origin: Origin) -> None:
    """Write evaluation.json, paths as seen from the folder: a run that is moved with its data keeps them."""
    value = asdict(origin)
    for name in PATHS:
        if value[name] is not None:
            value[name] = Path(os.path.relpath(value[name], folder)).as_posix()
    write_json(Path(folder) / FILE_NAME, value)


def read_origin(folder: PathLike) -> Origin:
    """Read evaluation.json; a folder without has an origin of which nothing is known.

    Raises
    ------
    InputError
        The file is not of the form that `write_origin` gives it.
    """
    path = Path(folder) / FILE_NAME
    if not path.is_file():
        return Origin()
    value = read_json(path)
    known = set(asdict(Origin()))
    if not isinstance(value, dict) or not set(value) <= known:
        raise InputError(f"{path}: expected a JSON object of {', '.join(sorted(known))}")
    texts = [value.get(name) for name in PATHS if value.get(name) is not None] + [value.get("ignore", "")]
    size = value.get("min_face_px", 0)
    if not all(isinstance(text, str) for text in texts) or isinstance(size, bool) or not isinstance(size, (int, float)):
        raise InputError(f"{path}: expected paths and --ignore as text and min_face_px as a number")
    for name in PATHS:
        if value.get(name) is not None:
            value[name] = str(Path(folder) / value[name])
    return Origin(**value)
