"""What a training run is asked for. Imports no MXNet."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Optional, Union

from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.core.files.atomic import PathLike
from gluon_mtcnn.core.training.config import AUGMENTATIONS, OHEM_SCOPES, OPTIMIZERS, RECIPES, SCHEDULES, TrainConfig
from gluon_mtcnn.core.types import CELL_STRIDE, INPUT_SIZE, NETS
from gluon_mtcnn.tools.cli.checks import OptionChecks

REGRESSIONS = ("l2", "smooth_l1")
CHOICES: dict[str, Collection[Any]] = {
    "net": NETS,
    "recipe": RECIPES,
    "cell": tuple(CELL_STRIDE),
    "optimizer": OPTIMIZERS,
    "schedule": SCHEDULES,
    "augment": AUGMENTATIONS,
    "regression": REGRESSIONS,
    "ohem_scope": OHEM_SCOPES,
}
ABOVE_ZERO = ("epochs", "batch_size", "epoch_size", "threads", "lr", "ohem")
NOT_NEGATIVE = ("wd", "warmup", "turn", "erase", "checkpoint_seconds", "seed")
LENGTHS = {"ratio": 4, "loss_weights": 3}
LOSS = {"weights": "loss_weights", "ohem": "ohem", "regression": "regression"}  # of LossConfig: the option
OF_THE_RUN = ("landmarks", "devices", "kvstore", "ohem_scope", "amp", "pretrained")  # the run finds these out itself


@dataclass(frozen=True)
class TrainOptions:
    """The options of one training run: those of ``gluon-mtcnn train``, with the same defaults.

    None stands for the default of the net and the recipe (docs/training.md).

    Attributes
    ----------
    net : {"pnet", "rnet", "onet"}
    data : path or sequence of paths
        Folders with train.rec, and val.rec where there is one; used as one pack.
    out : path
        Model folder to make or to add the net to.
    val_data : path, optional
        Validate on the train.rec of this folder instead of the val.rec of `data`.
    resume : bool
        Go on from the last checkpoint in `out`, if there is one.
    seanlinx_checkpoints : path, optional
        Prefix of checkpoints that are written after each epoch as Seanlinx/mtcnn names them.
    landmarks : bool, optional
        With the landmark head; default: with it if the pack has landmark samples.
    cell : int, optional
        P-Net: side of its input in pixels; default: that of the pack's images.
    pretrained : path, optional
        Model folder whose weights the run starts from.
    freeze : str, optional
        Comma-separated shell patterns of parameters that keep their values, for example ``stage1.*``.
    recipe : {"default", "seanlinx"}
    epochs, batch_size, epoch_size : int, optional
        `batch_size` is that of all devices together, `epoch_size` the samples of an epoch.
    optimizer : {"sgd", "adamw"}, optional
    lr, wd : float, optional
        Peak learning rate; weight decay.
    schedule : {"cosine", "step"}, optional
    warmup : int, optional
        Steps over which the learning rate rises from zero.
    augment : {"none", "mirror", "full", "strong"}, optional
    turn : float, optional
        Turn each sample by up to this many degrees to either side, at most 45.
    erase : float, optional
        Share of the samples without landmarks of which a rectangle is made grey.
    batch_norm : bool, optional
        Train with batch normalisation, folded into the weights that are kept.
    mirror_landmarks : bool, optional
        Mirror samples with landmarks as well.
    ratio : four floats, optional
        Positive, negative, part and landmark samples in a batch.
    loss_weights : three floats, optional
        Of the classification, box and landmark terms of the loss.
    ohem : float in (0, 1], optional
        Share of the classified samples, those of the highest loss, that give gradient.
    regression : {"l2", "smooth_l1"}, optional
    devices : str
        ``cpu``; ``cpu:0,cpu:1``; ``gpu:0,gpu:1``.
    kvstore : str, optional
        ``local``, ``device`` or ``nccl``; in a job ``dist_sync``, ``dist_async`` or ``dist_sync_device``.
    ohem_scope : {"global", "local"}, optional
        In a job, rank losses over all workers, or in each.
    amp : bool
        Compute with float16 where it is safe; GPUs only.
    threads : int, optional
        OpenMP threads of each CPU device; see `core.backend.threads.set_threads`.
    checkpoint_seconds : float
        Longest time between two checkpoints.
    seed : int
    quiet : bool
        No progress bar.

    Raises
    ------
    InputError
        A value is not one of those listed, or out of range.

    Examples
    --------
    >>> options = TrainOptions("pnet", data="packs/12", out="runs/first", epochs=4)
    >>> options.recipe, options.devices, options.lr
    ('default', 'cpu', None)
    """

    net: str
    data: Union[PathLike, Sequence[PathLike]]
    out: PathLike
    val_data: Optional[PathLike] = None
    resume: bool = False
    seanlinx_checkpoints: Optional[PathLike] = None
    landmarks: Optional[bool] = None
    cell: Optional[int] = None
    pretrained: Optional[PathLike] = None
    freeze: Optional[str] = None
    recipe: str = "default"
    epochs: Optional[int] = None
    batch_size: Optional[int] = None
    optimizer: Optional[str] = None
    lr: Optional[float] = None
    wd: Optional[float] = None
    schedule: Optional[str] = None
    warmup: Optional[int] = None
    augment: Optional[str] = None
    turn: Optional[float] = None
    erase: Optional[float] = None
    batch_norm: Optional[bool] = None
    mirror_landmarks: Optional[bool] = None
    ratio: Optional[Sequence[float]] = None
    epoch_size: Optional[int] = None
    loss_weights: Optional[Sequence[float]] = None
    ohem: Optional[float] = None
    regression: Optional[str] = None
    devices: str = "cpu"
    kvstore: Optional[str] = None
    ohem_scope: Optional[str] = None
    amp: bool = False
    threads: Optional[int] = None
    checkpoint_seconds: float = 60.0
    seed: int = 0
    quiet: bool = False

    def __post_init__(self) -> None:
        checks = OptionChecks("train", self)
        checks.choices(CHOICES)
        checks.above_zero(ABOVE_ZERO)
        checks.not_negative(NOT_NEGATIVE)
        checks.several(LENGTHS)
        for name in LENGTHS:
            values = getattr(self, name)
            object.__setattr__(self, name, None if values is None else tuple(map(float, values)))

    @property
    def folders(self) -> tuple[Path, ...]:
        """Return the folders of the training packs."""
        data = (self.data,) if isinstance(self.data, (str, os.PathLike)) else self.data
        return tuple(Path(folder) for folder in data)

    @property
    def sizes(self) -> tuple[int, ...]:
        """Return the sides of images, in pixels, that the net may learn from: a P-Net's cell follows from its pack.

        Raises
        ------
        InputError
            R-Net or O-Net with a cell.
        """
        if self.net == "pnet":
            return tuple(CELL_STRIDE) if self.cell is None else (self.cell,)
        if self.cell is not None:
            raise InputError(f"train {self.net}: expected no --cell: only P-Nets look at cells")
        return (INPUT_SIZE[self.net],)

    def config_changes(self) -> dict[str, Any]:
        """Return what `core.training.config.default_config` takes as it is: fields of the same name and meaning."""
        names = {field.name for field in fields(TrainConfig)} - set(OF_THE_RUN)
        return {field.name: getattr(self, field.name) for field in fields(self) if field.name in names}

    def loss_changes(self) -> dict[str, Any]:
        """Return the fields of `core.training.config.LossConfig` that are asked for."""
        values = {name: getattr(self, option) for name, option in LOSS.items()}
        return {name: value for name, value in values.items() if value is not None}
