"""Packs -> batches: shuffled, stratified, augmented, sharded, and the same however often they are asked for.

Every batch is a function of (seed, epoch, batch number). A run that resumes at batch k of epoch e asks for that batch
and replays nothing; N workers together see in each step what one worker alone would see.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Optional, TypeVar

import numpy as np

from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.core.files.atomic import scratch_array
from gluon_mtcnn.core.ops.image import planar
from gluon_mtcnn.core.packs.pack import CHUNK, Pack
from gluon_mtcnn.core.training.augment import DRAWS, AugmentSpec, augment
from gluon_mtcnn.core.training.sampler import EpochOrder, apportion, split_slots
from gluon_mtcnn.core.types import LABEL_NAMES

log = logging.getLogger(__name__)
T = TypeVar("T")

# First number of the augmentation's random key, apart from those of the order, which begin with the seed alone.
_AUGMENT_STREAM = 0xA06
_SHAPE_STREAM = 0xA07  # of the numbers that turning and erasing need besides
BLOCK_BYTES = 1 << 21  # of pixels that are made together: what a batch costs beside its samples is shared by many
_BLOCK = 4  # numbers that Philox makes for each value of its counter


@dataclass(frozen=True)
class Batch:
    """Samples as a net is trained on them: ``data, label, bbox_target, landmark_target = batch``.

    Attributes
    ----------
    data : (n, 3, S, S) uint8, BGR, contiguous
        Pixels; a net is given ``(data - 127.5) / 128``.
    label : (n,) float32
        1 positive, 0 negative, -1 part, -2 landmark.
    bbox_target : (n, 4) float32
        ``core.ops.boxes.encode`` of the face against the crop, fractions of its side; zeros for a negative.
    landmark_target : (n, 10) float32
        x1 y1 ... x5 y5 as fractions of the crop's side from its corner; zeros unless the label is -2.
    records : (n,) int64
        Numbers of the samples in the pack; not among what a batch unpacks into.
    """

    data: np.ndarray
    label: np.ndarray
    bbox_target: np.ndarray
    landmark_target: np.ndarray
    records: np.ndarray

    def __iter__(self) -> Iterator[np.ndarray]:
        """Yield data, label, bbox_target and landmark_target."""
        yield from (self.data, self.label, self.bbox_target, self.landmark_target)

    def __len__(self) -> int:
        return len(self.label)

    def __getitem__(self, rows: Any) -> Batch:
        """Return the samples that a slice, mask or index array selects; a slice does not copy them."""
        return Batch(*(field[rows] for field in (*self, self.records)))

    def parts(self, sizes: Iterable[int]) -> Iterator[Batch]:
        """Yield the samples in pieces of these sizes, without copying them."""
        start = 0
        for size in sizes:
            yield self[start : start + size]
            start += size


class BatchLoader:
    """Batches of one pack.

    An epoch uses every record once. With a `ratio` it is the largest epoch in that ratio which uses no record twice;
    the classes of which records are left go on with those in the next epoch. The last, smaller batch is used. With
    `shard` (i, n) this is worker i of n, which share every batch evenly; of a last batch with fewer than n records some
    get an empty share.

    Parameters
    ----------
    pack : Pack
    batch_size : int
        Of all workers together.
    seed : int
    stratified : bool
        Every batch holds the classes in the epoch's ratio, to within a record or two a class. False: a plain shuffle.
    ratio : mapping of label to weight, or None
        For instance ``{1: 1, 0: 3, -1: 1, -2: 2}``; None: as the pack has them. Labels that are not named are not used.
    augment : AugmentSpec or None
        None: samples as they are.
    shard : (index, count)
    epoch_size : int or None
        Records an epoch; beyond the rule above, records are repeated.
    shuffle : bool
        False: in the pack's order, for validation.
    prefetch : int
        Blocks of batches that a thread makes in advance; 0: none, no thread.

    Raises
    ------
    InputError
        The pack has no record of the classes asked for.

    Examples
    --------
    >>> from gluon_mtcnn import Pack
    >>> loader = BatchLoader(Pack("packs/12"), batch_size=64, ratio={1: 1, 0: 3, -1: 1})
    >>> data, label, bbox_target, landmark_target = next(loader.epoch(0))
    >>> data.shape, label.shape, bbox_target.shape, landmark_target.shape
    ((64, 3, 12, 12), (64,), (64, 4), (64, 10))
    """

    def __init__(
        self,
        pack: Pack,
        batch_size: int,
        seed: int = 0,
        stratified: bool = True,
        ratio: Optional[Mapping[int, float]] = None,
        augment: Optional[AugmentSpec] = None,
        shard: tuple[int, int] = (0, 1),
        epoch_size: Optional[int] = None,
        shuffle: bool = True,
        prefetch: int = 2,
    ) -> None:
        if batch_size < 1 or not 0 <= shard[0] < shard[1]:
            raise ValueError(f"expected batch_size >= 1 and shard (i, n) with 0 <= i < n, got {batch_size} and {shard}")
        if ratio is not None and not stratified:
            raise ValueError("a ratio needs stratified batches")
        self.pack, self.batch_size, self.seed, self.shard = pack, batch_size, seed, shard
        self._augment, self._prefetch = augment, prefetch
        counts, members = _by_class(pack) if stratified else ({None: len(pack)}, None)
        slots = _epoch_counts(counts, ratio, epoch_size, f"{pack.path}")
        self.order = EpochOrder(list(counts.values()), list(slots.values()), seed, members, shuffle)
        self.batches_per_epoch = -(-len(self.order) // batch_size)
        self._block = max(1, BLOCK_BYTES // max(1, 3 * pack.size**2 * -(-batch_size // shard[1])))
        if stratified:
            log.debug("an epoch of %s: %s", pack.path, {LABEL_NAMES[k]: v for k, v in slots.items() if k is not None})

    def epoch(self, epoch: int, start_batch: int = 0) -> Iterator[Batch]:
        """Yield the batches of an epoch, from number `start_batch` on."""
        blocks = self.blocks(epoch, start_batch)
        for block, sizes in prefetched(blocks, self._prefetch) if self._prefetch else blocks:
            yield from block.parts(sizes)

    def blocks(self, epoch: int, start_batch: int = 0) -> Iterator[tuple[Batch, list[int]]]:
        """Yield the batches of an epoch several at a time: their rows one after another, and how many each has."""
        for first in range(start_batch, self.batches_per_epoch, self._block):
            yield self.block(epoch, first, min(first + self._block, self.batches_per_epoch))

    def rows(self, number: int) -> int:
        """Return how many samples batch `number` of an epoch has, those of all workers together."""
        return min(self.batch_size, len(self.order) - number * self.batch_size)

    def batch(self, epoch: int, number: int) -> Batch:
        """Return one batch of an epoch, or this worker's share of it."""
        return self.block(epoch, number, number + 1)[0]

    def block(self, epoch: int, first: int, last: int) -> tuple[Batch, list[int]]:
        """Return batches first..last-1 of an epoch, or this worker's shares of them, as `blocks` yields them."""
        if not 0 <= first < last <= self.batches_per_epoch:
            raise IndexError(f"expected batch 0..{self.batches_per_epoch - 1}, got {first}..{last - 1}")
        index, shards = self.shard
        total, size = len(self.order), self.batch_size
        bounds = [split_slots(total, size, shards, n)[index : index + 2] for n in range(first, last)]
        sizes = [int(stop - start) for start, stop in bounds]
        begin, end = first * size, min(last * size, total)
        own = np.concatenate([np.arange(start - begin, stop - begin) for start, stop in bounds])
        if len(own) == 0:
            return _empty_batch(self.pack.size), sizes
        records = self.order.records(epoch, begin, end)[own]
        images, rows = self.pack.read(records)
        data, (label, offsets, landmarks) = planar(images), split_rows(rows)
        if self._augment is not None:
            draws = uniform(self.seed, epoch, begin, end)[own]
            if self._augment.changes_shape:
                draws = np.concatenate([draws, uniform(self.seed, epoch, begin, end, _SHAPE_STREAM)[own]], axis=1)
            data, offsets, landmarks = augment(data, offsets, landmarks, draws, self._augment)
        return Batch(data, label, offsets, landmarks, records), sizes


def split_rows(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return labels (n,), offsets (n, 4) and landmarks (n, 10), each contiguous, of a pack's label rows (n, 15)."""
    label, offsets, landmarks = (np.ascontiguousarray(part) for part in (rows[:, 0], rows[:, 1:5], rows[:, 5:]))
    return label, offsets, landmarks


def _empty_batch(size: int) -> Batch:
    label, offsets, landmarks = (np.zeros((0, *shape), np.float32) for shape in ((), (4,), (10,)))
    return Batch(np.zeros((0, 3, size, size), np.uint8), label, offsets, landmarks, np.zeros(0, np.int64))


@lru_cache(maxsize=8)
def _augment_key(stream: int, seed: int, epoch: int) -> np.ndarray:
    return np.random.SeedSequence((stream, seed, epoch)).generate_state(2, np.uint64)


def uniform(seed: int, epoch: int, start: int, stop: int, stream: int = _AUGMENT_STREAM) -> np.ndarray:
    """Return the random numbers (stop - start, 8) of slots of an epoch; a slot's do not depend on where they begin."""
    counter = start * (DRAWS // _BLOCK)
    return np.random.Generator(np.random.Philox(key=_augment_key(stream, seed, epoch), counter=counter)).random(
        (stop - start, DRAWS)
    )


def _by_class(pack: Pack) -> tuple[dict[Optional[int], int], np.ndarray]:
    """Return how many records of each class the pack has, and their numbers, one class after another."""
    labels = pack.labels()
    pieces = [slice(start, start + CHUNK) for start in range(0, len(labels), CHUNK)]
    found = {label: sum(np.count_nonzero(labels[piece] == label) for piece in pieces) for label in LABEL_NAMES}
    counts: dict[Optional[int], int] = {label: count for label, count in found.items() if count}
    members = scratch_array(len(labels), np.int32 if len(labels) <= np.iinfo(np.int32).max else np.int64)
    place = 0
    for label in counts:
        for piece in pieces:
            records = np.flatnonzero(labels[piece] == label)
            members[place : place + len(records)] = records + piece.start
            place += len(records)
    return counts, members


def _epoch_counts(
    counts: Mapping, ratio: Optional[Mapping[int, float]], epoch_size: Optional[int], path: str
) -> dict[Optional[int], int]:
    """Return how many records of each class an epoch uses."""
    weights = dict(counts) if ratio is None else {label: ratio.get(label, 0) for label in counts}
    if any(weight < 0 for weight in weights.values()) or not sum(weights.values()):
        wanted = "any record" if ratio is None else f"records of the classes {dict(ratio)}"
        raise InputError(f"{path}: expected {wanted}, got {dict(counts)}")
    missing = [LABEL_NAMES.get(label, label) for label in ratio or () if label not in counts]
    if missing:
        log.warning("%s has no %s records: trained without", path, " and no ".join(map(str, missing)))
    if epoch_size is not None:
        return dict(zip(weights, apportion(epoch_size, list(weights.values())).tolist()))
    scale = min(counts[label] / weight for label, weight in weights.items() if weight)
    return {label: int(scale * weight + 1e-9) for label, weight in weights.items()}


def prefetched(batches: Iterable[T], depth: int) -> Generator[T, None, None]:
    """Yield the batches, of which a thread makes up to `depth` in advance; what it raises is raised here.

    The thread ends when the iterator is used up or closed.
    """
    ready: queue.Queue = queue.Queue(depth)
    stop = threading.Event()

    def put(item: object) -> bool:
        while not stop.is_set():
            try:
                ready.put(item, timeout=0.1)
                return True
            except queue.Full:
                continue
        return False

    def work() -> None:
        try:
            for batch in batches:
                if not put((batch, None)):
                    return
            put((None, None))
        except BaseException as error:
            put((None, error))

    thread = threading.Thread(target=work, name="batches", daemon=True)
    thread.start()
    try:
        while True:
            batch, error = ready.get()
            if error is not None:
                raise error
            if batch is None:
                return
            yield batch
    finally:
        stop.set()
        thread.join()
