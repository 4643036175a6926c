"""How fast packs are read: images per processor second for each net, beside MXNet's own readers on the same files.

Also: how long opening a pack of --records records takes and how much memory, and the peak memory of reading it,
against a pack of a hundredth of the records. Packs of random pixels are written to a temporary folder (600 bytes a
record), where TMPDIR says.

example:
  OMP_NUM_THREADS=1 gluon-mtcnn benchmark load --json load.json
"""

from __future__ import annotations

import argparse
import logging
import multiprocessing
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from gluon_mtcnn.core.packs.pack import Pack, PackWriter, rec_path
from gluon_mtcnn.core.training.augment import AugmentSpec
from gluon_mtcnn.core.training.loader import BatchLoader
from gluon_mtcnn.core.types import INPUT_SIZE
from gluon_mtcnn.tools.benchmark.measure import MEGABYTE, finish, load_warning, spent
from gluon_mtcnn.tools.cli.options import positive_int

COMMON = ("seed",)
log = logging.getLogger(__name__)
BATCH = 384
PIECE = 1 << 14  # records that are written together
FEWER = 100  # the large pack has so many times the records of the small one
LABELS = np.array([1, 0, 0, 0, -1, -2, -2], np.float32)  # 1:3:1:2


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument(
        "--records", type=positive_int, default=1_000_000, metavar="N", help="of the large pack, %(default)s"
    )
    parser.add_argument(
        "--images", type=positive_int, default=40_000, metavar="N", help="of the packs whose rate counts, %(default)s"
    )
    parser.add_argument("--json", metavar="FILE", help="write the figures there too")


def run(args: argparse.Namespace) -> int:
    """Measure and print the figures."""
    busy = load_warning()
    if busy:
        log.warning("%s", busy)
    with tempfile.TemporaryDirectory() as folder:
        rates = {str(size): _rates(Path(folder), size, args.images, args.seed) for size in INPUT_SIZE.values()}
        opening = _opening(Path(folder), args.records, args.seed)
    return finish({"images_per_cpu_second": rates, "opening": opening}, args.json)


def write_pack(folder: Path, size: int, count: int, seed: int, payload: str = "bmp") -> Path:
    """Write a pack of random pixels and labels, and return its folder."""
    rng = np.random.default_rng(seed)
    with PackWriter(folder, "train", size, payload) as writer:
        for start in range(0, count, PIECE):
            number = min(PIECE, count - start)
            rows = np.zeros((number, 15), np.float32)
            rows[:, 0] = LABELS[np.arange(start, start + number) % len(LABELS)]
            writer.append(rng.integers(0, 256, (number, size, size, 3), np.uint8), rows)
    return folder


def _rates(folder: Path, size: int, count: int, seed: int) -> dict[str, int]:
    """Return images per processor second of our loader, plain and with augmentation, and of MXNet's readers."""
    bmp = write_pack(folder / f"bmp-{size}", size, count, seed)
    jpeg = write_pack(folder / f"jpg-{size}", size, count, seed, "jpg")
    pack = Pack(bmp)
    ways = {
        "loader": lambda: _read(BatchLoader(pack, BATCH, seed)),
        "loader_augmented": lambda: _read(BatchLoader(pack, BATCH, seed, augment=AugmentSpec())),
        "mx_ImageRecordIter_jpg": lambda: _read_image_record_iter(jpeg, size),
        "mx_ImageRecordIter_bmp": lambda: _read_image_record_iter(bmp, size),
        "mx_MXRecordIO_loop_bmp": lambda: _read_record_io(bmp),
    }
    rates = {}
    _read_record_io(bmp)  # loads MXNet, which no figure is to contain
    for name, read in ways.items():
        with spent() as used:
            images = read()
        rates[name] = round(images / used.cpu_seconds)
    return rates


def _read(loader: BatchLoader) -> int:
    return sum(len(batch.label) for batch in loader.epoch(0))


def _read_image_record_iter(folder: Path, size: int) -> int:
    from gluon_mtcnn.core.backend.runtime import mx

    batches = mx.io.ImageRecordIter(
        path_imgrec=str(rec_path(folder, "train")),
        data_shape=(3, size, size),
        batch_size=BATCH,
        label_width=15,
        preprocess_threads=1,
        shuffle=True,
        round_batch=False,
        verbose=False,
    )
    images = 0
    for batch in batches:
        batch.data[0].wait_to_read()
        images += BATCH - batch.pad
    return images


def _read_record_io(folder: Path) -> int:
    from gluon_mtcnn.core.backend.runtime import mx

    reader, images = mx.recordio.MXRecordIO(str(rec_path(folder, "train")), "r"), 0
    while (record := reader.read()) is not None:
        mx.recordio.unpack_img(record)
        images += 1
    reader.close()
    return images


def _opening(folder: Path, records: int, seed: int) -> dict[str, Any]:
    """Return seconds and megabytes of opening and reading a small pack and a large one, each in its own process."""
    size, context = INPUT_SIZE["pnet"], multiprocessing.get_context("spawn")
    result = {}
    for count in (max(records // FEWER, 1), records):
        write_pack(folder / f"{count}", size, count, seed)
        with context.Pool(1) as pool:
            result[f"records_{count}"] = pool.apply(_open, (folder / f"{count}", seed))
    return result


def _open(folder: Path, seed: int) -> dict[str, float]:
    with spent(memory=True) as opening:
        pack = Pack(folder)
        pack.read([0, len(pack) - 1])
    with spent(memory=True) as reading:
        loader = BatchLoader(pack, BATCH, seed, augment=AugmentSpec())
        for _ in loader.epoch(0):
            pass
    return {
        "open_seconds": round(opening.seconds, 4),
        "open_megabytes": round(opening.peak_bytes / MEGABYTE, 2),
        "epoch_megabytes": round(reading.peak_bytes / MEGABYTE, 1),
    }
