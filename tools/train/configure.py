"""From the options of a training run to its packs, configuration, net and batches. Imports MXNet."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Optional

from gluon_mtcnn.core.backend.runtime import devices, mx, seed_everything
from gluon_mtcnn.core.convert.export import check_seanlinx
from gluon_mtcnn.core.distributed.job import Cluster
from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.core.files.atomic import PathLike, sha256
from gluon_mtcnn.core.nets.batch_norm import attach
from gluon_mtcnn.core.nets.initialise import fresh_net, pretrained_net
from gluon_mtcnn.core.nets.mtcnn import Net
from gluon_mtcnn.core.packs.concat import open_packs
from gluon_mtcnn.core.packs.pack import Pack, rec_path
from gluon_mtcnn.core.training.augment import AugmentSpec
from gluon_mtcnn.core.training.config import TrainConfig, default_config
from gluon_mtcnn.core.training.loader import BatchLoader
from gluon_mtcnn.core.types import INPUT_SIZE, LANDMARK, NEGATIVE, PART, POSITIVE
from gluon_mtcnn.tools.train.options import TrainOptions

logger = logging.getLogger(__name__)


def open_pack(folders: Sequence[PathLike], set_name: str, net: str, sizes: Sequence[int]) -> Pack:
    """Open packs of one set as one pack.

    Raises
    ------
    InputError
        There is none, it is empty, or the net needs images of other sizes.
    """
    pack = open_packs(folders, set_name)
    if len(pack) == 0:
        raise InputError(f"{pack.path}: expected samples, got an empty pack")
    if pack.size not in sizes:
        raise InputError(f"{pack.path}: {net} needs images of {' or '.join(map(str, sizes))} px, got {pack.size} px")
    return pack


def validation_pack(options: TrainOptions, size: int) -> Optional[Pack]:
    """Return the pack to validate on, with images of a side in pixels; None and a warning where there is none."""
    if options.val_data:
        return open_pack([options.val_data], "train", options.net, (size,))
    folders = [folder for folder in options.folders if rec_path(folder, "val").is_file()]
    if folders:
        return open_pack(folders, "val", options.net, (size,))
    where = ", ".join(map(str, options.folders))
    logger.warning("%s has no val.rec and there is no --val-data: the last epoch will count as the best", where)
    return None


def set_up(options: TrainOptions, pack: Pack, job: Optional[Cluster] = None) -> tuple[TrainConfig, Net, list[Any]]:
    """Return the configuration of a run, its net with initial weights, and its devices.

    Raises
    ------
    InputError
        An option is out of range, or net, pack and pretrained weights do not fit each other.
    """
    contexts = devices(options.devices)
    landmarks = _has_landmarks(options.landmarks, pack)
    net = _first_net(options, pack, landmarks)
    if options.seanlinx_checkpoints:
        check_seanlinx(net, options.seanlinx_checkpoints)
    seed_everything(options.seed)
    config = make_config(options, landmarks, len(contexts), job)
    if config.batch_norm:
        attach(net, _first_pixels(pack, config) if config.pretrained else None)
    return config, net, contexts


def _first_net(options: TrainOptions, pack: Pack, landmarks: bool) -> Net:
    if not options.pretrained:
        cell = pack.size if options.net == "pnet" else INPUT_SIZE["pnet"]
        return fresh_net(options.net, landmarks, options.recipe, options.seed, cell)
    net = pretrained_net(options.pretrained, options.net, landmarks, options.seed)
    if net.spec.size != pack.size:
        sizes = f"{net.spec.size} px, but {pack.path} has images of {pack.size} px"
        raise InputError(f"{options.pretrained}: its {options.net} looks at {sizes}")
    return net


def _has_landmarks(asked: Optional[bool], pack: Pack) -> bool:
    there = pack.class_counts()["landmark"] > 0
    if asked and not there:
        raise InputError(f"{pack.path}: --landmarks needs landmark samples (label -2), got none")
    return there if asked is None else asked


def make_config(options: TrainOptions, landmarks: bool, devices: int, job: Optional[Cluster] = None) -> TrainConfig:
    """Return the configuration of a run: that of the recipe, with what the options change.

    Parameters
    ----------
    options : TrainOptions
    landmarks : bool
        Whether the net has a landmark head.
    devices : int
        Number of devices of this process.
    job : Cluster, optional

    Raises
    ------
    InputError
        A value is out of range.
    """
    asynchronous = job is not None and job.asynchronous
    if asynchronous and options.ohem_scope == "global":
        raise InputError("train: --ohem-scope global needs workers that step together: use --kvstore dist_sync")
    start = options.pretrained and sha256(Path(options.pretrained) / f"{options.net}.params")
    config = default_config(
        **options.config_changes(),
        landmarks=landmarks,
        devices=devices,
        workers=job.workers if job else None,
        kvstore=options.kvstore or ("dist_sync" if job else None),
        ohem_scope="local" if asynchronous else options.ohem_scope,
        amp="float16" if options.amp else None,
        pretrained=start or None,
    )
    try:
        return replace(config, loss=replace(config.loss, **options.loss_changes()))
    except ValueError as error:
        raise InputError(f"train: {error}") from None


def make_loader(pack: Pack, config: TrainConfig, training: bool, shard: tuple[int, int] = (0, 1)) -> BatchLoader:
    """Return the batches of a training pack as configured, or of a validation pack: in order and unchanged."""
    if not training:
        return BatchLoader(pack, config.batch_size, stratified=False, shuffle=False)
    labels = (POSITIVE, NEGATIVE, PART, LANDMARK)
    ratio = {label: weight for label, weight in zip(labels, config.ratio) if weight} or None
    full = AugmentSpec(mirror_landmarks=config.mirror_landmarks, turn=config.turn, erase=config.erase)
    mirror = replace(full, blur=0, grey=0, gain=0, offset=0, channel=0)
    specs = {
        "none": replace(mirror, mirror=0) if full.changes_shape else None,
        "mirror": mirror,
        "full": full,
        "strong": replace(full, coarse=0.3),
    }
    return BatchLoader(
        pack,
        config.batch_size,
        seed=config.seed,
        stratified=config.recipe != "seanlinx" or ratio is not None,
        ratio=ratio,
        augment=specs[config.augment],
        shard=shard,
        epoch_size=config.epoch_size,
    )


def _first_pixels(pack: Pack, config: TrainConfig) -> Any:
    """Return the images of a run's first batch (n, 3, S, S) uint8, on the CPU."""
    return mx.nd.array(make_loader(pack, config, training=True).batch(0, 0).data, dtype="uint8")
