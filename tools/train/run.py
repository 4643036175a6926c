"""One training run, from the options of ``gluon-mtcnn train`` to the files in --out. Imports MXNet."""

from __future__ import annotations

import argparse
import json
import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Optional

import numpy as np

from gluon_mtcnn.core.backend.runtime import devices, mx, seed_everything
from gluon_mtcnn.core.backend.threads import threads
from gluon_mtcnn.core.convert.export import check_seanlinx
from gluon_mtcnn.core.distributed.job import Cluster, in_job
from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.core.files.atomic import PathLike, read_json, sha256, write_json
from gluon_mtcnn.core.nets.batch_norm import attach
from gluon_mtcnn.core.nets.initialise import fresh_net, pretrained_net
from gluon_mtcnn.core.nets.model_folder import CONFIG_NAME
from gluon_mtcnn.core.nets.mtcnn import Net
from gluon_mtcnn.core.packs.concat import open_packs
from gluon_mtcnn.core.packs.pack import Pack, rec_path
from gluon_mtcnn.core.training.augment import AugmentSpec
from gluon_mtcnn.core.training.checkpoint import (
    check_same_run,
    list_states,
    newest_state,
    pack_state,
    remove_abandoned,
    run_record_path,
    unpack_state,
)
from gluon_mtcnn.core.training.config import TrainConfig, default_config
from gluon_mtcnn.core.training.learner import Learner
from gluon_mtcnn.core.training.loader import BatchLoader
from gluon_mtcnn.core.training.overfit_check import overfit
from gluon_mtcnn.core.training.trainer import Trainer
from gluon_mtcnn.core.types import CELL_STRIDE, INPUT_SIZE, LANDMARK, NEGATIVE, PART, POSITIVE
from gluon_mtcnn.tools.train.outputs import RunFiles

logger = logging.getLogger(__name__)


def train(args: argparse.Namespace) -> int:
    """Train one net and leave its files in --out; in a job worker 0 does that, the others only take their share."""
    if not in_job():
        return _train(args, None)
    job = Cluster(args.kvstore or "dist_sync")
    try:
        code = _train(args, job)
    except BaseException:
        job.leave()
        raise
    job.close()
    return code


def _train(args: argparse.Namespace, job: Optional[Cluster]) -> int:
    pack = _open_pack(args.data, "train", args.net, _sizes(args))
    config, net, contexts = _setup(args, pack, job)
    logger.info("%s: %s; classes: %s", args.net, _describe(config), pack.class_counts())
    _check_mirror(pack, config)
    if job:
        job.check_same({**config.as_dict(), "training pack": pack.digest()})
    learner = Learner(net, config, contexts, job)
    if job and job.rank:
        trainer = Trainer(learner, make_loader(pack, config, True, (job.rank, job.workers)))
        _follow(job, trainer)
        trainer.train()
        return 0
    validation, files = _validation_pack(args, pack.size), RunFiles(args, net, config)
    trainer = Trainer(
        learner,
        make_loader(pack, config, True, (0, config.workers)),
        make_loader(validation, config, training=False) if validation else None,
        run_record_path(args.out, args.net).parent,
        _run_record(config, pack, validation),
        files.write_epoch,
        args.quiet,
        args.checkpoint_seconds,
    )
    _begin_or_resume(args, trainer)
    files.begin(trainer.epoch)
    trainer.train()
    files.finish(trainer, pack)
    return 0


def sanity(args: argparse.Namespace) -> int:
    """Print as JSON how well 20 samples were learnt by heart; 1 when not well enough."""
    if in_job():
        raise InputError("train --sanity: it is for one process, run it without launch")
    pack = _open_pack(args.data, "train", args.net, _sizes(args))
    config, net, contexts = _setup(args, pack)
    result = overfit(net, pack, config, contexts)
    print(json.dumps({name: None if value != value else value for name, value in result.items()}))
    return 0 if result["passed"] else 1


def _check_mirror(pack: Pack, config: TrainConfig) -> None:
    """Warn when landmark samples would be mirrored whose points are no mirror images of each other."""
    if not config.landmarks or not config.mirror_landmarks or config.augment == "none":
        return
    for part in pack.parts:
        shift = part.manifest.get("metadata", {}).get("recipe", {}).get("landmark_shift", 0)
        if shift:
            logger.warning(
                "%s: made with --landmark-shift %g: give --no-landmark-mirror, or mirroring undoes it", part.path, shift
            )


def make_config(args: argparse.Namespace, landmarks: bool, devices: int, job: Optional[Cluster] = None) -> TrainConfig:
    """Return the run's configuration: the recipe's, with what the options change.

    Raises
    ------
    InputError
        A value is out of range.
    """
    asynchronous = job is not None and job.asynchronous
    if asynchronous and args.ohem_scope == "global":
        raise InputError("train: --ohem-scope global needs workers that step together: use --kvstore dist_sync")
    config = default_config(
        args.net,
        args.recipe,
        args.optimizer,
        landmarks=landmarks,
        epochs=args.epochs,
        batch_size=args.batch_size,
        lr=args.lr,
        wd=args.wd,
        schedule=args.schedule,
        warmup=args.warmup,
        augment=args.augment,
        mirror_landmarks=args.mirror_landmarks,
        turn=args.turn,
        erase=args.erase,
        batch_norm=args.batch_norm,
        ratio=args.ratio,
        epoch_size=args.epoch_size,
        devices=devices,
        workers=job.workers if job else None,
        kvstore=args.kvstore or ("dist_sync" if job else None),
        ohem_scope="local" if asynchronous else args.ohem_scope,
        amp="float16" if args.amp else None,
        freeze=args.freeze,
        pretrained=sha256(Path(args.pretrained) / f"{args.net}.params") if args.pretrained else None,
        seed=args.seed,
    )
    changes = {"weights": args.loss_weights, "ohem": args.ohem, "regression": args.regression}
    try:
        loss = replace(config.loss, **{name: value for name, value in changes.items() if value is not None})
    except ValueError as error:
        raise InputError(f"train: {error}") from None
    return replace(config, loss=loss)


def _sizes(args: argparse.Namespace) -> tuple[int, ...]:
    """Return the sides of images that the net may learn from: a P-Net's cell follows from its pack."""
    if args.net != "pnet":
        if args.cell is not None:
            raise InputError(f"train {args.net}: expected no --cell: only P-Nets look at cells")
        return (INPUT_SIZE[args.net],)
    return tuple(CELL_STRIDE) if args.cell is None else (args.cell,)


def _open_pack(folders: Sequence[PathLike], set_name: str, net: str, sizes: tuple[int, ...]) -> Pack:
    pack = open_packs(folders, set_name)
    if len(pack) == 0:
        raise InputError(f"{pack.path}: expected samples, got an empty pack")
    if pack.size not in sizes:
        raise InputError(f"{pack.path}: {net} needs images of {' or '.join(map(str, sizes))} px, got {pack.size} px")
    return pack


def _validation_pack(args: argparse.Namespace, size: int) -> Optional[Pack]:
    if args.val_data:
        return _open_pack([args.val_data], "train", args.net, (size,))
    folders = [folder for folder in args.data if rec_path(folder, "val").is_file()]
    if folders:
        return _open_pack(folders, "val", args.net, (size,))
    where = ", ".join(args.data)
    logger.warning("%s has no val.rec and there is no --val-data: the last epoch will count as the best", where)
    return None


def _has_landmarks(asked: Optional[bool], pack: Pack) -> bool:
    there = pack.class_counts()["landmark"] > 0
    if asked and not there:
        raise InputError(f"{pack.path}: --landmarks needs landmark samples (label -2), got none")
    return there if asked is None else asked


def _setup(args: argparse.Namespace, pack: Pack, job: Optional[Cluster] = None) -> tuple[TrainConfig, Net, list[Any]]:
    contexts = devices(args.devices)
    landmarks = _has_landmarks(args.landmarks, pack)
    if args.pretrained:
        net = pretrained_net(args.pretrained, args.net, landmarks, args.seed)
        if net.spec.size != pack.size:
            sizes = f"{net.spec.size} px, but {pack.path} has images of {pack.size} px"
            raise InputError(f"{args.pretrained}: its {args.net} looks at {sizes}")
    else:
        cell = pack.size if args.net == "pnet" else INPUT_SIZE["pnet"]
        net = fresh_net(args.net, landmarks, args.recipe, args.seed, cell)
    if args.seanlinx_checkpoints:
        check_seanlinx(net, args.seanlinx_checkpoints)
    seed_everything(args.seed)
    config = make_config(args, landmarks, len(contexts), job)
    if config.batch_norm:
        attach(net, _first_pixels(pack, config) if config.pretrained else None)
    return config, net, contexts


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


def _run_record(config: TrainConfig, pack: Pack, validation: Optional[Pack]) -> dict[str, Any]:
    """Return what decides the weights to the last bit, as far as it can be known; a resumed run must have the same."""
    return {
        "config": config.as_dict(),
        "train_pack": pack.digest(),
        "val_pack": validation.digest() if validation else None,
        "threads": threads(),
        "versions": {"mxnet": mx.__version__, "numpy": np.__version__},
    }


def _describe(config: TrainConfig) -> str:
    return (
        f"{config.epochs} epochs, batch {config.batch_size}, {config.optimizer} {config.lr:g}, decay {config.wd:g}, "
        f"recipe {config.recipe}, {config.workers} worker(s), {config.devices} device(s), {threads()} thread(s), "
        f"seed {config.seed}"
    )


def _begin_or_resume(args: argparse.Namespace, trainer: Trainer) -> None:
    """Start afresh, or go on from the newest checkpoint; refuse when anything differs from the run that left it."""
    path = run_record_path(args.out, args.net)
    for folder in (path.parent, Path(args.out)):
        remove_abandoned(folder)
    _drop_torn_net(Path(args.out), args.net)
    state = newest_state(path.parent) if args.resume else None
    if state is not None:
        check_same_run(path.parent, state.run, trainer.run)
    if trainer.learner.job:
        trainer.learner.job.broadcast(pack_state(state) if state else b"")
    if state is None:
        if args.resume:
            logger.warning("%s: no checkpoint to resume from: starting at the beginning", path.parent)
        for old in list_states(path.parent):
            old.unlink()
        write_json(path, trainer.run)
        return
    trainer.restore(state)
    if not (Path(args.out) / f"{args.net}.params").is_file():
        trainer.best = None
    logger.info("resuming at epoch %d, batch %d", state.epoch + 1, state.batch + 1)


def _follow(job: Cluster, trainer: Trainer) -> None:
    """Begin where worker 0 begins; only worker 0 needs to see the checkpoints."""
    data = job.broadcast(b"")
    if data:
        trainer.restore(unpack_state(data, "the checkpoint of worker 0"))


def _drop_torn_net(out: Path, kind: str) -> None:
    """Forget a net in model.json whose weights are newer: a kill came before its entry was written."""
    config, params = out / CONFIG_NAME, out / f"{kind}.params"
    if not config.is_file():
        return
    value = read_json(config)
    entry = value.get("nets", {}).get(kind)
    if entry and not (params.is_file() and sha256(params) == entry.get("sha256")):
        del value["nets"][kind]
        write_json(config, value)
        params.unlink(missing_ok=True)
