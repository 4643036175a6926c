"""Write a model for other programs.

Example: gluon-mtcnn export onnx --model model/mine --out onnx

seanlinx: pnet-0016.params .. for Seanlinx/mtcnn. symbol: pnet-symbol.json and pnet-0000.params .. for MXNet's Module,
SymbolBlock and C API. onnx: pnet.onnx .. for onnxruntime, OpenCV and others. All nets of the model are written.
"""

from __future__ import annotations

import argparse

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


def run(args: argparse.Namespace) -> int:
    """Export, print the files' paths, and return 0."""
    if args.epoch is not None and args.format != "seanlinx":
        raise InputError(f"export {args.format}: --epoch: only Seanlinx's checkpoints have one")
    if args.pixels and args.format != "onnx":
        raise InputError(f"export {args.format}: --pixels: only for onnx")
    out = output_dir(args.out)
    model = open_model(args.model)
    from gluon_mtcnn.core.convert import export

    if args.format == "seanlinx":
        paths = export.export_seanlinx(model, out, export.SEANLINX_EPOCH if args.epoch is None else args.epoch)
    elif args.format == "symbol":
        paths = export.export_symbol(model, out)
    else:
        paths = export.export_onnx(model, out, args.pixels)
    for path in paths:
        print(path)
    return 0
