"""How fast samples are prepared, against what cannot be avoided: decoding the photos, and detecting in them.

12-net: photos to pack, as a share of the rate of decoding the same photos with as many workers. 24- and 48-net (with
--model): as a share of the detector's own rate, decoding included. Memory: the peak for the list of photos, and for
the list repeated ten times. Without --wider-images the photos are painted.

example:
  gluon-mtcnn benchmark prepare --wider-images WIDER_train/images \
      --wider-annotations wider_face_split/wider_face_train_bbx_gt.txt --json prepare.json
"""

from __future__ import annotations

import argparse
import logging
import multiprocessing
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import chain, islice, repeat
from pathlib import Path
from statistics import median
from typing import Any

from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.core.ops.image import read
from gluon_mtcnn.core.types import ALL_FACES, NETS, Annotation
from gluon_mtcnn.prepare_data.annotations.wider import read_wider
from gluon_mtcnn.prepare_data.executors.processes import Workers
from gluon_mtcnn.prepare_data.mining.hard_examples import CHUNK, MINING, HardExamplePlanner, Mining, open_detector
from gluon_mtcnn.prepare_data.packing.build import prepare
from gluon_mtcnn.prepare_data.packing.options import Options, Source
from gluon_mtcnn.prepare_data.packing.units import UNIT
from gluon_mtcnn.prepare_data.sampling.pnet import PNetPlanner
from gluon_mtcnn.prepare_data.sampling.squares import RECIPES
from gluon_mtcnn.prepare_data.synthetic.dataset import SyntheticSpec, write_dataset
from gluon_mtcnn.tools.benchmark.measure import MEGABYTE, Spent, anonymous_bytes, finish, load_warning, spent
from gluon_mtcnn.tools.cli.options import existing_dir, existing_file, positive_int

COMMON = ("seed", "quiet")
log = logging.getLogger(__name__)
TIMES_LONGER = 10  # the list of photos in the memory test


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("--wider-images", metavar="DIR", help="WIDER's photos")
    parser.add_argument("--wider-annotations", metavar="FILE", help="WIDER's *_bbx_gt.txt")
    parser.add_argument("--model", metavar="DIR", help="model folder with P- and R-Net: measure mining too")
    parser.add_argument("--limit", type=positive_int, metavar="N", help="use the first N photos only")
    parser.add_argument("--mining-limit", type=positive_int, default=300, metavar="N", help="photos mined, %(default)s")
    parser.add_argument("--repeats", type=positive_int, default=3, metavar="N", help="medians of so many, %(default)s")
    parser.add_argument("--workers", default="1,2", metavar="N,N", help="numbers of workers to compare, %(default)s")
    parser.add_argument("--json", metavar="FILE", help="write the figures there too")


def run(args: argparse.Namespace) -> int:
    """Measure and print the figures."""
    busy = load_warning()
    if busy:
        log.warning("%s", busy)
    counts = _worker_counts(args.workers)
    with tempfile.TemporaryDirectory() as folder:
        photos = _photos(args, Path(folder))
        pnet = PNetPlanner(RECIPES["default"]["pnet"])
        result: dict[str, Any] = {
            "photos": len(photos),
            "pnet": {f"workers_{n}": _sampling(photos, n, args.repeats, Path(folder), pnet) for n in counts},
        }
        if args.model:
            mined = photos[: args.mining_limit]
            for net in NETS[1:]:
                result[net] = {f"workers_{n}": _mining(net, mined, n, args, Path(folder)) for n in counts}
        result["memory"] = _memory(photos, Path(folder))
    return finish(result, args.json)


def _worker_counts(text: str) -> list[int]:
    try:
        return [positive_int(part) for part in text.split(",")]
    except (ValueError, argparse.ArgumentTypeError):
        raise InputError(f"--workers: expected numbers like 1,2, got {text!r}") from None


def _photos(args: argparse.Namespace, folder: Path) -> list[Annotation]:
    """Return the annotated photos that the options name, or painted ones."""
    if args.wider_images and args.wider_annotations:
        images = existing_dir(args.wider_images, "folder of photos")
        annotations = existing_file(args.wider_annotations, "annotations")
    elif args.wider_images or args.wider_annotations:
        raise InputError("--wider-images and --wider-annotations: expected both, got one")
    else:
        paths = write_dataset(folder / "painted", SyntheticSpec(), args.seed, args.quiet)
        images, annotations = paths.wider_images, paths.wider_train_annotations
    return list(islice(read_wider(annotations, images), args.limit))


def _decode(paths: list[str]) -> None:
    for path in paths:
        read(path)


def _detect(paths: list[str], net: str, mining: Mining) -> None:
    detector = open_detector(net, mining)
    for path in paths:
        detector.detect(read(path))


def _pieces(photos: list[Annotation], size: int) -> Iterator[list[str]]:
    return ([photo.image for photo in photos[i : i + size]] for i in range(0, len(photos), size))


def _time_of_all(workers: Workers, function: Any, units: Iterable[tuple]) -> Spent:
    """Return what workers take for all units, their start included, as it is in what `prepare` takes."""
    with spent() as time, workers:
        for _ in workers.run(function, units):
            pass
    return time


def _prepare(planner: Any, photos: Iterable[Annotation], out: Path, workers: int) -> dict[str, Any]:
    sources = [Source(photos, ALL_FACES, {"annotations": "benchmark"})]
    return prepare(planner, sources, out, Options(num_workers=workers, quiet=True))


def _sampling(photos: list[Annotation], count: int, repeats: int, folder: Path, planner: Any) -> dict[str, Any]:
    """Compare decoding with preparing, taken in turns."""
    decoding, preparing, crops = [], [], 0
    for i in range(repeats):
        units: Iterable[tuple] = ((piece,) for piece in _pieces(photos, UNIT))
        decoding.append(_time_of_all(Workers(count), _decode, units))
        with spent() as time:
            made = _prepare(planner, photos, folder / f"pnet-{count}-{i}", count)
        preparing.append(time)
        crops = sum(made["sets"]["train"].values())
    return {"crops_per_photo": round(crops / len(photos), 1), **_compare(len(photos), "decode", decoding, preparing)}


def _compare(photos: int, what: str, unavoidable: list[Spent], preparing: list[Spent]) -> dict[str, float]:
    """Return rates, and the share of the unavoidable work's rate that preparing reaches: medians of pairs."""
    shares, cpu_shares = (
        [getattr(least, name) / getattr(all_, name) for least, all_ in zip(unavoidable, preparing)]
        for name in ("seconds", "cpu_seconds")
    )
    return {
        f"{what}_photos_per_second": round(photos / median(time.seconds for time in unavoidable), 2),
        "photos_per_second": round(photos / median(time.seconds for time in preparing), 2),
        f"share_of_{what}_rate": round(median(shares), 3),
        f"share_of_{what}_rate_by_processor_time": round(median(cpu_shares), 3),
    }


def _mining(net: str, photos: list[Annotation], count: int, args: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Compare detecting with preparing; in a new folder, so that no detections are taken over."""
    mining = replace(MINING["default"][net], model=args.model)
    planner = HardExamplePlanner(net, RECIPES["default"][net], mining)
    detecting, preparing = [], []
    for i in range(args.repeats):
        units = ((piece, net, mining) for piece in _pieces(photos, CHUNK))
        detecting.append(_time_of_all(Workers(count, inline=False), _detect, units))
        with spent() as time:
            _prepare(planner, photos, folder / f"{net}-{count}-{i}", count)
        preparing.append(time)
    return {"photos": len(photos), **_compare(len(photos), "detect", detecting, preparing)}


def _memory(photos: list[Annotation], folder: Path) -> dict[str, Any]:
    """Return the peak memory for the photos and for ten times as many, each in a process of its own."""
    context = multiprocessing.get_context("spawn")
    result = {}
    for times in (1, TIMES_LONGER):
        with context.Pool(1) as pool:
            base, peak = pool.apply(_peak, (photos, times, folder / f"memory-{times}"))
        result[f"photos_{times * len(photos)}"] = {
            "megabytes_above_the_first_photos": round(peak / MEGABYTE, 2),
            "megabytes_in_all": round((base + peak) / MEGABYTE, 1),
        }
    return result


def _peak(photos: list[Annotation], times: int, out: Path) -> tuple[int, int]:
    """Return the bytes after the first unit of photos, and the most above them for all."""
    planner: Any = PNetPlanner(RECIPES["default"]["pnet"])
    _prepare(planner, photos[:UNIT], out / "first", 1)
    base = anonymous_bytes()
    with spent(memory=True) as used:
        _prepare(planner, chain.from_iterable(repeat(photos, times)), out / "all", 1)
    return base, used.peak_bytes
