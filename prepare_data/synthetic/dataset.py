"""The built-in data set: painted photos of faces in the layouts of real data, so that the whole chain runs offline.

`write_dataset` leaves photos with exact boxes, points and ellipses as WIDER FACE, CNN_FacePoint's landmark lists and
FDDB have them. Every photo has a random stream of its own, named by the seed, its part and its number: no two parts
share one, and a photo does not change when another part grows.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.core.files.atomic import replacing, write_json
from gluon_mtcnn.core.ops.boxes import extents
from gluon_mtcnn.prepare_data.synthetic.scene import Scene, SceneSpec, paint_scene

FORMAT_VERSION = 1
PARTS = ("train", "val", "landmark", "landmark_test", "test", "distractor")  # the order names random streams
_MARKER = "synthetic.json"
_FOLDERS = ("WIDER_train", "WIDER_val", "wider_face_split", "landmarks", "fddb", "distractors")
LARGEST_FACE = 140  # pixels; higher ones would not fit into the smallest photo
MOST = 9999  # of anything; photos are numbered with four digits
_JPEG_QUALITY = 95
_HEAVY, _SLIGHT = 0.5, 0.05  # hidden share above which WIDER's occlusion is 2, and 1


@dataclass(frozen=True)
class SyntheticSpec:
    """How much is painted, and what.

    Attributes
    ----------
    train_photos, val_photos : in WIDER layout
    landmark_photos, landmark_test_photos : one large face each, in the landmark-list layout
    test_photos : in FDDB layout
    distractor_photos : test scenes without any face
    faces, distractors : fewest and most in a photo of train, val and test
    empty_every : one in so many photos of train and val has no face; 0: none
    face_px, landmark_face_px : least and greatest height of a face, forehead to chin before it is tilted
    folds : of the FDDB layout
    """

    train_photos: int = 300
    val_photos: int = 40
    landmark_photos: int = 200
    landmark_test_photos: int = 40
    test_photos: int = 60
    distractor_photos: int = 20
    faces: tuple[int, int] = (1, 4)
    distractors: tuple[int, int] = (1, 4)
    empty_every: int = 8
    face_px: tuple[float, float] = (24.0, 110.0)
    landmark_face_px: tuple[float, float] = (60.0, 140.0)
    folds: int = 10

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            low, high = value if isinstance(value, tuple) else (value, value)
            in_pixels = name.endswith("_px")
            least, most = (12, LARGEST_FACE) if in_pixels else (int(name == "folds"), MOST)
            if not least <= low <= high <= most:
                raise InputError(
                    f"synthetic data: {name} must be from {least} to {most}, lowest first, but got {value}"
                )

    def photos(self, part: str) -> int:
        """Return how many photos a part has."""
        return int(getattr(self, f"{part}_photos"))

    def scene(self, part: str, number: int) -> SceneSpec:
        """Return what is in one photo of a part."""
        if part == "distractor":
            return SceneSpec((0, 0), (4, 8), self.face_px)
        if part.startswith("landmark"):
            return SceneSpec((1, 1), (0, 2), self.landmark_face_px, (200, 280), (180, 230))
        if part != "test" and self.empty_every and number % self.empty_every == self.empty_every - 1:
            return SceneSpec((0, 0), (3, 7), self.face_px)
        return SceneSpec(self.faces, self.distractors, self.face_px)


@dataclass(frozen=True)
class SyntheticPaths:
    """Where `write_dataset` left what. Names in an annotation file are relative to the folder of its images.

    Attributes
    ----------
    wider_images, wider_train_annotations : training photos, WIDER layout
    wider_val_images, wider_val_annotations : validation photos, WIDER layout
    landmark_images, landmark_annotations, landmark_test_annotations : landmark lists, train and test
    fddb_images, fddb_folds, image_sizes : test photos, FDDB layout
    test_annotations : the test photos once more, as WIDER text
    distractor_images, distractor_annotations : test photos without a face, and WIDER text that says so
    """

    wider_images: Path
    wider_train_annotations: Path
    wider_val_images: Path
    wider_val_annotations: Path
    landmark_images: Path
    landmark_annotations: Path
    landmark_test_annotations: Path
    fddb_images: Path
    fddb_folds: Path
    image_sizes: Path
    test_annotations: Path
    distractor_images: Path
    distractor_annotations: Path

    @classmethod
    def under(cls, root: Path) -> SyntheticPaths:
        """Return the paths of a data set in folder `root`."""
        split = root / "wider_face_split"
        return cls(
            wider_images=root / "WIDER_train" / "images",
            wider_train_annotations=split / "wider_face_train_bbx_gt.txt",
            wider_val_images=root / "WIDER_val" / "images",
            wider_val_annotations=split / "wider_face_val_bbx_gt.txt",
            landmark_images=root / "landmarks",
            landmark_annotations=root / "landmarks" / "trainImageList.txt",
            landmark_test_annotations=root / "landmarks" / "testImageList.txt",
            fddb_images=root / "fddb" / "images",
            fddb_folds=root / "fddb" / "FDDB-folds",
            image_sizes=root / "fddb" / "image_sizes.txt",
            test_annotations=root / "fddb" / "test_bbx_gt.txt",
            distractor_images=root / "distractors" / "images",
            distractor_annotations=root / "distractors" / "distractor_bbx_gt.txt",
        )


def photo_rng(seed: int, part: str, number: int) -> np.random.Generator:
    """Return the random stream of one photo; streams of different parts or numbers are independent."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(PARTS.index(part), number)))


def write_dataset(out_dir: Path, spec: SyntheticSpec, seed: int, quiet: bool = False) -> SyntheticPaths:
    """Paint the data set.

    Parameters
    ----------
    out_dir : Path
        Made if need be. An earlier data set of this module there is replaced.
    spec : SyntheticSpec
    seed : int, at least 0
        The same seed gives the same bytes in every file.
    quiet : bool
        No progress bar.

    Returns
    -------
    SyntheticPaths

    Raises
    ------
    InputError
        `out_dir` holds something else under the names that are written.
    """
    _clear(out_dir)
    write_json(out_dir / _MARKER, {"format": FORMAT_VERSION, "seed": seed, **asdict(spec)})
    paths = SyntheticPaths.under(out_dir)
    counts = {part: spec.photos(part) for part in PARTS}
    with tqdm(total=sum(counts.values()), desc="painting", unit="photo", disable=quiet) as progress:

        def photos(part: str) -> Iterator[tuple[str, Scene]]:
            for number in range(counts[part]):
                yield f"{part}_{number:04d}", paint_scene(photo_rng(seed, part, number), spec.scene(part, number))
                progress.update()

        _write_wider(paths.wider_images, paths.wider_train_annotations, photos("train"))
        _write_wider(paths.wider_val_images, paths.wider_val_annotations, photos("val"))
        _write_landmarks(paths.landmark_images, paths.landmark_annotations, photos("landmark"))
        _write_landmarks(paths.landmark_images, paths.landmark_test_annotations, photos("landmark_test"))
        _write_fddb(paths, spec.folds, photos("test"))
        _write_wider(paths.distractor_images, paths.distractor_annotations, photos("distractor"))
    return paths


def wider_rows(scene: Scene) -> list[str]:
    """Return WIDER's lines of one photo: the count, then ``x y w h`` and six attributes a face, zeros without any."""
    boxes = scene.boxes
    rows = np.zeros((max(len(boxes), 1), 10), int)
    if len(boxes):
        rows[:, :2], rows[:, 2:4] = boxes[:, :2], extents(boxes)
        rows[:, 4], rows[:, 5], rows[:, 6] = scene.blur, scene.expression, scene.illumination
        rows[:, 8] = (scene.hidden > _SLIGHT).astype(int) + (scene.hidden > _HEAVY)
    return [str(len(boxes)), *(" ".join(map(str, row)) for row in rows.tolist())]


def landmark_row(name: str, scene: Scene) -> str:
    """Return a landmark list's line of a photo's only face: ``path x1 x2 y1 y2`` and five points, x before y."""
    ((x1, y1, x2, y2),) = scene.boxes.tolist()
    points = " ".join(f"{value:.6f}" for value in scene.points.ravel())
    return f"{name} {x1} {x2} {y1} {y2} {points}"


def fddb_rows(scene: Scene) -> list[str]:
    """Return FDDB's lines of one photo: the count, then ``major minor angle cx cy  1`` a face."""
    return [str(len(scene.ellipses)), *(" ".join(f"{v:.6f}" for v in row) + "  1" for row in scene.ellipses)]


def _write_wider(images: Path, annotations: Path, photos: Iterable[tuple[str, Scene]]) -> None:
    lines: list[str] = []
    for stem, scene in photos:
        name = f"{'0--Faces' if len(scene.ellipses) else '1--Empty'}/{stem}.jpg"
        _write_photo(images / name, scene.image)
        lines += [name, *wider_rows(scene)]
    _write_text(annotations, lines)


def _write_landmarks(root: Path, annotations: Path, photos: Iterable[tuple[str, Scene]]) -> None:
    lines = []
    for stem, scene in photos:
        name = f"images/{stem}.jpg"
        _write_photo(root / name, scene.image)
        lines.append(landmark_row(name, scene))
    _write_text(annotations, lines)


def _write_fddb(paths: SyntheticPaths, folds: int, photos: Iterable[tuple[str, Scene]]) -> None:
    names, ellipses, sizes, wider = [], [], [], []
    for stem, scene in photos:
        names.append(f"synthetic/{stem}")
        height, width = scene.image.shape[:2]
        _write_photo(paths.fddb_images / f"{names[-1]}.jpg", scene.image)
        ellipses.append([names[-1], *fddb_rows(scene)])
        sizes.append(f"{names[-1]} {width} {height}")
        wider += [f"{names[-1]}.jpg", *wider_rows(scene)]
    for fold, members in enumerate(np.array_split(np.arange(len(names)), folds), start=1):
        fold_stem = f"FDDB-fold-{fold:02d}"
        _write_text(paths.fddb_folds / f"{fold_stem}.txt", [names[i] for i in members])
        rows = [line for i in members for line in ellipses[i]]
        _write_text(paths.fddb_folds / f"{fold_stem}-ellipseList.txt", rows)
    _write_text(paths.image_sizes, sizes)
    _write_text(paths.test_annotations, wider)


def _clear(out_dir: Path) -> None:
    """Remove an earlier data set of this module, and nothing else."""
    present = [out_dir / name for name in _FOLDERS if (out_dir / name).exists()]
    if present and not (out_dir / _MARKER).is_file():
        raise InputError(f"{present[0]}: is in the way and, without {out_dir / _MARKER}, not a synthetic data set")
    for folder in present:
        shutil.rmtree(folder)


def _write_photo(path: Path, image: np.ndarray) -> None:
    """Write a photo whole or not at all; unlike `replacing`, without waiting for the disk each of hundreds of times."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.tmp")
    unfinished.write_bytes(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])[1].tobytes())
    unfinished.replace(path)


def _write_text(path: Path, lines: Sequence[str]) -> None:
    with replacing(path) as temporary:
        temporary.write_bytes("".join(f"{line}\n" for line in lines).encode())
