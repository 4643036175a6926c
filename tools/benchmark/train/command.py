"""How many samples a second training takes on one core, and what layer order, loader and a second device change.

All of a net's figures come from alternating rounds, so that what else the machine does falls on all alike. Full steps:
forward, mining, backward, update. "held": one batch that stays in memory. "pack": from a pack on the disk.
"original": MXNet's own PReLU, before pooling, as Seanlinx/mtcnn has it. "two_devices": cpu:0,cpu:1, by wall time.
Memory: above that after the first steps, of 12-net epochs' steps from a pack of --records and from one of a hundredth.

example:
  gluon-mtcnn benchmark train --json train.json
"""

from __future__ import annotations

import argparse
import logging
import multiprocessing
import os
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from itertools import chain
from pathlib import Path
from statistics import median
from typing import Any

from gluon_mtcnn.core.backend.threads import PARALLEL_CPUS
from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.core.types import INPUT_SIZE, NETS
from gluon_mtcnn.tools.benchmark.load.command import write_pack
from gluon_mtcnn.tools.benchmark.measure import MEGABYTE, Spent, finish, load_warning, spent
from gluon_mtcnn.tools.cli.options import positive_int

COMMON = ("seed",)
log = logging.getLogger(__name__)
ROUND_STEPS = {"pnet": 60, "rnet": 6, "onet": 2}  # about a second
WARM_UP = 3  # steps
PACK_BATCHES = 40
FEWER = 100  # the large pack has so many times the records of the small one
MODES = ("held", "pack", "pack_augmented", "original")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("--nets", default=",".join(NETS), metavar="LIST", help="default %(default)s")
    parser.add_argument("--batch-size", type=positive_int, default=384, metavar="N", help="default %(default)s")
    parser.add_argument("--rounds", type=positive_int, default=7, metavar="N", help="of each way, %(default)s")
    parser.add_argument(
        "--records", type=positive_int, default=1_000_000, metavar="N", help="of the memory test's pack, %(default)s"
    )
    parser.add_argument("--json", metavar="FILE", help="write the figures there too")


def run(args: argparse.Namespace) -> int:
    """Measure and print the figures."""
    nets = args.nets.split(",")
    if not nets or any(net not in NETS for net in nets):
        raise InputError(f"--nets: expected some of {', '.join(NETS)}, got {args.nets!r}")
    busy = load_warning()
    if busy:
        log.warning("%s", busy)
    with tempfile.TemporaryDirectory() as folder:
        result = {net: _rates(net, args, Path(folder)) for net in nets}
        result["memory"] = _memory(args, Path(folder))
    return finish({"batch_size": args.batch_size, **result}, args.json)


def _rates(net: str, args: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Return one net's rates; each way's rounds alternate with those of the others."""
    pack = write_pack(folder / net, INPUT_SIZE[net], args.batch_size * PACK_BATCHES, args.seed)
    used: dict[str, list[Spent]] = {mode: [] for mode in (*MODES, "two_devices")}
    with _process(net, 1, args, pack) as one, _process(net, 2, args, pack) as two:
        for _ in range(args.rounds):
            for mode in MODES:
                used[mode].append(one.apply(_round, (mode, ROUND_STEPS[net])))
            used["two_devices"].append(two.apply(_round, ("held", ROUND_STEPS[net])))
    samples = args.batch_size * ROUND_STEPS[net]

    def rate(mode: str, kind: str) -> int:
        return round(samples / median(getattr(round_, kind) for round_ in used[mode]))

    def ratio(mode: str, other: str, kind: str) -> float:
        pairs = zip(used[mode], used[other])
        return round(median(getattr(theirs, kind) / getattr(ours, kind) for ours, theirs in pairs), 3)

    return {
        "samples_per_cpu_second": {mode: rate(mode, "cpu_seconds") for mode in used},
        "samples_per_second": {mode: rate(mode, "seconds") for mode in used},
        "held_to_original": ratio("held", "original", "cpu_seconds"),
        "pack_to_held": ratio("pack", "held", "seconds"),
        "pack_augmented_to_held": ratio("pack_augmented", "held", "seconds"),
        "pack_to_held_by_processor_time": ratio("pack", "held", "cpu_seconds"),
        "two_devices_to_one": ratio("two_devices", "held", "seconds"),
    }


@contextmanager
def _process(net: str, devices: int, args: argparse.Namespace, pack: Path) -> Iterator[Any]:
    """Give a process that trains on some CPU devices with a thread each; MXNet reads the environment when it loads."""
    settings = {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE", **(PARALLEL_CPUS if devices > 1 else {})}
    before = dict(os.environ)
    os.environ.update(settings)
    try:
        setup = (net, devices, args.batch_size, args.seed, pack)
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            pool.apply(_start, setup)  # not as the pool's initializer, which would be tried for ever if it failed
            yield pool
    finally:
        os.environ.clear()
        os.environ.update(before)


_ways: dict[str, Any] = {}  # of this process: what `_round` runs


def _start(net: str, devices: int, batch_size: int, seed: int, pack: Path) -> None:
    """Build what the rounds run, in a new process."""
    from gluon_mtcnn.core.packs.pack import Pack
    from gluon_mtcnn.core.training.augment import AugmentSpec
    from gluon_mtcnn.core.training.loader import BatchLoader

    records = Pack(pack)
    loaders = {
        "pack": BatchLoader(records, batch_size, seed),
        "pack_augmented": BatchLoader(records, batch_size, seed, augment=AugmentSpec()),
    }
    learner = _learner(net, devices, batch_size)
    held = learner.place(loaders["pack"].batch(0, 0))
    _ways["held"] = lambda steps: _steps(learner, iter([held] * steps))
    if devices == 1:
        original = _learner(net, devices, batch_size, original=True)
        _ways["original"] = lambda steps: _steps(original, iter([held] * steps))
        for name, loader in loaders.items():
            _ways[name] = lambda steps, loader=loader: _from_pack(learner, loader, steps)


def _learner(net: str, devices: int, batch_size: int, original: bool = False) -> Any:
    """Return a net in training; the original's has its layers and their order."""
    from gluon_mtcnn.core.backend.runtime import mx
    from gluon_mtcnn.core.nets.mtcnn import ConvStage, DenseStage, NetSpec, build, initialise
    from gluon_mtcnn.core.training.config import default_config
    from gluon_mtcnn.core.training.learner import Learner

    block = build(NetSpec(net, landmarks=True, order="prelu_first" if original else "pool_first"))
    for stage in block._children.values() if original else ():
        if isinstance(stage, (ConvStage, DenseStage)):
            own: Any = stage.prelu
            own.hybrid_forward = lambda F, x, alpha: F.LeakyReLU(x, gamma=alpha, act_type="prelu")
    initialise(block)
    config = default_config(net, optimizer="sgd", landmarks=True, batch_size=batch_size)
    return Learner(block, config, [mx.cpu(i) for i in range(devices)])


def _steps(learner: Any, placed: Iterator[Any]) -> None:
    from gluon_mtcnn.core.backend.runtime import mx
    from gluon_mtcnn.core.training.trainer import LossWatch

    watch, lr = LossWatch(), 1e-6  # the labels are random: nothing is to be learned
    for number, shards in enumerate(placed):
        watch.add(0, number, lr, learner.step(shards, lr))
    watch.drain()
    mx.nd.waitall()


def _from_pack(learner: Any, loader: Any, steps: int) -> None:
    """Take so many steps from a pack as `core.training.trainer` does, epoch after epoch."""
    from gluon_mtcnn.core.training.loader import prefetched
    from gluon_mtcnn.core.training.trainer import PREFETCH

    def blocks() -> Iterator[Any]:
        left, epoch = steps, 0
        while left:
            first = max(0, loader.batches_per_epoch - left)
            yield from loader.blocks(epoch, first)
            left, epoch = left - (loader.batches_per_epoch - first), epoch + 1

    with closing(prefetched((learner.place_block(*block) for block in blocks()), PREFETCH)) as placed:
        _steps(learner, chain.from_iterable(placed))


def _round(mode: str, steps: int) -> Spent:
    """Return what some steps took."""
    way = _ways[mode]
    way(WARM_UP)
    with spent() as used:
        way(steps)
    return used


def _memory(args: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Return the peak memory of P-Net steps from a small pack and from a large one."""
    result = {}
    for count in (max(args.records // FEWER, args.batch_size), args.records):
        pack = write_pack(folder / f"{count}", INPUT_SIZE["pnet"], count, args.seed)
        with _process("pnet", 1, args, pack) as process:
            base, peak = process.apply(_peak, (pack, args.batch_size, args.seed))
        result[f"records_{count}"] = {
            "megabytes_above_the_first_steps": round(peak / MEGABYTE, 2),
            "megabytes_in_all": round((base + peak) / MEGABYTE, 1),
        }
    return result


def _peak(pack: Path, batch_size: int, seed: int) -> tuple[int, int]:
    """Return the bytes after the first steps, and the most above them while the pack is opened and trained on."""
    from gluon_mtcnn.core.packs.pack import Pack
    from gluon_mtcnn.core.training.loader import BatchLoader
    from gluon_mtcnn.tools.benchmark.measure import anonymous_bytes

    learner = _learner("pnet", 1, batch_size)
    _from_pack(learner, BatchLoader(Pack(pack), batch_size, seed), WARM_UP)
    base = anonymous_bytes()
    with spent(memory=True) as used:
        _from_pack(learner, BatchLoader(Pack(pack), batch_size, seed), 5 * ROUND_STEPS["pnet"])
    return base, used.peak_bytes
