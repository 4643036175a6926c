"""Shift a net's scores by a constant in the logit, so that its threshold becomes a customary value such as 0.6.

A net that was trained on hard negatives gives low scores. A constant that is added to the face's logit changes all
scores and keeps their order: the boxes that passed the old threshold pass the new one.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Optional

import numpy as np

from gluon_mtcnn.core.detection.engine_base import log_odds
from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.core.files.atomic import PathLike, replacing
from gluon_mtcnn.core.nets.model_folder import (
    Model,
    load_model,
    save_net,
    say_dropped,
    write_presets,
    write_thresholds,
)
from gluon_mtcnn.core.nets.weights import AnyNet, NetWeights
from gluon_mtcnn.core.types import NETS

FACE = 1  # index of its logit
COMPANIONS = ("history.csv", "history.png", "summary.json")  # copied with the weights into another folder


def logit_shift(threshold: float, target: float) -> float:
    """Return the constant that turns a score of `threshold` into `target` when it is added to the face's logit.

    Raises
    ------
    InputError
        One of them is not between 0 and 1: no finite constant exists.
    """
    if not (0 < threshold < 1 and 0 < target < 1):
        raise InputError(f"threshold {threshold:g} cannot be moved to {target:g}: both must lie between 0 and 1")
    return log_odds(target) - log_odds(threshold)


def shift_scores(net: AnyNet, shift: float) -> NetWeights:
    """Return a net with a constant added to the face's logit."""
    weights = net.weights()
    bias = weights.arrays["face_head.bias"].astype(np.float64)
    bias[FACE] += shift
    return NetWeights(weights.spec, {**weights.arrays, "face_head.bias": bias.astype(np.float32)})


def write_model(
    source: PathLike,
    thresholds: tuple[float, ...],
    targets: Optional[tuple[float, ...]] = None,
    kinds: tuple[str, ...] = NETS,
    folder: Optional[PathLike] = None,
) -> tuple[float, ...]:
    """Write a model with these thresholds, or with scores shifted so that the thresholds become the targets.

    Presets stay if no score is moved, a preset "default" with the new thresholds.

    Parameters
    ----------
    source : a model folder
    thresholds : three floats
    targets : three floats, optional
        The values that the thresholds of `kinds` become.
    kinds : nets whose scores are shifted, if the model has them
    folder : path, optional
        Where a copy of the model with its history and summary is written; nets that are there are replaced. Default:
        the model itself is changed.

    Returns
    -------
    three floats
        The thresholds that were written.
    """
    if targets is None and folder is None:
        write_thresholds(source, thresholds)
        return thresholds
    model = load_model(source)
    target_of = dict(zip(NETS, targets)) if targets else {}
    moved = {kind: (t, target_of[kind]) for kind, t in zip(NETS, thresholds) if kind in kinds and kind in target_of}
    moved = {kind: pair for kind, pair in moved.items() if kind in model.nets}
    shifts = {kind: logit_shift(*pair) for kind, pair in moved.items()}  # if one is impossible nothing is written
    if folder is not None:
        _clear(Path(folder))
    for kind in model.nets:
        net, origin = model.weights(kind), model.origin[kind]
        if kind in shifts:
            net = shift_scores(net, shifts[kind])
            note = {"threshold": moved[kind][0], "became": moved[kind][1], "logit_shift": shifts[kind]}
            origin = {**origin, "score_shift": note}
        if kind in shifts or folder is not None:
            save_net(folder or source, net, origin, calibration=model.calibration)
    if folder is not None and model.presets:
        if shifts:
            say_dropped(model.presets, folder)
        else:
            write_presets(folder, model.presets)
    written = tuple(moved[kind][1] if kind in moved else t for kind, t in zip(NETS, thresholds))
    write_thresholds(folder or source, written)
    if folder is not None:
        _copy_companions(model, Path(folder))
    return written


def _clear(folder: Path) -> None:
    for name in ("model.json", *(f"{kind}.params" for kind in NETS)):
        (folder / name).unlink(missing_ok=True)


def _copy_companions(model: Model, folder: Path) -> None:
    for name in COMPANIONS:
        if (Path(model.path) / name).is_file():
            with replacing(folder / name) as temporary:
                shutil.copyfile(Path(model.path) / name, temporary)
