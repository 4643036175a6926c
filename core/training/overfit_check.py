"""The check before a long run: whether the net can overfit twenty samples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from gluon_mtcnn.core.nets.mtcnn import Net
from gluon_mtcnn.core.ops.image import planar
from gluon_mtcnn.core.packs.pack import Pack
from gluon_mtcnn.core.training.config import TrainConfig
from gluon_mtcnn.core.training.learner import Learner, split_batch
from gluon_mtcnn.core.training.loader import Batch, split_rows
from gluon_mtcnn.core.training.metrics import validation_metrics

SAMPLES = 20
STEPS = 600
LR = 0.003
LIMITS = {"log_loss": 0.05, "box_error": 0.02, "landmark_error": 0.02}


def sample_batch(pack: Pack, count: int = SAMPLES) -> Batch:
    """Return the first samples of each class in turn, `count` in all or as many as there are."""
    labels = pack.labels()
    by_class = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    place = np.concatenate([np.arange(len(members)) for members in by_class])
    records = np.concatenate(by_class)[np.argsort(place, kind="stable")][:count]
    images, rows = pack.read(records)
    return Batch(planar(images), *split_rows(rows), records)


def overfit(net: Net, pack: Pack, config: TrainConfig, contexts: Sequence[Any], steps: int = STEPS) -> dict[str, Any]:
    """Train a net on one small batch, without mining or weight decay, and measure the error that is left on it.

    Returns
    -------
    dict
        ``samples``, ``steps``, the metrics, and ``passed``: whether each metric in `LIMITS` is below its limit. A nan
        is not compared.
    """
    batch = sample_batch(pack)
    loss = replace(config.loss, ohem=1.0)
    learner = Learner(net, replace(config, loss=loss, optimizer="adamw", wd=0.0, batch_size=len(batch.label)), contexts)
    for step in range(steps):
        learner.step(learner.place(batch), LR * min(1.0, 2 * (1 - step / steps)))
    learner.finish_epoch([batch])
    metrics = validation_metrics(loss)
    for shard in split_batch(batch, learner.contexts, landmarks=True):
        metrics.update([shard.label, *shard.targets], list(learner.forward(shard.data)))
    figures = dict(zip(*metrics.get()))
    passed = np.isfinite(figures["loss"]) and not any(figures[name] > limit for name, limit in LIMITS.items())
    return {"samples": len(batch.label), "steps": steps, **figures, "passed": bool(passed)}
