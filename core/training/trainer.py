"""The training loop: steps, validation after each epoch, checkpoints, and a stop when a loss is not finite."""

from __future__ import annotations

import logging
import math
import time
from collections import deque
from contextlib import closing
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any, Callable, Optional

import numpy as np
from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from gluon_mtcnn.core.backend.runtime import mx
from gluon_mtcnn.core.distributed.heartbeat import WORKING, Activity
from gluon_mtcnn.core.errors import NonFiniteLossError
from gluon_mtcnn.core.training.checkpoint import TrainState, save_state
from gluon_mtcnn.core.training.learner import Learner, Shard, split_batch
from gluon_mtcnn.core.training.loader import BatchLoader, prefetched
from gluon_mtcnn.core.training.loss import read_tally
from gluon_mtcnn.core.training.metrics import validation_metrics

logger = logging.getLogger(__name__)

CHECK_EVERY = 20  # steps between two checks of the losses; a check reads those that are certainly computed by then
CHECKPOINT_SECONDS = 60.0
PREFETCH = 2  # blocks of batches on the devices before their steps


class LossWatch:
    """Checks every loss, some steps later, so that no step waits for it.

    The host is at most two checks ahead of the devices, which bounds the queued work.
    """

    def __init__(self) -> None:
        self._pending: deque[tuple[int, int, float, Any]] = deque()
        self.last = math.nan

    def add(self, epoch: int, batch: int, lr: float, loss: Any) -> None:
        """Take a step's loss (1,), perhaps still being computed; NonFiniteLossError if an earlier one is not finite."""
        self._pending.append((epoch, batch, lr, loss))
        if len(self._pending) >= 2 * CHECK_EVERY:
            self._check(CHECK_EVERY)

    def drain(self) -> None:
        """Wait for all losses; NonFiniteLossError for the first that is not a finite number."""
        self._check(len(self._pending))

    def _check(self, count: int) -> None:
        steps = [self._pending.popleft() for _ in range(count)]
        if not steps:
            return
        for (epoch, batch, lr, _), value in zip(steps, mx.nd.concat(*(s[3] for s in steps), dim=0).asnumpy().tolist()):
            if not math.isfinite(value):
                raise NonFiniteLossError(
                    f"the loss became {value} at epoch {epoch + 1}, batch {batch + 1}, learning rate {lr:g}: "
                    "try a lower --lr"
                )
            self.last = value


@dataclass
class Trainer:
    """A training run: its data, its position and its results.

    Attributes
    ----------
    learner : Learner
    loader : BatchLoader
    validation : BatchLoader or None
        Without it the last epoch counts as the best.
    checkpoints : Path or None
        Folder for `core.training.checkpoint` files.
    run : dict
        What must be the same when the run is resumed; stored in checkpoints.
    on_epoch : callable
        ``on_epoch(history, improved)`` after each epoch and its validation.
    quiet : bool
        No progress bar.
    checkpoint_seconds : float
        Longest time between two checkpoints; there is one after each epoch in any case.
    epoch, batch : int
        The next step.
    history : list of dict
        A row for each finished epoch; None for a figure that does not exist.
    best : float or None
        Lowest `criterion` so far.
    seconds : float
        Time in training steps, with loading and without validation, the part before a resume included.
    samples, wall_seconds, cpu_seconds : int, float, float
        Samples that this process and the other workers of its job trained on, and its wall and processor time.
    """

    learner: Learner
    loader: BatchLoader
    validation: Optional[BatchLoader] = None
    checkpoints: Optional[Path] = None
    run: dict[str, Any] = field(default_factory=dict)
    on_epoch: Callable[[list[dict[str, Any]], bool], None] = lambda history, improved: None
    quiet: bool = True
    checkpoint_seconds: float = CHECKPOINT_SECONDS
    epoch: int = 0
    batch: int = 0
    history: list[dict[str, Any]] = field(default_factory=list)
    best: Optional[float] = None
    seconds: float = 0.0
    samples: int = 0
    wall_seconds: float = 0.0
    cpu_seconds: float = 0.0

    def __post_init__(self) -> None:
        self._watch = LossWatch()
        self._activity = self.learner.job.activity if self.learner.job else Activity()
        self._saved = time.monotonic()

    def train(self) -> list[dict[str, Any]]:
        """Train from the present position to the end; return the history."""
        self._activity.enter(WORKING)
        self.learner.synchronise()
        epochs, samples = self.learner.config.epochs, len(self.loader.order)
        done = self.epoch * samples + self.batch * self.loader.batch_size
        bar = tqdm(total=epochs * samples, initial=done, unit=" samples", unit_scale=True, disable=self.quiet)
        with bar, logging_redirect_tqdm():
            while self.epoch < epochs:
                bar.set_description(f"{self.learner.config.net} {self.epoch + 1}/{epochs}")
                before = (self.wall_seconds, self.samples)
                self.train_epoch(bar)
                self.finish_epoch((self.samples - before[1]) / (self.wall_seconds - before[0]))
        return self.history

    def train_epoch(self, bar: tqdm) -> None:
        """Take the steps that are left of this epoch."""
        wall, cpu = time.perf_counter(), time.process_time()
        blocks = self.loader.blocks(self.epoch, self.batch)
        with closing(prefetched((self.learner.place_block(*block) for block in blocks), PREFETCH)) as placed:
            for shards in chain.from_iterable(placed):
                self.train_step(shards)
                bar.update(self.loader.rows(self.batch - 1))
                if self.batch % CHECK_EVERY == 0 and not math.isnan(self._watch.last):
                    bar.set_postfix(loss=f"{self._watch.last:.4f}", refresh=False)
                if self.checkpoints and time.monotonic() - self._saved > self.checkpoint_seconds:
                    self.save()
        self._watch.drain()
        wall = time.perf_counter() - wall
        self.seconds, self.wall_seconds = self.seconds + wall, self.wall_seconds + wall
        self.cpu_seconds += time.process_time() - cpu

    def train_step(self, shards: list[Shard]) -> None:
        """Take one step with the next batch, which is already on the devices."""
        lr = self.learning_rate()
        loss = self.learner.step(shards, lr)
        self._watch.add(self.epoch, self.batch, lr, loss)
        self.samples += self.loader.rows(self.batch)
        self.batch += 1
        self._activity.step()

    def learning_rate(self) -> float:
        """Return the rate of the next step."""
        steps = self.loader.batches_per_epoch
        return self.learner.config.learning_rate(self.epoch * steps + self.batch, steps)

    def finish_epoch(self, rate: float) -> None:
        """Validate, write the epoch's row, tell `on_epoch`, save, and go to the next epoch; `rate` in samples/s."""
        numbers = range(self.loader.batches_per_epoch)
        self.learner.finish_epoch(self.loader.batch(self.epoch, number) for number in numbers)
        config = self.learner.config
        row = {"epoch": self.epoch + 1, "lr": self.learning_rate(), **self._training_figures()}
        if self.validation is not None:
            row.update({f"val_{name}": value for name, value in self.validate().items()})
        row.update({"samples_per_second": rate, "seconds": self.seconds})
        self.history = [*self.history, {name: _number(value) for name, value in row.items()}]
        improved = self._improved(row)
        logger.info("%s epoch %d/%d: %s", config.net, self.epoch + 1, config.epochs, _describe(row))
        self.epoch, self.batch = self.epoch + 1, 0
        self.learner.reset_tally()
        self.on_epoch(self.history, improved)
        if self.checkpoints:
            self.save()

    def _training_figures(self) -> dict[str, float]:
        figures = read_tally(self.learner.tally.asnumpy())
        names = ("log_loss", "box_loss", "landmark_loss")
        terms = [w * figures[name] for w, name in zip(self.learner.config.loss.weights, names)]
        loss = sum(term for term in terms if not math.isnan(term))
        return {"train_loss": loss, **{f"train_{name}": value for name, value in figures.items()}}

    def _improved(self, row: dict[str, Any]) -> bool:
        """Whether this is the best epoch so far: of lowest `criterion`, or the last one without validation."""
        loss = criterion(row)
        if loss is None:
            return True
        if not math.isfinite(loss):
            raise NonFiniteLossError(f"the validation loss became {loss} after epoch {row['epoch']}: try a lower --lr")
        if self.best is not None and loss >= self.best:
            return False
        self.best = loss
        return True

    def validate(self) -> dict[str, float]:
        """Return the net's present figures on the validation pack, and the mean of both accuracies."""
        metrics = validation_metrics(self.learner.config.loss)
        assert self.validation is not None
        for number, batch in enumerate(self.validation.epoch(0)):
            for shard in split_batch(batch, self.learner.contexts, landmarks=True):
                metrics.update([shard.label, *shard.targets], list(self.learner.forward(shard.data)))
            if number % CHECK_EVERY == 0:
                mx.nd.waitall()  # bounds what is queued
        figures = dict(zip(*metrics.get()))
        figures["mean_accuracy"] = (figures["accuracy_positive"] + figures["accuracy_negative"]) / 2
        calibrated = figures.pop("calibrated_log_loss")
        surplus = 0.0 if math.isnan(calibrated) else figures["log_loss"] - calibrated
        figures["calibrated_loss"] = figures["loss"] - self.learner.config.loss.weights[0] * surplus
        return figures

    def save(self) -> None:
        """Write a checkpoint, or raise NonFiniteLossError if a loss is not finite."""
        assert self.checkpoints is not None
        self._watch.drain()
        arrays, updates = self.learner.state()
        bad = [name for name, array in arrays.items() if not np.isfinite(array).all()]
        if bad:
            place = f"epoch {self.epoch + 1}, batch {self.batch}, learning rate {self.learning_rate():g}"
            raise NonFiniteLossError(f"{bad[0]} is no longer finite before {place}: try a lower --lr")
        position = (self.epoch, self.batch, self.run, arrays, updates, self.history, self.best, self.seconds)
        save_state(self.checkpoints, TrainState(*position), self.epoch * self.loader.batches_per_epoch + self.batch)
        self._saved = time.monotonic()

    def restore(self, state: TrainState) -> None:
        """Go on from a checkpoint."""
        self.learner.load_state(state.arrays, state.updates)
        self.epoch, self.batch, self.history = state.epoch, state.batch, state.history
        self.best, self.seconds = state.best, state.seconds


def criterion(row: dict[str, Any]) -> Optional[float]:
    """Return the figure by which the best epoch is chosen, the lower the better; None without validation.

    Rows of older versions have only the uncalibrated validation loss.
    """
    return row.get("val_calibrated_loss", row.get("val_loss"))


def _number(value: float) -> Optional[float]:
    """Return a figure for JSON: None for nan."""
    return None if isinstance(value, float) and math.isnan(value) else value


def _describe(row: dict[str, Any]) -> str:
    validated = ("loss", "calibrated_loss", "mean_accuracy", "recall_at_precision", "box_error", "landmark_error")
    names = ["train_loss", *(f"val_{name}" for name in validated)]
    figures = [f"{name} {row[name]:.4f}" for name in names if not math.isnan(row.get(name, math.nan))]
    return ", ".join([*figures, f"{row['samples_per_second']:.0f} samples/s"])
