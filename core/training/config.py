"""What a training run depends on, its defaults per net and recipe, and the learning rate of every step. No MXNet."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any, Optional

from gluon_mtcnn.core.files.plain import json_values

RECIPES = ("default", "seanlinx")
OPTIMIZERS = ("sgd", "adamw")
SCHEDULES = ("cosine", "step")
_CAME_LATER = ("mirror_landmarks", "turn", "erase", "batch_norm")  # fields that the files of older runs lack
OHEM_SCOPES = ("global", "local")
AUGMENTATIONS = ("none", "mirror", "full", "strong")


@dataclass(frozen=True)
class LossConfig:
    """The multi-task loss.

    Attributes
    ----------
    weights : (3,) floats
        Of the classification, box and landmark terms (Zhang et al. 2016, section 3: alpha).
    ohem : float in (0, 1]
        Share of the classified rows, those of largest loss, that contribute to the gradient; 1.0: all.
    regression : {"l2", "smooth_l1"}
        Error of one coordinate: its square, or twice the smooth L1 with sigma 3 (linear beyond 1/9).
    reduction : {"sum", "half_mean"}
        A row's error: the sum over its coordinates, or half their mean (Seanlinx).
    """

    weights: tuple[float, float, float] = (1.0, 0.5, 0.5)
    ohem: float = 0.7
    regression: str = "l2"
    reduction: str = "sum"

    def __post_init__(self) -> None:
        if len(self.weights) != 3 or min(self.weights) < 0:
            raise ValueError(f"weights must be three numbers >= 0, but got {self.weights!r}")
        if not 0 < self.ohem <= 1:
            raise ValueError(f"ohem must be in (0, 1], but got {self.ohem!r}")
        if self.regression not in ("l2", "smooth_l1"):
            raise ValueError(f"regression must be l2 or smooth_l1, but got {self.regression!r}")
        if self.reduction not in ("sum", "half_mean"):
            raise ValueError(f"reduction must be sum or half_mean, but got {self.reduction!r}")


@dataclass(frozen=True)
class TrainConfig:
    """Everything that decides which weights come out of a pack, besides thread count and machine type.

    Attributes
    ----------
    net : {"pnet", "rnet", "onet"}
    recipe : {"default", "seanlinx"}
    landmarks : bool
        Has the landmark head.
    epochs, batch_size : int
        Samples a batch, over all devices and workers together.
    optimizer : {"sgd", "adamw"}
        SGD with momentum 0.9, or Adam with decoupled weight decay.
    lr, wd : float
        Peak learning rate; weight decay.
    decay_all : bool
        Also decay biases and slopes.
    schedule : {"cosine", "step"}
        To zero along half a cosine, or a tenth after each of `lr_steps` (epochs).
    warmup : int
        Steps over which the rate rises from zero.
    loss : LossConfig
    augment : {"none", "mirror", "full", "strong"}
        While training: nothing; mirroring; mirroring, blur and colours; or all of these, and three samples in ten
        with coarser pixels.
    mirror_landmarks : bool
        While training, mirror samples with landmarks as well.
    turn : float
        While training, turn every sample by up to this many degrees to either side.
    erase : float
        While training, share of the samples without landmarks in which a rectangle becomes grey.
    batch_norm : bool
        Train with batch normalisation. The saved weights do not have it (`core.nets.batch_norm`).
    ratio : (4,) floats or empty
        Positive, negative, part and landmark samples in a batch; empty: as the pack has them.
    epoch_size : int or None
        Samples an epoch; None: every record once, or as many as the ratio allows.
    devices : int
        Number of devices of each worker; they share its rows and rank their losses together.
    workers : int
        Number of processes of a parameter-server job; they share each batch.
    kvstore : str
        MXNet's name for how gradients are summed.
    ohem_scope : {"global", "local"}
        Which losses hard example mining ranks: those of the whole batch, or of each worker's share.
    amp : {"", "float16", "bfloat16"}
        Type in which convolutions and matrix products are computed; empty: float32, like everything else.
    freeze : str
        Comma-separated shell patterns of parameters that are not trained (``stage1.*``).
    pretrained : str
        Digest of the weights that the run starts from; empty: drawn from the seed.
    seed : int

    Examples
    --------
    >>> config = TrainConfig("pnet", epochs=4, lr=0.02, warmup=0)
    >>> config.learning_rate(200, 100)  # of 400 steps half are done
    0.01
    """

    net: str
    recipe: str = "default"
    landmarks: bool = False
    epochs: int = 16
    batch_size: int = 384
    optimizer: str = "sgd"
    lr: float = 0.02
    wd: float = 5e-4
    decay_all: bool = False
    schedule: str = "cosine"
    lr_steps: tuple[int, ...] = ()
    warmup: int = 200
    loss: LossConfig = LossConfig()
    augment: str = "full"
    mirror_landmarks: bool = True
    turn: float = 0.0
    erase: float = 0.0
    batch_norm: bool = False
    ratio: tuple[float, ...] = ()
    epoch_size: Optional[int] = None
    devices: int = 1
    workers: int = 1
    kvstore: str = "device"
    ohem_scope: str = "global"
    amp: str = ""
    freeze: str = ""
    pretrained: str = ""
    seed: int = 0

    def learning_rate(self, step: int, steps_per_epoch: int) -> float:
        """Return the learning rate of a step, counted from 0. It depends on the step alone: resuming needs no state."""
        total = max(1, self.epochs * steps_per_epoch)
        warmup = min(self.warmup, total // 5)  # a short run still reaches its peak rate
        if step < warmup:
            return self.lr * (step + 1) / (warmup + 1)
        if self.schedule == "step":
            return self.lr * 0.1 ** sum(step >= epoch * steps_per_epoch for epoch in self.lr_steps)
        return self.lr * 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, total - warmup)))

    def as_dict(self) -> dict[str, Any]:
        """Return the values for JSON. Later fields with their default are left out, so that older runs resume."""
        fields = dataclasses.fields(self)
        unused = {f.name for f in fields if f.name in _CAME_LATER and getattr(self, f.name) == f.default}
        return json_values(self, unused)


# Batch size, and (lr, wd) of each optimizer, by net; the first optimizer is the default. With P-Net's rate SGD diverges
# on the summed landmark error of R- and O-Net. AdamW trains these faster where time is short (docs/training.md).
_DEFAULTS: dict[str, tuple[int, dict[str, tuple[float, float]]]] = {
    "pnet": (384, {"sgd": (0.02, 5e-4), "adamw": (0.002, 0.01)}),
    "rnet": (384, {"sgd": (0.005, 5e-4), "adamw": (0.002, 0.01)}),
    "onet": (256, {"sgd": (0.005, 5e-4), "adamw": (0.002, 0.02)}),
}


def default_config(net: str, recipe: str = "default", optimizer: Optional[str] = None, **changes: Any) -> TrainConfig:
    """Return a recipe's configuration for a net, with the given fields changed; a change of None keeps the default.

    ``seanlinx`` trains as Seanlinx/mtcnn does: SGD with rate 0.01, momentum 0.9 and decay 1e-5, the rate divided by ten
    after epochs 8 and 14 of 16, batches of 128, both losses with weight 1, half the mean squared error.
    """
    if recipe not in RECIPES:
        raise ValueError(f"recipe must be one of {', '.join(RECIPES)}, but got {recipe!r}")
    changes = {name: value for name, value in changes.items() if value is not None}
    if recipe == "seanlinx":
        optimizer = optimizer or "sgd"
        values: dict[str, Any] = {
            "batch_size": 128,
            "lr": 0.01,
            "wd": 1e-5,
            "decay_all": True,
            "schedule": "step",
            "lr_steps": (8, 14),
            "warmup": 0,
            "loss": LossConfig(weights=(1.0, 1.0, 1.0), reduction="half_mean"),
            "augment": "mirror",
        }
    else:
        batch, rates = _DEFAULTS[net]
        optimizer = optimizer or next(iter(rates))
        lr, wd = rates[optimizer]
        loss = LossConfig(weights=(1.0, 0.5, 1.0 if net == "onet" else 0.5))
        values = {
            "batch_size": batch,
            "lr": lr,
            "wd": wd,
            "loss": loss,
            "augment": "mirror" if net == "pnet" else "full",
        }
    return TrainConfig(net=net, recipe=recipe, optimizer=optimizer, **{**values, **changes})
