"""Mined samples: what the nets so far take for faces in the photos, and squares around the true faces.

The 24- and 48-net learn from what the earlier nets find, the 12-net from its own false alarms.

The cascade runs first, over all photos; its detections stay in the work folder until the packs are done and in
``detections.pkl`` afterwards, so that nothing is detected twice with the same nets, photos and options.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Callable, Optional

import cv2
import numpy as np

from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.core.files.atomic import read_json, replacing, sha256, write_json
from gluon_mtcnn.core.files.plain import json_values
from gluon_mtcnn.core.ops.boxes import intersection, mirror, rescale, sides, square
from gluon_mtcnn.core.ops.image import read
from gluon_mtcnn.core.seanlinx.detection_files import read_detections, write_detections
from gluon_mtcnn.core.types import INPUT_SIZE, NEGATIVE, NETS, ONE_FACE, PART, POSITIVE, Annotation, Crops
from gluon_mtcnn.prepare_data.executors.processes import UnitRunner, show_progress
from gluon_mtcnn.prepare_data.packing.photo_table import PhotoTable
from gluon_mtcnn.prepare_data.packing.units import open_table
from gluon_mtcnn.prepare_data.sampling.candidates import Samples
from gluon_mtcnn.prepare_data.sampling.landmarks import landmark_samples
from gluon_mtcnn.prepare_data.sampling.squares import (
    Faces,
    Recipe,
    around_faces,
    box_crops,
    inside,
    label_squares,
    near_faces,
    negative_crops,
    random_negatives,
)

CHUNK = 8  # photos that are detected in one unit of work
DETECTIONS, PICKLE, ABOUT = "detections", "detections.pkl", "detections.json"
MINED = 500  # negatives that a photo without a limit gives, about
DETECTION_BYTES = 16 << 10  # a photo's detections, in the work folder and in detections.pkl, about
SMALLEST_SQUARE = 20  # px; smaller detections are no samples (Seanlinx)
LAST_STAGE = {"pnet": "pnet", "rnet": "pnet", "onet": "rnet"}  # of the cascade that mines for a net


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
        Whose arithmetic the cascade repeats (`core.detection.detector.Detector`).
    rescale : (low, high) or empty
        Detect in each photo resized by a random factor between these, and mirrored in half of them: a photo that was
        mined before so gives other false alarms.
    seed : int
        Of `rescale`; the same for every photo's draw.
    own : bool
        Take the boxes as the net itself scores them, of a model that has it, so that the negatives of the highest
        scores are its own mistakes; else as the net before it does. The P-Net, which has none before it, always does.
    """

    model: str = ""
    thresholds: tuple[float, ...] = (0.4, 0.1, 0.1)
    min_face: float = 20
    negatives: int = 150
    positives: int = 100
    parts: int = 100
    padded: bool = True
    compat: Optional[str] = None
    rescale: tuple[float, ...] = ()
    seed: int = 0
    own: bool = False

    def describe(self) -> dict[str, Any]:
        """Return the values as JSON has them; what is not used is left out, so that it changes no digest."""
        unused = [*([] if self.rescale else ["rescale", "seed"]), *([] if self.own else ["own"])]
        return json_values(self, unused)

    def last_stage(self, net: str) -> str:
        """Return the last net of the cascade that mines for a net."""
        return net if self.own else LAST_STAGE[net]


_ALL = 1 << 40
_SEANLINX = Mining("", (0.6, 0.7, 0.7), 24, _ALL, _ALL, _ALL, padded=False, compat="seanlinx")
MINING = {
    "default": {
        "pnet": Mining(thresholds=(0.5, 0.1, 0.1), negatives=90, padded=False),
        "rnet": Mining(),
        "onet": Mining(),
    },
    "seanlinx": dict.fromkeys(NETS, _SEANLINX),
}


@dataclass(frozen=True)
class HardExamplePlanner:
    """Plans the samples of one photo after another from the detections in a folder, which `gather` fills.

    A `prepare_data.sampling.planner.Planner`.

    Attributes
    ----------
    net : {"pnet", "rnet", "onet"}
    recipe : Recipe
        Of the squares around faces: they fill up what mining yields, to ``positives`` and ``parts`` a face.
    mining : Mining
    folder : str
        Detections, set by `gather`.
    cell : int
        Side of a P-Net's samples, pixels; 0: what the model's P-Net looks at.
    """

    net: str
    recipe: Recipe
    mining: Mining
    folder: str = ""
    cell: int = 0

    inline = False  # MXNet's results depend on its threads: always workers of one thread each
    gathered_bytes = DETECTION_BYTES

    @property
    def expected_negatives(self) -> float:
        """Return about how many mined negatives a photo gives."""
        return min(self.mining.negatives, MINED)

    @property
    def size(self) -> int:
        """Return the side of the samples, pixels."""
        usual = INPUT_SIZE[self.net]
        return self.cell or (self._nets()["pnet"].get("cell", usual) if self.net == "pnet" else usual)

    def describe(self) -> dict[str, Any]:
        """Return what the samples depend on, for the manifest and for telling runs apart."""
        cell = {"cell": self.size} if self.size != INPUT_SIZE[self.net] else {}
        return {"recipe": self.recipe.describe(), "mining": self.mining.describe(), "nets": self._nets(), **cell}

    def _nets(self) -> dict[str, Any]:
        """Return what model.json says of the nets that are run, and how the cascade joins them."""
        config = read_json(Path(self.mining.model) / "model.json")
        needed = NETS[: NETS.index(self.mining.last_stage(self.net)) + 1]
        try:
            nets = {kind: {k: v for k, v in config["nets"][kind].items() if k != "origin"} for kind in needed}
            return {**nets, "calibration": config["calibration"]}
        except (KeyError, TypeError, AttributeError) as error:
            raise InputError(f"{self.mining.model}: expected a model with {' and '.join(needed)}: no {error}") from None

    def _detection_job(self, table: PhotoTable) -> str:
        """Return a digest of all that the detections depend on."""
        digest = hashlib.sha256()
        mining = self.mining
        options = [self.net, list(mining.thresholds), mining.min_face, mining.compat, self._nets()]
        if mining.rescale:
            options.append([*mining.rescale, mining.seed])
        if mining.own:
            options.append("own")
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
        mining = replace(self.mining, model=os.path.abspath(self.mining.model))
        results = workers.run(detect_chunk, ((work, chunk, self.net, mining) for chunk in todo))
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
        found, original = detections_of(self.folder, photo), self.mining.compat == "seanlinx"
        squares = candidate_squares(found, width, height, self.mining.padded, by_width=original)
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


def candidate_squares(found: np.ndarray, width: int, height: int, padded: bool, by_width: bool = False) -> np.ndarray:
    """Return what the next net would be shown (n, 4) int32 of detections (m, 5), the highest score first.

    Detections are squared and rounded; those under 20 px are left out, and without `padded` those that cross the
    photo's border. With `by_width` 20 px hold for the width only, as in the original: a rounded square may be a pixel
    lower than wide.
    """
    found = found[np.argsort(-found[:, 4], kind="stable")]
    squares = np.rint(square(found[:, :4])).astype(np.int32)
    across, down = sides(squares)
    keep = (across if by_width else np.minimum(across, down)) >= SMALLEST_SQUARE
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
    anywhere = random_negatives(rng, faces, width, height, recipe, recipe.negatives)
    extra = np.concatenate([around, near, anywhere])
    labels, best = label_squares(extra, faces)
    for_negatives = np.arange(len(extra)) >= len(around)
    keep = np.where(for_negatives, labels == NEGATIVE, (labels == POSITIVE) | (labels == PART))
    return Crops.concatenate([crops, box_crops(extra[keep], labels[keep], best[keep], faces)])


def negatives_at_face(squares: np.ndarray, faces: Faces, mining: Mining) -> Crops:
    """Return the false alarms in a photo of which one face is listed.

    Only those that touch it: others may be faces that are not listed.
    """
    negative = label_squares(squares, faces)[0] == NEGATIVE
    touching = intersection(squares, faces.boxes).any(axis=1) if len(faces.boxes) else np.zeros(len(squares), bool)
    return negative_crops(squares[negative & touching][: mining.negatives])


def detect_chunk(work: Path, chunk: int, net: str, mining: Mining) -> None:
    """Detect in a few photos, and leave the result in a file. A photo that does not decode has no detections."""
    table, detector = open_table(work), open_detector(net, mining)
    found = []
    for photo in range(chunk * CHUNK, min((chunk + 1) * CHUNK, len(table))):
        try:
            image = read(table.texts(photo)[0])
        except InputError:  # planning and cutting meet it again, and list it
            found.append(np.zeros((0, 5), np.float32))
            continue
        if mining.rescale:
            rng = np.random.default_rng([mining.seed, photo])
            found.append(
                detect_rescaled(image, lambda seen: _found(detector, net, mining.own, seen), mining.rescale, rng)
            )
        else:
            found.append(_found(detector, net, mining.own, image))
    _save(work / DETECTIONS, chunk, found)


def _found(detector: Any, net: str, own: bool, image: np.ndarray) -> np.ndarray:
    """Return the boxes (n, 5) to learn from: what the net itself looked at and how it scored it, or what it would."""
    if own or net == "pnet":
        return np.asarray(detector.stages(image)[net].before, np.float32)
    return detector.detect(image).as_array()


def detect_rescaled(
    image: np.ndarray, detect: Callable[[np.ndarray], np.ndarray], limits: tuple[float, ...], rng: np.random.Generator
) -> np.ndarray:
    """Return detections (n, 5) in a photo's own pixels that were made in it resized, and mirrored half of the time.

    Parameters
    ----------
    image : (h, w, 3) uint8
    detect : function of an image that returns boxes (n, 5) with scores
    limits : (low, high)
        The factor is between these, log-uniform.
    rng : numpy Generator
    """
    factor, mirrored = np.exp(rng.uniform(*np.log(limits))), rng.random() < 0.5
    height, width = image.shape[:2]
    size = np.maximum(np.rint(np.array([width, height]) * factor), 1).astype(int)
    seen = cv2.resize(image, size.tolist(), interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR)
    found = np.array(detect(np.ascontiguousarray(seen[:, ::-1]) if mirrored else seen), np.float64).reshape(-1, 5)
    if mirrored:
        found[:, :4] = mirror(found[:, :4], size[0])
    found[:, :4] = rescale(found[:, :4], *([width, height] / size))
    return found.astype(np.float32)


@lru_cache(maxsize=1)
def open_detector(net: str, mining: Mining) -> Any:
    """Return the cascade that mines for a net, loaded once in a process."""
    from gluon_mtcnn.core.detection.detector import Detector  # an engine, which only these workers need
    from gluon_mtcnn.core.nets.presets import Preset

    return Detector(
        mining.model,
        min_face=mining.min_face,
        thresholds=mining.thresholds,
        last_stage=mining.last_stage(net),
        compat=mining.compat,
        look_again=False,  # what a net is mined for is what it gets wrong at a look
        preset=Preset(),  # presets are for users; what is mined does not depend on them
    )


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
