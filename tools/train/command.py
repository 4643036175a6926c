"""Train one net from packs: validates after each epoch, keeps the best weights, resumes to the bit after a kill.

For example::

  gluon-mtcnn train pnet --data packs/12 --out runs/first
  gluon-mtcnn train rnet --data packs/24 --out runs/first --epochs 12 --optimizer adamw --devices cpu:0,cpu:1
  gluon-mtcnn train onet --data packs/48 --out runs/tuned --pretrained model/default --freeze 'stage1.*' --lr 0.002
  gluon-mtcnn train pnet --data packs/12 --out runs/first --resume
"""

from __future__ import annotations

import argparse
import logging
from typing import Any

from gluon_mtcnn.core.backend.threads import set_threads
from gluon_mtcnn.core.errors import NonFiniteLossError
from gluon_mtcnn.core.files.atomic import read_json
from gluon_mtcnn.core.training.checkpoint import run_record_path
from gluon_mtcnn.core.training.config import AUGMENTATIONS, OHEM_SCOPES, OPTIMIZERS, RECIPES, SCHEDULES
from gluon_mtcnn.core.types import CELL_STRIDE, NETS
from gluon_mtcnn.tools.cli.options import existing_dir, fraction, non_negative_int, positive_int

logger = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``train``."""
    parser.add_argument("net", choices=NETS)
    parser.add_argument(
        "--data", required=True, nargs="+", metavar="DIR", help="folders with train.rec (and val.rec), used as one"
    )
    parser.add_argument("--out", required=True, metavar="DIR", help="model folder to make or add to")
    parser.add_argument("--val-data", metavar="DIR", help="validate on the train.rec of this folder")
    parser.add_argument(
        "--resume", action="store_true", help="go on from the last checkpoint in --out, if there is one"
    )
    parser.add_argument(
        "--seanlinx-checkpoints", metavar="PREFIX", help="also write PREFIX-0001.params ... as Seanlinx names them"
    )
    parser.add_argument("--sanity", action="store_true", help="only check that 20 samples can be learnt by heart")
    _add_model_options(parser.add_argument_group("model"))
    _add_recipe_options(parser.add_argument_group("recipe (defaults depend on the net and --recipe: docs/training.md)"))
    machine = parser.add_argument_group("machine")
    machine.add_argument("--devices", default="cpu", metavar="LIST", help="cpu; cpu:0,cpu:1; gpu:0,gpu:1 (default cpu)")
    machine.add_argument(
        "--kvstore",
        metavar="NAME",
        help="local, device or nccl (default device); under launch dist_sync (default), dist_async, dist_sync_device",
    )
    machine.add_argument(
        "--ohem-scope",
        choices=OHEM_SCOPES,
        help="under launch, rank losses over all workers, or in each (default global; dist_async: local)",
    )
    machine.add_argument("--amp", action="store_true", help="compute with float16 where it is safe; GPUs only")
    machine.add_argument("--threads", type=positive_int, metavar="N", help="OpenMP threads of each CPU device")
    machine.add_argument(
        "--checkpoint-seconds", type=_not_negative, default=60.0, metavar="S", help="between checkpoints (default 60)"
    )


def _add_model_options(group: Any) -> None:
    group.add_argument("--landmarks", action="store_true", default=None, help="with the landmark head")
    group.add_argument(
        "--no-landmarks",
        dest="landmarks",
        action="store_false",
        help="without it (default: with it when the pack has landmark samples)",
    )
    group.add_argument(
        "--cell", type=int, choices=CELL_STRIDE, help="pnet: side of what it looks at (default: of the pack's images)"
    )
    group.add_argument("--pretrained", metavar="MODEL_DIR", help="start from this model's weights")
    group.add_argument("--freeze", metavar="PATTERN", help="parameters to keep, as stage1.* or *.alpha,stage2.conv.*")


def _add_recipe_options(group: Any) -> None:
    group.add_argument("--recipe", choices=RECIPES, default="default")
    group.add_argument("--epochs", type=positive_int, metavar="N")
    group.add_argument("--batch-size", type=positive_int, metavar="N", help="of all devices together")
    group.add_argument("--optimizer", choices=OPTIMIZERS)
    group.add_argument("--lr", type=_positive, metavar="X", help="peak learning rate")
    group.add_argument("--wd", type=_not_negative, metavar="X", help="weight decay")
    group.add_argument("--schedule", choices=SCHEDULES)
    group.add_argument("--warmup", type=non_negative_int, metavar="STEPS")
    group.add_argument("--augment", choices=AUGMENTATIONS)
    group.add_argument(
        "--turn", type=_not_negative, metavar="DEGREES", help="turn samples by up to so much to either side, at most 45"
    )
    group.add_argument(
        "--erase", type=fraction, metavar="SHARE", help="make a rectangle of so many of the samples grey"
    )
    group.add_argument(
        "--batch-norm",
        action="store_true",
        default=None,
        help="train with batch normalisation, folded into the weights that are kept",
    )
    group.add_argument(
        "--no-landmark-mirror",
        dest="mirror_landmarks",
        action="store_false",
        default=None,
        help="do not mirror landmark samples: prepare --landmark-shift has mirrored half of them",
    )
    group.add_argument("--ratio", type=_four_numbers, metavar="P:N:PART:L", help="classes in a batch, as 1:3:1:2")
    group.add_argument("--epoch-size", type=positive_int, metavar="N", help="samples an epoch")
    group.add_argument("--loss-weights", type=_three_numbers, metavar="C,B,L", help="classification, box, landmarks")
    group.add_argument("--ohem", type=_positive, metavar="PART", help="part of the rows that mining keeps, 1 = all")
    group.add_argument("--regression", choices=("l2", "smooth_l1"))


def _positive(text: str) -> float:
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"expected a number above 0, got {text}")
    return value


def _not_negative(text: str) -> float:
    value = float(text)
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"expected a number of at least 0, got {text}")
    return value


def _numbers(text: str, separator: str, count: int) -> tuple[float, ...]:
    values = tuple(_not_negative(part) for part in text.split(separator))
    if len(values) != count or not any(values):
        raise argparse.ArgumentTypeError(f"expected {count} numbers separated by {separator!r}, got {text!r}")
    return values


def _three_numbers(text: str) -> tuple[float, ...]:
    return _numbers(text, ",", 3)


def _four_numbers(text: str) -> tuple[float, ...]:
    return _numbers(text, ":", 4)


def run(args: argparse.Namespace) -> int:
    """Train as the options say; 1 when the loss breaks or the sanity check fails."""
    for folder in args.data:
        existing_dir(folder, "folder of the training pack")
    path = run_record_path(args.out, args.net)
    recorded = read_json(path) if args.resume and path.is_file() else {}
    set_threads(args.threads or recorded.get("threads"), args.devices)

    from gluon_mtcnn.tools.train import run as train_run

    try:
        return train_run.sanity(args) if args.sanity else train_run.train(args)
    except NonFiniteLossError as error:
        logger.error("%s", error)
        return 1
