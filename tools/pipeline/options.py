"""What a pipeline is asked for."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Optional

from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.core.files.atomic import PathLike
from gluon_mtcnn.tools.cli.options import default_workers, existing_dir, existing_file
from gluon_mtcnn.tools.pipeline.recipe import DEFAULT

PAIRS = (  # options of which none or both are given
    ("landmark_images", "landmark_annotations"),
    ("test_wider_images", "test_ground_truth"),
    ("test_landmark_images", "test_landmark_annotations"),
)
FOLDERS = ("wider_images", "landmark_images", "test_wider_images", "test_ground_truth", "test_landmark_images")
FILES = ("wider_annotations", "landmark_annotations", "test_image_list", "test_landmark_annotations")


@dataclass(frozen=True)
class PipelineOptions:
    """The options of a pipeline: those of ``gluon-mtcnn pipeline``, with the same defaults.

    Attributes
    ----------
    out : path
        Folder of the run, new or to go on with.
    wider_images, wider_annotations : path
        WIDER's training photos, and their ``*_bbx_gt.txt`` or ``.mat``.
    landmark_images, landmark_annotations : path, optional
        Photos of faces with five landmarks, and their CNN_FacePoint or CelebA list.
    test_wider_images, test_ground_truth, test_image_list : path, optional
        WIDER_val, the folder of its ``wider_*_val.mat``, and which of its photos to use. Only the last stages read
        them.
    test_landmark_images, test_landmark_annotations : path, optional
        Photos with landmarks to evaluate on at the end, and their list.
    recipe : str
        Path of a recipe, or the name of one that ships.
    clean : bool
        Delete packs as soon as no later stage needs them.
    devices : str, optional
        Of every training.
    threads : int, optional
        OpenMP threads of every training.
    seed : int, optional
        Of every command; default: the recipe's.
    num_workers : int
        Worker processes of every command.
    quiet : bool
        No progress bars.
    """

    out: PathLike
    wider_images: PathLike
    wider_annotations: PathLike
    landmark_images: Optional[PathLike] = None
    landmark_annotations: Optional[PathLike] = None
    test_wider_images: Optional[PathLike] = None
    test_ground_truth: Optional[PathLike] = None
    test_image_list: Optional[PathLike] = None
    test_landmark_images: Optional[PathLike] = None
    test_landmark_annotations: Optional[PathLike] = None
    recipe: str = DEFAULT
    clean: bool = False
    devices: Optional[str] = None
    threads: Optional[int] = None
    seed: Optional[int] = None
    num_workers: int = field(default_factory=default_workers)
    quiet: bool = False

    def check(self) -> None:
        """Check what the options name.

        Raises
        ------
        InputError
            Half of a pair is missing, or a path does not exist.
        """
        for pair in PAIRS:
            given = [name for name in pair if getattr(self, name) is not None]
            if len(given) == 1:
                told = " and ".join(f"--{name.replace('_', '-')}" for name in pair)
                raise InputError(f"{told}: expected both, got one")
        if self.test_image_list and not self.test_wider_images:
            raise InputError("--test-image-list: expected --test-wider-images as well")
        for name in (item.name for item in fields(self)):
            path, told = getattr(self, name), name.replace("_", " ")
            if name in FOLDERS and path is not None:
                existing_dir(path, f"folder of {told}")
            elif name in FILES and path is not None:
                existing_file(path, told)
