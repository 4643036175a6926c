"""A net in training on one or several devices: one step, and the state that a checkpoint needs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from itertools import islice
from typing import Any, NamedTuple, Optional

import numpy as np

from gluon_mtcnn.core.backend.runtime import mx
from gluon_mtcnn.core.distributed.collectives import Flat, GlobalKeys, SharedGradients, SharedWeights
from gluon_mtcnn.core.distributed.job import Cluster
from gluon_mtcnn.core.distributed.kvstores import DIST_KVSTORES
from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.core.nets import batch_norm
from gluon_mtcnn.core.nets.mtcnn import Net, clamp_slopes, flush_denormals, prepare_for_training
from gluon_mtcnn.core.training import optimizer
from gluon_mtcnn.core.training.amp import LossScale, check_devices
from gluon_mtcnn.core.training.config import TrainConfig
from gluon_mtcnn.core.training.loader import Batch
from gluon_mtcnn.core.training.loss import TALLY, RowWeights
from gluon_mtcnn.core.training.row_errors import RowLosses

KVSTORES = ("local", "device", "nccl")
NO_LABEL = -3  # of rows that only fill a device's share
_OPTIMIZERS = {"sgd": ("sgd", {"momentum": 0.9}), "adamw": (optimizer.AdamW.__name__.lower(), {})}


class Shard(NamedTuple):
    """The part of a `Batch` that lies on one device; `targets` are offsets and, where asked for, landmarks."""

    data: Any
    label: Any
    targets: tuple[Any, ...]


def split_batch(batch: Batch, contexts: Sequence[Any], landmarks: bool) -> list[Shard]:
    """Copy a batch to the devices, in equal shares to within a row.

    A share without rows would leave its device without a gradient, so it gets one row that counts for nothing.
    """
    fields = (batch.data, batch.label, batch.bbox_target, batch.landmark_target)[: 4 if landmarks else 3]
    missing = len(contexts) - len(batch.label)
    if missing > 0:
        fields = tuple(np.concatenate([f, np.zeros((missing, *f.shape[1:]), f.dtype)]) for f in fields)
        fields[1][-missing:] = NO_LABEL
    shares = [np.array_split(f, len(contexts)) for f in fields]
    on_device = [[_copy_to(part, context) for part in parts] for context, *parts in zip(contexts, *shares)]
    return [Shard(data, label, tuple(targets)) for data, label, *targets in on_device]


def _rows(shard: Shard, start: int, stop: int) -> Shard:
    """Return rows of a shard, in the same memory."""
    return Shard(shard.data[start:stop], shard.label[start:stop], tuple(part[start:stop] for part in shard.targets))


def _copy_to(array: np.ndarray, context: Any) -> Any:
    """Return an array on a device, of the same type; mx.nd.array takes five times as long for a batch's labels."""
    copy = mx.nd.empty(array.shape, context, array.dtype)
    copy._sync_copyfrom(array)
    return copy


class Learner:
    """A net, its loss and its optimizer.

    Parameters
    ----------
    net : Net with parameters
        Trained in place; moved to `contexts`.
    config : TrainConfig
    contexts : list of Context
    job : Cluster, optional
        The workers that take each step together; required by the kvstores called dist_*.
    """

    def __init__(self, net: Net, config: TrainConfig, contexts: Sequence[Any], job: Optional[Cluster] = None) -> None:
        self.net, self.config, self.contexts, self.job = net, config, list(contexts), job
        net.collect_params().reset_ctx(self.contexts)
        self.parameters = net._collect_params_with_prefix()
        trainable = _set_multipliers(self.parameters, config)
        prepare_for_training(net)
        check_devices(config.amp, self.contexts)
        self.rows = RowLosses(net, config.loss, config.amp)
        # With a static shape an operator keeps its scratch buffer. Else it takes the next one at every call, until all
        # have grown to the largest: of two O-Nets that was 4.5 GB, and clearing them took the time of a second device.
        self.rows.hybridize(static_alloc=True, static_shape=True)
        self._scale = LossScale() if config.amp else None
        self.weigh = RowWeights(
            config.loss, net.spec.landmarks, self.contexts, config.batch_size, **self._loss_over_workers()
        )
        name, options = _OPTIMIZERS[config.optimizer]
        self._trainer = mx.gluon.Trainer(
            trainable,
            name,
            {"learning_rate": config.lr, "wd": config.wd, **options},
            kvstore=check_kvstore(config.kvstore, self.contexts, job),
            update_on_kvstore=False,
        )
        self._gradients: Optional[SharedGradients] = None
        self._weights: Optional[SharedWeights] = None
        if job and not job.asynchronous:
            self._gradients = SharedGradients(job, self._by_device("list_grad"), 1 + 2 * len(TALLY))
        # As many parameters in one operator as it takes: on one core a P-Net step is 20 ms, and each call costs 0.1 ms.
        self._trainer.optimizer.aggregate_num = optimizer.AGGREGATE
        self.reset_tally()

    def _loss_over_workers(self) -> dict[str, Any]:
        """Return how the loss gets the counts, and for global mining the losses, of the other workers."""
        job = self.job
        if job is None or job.asynchronous:
            return {}
        key = job.new_key(len(self.config.loss.weights))

        def reduce_counts(counts: Any) -> Any:
            job.sum(key, [counts])
            return counts

        if self.config.ohem_scope == "local":
            return {"reduce_counts": reduce_counts}
        rows = -(-self.config.batch_size // job.workers) + len(self.contexts)
        return {"reduce_counts": reduce_counts, "gather_keys": GlobalKeys(job, rows, self.contexts[0])}

    def _by_device(self, what: str) -> list[list[Any]]:
        """Return the trained parameters' arrays, those of one device after another."""
        return [list(arrays) for arrays in zip(*(getattr(p, what)() for p in self._trainer._params))]

    def synchronise(self) -> None:
        """Take worker 0's weights; before the first step of a job, and after `load_state`."""
        if self.job and self.job.asynchronous:
            self._weights = SharedWeights(self.job, self._by_device("list_data"))
        elif self.job:
            flats = [Flat(arrays) for arrays in self._by_device("list_data")]
            weights = [flat.join() * float(self.job.rank == 0 and flat is flats[0]) for flat in flats]
            self.job.sum(self.job.new_key(flats[0].size), weights)
            for flat, vector in zip(flats, weights):
                flat.spread(vector)

    def place(self, batch: Batch) -> list[Shard]:
        """Copy a batch to the devices for `step`; best called from another thread, as it waits for what is queued."""
        return split_batch(batch, self.contexts, self.net.spec.landmarks)

    def place_block(self, block: Batch, sizes: Sequence[int]) -> list[list[Shard]]:
        """Copy several batches at once (`BatchLoader.blocks`); return what `place` returns for each of them."""
        if len(self.contexts) > 1 or min(sizes) == 0:
            return [self.place(batch) for batch in block.parts(sizes)]
        (whole,) = self.place(block)
        ends = np.cumsum(sizes).tolist()
        return [[_rows(whole, end - size, end)] for size, end in zip(sizes, ends)]

    def step(self, shards: Sequence[Shard], lr: float) -> Any:
        """Take one step; return the loss (1,), which is still being computed."""
        with mx.autograd.record():
            losses = [self.rows(s.data, s.label, *s.targets) for s in shards]
        weights, loss, tally = self.weigh([s.label for s in shards], losses)
        scale = self._scale.value if self._scale else 1.0
        mx.autograd.backward(losses, head_grads=[w * scale for w in weights] if self._scale else weights)
        if self._gradients:
            figures = self._gradients(mx.nd.concat(loss, tally, dim=0))
            loss, tally = figures[:1], figures[1:]
        else:
            self._trainer.allreduce_grads()
        if self._scale is None or self._scale.check(self._by_device("list_grad")[0]):
            self._trainer.set_learning_rate(lr)
            self._trainer.update(scale)
        clamp_slopes(self.net)
        if self._weights:
            self._weights()
            clamp_slopes(self.net)
        self.tally += tally
        return loss

    def finish_epoch(self, batches: Iterable[Batch] = ()) -> None:
        """Bring asynchronous workers together, clean the weights, and measure what normalisations need.

        `batches` are the epoch's, of which the latter takes the first few; a net without normalisations needs none.
        """
        if self.job and self._weights:
            self.reset_tally(self.job.sum_once(self.tally.asnumpy()))
            self._weights.take()
            clamp_slopes(self.net)
        flush_denormals(self.net)
        if self.config.batch_norm:
            first = islice(batches, batch_norm.MEASURED)
            batch_norm.measure(self.net, (_copy_to(batch.data, self.contexts[0]) for batch in first))

    def forward(self, data: Any) -> tuple[Any, ...]:
        """Return the net's outputs for pixels (n, 3, S, S) uint8 on one of the devices."""
        return self.rows.from_pixels(data)

    def reset_tally(self, values: Optional[np.ndarray] = None) -> None:
        """Set the running sums of an epoch (`core.training.loss.TALLY`), to zero if not told otherwise."""
        zeros = np.zeros(2 * len(TALLY), np.float32)
        self.tally = mx.nd.array(zeros if values is None else values, self.contexts[0])

    def state(self) -> tuple[dict[str, np.ndarray], dict[str, int]]:
        """Return all arrays of a checkpoint and each parameter's number of updates; waits for the step to end."""
        arrays = {f"weight/{name}": p.data(self.contexts[0]).asnumpy() for name, p in self.parameters.items()}
        for index, state in self._trainer._updaters[0].states.items():
            for part, array in enumerate(_parts(state)):
                arrays[f"state/{index}/{part}"] = array.asnumpy()
        arrays["tally"] = self.tally.asnumpy()
        if self._scale:
            arrays["loss_scale"] = self._scale.state()
        counts = self._trainer.optimizer._all_index_update_counts.get(self.contexts[0].device_id, {})
        return arrays, {str(index): count for index, count in counts.items()}

    def load_state(self, arrays: dict[str, np.ndarray], updates: dict[str, int]) -> None:
        """Take over what `state` returned."""
        for name, parameter in self.parameters.items():
            parameter.set_data(mx.nd.array(arrays[f"weight/{name}"]))
        if not self._trainer._kv_initialized:
            self._trainer._init_kvstore()
        optimizer = self._trainer.optimizer
        for context, updater in zip(self.contexts, self._trainer._updaters):
            optimizer._set_current_context(context.device_id)
            for text, count in updates.items():
                index = int(text)
                weight = self._trainer._params[index].data(context)
                state = updater.optimizer.create_state_multi_precision(index, weight)
                for part, array in enumerate(_parts(state)):
                    array[:] = arrays[f"state/{index}/{part}"]
                updater.states[index], updater.states_synced[index] = state, True
                optimizer._index_update_count[index] = count
                optimizer.num_update = max(optimizer.num_update, count)
        self.reset_tally(arrays["tally"])
        if self._scale:
            self._scale.load_state(arrays["loss_scale"])


def _parts(state: Any) -> tuple[Any, ...]:
    if state is None:
        return ()
    return tuple(state) if isinstance(state, (tuple, list)) else (state,)


def _set_multipliers(parameters: dict[str, Any], config: TrainConfig) -> list[Any]:
    """Freeze and decay as configured; return the parameters that are trained, in the order of their names."""
    patterns = [p for p in config.freeze.split(",") if p]
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in parameters):
            raise InputError(f"freeze: {pattern!r} matches no parameter of {config.net}: {', '.join(parameters)}")
    for name, parameter in parameters.items():
        parameter.wd_mult = 1.0 if config.decay_all or name.endswith("weight") else 0.0
        parameter.grad_req = "null" if any(fnmatchcase(name, p) for p in patterns) else "write"
    trainable = [parameters[name] for name in sorted(parameters) if parameters[name].grad_req != "null"]
    if not trainable:
        raise InputError(f"freeze: {config.freeze!r} leaves nothing to train")
    return trainable


def check_kvstore(name: str, contexts: Sequence[Any], job: Optional[Cluster] = None) -> Optional[str]:
    """Return the name of the kvstore that sums over the devices of this process; None where the job does that as well.

    Raises
    ------
    InputError
        It is unknown, or cannot work here and would hang or fail later.
    """
    if name not in (*KVSTORES, *DIST_KVSTORES):
        raise InputError(f"kvstore: expected one of {', '.join((*KVSTORES, *DIST_KVSTORES))}, got {name!r}")
    if name in DIST_KVSTORES and job is None:
        raise InputError(f"kvstore: {name} needs gluon-mtcnn launch, which starts scheduler, servers and workers")
    if job:
        return "device" if job.asynchronous else None
    if name == "nccl" and any(context.device_type != "gpu" for context in contexts):
        raise InputError("kvstore: nccl needs GPUs: use device or local")
    return name


def dead_kernels(net: Net, threshold: float = 1e-5) -> dict[str, int]:
    """Return by layer how many output channels have no weight above the threshold; layers without such are left out."""
    found = {}
    for name, parameter in net._collect_params_with_prefix().items():
        if name.endswith("weight"):
            weight = parameter.data(parameter.list_ctx()[0]).asnumpy()
            dead = int((np.abs(weight).reshape(len(weight), -1).max(axis=1) < threshold).sum())
            if dead:
                found[name] = dead
    return found
