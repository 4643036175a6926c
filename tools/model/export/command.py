"""Write a model for other programs.

Example: gluon-mtcnn export onnx --model model/mine --out onnx

seanlinx: pnet-0016.params .. for Seanlinx/mtcnn. symbol: pnet-symbol.json and pnet-0000.params .. for MXNet's Module,
SymbolBlock and C API. onnx: pnet.onnx .. for onnxruntime, OpenCV and others. All nets of the model are written.
"""

from __future__ import annotations

import argparse
import re

from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.tools.cli.detector_options import open_model
from gluon_mtcnn.tools.cli.options import non_negative_int, output_dir

COMMON = ()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("format", choices=["seanlinx", "symbol", "onnx"], help="what to write")
    parser.add_argument("--model", metavar="DIR", help="model folder (default: the one that ships with the package)")
    parser.add_argument("--out", required=True, metavar="DIR", help="where the files go")
    parser.add_argument("--epoch", type=non_negative_int, metavar="N", help="seanlinx: in the file names, default 16")
    parser.add_argument(
        "--pixels", action="store_true", help="onnx: take uint8 pixels (n, h, w, 3) instead of normalised floats"
    )
    parser.add_argument(
        "--mxnet-version",
        type=_version,
        metavar="X.Y",
        help="oldest MXNet that must read the symbols, from 0.9 (default: seanlinx 0.9, symbol 1.9)",
    )


def _version(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d{1,4})\.(\d{1,4})(\.\d{1,4})?", text)
    version = (int(match[1]), int(match[2])) if match else (0, 0)
    if version < (0, 9):
        raise argparse.ArgumentTypeError(f"expected a version from 0.9 on, such as 0.11, got {text!r}")
    return version


def run(args: argparse.Namespace) -> int:
    """Export, print the files' paths, and return 0."""
    if args.epoch is not None and args.format != "seanlinx":
        raise InputError(f"export {args.format}: --epoch: only Seanlinx's checkpoints have one")
    if args.pixels and args.format != "onnx":
        raise InputError(f"export {args.format}: --pixels: only for onnx")
    if args.mxnet_version is not None and args.format == "onnx":
        raise InputError("export onnx: --mxnet-version: only for seanlinx and symbol")
    out = output_dir(args.out)
    model = open_model(args.model)
    from gluon_mtcnn.core.convert import export

    if args.format == "seanlinx":
        epoch = export.SEANLINX_EPOCH if args.epoch is None else args.epoch
        paths = export.export_seanlinx(model, out, epoch, args.mxnet_version or export.SEANLINX_MXNET)
    elif args.format == "symbol":
        paths = export.export_symbol(model, out, args.mxnet_version or export.CURRENT_MXNET)
    else:
        paths = export.export_onnx(model, out, args.pixels)
    for path in paths:
        print(path)
    return 0
