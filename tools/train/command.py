"""Train one net from packs: validates after each epoch, keeps the best weights, resumes to the bit after a kill.

For example::

  gluon-mtcnn train pnet --data packs/12 --out runs/first
  gluon-mtcnn train rnet --data packs/24 --out runs/first --epochs 12 --optimizer adamw --devices cpu:0,cpu:1
  gluon-mtcnn train onet --data packs/48 --out runs/tuned --pretrained model/default --freeze 'stage1.*' --lr 0.002
  gluon-mtcnn train pnet --data packs/12 --out runs/first --resume
"""

from __future__ import annotations

import argparse
import json
import logging
from typing import Any, Optional

from gluon_mtcnn.core.distributed.heartbeat import Activity
from gluon_mtcnn.core.errors import NonFiniteLossError
from gluon_mtcnn.core.training.config import AUGMENTATIONS, OHEM_SCOPES, OPTIMIZERS, RECIPES, SCHEDULES
from gluon_mtcnn.core.types import CELL_STRIDE, NETS
from gluon_mtcnn.tools.cli.options import defaults_of, fraction, non_negative_int, options_from, positive_int
from gluon_mtcnn.tools.train.options import REGRESSIONS, TrainOptions
from gluon_mtcnn.tools.train.run import sanity, train

COMMON = ("seed", "quiet")
logger = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``train``."""
    parser.set_defaults(**defaults_of(TrainOptions))
    parser.add_argument("net", choices=NETS, help="the net to train")
    parser.add_argument(
        "--data", required=True, nargs="+", metavar="DIR", help="folders with train.rec (and val.rec), used as one pack"
    )
    parser.add_argument("--out", required=True, metavar="DIR", help="model folder to make or add to")
    parser.add_argument("--val-data", metavar="DIR", help="validate on the train.rec of this folder")
    parser.add_argument(
        "--resume", action="store_true", help="go on from the last checkpoint in --out, if there is one"
    )
    parser.add_argument(
        "--seanlinx-checkpoints", metavar="PREFIX", help="also write PREFIX-0001.params ... as Seanlinx names them"
    )
    parser.add_argument("--sanity", action="store_true", help="only check that 20 samples can be learned by heart")
    _add_model_options(parser.add_argument_group("model"))
    _add_recipe_options(parser.add_argument_group("recipe (defaults depend on the net and --recipe: docs/training.md)"))
    _add_machine_options(parser.add_argument_group("machine"))


def _add_model_options(group: Any) -> None:
    group.add_argument("--landmarks", action="store_true", help="with the landmark head")
    group.add_argument(
        "--no-landmarks",
        dest="landmarks",
        action="store_false",
        help="without it (default: with it if the pack has landmark samples)",
    )
    group.add_argument(
        "--cell", type=int, choices=CELL_STRIDE, help="pnet: side of its input, pixels (default: of the pack's images)"
    )
    group.add_argument("--pretrained", metavar="MODEL_DIR", help="start from the weights of this model")
    group.add_argument("--freeze", metavar="PATTERN", help="parameters to keep, as stage1.* or *.alpha,stage2.conv.*")


def _add_recipe_options(group: Any) -> None:
    group.add_argument("--recipe", choices=RECIPES, help="default %(default)s")
    group.add_argument("--epochs", type=positive_int, metavar="N", help="passes over the data")
    group.add_argument("--batch-size", type=positive_int, metavar="N", help="of all devices together")
    group.add_argument("--optimizer", choices=OPTIMIZERS, help="SGD with momentum 0.9, or AdamW")
    group.add_argument("--lr", type=_positive, metavar="X", help="peak learning rate")
    group.add_argument("--wd", type=_not_negative, metavar="X", help="weight decay")
    group.add_argument("--schedule", choices=SCHEDULES, help="of the learning rate")
    group.add_argument("--warmup", type=non_negative_int, metavar="STEPS", help="over which the learning rate rises")
    group.add_argument("--augment", choices=AUGMENTATIONS, help="changes of samples on the fly: docs/training.md")
    group.add_argument(
        "--turn", type=_not_negative, metavar="DEGREES", help="turn samples by up to this much to either side, most 45"
    )
    group.add_argument("--erase", type=fraction, metavar="SHARE", help="share of samples with a rectangle made grey")
    group.add_argument(
        "--batch-norm",
        action="store_true",
        help="train with batch normalisation, folded into the weights that are kept",
    )
    group.add_argument(
        "--no-landmark-mirror",
        dest="mirror_landmarks",
        action="store_false",
        help="do not mirror landmark samples: prepare --landmark-shift has mirrored half of them",
    )
    group.add_argument("--ratio", type=_four_numbers, metavar="P:N:PART:L", help="classes in a batch, as 1:3:1:2")
    group.add_argument("--epoch-size", type=positive_int, metavar="N", help="samples of an epoch")
    group.add_argument("--loss-weights", type=_three_numbers, metavar="C,B,L", help="classification, box, landmarks")
    group.add_argument(
        "--ohem", type=_positive, metavar="SHARE", help="share of the samples that hard example mining keeps, 1 = all"
    )
    group.add_argument("--regression", choices=REGRESSIONS, help="error of boxes and landmarks")


def _add_machine_options(group: Any) -> None:
    group.add_argument("--devices", metavar="LIST", help="cpu; cpu:0,cpu:1; gpu:0,gpu:1 (default %(default)s)")
    group.add_argument(
        "--kvstore",
        metavar="NAME",
        help="local, device or nccl (default device); under launch dist_sync (default), dist_async, dist_sync_device",
    )
    group.add_argument(
        "--ohem-scope",
        choices=OHEM_SCOPES,
        help="under launch, rank losses over all workers, or in each (default global; dist_async: local)",
    )
    group.add_argument("--amp", action="store_true", help="compute with float16 where it is safe; GPUs only")
    group.add_argument("--threads", type=positive_int, metavar="N", help="OpenMP threads of each CPU device")
    group.add_argument(
        "--checkpoint-seconds",
        type=_not_negative,
        metavar="S",
        help="longest time between checkpoints (default %(default)g)",
    )


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


def run(args: argparse.Namespace, activity: Optional[Activity] = None) -> int:
    """Train as the options say; 1 when the loss breaks or the sanity check fails."""
    options = options_from(TrainOptions, args)
    try:
        if not args.sanity:
            train(options, activity)
            return 0
        result = sanity(options)
    except NonFiniteLossError as error:
        logger.error("%s", error)
        return 1
    figures = {name: None if value != value else value for name, value in result.metrics.items()}
    print(json.dumps({"samples": result.samples, "steps": result.steps, **figures, "passed": result.passed}))
    return 0 if result.passed else 1
