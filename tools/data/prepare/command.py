r"""Annotated photos -> training packs for the P-, R- or O-Net.

Leaves train.rec, train.idx and manifest.json in --out; with --val-fraction also val.rec and val.idx, of other photos.
rnet and onet learn from what the earlier nets of --model find, and leave detections.pkl too. A run that was killed is
resumed by the same command. Photos that do not decode are left out and listed (--strict: exit).

example:
  gluon-mtcnn prepare pnet --wider-images WIDER_train/images \
      --wider-annotations wider_face_split/wider_face_train_bbx_gt.txt --val-fraction .1 --out data/12
"""

from __future__ import annotations

import argparse
import logging
import sys
from typing import TYPE_CHECKING

from gluon_mtcnn.core.packs.manifest import PAYLOADS
from gluon_mtcnn.core.types import CELL_STRIDE, NETS
from gluon_mtcnn.prepare_data.sampling.squares import RECIPES
from gluon_mtcnn.tools.cli.options import (
    defaults_of,
    finite_float,
    fraction,
    non_negative_int,
    options_from,
    positive_float,
    positive_int,
    three_thresholds,
)
from gluon_mtcnn.tools.data.photos import add_max_left_out
from gluon_mtcnn.tools.data.prepare.options import PrepareOptions

if TYPE_CHECKING:
    from gluon_mtcnn.tools.data.prepare.run import PrepareResult

COMMON = ("seed", "num_workers", "quiet")
log = logging.getLogger(__name__)
LISTED = 20  # skipped photos that are named; the manifest names all


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `prepare`."""
    parser.set_defaults(**defaults_of(PrepareOptions))
    parser.add_argument("net", choices=NETS, help="the net that the samples are for")
    parser.add_argument("--out", required=True, metavar="DIR", help="folder of the packs")
    parser.add_argument("--payload", choices=PAYLOADS, help="of the records (bmp: fastest to read)")
    parser.add_argument("--imdb", metavar="ROOT", help="write the Seanlinx layout there too: loose crops, list, cache")
    parser.add_argument(
        "--cluster",
        metavar="tcp://HOST:PORT",
        help="run on the workers of this Dask scheduler, which must see the same files (default: --num-workers here)",
    )
    photos = parser.add_argument_group("photos (any of these)")
    photos.add_argument("--wider-images", metavar="DIR", help="WIDER's photos (WIDER_train or its images folder)")
    photos.add_argument("--wider-annotations", metavar="FILE", help="WIDER's *_bbx_gt.txt or .mat")
    photos.add_argument(
        "--csv", metavar="FILE", help="own photos: image,x1,y1,x2,y2[,ignore][,landmarks] (docs/prepare.md)"
    )
    photos.add_argument("--coco", metavar="FILE", help="own photos: COCO's JSON")
    photos.add_argument("--coco-images", metavar="DIR", help="their folder (default: that of the JSON)")
    photos.add_argument("--voc", metavar="DIR", help="own photos: folder of Pascal VOC's XML files or of Annotations")
    photos.add_argument("--voc-images", metavar="DIR", help="their folder (default: JPEGImages in --voc, or --voc)")
    photos.add_argument("--yolo", metavar="DIR", help="own photos: folder of YOLO's images and labels")
    photos.add_argument(
        "--face-class",
        type=_names,
        metavar="NAME,...",
        help="classes of --coco, --voc and --yolo that are faces (default: there must be one class only)",
    )
    photos.add_argument("--landmark-images", metavar="DIR", help="photos of faces with five landmarks")
    photos.add_argument("--landmark-annotations", metavar="FILE", help="their CNN_FacePoint or CelebA list")
    photos.add_argument("--seanlinx-images", metavar="DIR", help="photos of an anno.txt of Seanlinx/mtcnn")
    photos.add_argument("--seanlinx-annotations", metavar="FILE", help="the anno.txt: path x1 y1 x2 y2 ...")
    add_max_left_out(photos)
    photos.add_argument("--limit", type=positive_int, metavar="N", help="use the first N photos of each source only")
    photos.add_argument("--strict", action="store_true", help="stop at the first photo that cannot be used")
    mining = parser.add_argument_group("cascade (rnet and onet; pnet: for its own false alarms)")
    mining.add_argument("--model", metavar="DIR", help="model folder with the earlier nets; pnet: with a P-Net")
    mining.add_argument(
        "--thresholds", type=three_thresholds, metavar="P,R,O", help="of mining: .4,.1,.1; pnet: .5 (seanlinx: .6,.7)"
    )
    mining.add_argument(
        "--own-scores",
        action="store_true",
        help="take boxes as the model's own R- or O-Net scores them (above its threshold): what it is wrong about",
    )
    mining.add_argument(
        "--mine-rescaled",
        type=_two_factors,
        metavar="LOW,HIGH",
        help="detect in photos resized by a random factor and mirrored: other false alarms than before",
    )
    mining.add_argument(
        "--min-face", type=positive_float, metavar="PX", help="smallest face to look for (20; seanlinx: 24)"
    )
    choice = parser.add_argument_group("samples")
    choice.add_argument("--val-fraction", type=fraction, metavar="F", help="share of photos for val.rec (0)")
    choice.add_argument(
        "--cell",
        type=int,
        choices=CELL_STRIDE,
        help="pnet: side of the samples, and so of what the net looks at (12; 20: cheaper proposals)",
    )
    choice.add_argument("--recipe", choices=RECIPES, help="constants of sampling")
    choice.add_argument(
        "--min-face-longer-side",
        type=positive_int,
        metavar="PX",
        help="leave out faces whose longer side is below this (20; seanlinx: 40 for pnet, none for rnet and onet)",
    )
    # the old spelling
    choice.add_argument("--min-face-px", dest="min_face_longer_side", type=positive_int, help=argparse.SUPPRESS)
    choice.add_argument(
        "--negatives-per-photo", type=non_negative_int, metavar="N", help="at most; default by net and recipe"
    )
    choice.add_argument(
        "--per-face",
        type=_four_counts,
        metavar="A,B,C,D",
        help="at most so many positives, and parts, of a face below 20, from 20, from 40, from 100 px",
    )
    choice.add_argument(
        "--landmark-shift",
        type=finite_float,
        metavar="PX",
        help="how far right of what they mark the annotated points are (0); then train with --no-landmark-mirror",
    )
    choice.add_argument("--ratio", metavar="P:N:A:L", help="positive:negative:part:landmark (1:3:1:2)")
    choice.add_argument("--counts", metavar="P:N:A:L", help="at most so many samples, instead of --ratio")
    choice.add_argument(
        "--ignore", metavar="RULE", help="faces to ignore (blur=2,occlusion=2,invalid=1); none: use all"
    )


def _names(text: str) -> tuple[str, ...]:
    return tuple(filter(None, (name.strip() for name in text.split(","))))


def _two_factors(text: str) -> tuple[float, ...]:
    values = tuple(positive_float(part) for part in text.split(","))
    if len(values) != 2 or values[0] > values[1]:
        raise argparse.ArgumentTypeError(f"expected two factors like .75,1.4, got {text!r}")
    return values


def _four_counts(text: str) -> tuple[int, ...]:
    values = tuple(non_negative_int(part) for part in text.split(","))
    if len(values) != 4:
        raise argparse.ArgumentTypeError(f"expected four numbers like 4,8,12,16, got {text!r}")
    return values


def run(args: argparse.Namespace) -> int:
    """Make the packs; print how many samples of each class they hold."""
    from gluon_mtcnn.prepare_data.executors.processes import WorkerError
    from gluon_mtcnn.tools.data.prepare.run import prepare

    options = _options(args)
    try:
        result = prepare(options)
    except WorkerError as error:
        print(error, file=sys.stderr)
        return 1
    _print(result)
    return 0


def _options(args: argparse.Namespace) -> PrepareOptions:
    from gluon_mtcnn.prepare_data.annotations.wider import parse_ignore
    from gluon_mtcnn.prepare_data.packing.selection import parse_four

    return options_from(
        PrepareOptions,
        args,
        counts=parse_four(args.counts, "--counts") if args.counts else None,
        ratio=parse_four(args.ratio, "--ratio") if args.ratio else None,
        ignore=parse_ignore(args.ignore) if args.ignore else None,
    )


def _print(result: PrepareResult) -> None:
    for name, reason in result.skipped[:LISTED]:
        log.warning("skipped %s: %s", name, reason)
    if result.skipped:
        more = len(result.skipped) - LISTED
        tail = f" ({more} more are named in manifest.json)" if more > 0 else ""
        log.warning("%d of %d photos were skipped%s", len(result.skipped), result.photos, tail)
    print(f"{'set':<6} {'class':<9} {'planned':>10} {'used':>10}")
    for set_name, used in result.sets.items():
        for name, count in used.items():
            print(f"{set_name:<6} {name:<9} {result.planned[set_name][name]:>10,} {count:>10,}")
