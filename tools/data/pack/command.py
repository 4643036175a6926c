"""Turn a Seanlinx image list or imdb cache and its loose crops into a training pack.

Example: gluon-mtcnn pack --imdb data --image-set train_12 --out packs/12

Reads ROOT/mtcnn/imglists/SET.txt or, where that is gone, ROOT/cache/mtcnn_SET_gt_roidb.pkl (safely: nothing in it is
executed). Crops that cannot be read are left out and listed. Leaves train.rec, train.idx and manifest.json in --out.
"""

from __future__ import annotations

import argparse
import logging
import re
from collections.abc import Iterator

import cv2
import numpy as np
from tqdm import tqdm

from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.core.ops import image as images
from gluon_mtcnn.core.packs.pack import PackWriter
from gluon_mtcnn.core.seanlinx.imdb import read_samples
from gluon_mtcnn.core.types import CELL_STRIDE, INPUT_SIZE
from gluon_mtcnn.tools.cli.options import existing_dir

COMMON = ("quiet",)
log = logging.getLogger(__name__)
CHUNK = 4096
SIZES = sorted({*INPUT_SIZE.values(), *CELL_STRIDE})
LISTED = 20  # unreadable crops named in the log


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("--imdb", required=True, metavar="ROOT", help="the original's --root_path: holds cache/")
    parser.add_argument("--image-set", required=True, metavar="SET", help="train_12, train_24, train_48, ...")
    parser.add_argument("--dataset-path", metavar="DIR", help="holds images/ and imglists/ (default: ROOT/mtcnn)")
    parser.add_argument("--size", type=int, choices=SIZES, help="side (default: SET's number)")
    parser.add_argument("--payload", choices=["bmp", "jpg", "png"], default="bmp", help="of the records (bmp: fastest)")
    parser.add_argument("--strict", action="store_true", help="stop at the first crop that cannot be read")
    parser.add_argument("--out", required=True, metavar="DIR", help="folder of the pack")


def run(args: argparse.Namespace) -> int:
    """Pack; return 0."""
    size = args.size or _size_of(args.image_set)
    existing_dir(args.imdb, "imdb root")
    paths, rows = read_samples(args.imdb, args.image_set, args.dataset_path)
    skipped: list[str] = []
    metadata = {"source": {"imdb": args.image_set, "listed": len(paths)}}
    with PackWriter(args.out, size=size, payload=args.payload, metadata=metadata) as writer:
        for chunk, chunk_rows in _read_chunks(paths, rows, size, skipped, args):
            writer.append(chunk, chunk_rows)
        if writer.count == 0:
            raise InputError(
                f"{args.imdb}: {args.image_set}: none of the {len(paths)} crops can be read: {skipped[:1]}"
            )
        metadata["source"]["skipped"] = len(skipped)
    for message in skipped[:LISTED]:
        log.warning("left out: %s", message)
    log.info("%d of %d crops packed: %s", writer.count, len(paths), writer.classes)
    return 0


def _size_of(image_set: str) -> int:
    """Return the side that an image set's name tells: train_24 -> 24."""
    match = re.search(rf"_({'|'.join(map(str, SIZES))})$", image_set)
    if not match:
        raise InputError(f"--image-set {image_set}: expected a name that ends in _12, _24 or _48, or give --size")
    return int(match[1])


def _read_chunks(
    paths: list[str], rows: np.ndarray, size: int, skipped: list[str], args: argparse.Namespace
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield images (n, size, size, 3) and their rows, some thousand at a time; note what cannot be read."""
    with tqdm(total=len(paths), desc="pack", unit="crop", disable=args.quiet) as bar:
        for start in range(0, len(paths), CHUNK):
            crops, kept = [], []
            for i, path in enumerate(paths[start : start + CHUNK], start):
                try:
                    crops.append(_read_crop(path, size))
                    kept.append(i)
                except InputError as error:
                    if args.strict:
                        raise
                    skipped.append(str(error))
            if crops:
                yield np.stack(crops), rows[kept]
            bar.update(min(CHUNK, len(paths) - start))


def _read_crop(path: str, size: int) -> np.ndarray:
    crop = images.read(path)
    if crop.shape[:2] != (size, size):
        crop = cv2.resize(crop, (size, size), interpolation=cv2.INTER_LINEAR)
    return crop
