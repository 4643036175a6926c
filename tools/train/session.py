"""The course of one training run: alone or as a worker of a job, from the start or from a checkpoint. Imports MXNet."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any, Optional

import numpy as np

from gluon_mtcnn.core.backend.runtime import mx
from gluon_mtcnn.core.backend.threads import threads
from gluon_mtcnn.core.distributed.heartbeat import Activity
from gluon_mtcnn.core.distributed.job import Cluster, in_job
from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.core.files.atomic import read_json, sha256, write_json
from gluon_mtcnn.core.nets.model_folder import CONFIG_NAME
from gluon_mtcnn.core.packs.pack import Pack
from gluon_mtcnn.core.training.checkpoint import (
    check_same_run,
    list_states,
    newest_state,
    pack_state,
    remove_abandoned,
    run_record_path,
    unpack_state,
)
from gluon_mtcnn.core.training.config import TrainConfig
from gluon_mtcnn.core.training.learner import Learner
from gluon_mtcnn.core.training.overfit_check import overfit
from gluon_mtcnn.core.training.trainer import Trainer
from gluon_mtcnn.tools.train.configure import make_loader, open_pack, set_up, validation_pack
from gluon_mtcnn.tools.train.options import TrainOptions
from gluon_mtcnn.tools.train.outputs import RunFiles
from gluon_mtcnn.tools.train.result import SanityResult, TrainResult

logger = logging.getLogger(__name__)


def run_session(options: TrainOptions, activity: Optional[Activity] = None) -> TrainResult:
    """Train as `tools.train.run.train` says, in a process whose threads are set."""
    if not in_job():
        return _train(options, None)
    job = Cluster(options.kvstore or "dist_sync", activity)
    try:
        result = _train(options, job)
    except BaseException:
        job.leave()
        raise
    job.close()
    return result


def learn_by_heart(options: TrainOptions) -> SanityResult:
    """Check as `tools.train.run.sanity` says, in a process whose threads are set."""
    if in_job():
        raise InputError("train --sanity: it is for one process, run it without launch")
    pack = open_pack(options.folders, "train", options.net, options.sizes)
    config, net, contexts = set_up(options, pack)
    figures = overfit(net, pack, config, contexts)
    own = {name: figures.pop(name) for name in ("samples", "steps", "passed")}
    return SanityResult(metrics=figures, **own)


def _train(options: TrainOptions, job: Optional[Cluster]) -> TrainResult:
    pack = open_pack(options.folders, "train", options.net, options.sizes)
    config, net, contexts = set_up(options, pack, job)
    logger.info("%s: %s; classes: %s", options.net, _describe(config), pack.class_counts())
    _check_mirror(pack, config)
    if job:
        job.check_same({**config.as_dict(), "training pack": pack.digest()})
    learner = Learner(net, config, contexts, job)
    if job and job.rank:
        return TrainResult(options.net, Path(options.out), _follow(job, learner, pack))
    validation, files = validation_pack(options, pack.size), RunFiles(options, net, config)
    trainer = Trainer(
        learner,
        make_loader(pack, config, True, (0, config.workers)),
        make_loader(validation, config, training=False) if validation else None,
        run_record_path(options.out, options.net).parent,
        _run_record(config, pack, validation),
        files.write_epoch,
        options.quiet,
        options.checkpoint_seconds,
    )
    _begin_or_resume(options, trainer)
    files.begin(trainer.epoch)
    trainer.train()
    return TrainResult.from_summary(Path(options.out), trainer.history, files.finish(trainer, pack))


def _follow(job: Cluster, learner: Learner, pack: Pack) -> list[dict[str, Any]]:
    """Train where worker 0 does, which alone needs to see the checkpoints; return the history."""
    trainer = Trainer(learner, make_loader(pack, learner.config, True, (job.rank, job.workers)))
    data = job.broadcast(b"")
    if data:
        trainer.restore(unpack_state(data, "the checkpoint of worker 0"))
    return trainer.train()


def _check_mirror(pack: Pack, config: TrainConfig) -> None:
    """Warn where landmark samples would be mirrored that the pack already holds with their mirror images."""
    if not config.landmarks or not config.mirror_landmarks or config.augment == "none":
        return
    for part in pack.parts:
        shift = part.manifest.get("metadata", {}).get("recipe", {}).get("landmark_shift", 0)
        if shift:
            logger.warning(
                "%s: made with --landmark-shift %g: give --no-landmark-mirror, or mirroring undoes it", part.path, shift
            )


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


def _begin_or_resume(options: TrainOptions, trainer: Trainer) -> None:
    """Start afresh, or go on from the newest checkpoint; refuse when anything differs from the run that left it."""
    path = run_record_path(options.out, options.net)
    for folder in (path.parent, Path(options.out)):
        remove_abandoned(folder)
    _drop_torn_net(Path(options.out), options.net)
    state = newest_state(path.parent) if options.resume else None
    if state is not None:
        check_same_run(path.parent, state.run, trainer.run)
    if trainer.learner.job:
        trainer.learner.job.broadcast(pack_state(state) if state else b"")
    if state is None:
        if options.resume:
            logger.warning("%s: no checkpoint to resume from: starting at the beginning", path.parent)
        for old in list_states(path.parent):
            old.unlink()
        write_json(path, trainer.run)
        return
    trainer.restore(state)
    if not (Path(options.out) / f"{options.net}.params").is_file():
        trainer.best = None
    logger.info("resuming at epoch %d, batch %d", state.epoch + 1, state.batch + 1)


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
