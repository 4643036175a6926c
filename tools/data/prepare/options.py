"""What the preparation of training packs is asked for. Imports no MXNet."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Optional

from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.core.files.atomic import PathLike
from gluon_mtcnn.core.packs.manifest import PAYLOADS
from gluon_mtcnn.core.types import CELL_STRIDE, NETS
from gluon_mtcnn.prepare_data.annotations.left_out import MOST
from gluon_mtcnn.prepare_data.sampling.squares import RECIPES
from gluon_mtcnn.tools.cli.checks import OptionChecks
from gluon_mtcnn.tools.cli.options import default_workers

CHOICES: dict[str, Collection[Any]] = {
    "net": NETS,
    "payload": PAYLOADS,
    "recipe": tuple(RECIPES),
    "cell": tuple(CELL_STRIDE),
}
ABOVE_ZERO = ("limit", "min_face", "min_face_longer_side", "num_workers")
NOT_NEGATIVE = ("val_fraction", "max_left_out", "negatives_per_photo", "seed")
LENGTHS = {"ratio": 4, "counts": 4, "mine_rescaled": 2, "per_face": 4, "thresholds": 3}
OF_CASCADE = ("thresholds", "min_face", "mine_rescaled", "own_scores")  # of no use to a P-Net without a model


@dataclass(frozen=True)
class PrepareOptions:
    """The options of one preparation: those of ``gluon-mtcnn prepare``, with the same defaults.

    None stands for the default of the net and the recipe (docs/prepare.md). At least one source of photos is needed:
    WIDER, `csv`, `coco`, `voc`, `yolo`, landmarks or Seanlinx's anno.txt.

    Attributes
    ----------
    net : {"pnet", "rnet", "onet"}
        The net that the samples are for.
    out : path
        Folder of the packs, new or to replace.
    wider_images, wider_annotations : path, optional
        WIDER's photos (WIDER_train or its images folder), and their ``*_bbx_gt.txt`` or ``.mat``.
    csv : path, optional
        Table of photos of one's own: ``image,x1,y1,x2,y2[,ignore][,landmarks]``.
    landmark_images, landmark_annotations : path, optional
        Photos of faces with five landmarks, and their CNN_FacePoint or CelebA list.
    seanlinx_images, seanlinx_annotations : path, optional
        Photos, and an anno.txt of Seanlinx/mtcnn.
    coco : path, optional
        COCO's JSON of photos in `coco_images` (default: the folder of the JSON).
    voc : path, optional
        Folder of Pascal VOC's XML files, or of ``Annotations`` with them, of photos in `voc_images` (default:
        ``JPEGImages`` in it, otherwise the folder itself).
    yolo : path, optional
        Folder with ``images`` and ``labels`` of YOLO's form, or with both kinds of files together.
    coco_images, voc_images : path, optional
    face_class : sequence of str
        Classes of `coco`, `voc` and `yolo` that are faces; none: all objects must be of one class.
    max_left_out : float in [0, 1]
        Share of the faces of a source that may have no usable box, or lie outside of their photos.
    limit : int, optional
        Use the first photos of each source only, this many.
    strict : bool
        Stop at the first photo that cannot be used; else it is left out and listed.
    model : path, optional
        Model folder with the nets before `net`; default: the shipped model. P-Net: its own false positives are
        samples too if this is given.
    thresholds : three floats, optional
        Of the mining cascade.
    own_scores : bool
        Take boxes as the model's own R-Net or O-Net scores them.
    mine_rescaled : two floats (low, high), optional
        Detect in photos resized by a random factor between these, half of them mirrored.
    min_face : float, optional
        Smallest face that the mining cascade looks for, pixels.
    val_fraction : float in [0, 1)
        Share of the photos that give val.rec.
    cell : {12, 20}, optional
        P-Net: side of the samples in pixels.
    recipe : {"default", "seanlinx"}
        Constants of sampling.
    min_face_longer_side : int, optional
        Leave out faces whose longer side is below this, pixels.
    negatives_per_photo : int, optional
        At most.
    per_face : four ints, optional
        Most positives, and most parts, of a face below 20 px, from 20, from 40, from 100 px.
    landmark_shift : float, optional
        Pixels by which the annotated landmarks are right of what they mark.
    ratio : four floats, optional
        Positive, negative, part and landmark samples: all positives are used, the others in proportion.
    counts : four floats, optional
        At most this many samples of each class, instead of `ratio`.
    ignore : mapping of str to int, optional
        WIDER's attributes, each with the value from which a face is ignored; {} ignores none.
    payload : {"bmp", "jpg", "png"}
        Of the records; bmp is the fastest to read.
    imdb : path, optional
        Root in which the Seanlinx layout is written too.
    cluster : str
        ``tcp://host:port`` of a Dask scheduler whose workers do the work; "" for processes of this machine.
    seed : int
    num_workers : int
        Worker processes; default: one for each core. The packs do not depend on it. A script that asks for more than
        one calls `prepare` below ``if __name__ == "__main__":``, because the processes are spawned.
    quiet : bool
        No progress bars.

    Raises
    ------
    InputError
        A value is not one of those listed, or out of range.

    Examples
    --------
    >>> photos = {"wider_images": "WIDER_train", "wider_annotations": "wider_face_train_bbx_gt.txt"}
    >>> PrepareOptions("pnet", "packs/12", **photos, ratio=(1, 3, 1, 2)).ratio
    (1.0, 3.0, 1.0, 2.0)
    """

    net: str
    out: PathLike
    wider_images: Optional[PathLike] = None
    wider_annotations: Optional[PathLike] = None
    csv: Optional[PathLike] = None
    landmark_images: Optional[PathLike] = None
    landmark_annotations: Optional[PathLike] = None
    seanlinx_images: Optional[PathLike] = None
    seanlinx_annotations: Optional[PathLike] = None
    coco: Optional[PathLike] = None
    coco_images: Optional[PathLike] = None
    voc: Optional[PathLike] = None
    voc_images: Optional[PathLike] = None
    yolo: Optional[PathLike] = None
    face_class: Sequence[str] = ()
    max_left_out: float = MOST
    limit: Optional[int] = None
    strict: bool = False
    model: Optional[PathLike] = None
    thresholds: Optional[Sequence[float]] = None
    own_scores: bool = False
    mine_rescaled: Optional[Sequence[float]] = None
    min_face: Optional[float] = None
    val_fraction: float = 0.0
    cell: Optional[int] = None
    recipe: str = "default"
    min_face_longer_side: Optional[int] = None
    negatives_per_photo: Optional[int] = None
    per_face: Optional[Sequence[int]] = None
    landmark_shift: Optional[float] = None
    ratio: Optional[Sequence[float]] = None
    counts: Optional[Sequence[float]] = None
    ignore: Optional[Mapping[str, int]] = None
    payload: str = "bmp"
    imdb: Optional[PathLike] = None
    cluster: str = ""
    seed: int = 0
    num_workers: int = field(default_factory=default_workers)
    quiet: bool = False

    def __post_init__(self) -> None:
        checks = OptionChecks("prepare", self)
        checks.choices(CHOICES)
        checks.above_zero(ABOVE_ZERO)
        checks.not_negative(NOT_NEGATIVE)
        checks.several(LENGTHS, all_zero=True)
        for name in LENGTHS:
            values, number = getattr(self, name), int if name == "per_face" else float
            object.__setattr__(self, name, None if values is None else tuple(map(number, values)))
        self._check_values(checks)
        self._check_together()

    def _check_values(self, checks: OptionChecks) -> None:
        for name in ("ratio", "counts"):
            if getattr(self, name) is not None and getattr(self, name)[0] == 0:
                checks.refuse(name, "positives")
        if self.mine_rescaled and not 0 < self.mine_rescaled[0] <= self.mine_rescaled[1]:
            checks.refuse("mine_rescaled", "two factors above 0, the lower one first")
        if self.thresholds and max(self.thresholds) > 1:
            checks.refuse("thresholds", "numbers from 0 to 1")
        if self.landmark_shift is not None and not math.isfinite(self.landmark_shift):
            checks.refuse("landmark_shift", "a finite number")

    def _check_together(self) -> None:
        for images, listed in (("coco_images", "coco"), ("voc_images", "voc")):
            if getattr(self, images) is not None and getattr(self, listed) is None:
                raise InputError(f"--{images.replace('_', '-')}: expected --{listed} with it, got none")
        if self.face_class and not (self.coco or self.voc or self.yolo):
            raise InputError("--face-class: expected --coco, --voc or --yolo with it, got none")
        if self.counts and self.ratio:
            raise InputError("--ratio and --counts: expected one of them, got both")
        if self.val_fraction >= 1:
            given = f"{self.val_fraction:g}"
            raise InputError(f"--val-fraction: expected less than 1, got {given}: nothing would be left to train on")
        if self.net != "pnet" and self.cell is not None:
            raise InputError(f"prepare {self.net}: expected no --cell: only P-Nets look at cells")
        unused = [name for name in OF_CASCADE if getattr(self, name) not in (None, False)]
        if self.net == "pnet" and not self.model and unused:
            raise InputError(f"prepare pnet: --{unused[0].replace('_', '-')} needs --model, whose P-Net is run")
