"""Make a model folder from another project's checkpoints.

Example: gluon-mtcnn import seanlinx model/pnet model/rnet model/onet --epoch 16 16 16 --out model/seanlinx
"""

from __future__ import annotations

import argparse
import logging

from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.core.types import NETS

log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("format", choices=["seanlinx"], help="whose checkpoints: Seanlinx/mtcnn")
    parser.add_argument("prefix", nargs="+", metavar="PREFIX", help="prefixes of the P-, R- and O-Net, in this order")
    parser.add_argument("--epoch", nargs="+", type=int, default=[16], metavar="N", help="epochs (default: 16 each)")
    parser.add_argument("--pooling", choices=["full", "valid"], help="override the convention (R and O tell their own)")
    parser.add_argument("--out", required=True, metavar="DIR", help="the model folder")


def run(args: argparse.Namespace) -> int:
    """Import; return 0."""
    if len(args.prefix) > len(NETS):
        raise InputError(f"import seanlinx: expected up to three prefixes, got {len(args.prefix)}")
    epochs = args.epoch * len(args.prefix) if len(args.epoch) == 1 else args.epoch
    if len(epochs) != len(args.prefix):
        raise InputError(f"import seanlinx: expected {len(args.prefix)} epochs, got {len(epochs)}")
    from gluon_mtcnn.core.checkpoint import save_net
    from gluon_mtcnn.core.legacy import load_seanlinx

    model = load_seanlinx(dict(zip(NETS, args.prefix)), dict(zip(NETS, epochs)), args.pooling)
    for kind, net in model.nets.items():
        save_net(args.out, net, model.origin[kind], model.thresholds, model.calibration)
        log.info("%s: pooling %s, from %s", kind, net.spec.pooling, model.origin[kind]["file"])
    return 0
