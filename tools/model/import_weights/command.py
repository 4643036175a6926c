"""Make a model folder from another project's checkpoints.

Example: gluon-mtcnn import seanlinx model/pnet model/rnet model/onet --epoch 16 16 16 --out model/seanlinx
         gluon-mtcnn import mxnet-det mxnet_mtcnn_face_detection/model --out model/official
         gluon-mtcnn import caffe MTCNNv1/model --out model/official

seanlinx: pnet-0016.params and so on, one, two or three nets. mxnet-det: a folder with det1-0001.params .. det3.
caffe: a folder with det1.prototxt, det1.caffemodel .. det3, read by OpenCV; Caffe is not needed.
"""

from __future__ import annotations

import argparse
import logging
from typing import Any

from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.core.types import NETS
from gluon_mtcnn.tools.cli.options import non_negative_int, output_dir

COMMON = ()
log = logging.getLogger(__name__)
FORMATS = ("seanlinx", "mxnet-det", "caffe")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("format", choices=FORMATS, help="whose checkpoints")
    parser.add_argument(
        "source", nargs="+", metavar="SOURCE", help="seanlinx: prefixes of the P-, R- and O-Net; otherwise a folder"
    )
    parser.add_argument(
        "--epoch", nargs="+", type=non_negative_int, metavar="N", help="default: seanlinx 16 each, mxnet-det 1"
    )
    parser.add_argument("--pooling", choices=["full", "valid"], help="seanlinx: override (R and O tell their own)")
    parser.add_argument("--out", required=True, metavar="DIR", help="the model folder")


def _load_seanlinx(args: argparse.Namespace) -> Any:
    from gluon_mtcnn.core.convert.seanlinx import load_seanlinx

    epochs = args.epoch or [16]
    if len(args.source) > len(NETS):
        raise InputError(f"import seanlinx: expected up to three prefixes, got {len(args.source)}")
    if len(epochs) == 1:
        epochs = epochs * len(args.source)
    if len(epochs) != len(args.source):
        raise InputError(f"import seanlinx: expected {len(args.source)} epochs, got {len(epochs)}")
    return load_seanlinx(dict(zip(NETS, args.source)), dict(zip(NETS, epochs)), args.pooling)


def _load_official(args: argparse.Namespace) -> Any:
    from gluon_mtcnn.core.convert.official import load_caffe, load_mxnet_det

    if len(args.source) != 1:
        raise InputError(f"import {args.format}: expected one folder, got {len(args.source)}")
    if args.pooling:
        raise InputError(f"import {args.format}: --pooling: the official nets always pool 'full'")
    if args.format == "caffe":
        if args.epoch:
            raise InputError("import caffe: --epoch: caffemodels have none in their names")
        return load_caffe(args.source[0])
    epochs = args.epoch or [1]
    if len(epochs) != 1:
        raise InputError(f"import mxnet-det: expected one epoch, got {len(epochs)}")
    return load_mxnet_det(args.source[0], epochs[0])


def run(args: argparse.Namespace) -> int:
    """Import; return 0."""
    out = output_dir(args.out)
    model = _load_seanlinx(args) if args.format == "seanlinx" else _load_official(args)
    from gluon_mtcnn.core.nets.model_folder import save_net

    for kind in model.nets:
        net = model.weights(kind)
        save_net(out, net, model.origin[kind], model.thresholds, model.calibration)
        log.info("%s: pooling %s, from %s", kind, net.spec.pooling, model.origin[kind]["file"])
    return 0
