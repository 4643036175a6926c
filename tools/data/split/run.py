"""Annotated photos split into training and development lists: what ``gluon-mtcnn split`` does, as a function."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Optional

from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.core.files.atomic import PathLike
from gluon_mtcnn.prepare_data.packing.split_photos import split_photos
from gluon_mtcnn.tools.cli.options import output_dir
from gluon_mtcnn.tools.data.photos import photo_pair


@dataclass(frozen=True)
class SplitOptions:
    """The options of a split: those of ``gluon-mtcnn split``, with the same defaults.

    Attributes
    ----------
    wider_images, wider_annotations : path
        WIDER's photos, and their ``*_bbx_gt.txt`` or ``.mat``.
    out : path
        Folder of the lists.
    landmark_images, landmark_annotations : path, optional
        Photos of faces with five landmarks, and their CNN_FacePoint or CelebA list.
    fraction : float in [0, 1]
        Share of the photos in the development list.
    seed : int
    """

    wider_images: PathLike
    wider_annotations: PathLike
    out: PathLike
    landmark_images: Optional[PathLike] = None
    landmark_annotations: Optional[PathLike] = None
    fraction: float = 0.1
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.fraction <= 1:
            raise InputError(f"split: fraction: expected 0 to 1, got {self.fraction!r}")


@dataclass(frozen=True)
class SplitResult:
    """What a split left.

    Attributes
    ----------
    folder : Path
    photos : dict of str to int
        How many photos each list in the folder names, by the name of the list.
    """

    folder: Path
    photos: dict[str, int]


def split(options: SplitOptions) -> SplitResult:
    """Split annotated photos into training and development lists; a function of the lists and the seed.

    Raises
    ------
    InputError
        A path is missing, a list cannot be read, or one of the two would be empty.
    """
    out = output_dir(options.out)
    wider, landmarks = photo_pair(options, "wider"), photo_pair(options, "landmark")
    if wider is None:
        raise InputError("split: expected --wider-images and --wider-annotations, got none")
    return SplitResult(out, split_photos(out, options.fraction, options.seed, wider, landmarks))
