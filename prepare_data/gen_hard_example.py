"""The 24- and 48-net's samples: what the earlier nets take for faces in the photos, and squares around the true faces.

The cascade runs first, over all photos; its detections stay in the work folder until the packs are done and in
``detections.pkl`` afterwards, so that nothing is detected twice with the same nets, photos and options.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Optional

import numpy as np

from gluon_mtcnn.core.boxes import intersection, sides, square
from gluon_mtcnn.core.detection_files import read_detections, write_detections
from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.core.files import read_json, replacing, sha256, write_json
from gluon_mtcnn.core.image import read
from gluon_mtcnn.core.types import NEGATIVE, NETS, PART, POSITIVE, Annotation, Crops
from gluon_mtcnn.prepare_data.gen_landmark_data import landmark_samples
from gluon_mtcnn.prepare_data.photo_table import ONE_FACE, PhotoTable
from gluon_mtcnn.prepare_data.plan import Samples
from gluon_mtcnn.prepare_data.record_units import open_table
from gluon_mtcnn.prepare_data.sampling import (
    Faces,
    Recipe,
    around_faces,
    box_crops,
    inside,
    label_squares,
    near_faces,
    negative_crops,
)
from gluon_mtcnn.prepare_data.workers import UnitRunner, show_progress

CHUNK = 8  # photos that are detected in one unit of work
DETECTIONS, PICKLE, ABOUT = "detections", "detections.pkl", "detections.json"
SMALLEST_SQUARE = 20  # px; smaller detections are no samples (Seanlinx)
STAGE_BEFORE = {"rnet": "pnet", "onet": "rnet"}


@dataclass(frozen=True)
class Mining:
    """How the cascade runs, and what is kept of its detections in a photo.

    Attributes
    ----------
    model : str
        Model folder with the earlier nets.
    thresholds : three floats
        Low ones, so that what the nets are unsure of is learned too.
    min_face : float
        Smallest face to look for, pixels.
    negatives, positives, parts : int
        At most so many a photo, those of the highest scores.
    padded : bool
        Keep squares that cross the photo's border, where they are black; else they are dropped.
    compat : {"seanlinx"}, optional
        Whose arithmetic the cascade repeats (`core.detector.Detector`).
    """

    model: str = ""
    thresholds: tuple[float, ...] = (0.4, 0.1, 0.1)
    min_face: float = 20
    negatives: int = 150
    positives: int = 100
    parts: int = 100
    padded: bool = True
    compat: Optional[str] = None


_ALL = 1 << 40
MINING = {
    "default": Mining(),
    "seanlinx": Mining("", (0.6, 0.6, 0.7), 24, _ALL, _ALL, _ALL, padded=False, compat="seanlinx"),
}


@dataclass(frozen=True)
class HardExamplePlanner:
    """Plans the samples of one photo after another from the detections in a folder, which `gather` fills.

    Attributes
    ----------
    net : {"rnet", "onet"}
    recipe : Recipe
        Of the squares around faces: they fill up what mining yields, to ``positives`` and ``parts`` a face.
    mining : Mining
    folder : str
        Detections, set by `gather`.
    """

    net: str
    recipe: Recipe
    mining: Mining
    folder: str = ""

    inline = False  # MXNet's results depend on its threads: always workers of one thread each

    def describe(self) -> dict[str, Any]:
        """Return what the samples depend on, for the manifest and for telling runs apart."""
        mining = {**asdict(self.mining), "thresholds": list(self.mining.thresholds)}
        return {"recipe": asdict(self.recipe), "mining": mining, "nets": self._nets()}

    def _nets(self) -> dict[str, Any]:
        """Return what model.json says of the nets that are run, and how the cascade joins them."""
        config = read_json(Path(self.mining.model) / "model.json")
        needed = NETS[: NETS.index(self.net)]
        try:
            nets = {kind: {k: v for k, v in config["nets"][kind].items() if k != "origin"} for kind in needed}
            return {**nets, "calibration": config["calibration"]}
        except (KeyError, TypeError, AttributeError) as error:
            raise InputError(f"{self.mining.model}: expected a model with {' and '.join(needed)}: no {error}") from None

    def _detection_job(self, table: PhotoTable) -> str:
        """Return a digest of all that the detections depend on."""
        digest = hashlib.sha256()
        options = [self.net, list(self.mining.thresholds), self.mining.min_face, self.mining.compat, self._nets()]
        digest.update(json.dumps(options, sort_keys=True).encode())
        for i in range(len(table)):
            photo = table.photos[i]
            digest.update(
                f"{table.texts(i)[0]}\0{photo['file_bytes']}\0{photo['file_time']}\n".encode(errors="replace")
            )
        return digest.hexdigest()

    def gather(self, work: Path, workers: UnitRunner, quiet: bool) -> HardExamplePlanner:
        """Run the cascade over the photos that have no detections yet; return the planner that reads them."""
        table, folder = open_table(work), work / DETECTIONS
        job = self._detection_job(table)
        if not (folder / "job.json").is_file() or read_json(folder / "job.json") != job:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            _reuse(work.parent, folder, job, len(table))
            write_json(folder / "job.json", job)
        chunks = range(-(-len(table) // CHUNK))
        todo = [chunk for chunk in chunks if not (folder / f"{chunk:06d}.npz").is_file()]
        settings = (
            os.path.abspath(self.mining.model),
            self.mining.min_face,
            self.mining.thresholds,
            STAGE_BEFORE[self.net],
            self.mining.compat,
        )
        results = workers.run(detect_chunk, ((work, chunk, settings) for chunk in todo))
        for _ in show_progress(results, "detect", len(table), len(todo), CHUNK, quiet):
            pass
        return replace(self, folder=str(folder))

    def finish(self, work: Path, out: Path) -> None:
        """Write the detections of all photos, in their order, and what they depend on, beside the packs."""
        table = open_table(work)
        (out / ABOUT).unlink(missing_ok=True)  # first: it vouches for the pickle
        write_detections(out / PICKLE, [detections_of(self.folder, photo) for photo in range(len(table))])
        about = {"job": self._detection_job(table), "photos": len(table), "sha256": sha256(out / PICKLE)}
        write_json(out / ABOUT, {**about, **self.describe()})

    def plan(
        self, photo: int, source: int, annotation: Annotation, width: int, height: int, rng: np.random.Generator
    ) -> Samples:
        """Return the samples of a photo of the given size; see `PNetPlanner.plan`."""
        squares = candidate_squares(detections_of(self.folder, photo), width, height, self.mining.padded)
        faces = Faces.of(annotation, self.recipe.min_face)
        parts = []
        if source == ONE_FACE:
            parts.append(Samples.upright(negatives_at_face(squares, faces, self.mining)))
        else:
            parts.append(Samples.upright(hard_examples(rng, squares, faces, width, height, self.recipe, self.mining)))
        if annotation.landmarks is not None:
            at_faces = squares[label_squares(squares, faces)[0] != NEGATIVE]
            parts.append(
                landmark_samples(rng, annotation, width, height, self.recipe, self.mining.padded, detected=at_faces)
            )
        return parts[0] if len(parts) == 1 else Samples.concatenate(parts)


def candidate_squares(found: np.ndarray, width: int, height: int, padded: bool) -> np.ndarray:
    """Return what the next net would be shown (n, 4) int32 of detections (m, 5), the highest score first.

    Detections are squared and rounded; those under 20 px are left out, and without `padded` those that cross the
    photo's border.
    """
    found = found[np.argsort(-found[:, 4], kind="stable")]
    squares = np.rint(square(found[:, :4])).astype(np.int32)
    keep = np.minimum(*sides(squares)) >= SMALLEST_SQUARE
    if padded:
        keep &= (squares[:, 2:] >= 0).all(axis=1) & (squares[:, 0] < width) & (squares[:, 1] < height)
    else:
        keep &= inside(squares, width, height)
    return squares[keep]


def hard_examples(
    rng: np.random.Generator,
    squares: np.ndarray,
    faces: Faces,
    width: int,
    height: int,
    recipe: Recipe,
    mining: Mining,
) -> Crops:
    """Return the samples of a photo all of whose faces are listed.

    Parameters
    ----------
    squares : (n, 4) int32
        Detections, the highest score first (`candidate_squares`).
    """
    labels, best = label_squares(squares, faces)
    mined = np.concatenate(
        [
            np.flatnonzero(labels == label)[:most]
            for label, most in ((POSITIVE, mining.positives), (PART, mining.parts), (NEGATIVE, mining.negatives))
        ]
    )
    crops = box_crops(squares[mined], labels[mined], best[mined], faces)
    counts = [np.bincount(best[mined][crops.labels == label], minlength=len(faces.boxes)) for label in (POSITIVE, PART)]
    have = np.stack(counts)[:, faces.usable] if len(faces.boxes) else np.zeros((2, 0), np.int64)
    around = around_faces(rng, faces, width, height, recipe, mining.padded, have)
    near = near_faces(rng, faces, width, height, recipe, mining.padded)
    extra = np.concatenate([around, near])
    labels, best = label_squares(extra, faces)
    is_near = np.arange(len(extra)) >= len(around)
    keep = np.where(is_near, labels == NEGATIVE, (labels == POSITIVE) | (labels == PART))
    return Crops.concatenate([crops, box_crops(extra[keep], labels[keep], best[keep], faces)])


def negatives_at_face(squares: np.ndarray, faces: Faces, mining: Mining) -> Crops:
    """Return the false alarms in a photo of which one face is listed.

    Only those that touch it: others may be faces that are not listed.
    """
    negative = label_squares(squares, faces)[0] == NEGATIVE
    touching = intersection(squares, faces.boxes).any(axis=1) if len(faces.boxes) else np.zeros(len(squares), bool)
    return negative_crops(squares[negative & touching][: mining.negatives])


def detect_chunk(work: Path, chunk: int, settings: tuple) -> None:
    """Detect in a few photos, and leave the result in a file. A photo that does not decode has no detections."""
    table, detector = open_table(work), open_detector(*settings)
    found = []
    for photo in range(chunk * CHUNK, min((chunk + 1) * CHUNK, len(table))):
        try:
            found.append(detector.detect(read(table.texts(photo)[0])).as_array())
        except InputError:  # planning and cutting meet it again, and list it
            found.append(np.zeros((0, 5), np.float32))
    _save(work / DETECTIONS, chunk, found)


@lru_cache(maxsize=1)
def open_detector(
    model: str, min_face: float, thresholds: tuple[float, ...], last_stage: str, compat: Optional[str]
) -> Any:
    """Return the cascade of a model folder, loaded once in a process."""
    from gluon_mtcnn.core.detector import Detector  # MXNet, which only these workers need

    return Detector(model, min_face=min_face, thresholds=thresholds, last_stage=last_stage, compat=compat)


def _save(folder: Path, chunk: int, found: list[np.ndarray]) -> None:
    boxes = np.concatenate([np.zeros((0, 5), np.float32), *found])
    with replacing(folder / f"{chunk:06d}.npz") as temporary, open(temporary, "wb") as file:
        np.savez(file, boxes=boxes, ends=np.cumsum([len(item) for item in found]))


@lru_cache(maxsize=4)
def _load(path: Path, made: int) -> tuple[np.ndarray, np.ndarray]:
    with np.load(path) as data:
        return data["boxes"], data["ends"]


def detections_of(folder: str, photo: int) -> np.ndarray:
    """Return the detections (n, 5) of a photo: x1 y1 x2 y2 score."""
    path = Path(folder) / f"{photo // CHUNK:06d}.npz"
    boxes, ends = _load(path, path.stat().st_mtime_ns)
    return np.split(boxes, ends[:-1])[photo % CHUNK]


def _reuse(out: Path, folder: Path, job: str, photos: int) -> None:
    """Take over the detections of an earlier run into the same folder, if they are of this job."""
    if not (out / ABOUT).is_file() or not (out / PICKLE).is_file():
        return
    about = read_json(out / ABOUT)
    if not isinstance(about, dict) or about.get("job") != job or about.get("sha256") != sha256(out / PICKLE):
        return
    found = [np.asarray(item, np.float32) for item in read_detections(out / PICKLE)]
    for chunk in range(-(-photos // CHUNK)):
        _save(folder, chunk, found[chunk * CHUNK : (chunk + 1) * CHUNK])
