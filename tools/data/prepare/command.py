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
from collections.abc import Iterable
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, Any, Optional

from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.core.packs.manifest import PAYLOADS
from gluon_mtcnn.core.types import CELL_STRIDE, INPUT_SIZE, NETS
from gluon_mtcnn.tools.cli.options import (
    existing_dir,
    existing_file,
    finite_float,
    fraction,
    non_negative_int,
    positive_float,
    positive_int,
    three_thresholds,
)

if TYPE_CHECKING:
    from gluon_mtcnn.prepare_data.packing.build import Options, Planner, Source

COMMON = ("seed", "num_workers", "quiet")
log = logging.getLogger(__name__)
SEANLINX_COUNTS = (
    float(2**40),
    600_000.0,
    300_000.0,
    float(2**40),
)  # all positives (and landmarks), at most so many others
TRIES_PER_SQUARE = 6  # about one square around a face in three is a positive, and one in three a part
LISTED = 20  # skipped photos that are named; the manifest names all


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `prepare`."""
    parser.add_argument("net", choices=NETS, help="the net that the samples are for")
    parser.add_argument("--out", required=True, metavar="DIR", help="folder of the packs")
    parser.add_argument("--payload", choices=PAYLOADS, default="bmp", help="of the records (bmp: fastest to read)")
    parser.add_argument(
        "--imdb", default="", metavar="ROOT", help="write the Seanlinx layout there too: loose crops, list, cache"
    )
    parser.add_argument(
        "--cluster",
        default="",
        metavar="tcp://HOST:PORT",
        help="run on the workers of this Dask scheduler, which must see the same files (default: --num-workers here)",
    )
    photos = parser.add_argument_group("photos (any of these)")
    photos.add_argument("--wider-images", metavar="DIR", help="WIDER's photos (WIDER_train or its images folder)")
    photos.add_argument("--wider-annotations", metavar="FILE", help="WIDER's *_bbx_gt.txt or .mat")
    photos.add_argument(
        "--csv", metavar="FILE", help="own photos: image,x1,y1,x2,y2[,ignore][,landmarks] (docs/prepare.md)"
    )
    photos.add_argument("--landmark-images", metavar="DIR", help="photos of faces with five points")
    photos.add_argument("--landmark-annotations", metavar="FILE", help="their CNN_FacePoint or CelebA list")
    photos.add_argument("--seanlinx-images", metavar="DIR", help="photos of an anno.txt of Seanlinx/mtcnn")
    photos.add_argument("--seanlinx-annotations", metavar="FILE", help="the anno.txt: path x1 y1 x2 y2 ...")
    photos.add_argument("--limit", type=positive_int, metavar="N", help="use the first N photos of each source only")
    photos.add_argument("--strict", action="store_true", help="stop at the first photo that cannot be used")
    mining = parser.add_argument_group("cascade (rnet and onet; pnet: for its own false alarms)")
    mining.add_argument("--model", metavar="DIR", help="model folder with the earlier nets; pnet: with a P-Net")
    mining.add_argument(
        "--thresholds", type=three_thresholds, metavar="P,R,O", help="of mining: .4,.1,.1; pnet: .5 (seanlinx: .6,.6)"
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
    choice.add_argument(
        "--val-fraction", type=fraction, default=0.0, metavar="F", help="share of photos for val.rec (0)"
    )
    choice.add_argument(
        "--cell",
        type=int,
        choices=CELL_STRIDE,
        help="pnet: side of the samples, and so of what the net looks at (12; 20: cheaper proposals)",
    )
    choice.add_argument("--recipe", choices=("default", "seanlinx"), default="default", help="constants of sampling")
    choice.add_argument(
        "--min-face-longer-side",
        dest="min_face_px",
        type=positive_int,
        metavar="PX",
        help="leave out faces whose longer side is below this (20; seanlinx: 40)",
    )
    choice.add_argument("--min-face-px", type=positive_int, help=argparse.SUPPRESS)  # the old spelling
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
    choice.add_argument("--ratio", default="", metavar="P:N:A:L", help="positive:negative:part:landmark (1:3:1:2)")
    choice.add_argument("--counts", default="", metavar="P:N:A:L", help="at most so many samples, instead of --ratio")
    choice.add_argument(
        "--ignore", default="", metavar="RULE", help="faces to ignore (blur=2,occlusion=2,invalid=1); none: use all"
    )


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
    from gluon_mtcnn.prepare_data.packing.build import prepare

    options, planner = _options(args), _planner(args)
    try:
        result = prepare(planner, _sources(args), args.out, options)
    except WorkerError as error:
        print(error, file=sys.stderr)
        return 1
    _print(result)
    return 0


def _options(args: argparse.Namespace) -> Options:
    from gluon_mtcnn.prepare_data.packing.build import Options
    from gluon_mtcnn.prepare_data.packing.selection import DEFAULT_RATIO, parse_four

    counts = parse_four(args.counts, "--counts") if args.counts else None
    if counts and args.ratio:
        raise InputError("--ratio and --counts: expected one of them, got both")
    if args.val_fraction == 1:
        raise InputError("--val-fraction: expected less than 1, got 1: nothing would be left to train on")
    if counts is None and not args.ratio and args.recipe == "seanlinx":
        counts = SEANLINX_COUNTS
    return Options(
        seed=args.seed,
        val_fraction=args.val_fraction,
        ratio=parse_four(args.ratio, "--ratio") if args.ratio else DEFAULT_RATIO,
        counts=counts,
        strict=args.strict,
        num_workers=args.num_workers,
        quiet=args.quiet,
        cluster=args.cluster,
        payload=args.payload,
        imdb=args.imdb,
    )


def _planner(args: argparse.Namespace) -> Planner:
    from gluon_mtcnn.prepare_data.sampling.squares import RECIPES

    recipe = RECIPES[args.recipe][args.net].with_options(
        min_face=args.min_face_px, landmark_shift=args.landmark_shift, **_per_face(args.per_face)
    )
    if args.net == "pnet" and not args.model:
        from gluon_mtcnn.prepare_data.sampling.pnet import PNetPlanner

        of_cascade = ("thresholds", "min_face", "mine_rescaled", "own_scores")
        given = [name for name in of_cascade if getattr(args, name) not in (None, False)]
        if given:
            raise InputError(f"prepare pnet: --{given[0].replace('_', '-')} needs --model, whose P-Net is run")
        recipe = recipe.with_options(negatives=args.negatives_per_photo)
        return PNetPlanner.for_cell(recipe, args.cell or INPUT_SIZE["pnet"])
    if args.cell is not None and args.net != "pnet":
        raise InputError(f"prepare {args.net}: expected no --cell: only P-Nets look at cells")
    from gluon_mtcnn.prepare_data.mining.hard_examples import MINING, HardExamplePlanner

    options = {"thresholds": args.thresholds, "min_face": args.min_face, "negatives": args.negatives_per_photo}
    chosen = {name: value for name, value in options.items() if value is not None}
    if args.own_scores:
        chosen["own"] = True
    if args.mine_rescaled:
        chosen.update(rescale=args.mine_rescaled, seed=args.seed)
    mining = replace(MINING[args.recipe][args.net], model=_model_folder(args), **chosen)
    planner = HardExamplePlanner(args.net, recipe, mining, cell=args.cell or 0)
    return replace(planner, recipe=recipe.for_cell(planner.size)) if args.net == "pnet" else planner


def _per_face(most: Optional[tuple[int, ...]]) -> dict[str, Any]:
    """Return what a recipe's options become when at most so many positives, and parts, a face are asked for."""
    if most is None:
        return {}
    return {"positives": most, "parts": most, "tries": tuple(TRIES_PER_SQUARE * n for n in most)}


def _model_folder(args: argparse.Namespace) -> str:
    """Return the folder of the model that is run."""
    from gluon_mtcnn.model import DEFAULT_MODEL

    if not args.model and not (DEFAULT_MODEL / "model.json").is_file():
        raise InputError(f"{DEFAULT_MODEL}: no default model is installed: give --model DIR")
    return str(args.model or DEFAULT_MODEL)


def _sources(args: argparse.Namespace) -> list[Source]:
    """Return the sources that the options name, in the order of the photos."""
    from gluon_mtcnn.core.files.atomic import sha256
    from gluon_mtcnn.core.types import ALL_FACES, ONE_FACE
    from gluon_mtcnn.prepare_data.annotations.csv_boxes import read_csv
    from gluon_mtcnn.prepare_data.annotations.landmark_lists import read_landmarks
    from gluon_mtcnn.prepare_data.annotations.seanlinx_anno import read_anno
    from gluon_mtcnn.prepare_data.annotations.wider import IGNORE, parse_ignore, read_wider
    from gluon_mtcnn.prepare_data.packing.build import Source

    sources: list[Source] = []

    def add(listed: int, photos: Iterable[Any], **description: Any) -> None:
        description["sha256"] = sha256(description["annotations"])
        sources.append(Source(islice(photos, args.limit), listed, description))

    pair = _pair(args, "wider")
    if pair:
        ignore = parse_ignore(args.ignore) if args.ignore else IGNORE
        add(ALL_FACES, read_wider(*pair, ignore), kind="wider", annotations=pair[0], images=pair[1], ignore=ignore)
    pair = _pair(args, "seanlinx")
    if pair:
        add(ALL_FACES, read_anno(*pair), kind="anno", annotations=pair[0], images=pair[1])
    if args.csv:
        path = str(existing_file(args.csv, "annotations"))
        add(ALL_FACES, read_csv(path), kind="csv", annotations=path)
    pair = _pair(args, "landmark")
    if pair:
        add(ONE_FACE, read_landmarks(*pair), kind="landmarks", annotations=pair[0], images=pair[1])
    if not sources:
        raise InputError("prepare: expected photos: --wider-images and --wider-annotations, --csv, or another source")
    return sources


def _pair(args: argparse.Namespace, prefix: str) -> tuple[str, str]:
    """Return (annotations, images) of an annotated set that the options name, or () for none."""
    images, annotations = getattr(args, f"{prefix}_images"), getattr(args, f"{prefix}_annotations")
    if images is None and annotations is None:
        return ()  # type: ignore[return-value]
    if images is None or annotations is None:
        raise InputError(f"--{prefix}-images and --{prefix}-annotations: expected both, got one")
    existing_dir(images, "folder of photos")
    existing_file(annotations, "annotations")
    return annotations, images


def _print(result: dict[str, Any]) -> None:
    for name, reason in result["skipped"][:LISTED]:
        log.warning("skipped %s: %s", name, reason)
    if result["skipped"]:
        more = len(result["skipped"]) - LISTED
        tail = f" ({more} more are named in manifest.json)" if more > 0 else ""
        log.warning("%d of %d photos were skipped%s", len(result["skipped"]), result["photos"], tail)
    print(f"{'set':<6} {'class':<9} {'planned':>10} {'used':>10}")
    for set_name, used in result["sets"].items():
        for name, count in used.items():
            print(f"{set_name:<6} {name:<9} {result['planned'][set_name][name]:>10,} {count:>10,}")
