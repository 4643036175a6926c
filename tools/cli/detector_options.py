"""The options with which ``detect`` and every ``evaluate ... --images`` open a detector."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any, Optional

from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.core.types import ENGINES, NETS
from gluon_mtcnn.model import DEFAULT_MODEL
from gluon_mtcnn.tools.cli.options import positive_float, three_thresholds

LOW_LAST_THRESHOLD = 0.002  # keeps nearly all that O-Net sees, so that a curve reaches its right end


def add_detector_options(
    parser: argparse.ArgumentParser,
    thresholds: str = "the model's first two and .002",
    title: str = "detector (with --images)",
    engine: bool = True,
) -> None:
    """Add --model, --min-face, --thresholds, --engine, --compat and --look-again.

    `thresholds` and `title` are texts of the help.

    Without `engine`, a command that runs several has no --engine.
    """
    group = parser.add_argument_group(title)
    group.add_argument("--model", metavar="DIR", help="model folder (default: the one that ships with the package)")
    group.add_argument(
        "--min-face", type=positive_float, default=20, metavar="PX", help="smallest face, default %(default)s"
    )
    group.add_argument("--thresholds", type=three_thresholds, metavar="P,R,O", help=f"default: {thresholds}")
    if engine:
        text = "what runs the nets, default %(default)s; plain: as the original does, to compare"
        group.add_argument("--engine", choices=ENGINES, default="mxnet", help=text)
    group.add_argument("--compat", choices=["seanlinx", "official"], help="repeat the arithmetic of another project")
    text = (
        "O-Net sees each face several times, or once (default: several times if it gives points and without --compat)"
    )
    group.add_argument("--look-again", action=argparse.BooleanOptionalAction, help=text)


def detector_arguments(args: argparse.Namespace) -> dict[str, Any]:
    """Return what a Detector takes of the options of `add_detector_options`, model and thresholds aside."""
    names = ("engine", "min_face", "compat", "look_again")
    return {name: getattr(args, name) for name in names if hasattr(args, name)}


def open_model(args: argparse.Namespace) -> Any:
    """Return the gluon_mtcnn.core.nets.model_folder.Model that --model names, or the default one.

    Raises
    ------
    InputError
        There is none, or it cannot be read.
    """
    folder = Path(args.model or DEFAULT_MODEL)
    if not args.model and not (folder / "model.json").is_file():
        raise InputError(f"{folder}: no default model is installed: give --model DIR")
    # Photos are spread over --num-workers threads; operators that spread over the cores too would be in their way.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    from gluon_mtcnn.core.nets.model_folder import load_model

    return load_model(folder)


def open_detector(args: argparse.Namespace, thresholds: Optional[tuple[float, ...]] = None) -> tuple[Any, float]:
    """Open the detector with which a command evaluates.

    Parameters
    ----------
    args : parsed options of `add_detector_options`
    thresholds : three floats, optional
        When the user gave none; by default the model's first two and .002, so that curves are full.

    Returns
    -------
    detector : gluon_mtcnn.core.detection.detector.Detector
    operating_threshold : float
        The model's own last threshold, or the one in use where that is higher: scores below it were never seen.

    Raises
    ------
    InputError
        No model, a net missing, or an option out of range.
    """
    model = open_model(args)
    model.require(NETS)
    from gluon_mtcnn.core.detection.detector import Detector

    own = model.thresholds
    used = args.thresholds or thresholds or (*own[:2], min(own[2], LOW_LAST_THRESHOLD))
    return Detector(model, thresholds=used, **detector_arguments(args)), max(own[2], used[2])
