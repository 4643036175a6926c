"""How a detector is opened: one dataclass of options, the command line's spelling of them, and the opening."""

from __future__ import annotations

import argparse
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Callable, Optional, TypeVar

from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.core.files.atomic import PathLike
from gluon_mtcnn.core.nets.presets import ChosenOptions, Preset
from gluon_mtcnn.core.types import ENGINES, NETS
from gluon_mtcnn.model import DEFAULT_MODEL
from gluon_mtcnn.tools.cli.options import options_from, positive_float, three_thresholds

LOW_LAST_THRESHOLD = 0.002  # keeps nearly all that O-Net sees, so that a curve reaches its right end
T = TypeVar("T")


@dataclass(frozen=True)
class DetectorOptions:
    """How to open a detector: what ``--model --preset --min-face --thresholds ...`` say.

    Attributes
    ----------
    model : path of a model folder, optional
        Default: the model that ships with the package.
    min_face : float, optional
        Shorter side of the smallest face to find, pixels. Default: the preset's, or 20.
    thresholds : three floats, optional
        Scores above which P-, R- and O-Net keep a box. Default: what the function that opens the detector says.
    engine : {"mxnet", "onnx", "plain"}, optional
        What runs the nets. Default: "mxnet", or where MXNet is not installed "onnx".
    compat : {"seanlinx", "official"}, optional
        Repeat the arithmetic of another project.
    look_again : bool, optional
        Run O-Net with test-time augmentation. Default: as the preset says; where it says nothing, if O-Net has a
        landmark head and `compat` is not given.
    preset : str, optional
        Which of the model's presets; the options above win over it. Default: "default", if the model has it.

    Examples
    --------
    >>> DetectorOptions(min_face=40, engine="onnx").min_face
    40
    """

    model: Optional[PathLike] = None
    min_face: Optional[float] = None
    thresholds: Optional[tuple[float, ...]] = None
    engine: Optional[str] = None
    compat: Optional[str] = None
    look_again: Optional[bool] = None
    preset: Optional[str] = None

    def detector_arguments(self) -> dict[str, Any]:
        """Return the keyword arguments of a Detector, model and thresholds aside."""
        return {name: getattr(self, name) for name in ("engine", "min_face", "compat", "look_again", "preset")}

    def chosen(self, model: Any) -> ChosenOptions:
        """Return the options that a detector of the model has: given ones, then the preset's, then the model's.

        Raises
        ------
        InputError
            The model has no such preset.
        """
        return model.detector_options(Preset(self.thresholds, self.min_face, None, self.look_again), self.preset)


def options_with_detector(cls: Callable[..., T], parsed: object) -> T:
    """Fill a dataclass of options, whose field `detector` is of DetectorOptions, from parsed options by name."""
    return options_from(cls, parsed, detector=options_from(DetectorOptions, parsed))


def add_detector_options(
    parser: argparse.ArgumentParser,
    thresholds: str = "the model's first two and 0.002",
    title: str = "detector (with --images)",
    engine: bool = True,
) -> None:
    """Add the options that `DetectorOptions` has fields for.

    Parameters
    ----------
    parser : argument parser
    thresholds, title : str
        Texts of the help: the default thresholds, and the heading of the group.
    engine : bool
        Offer --engine; False for a command that runs all engines.
    """
    group = parser.add_argument_group(title)
    group.add_argument("--model", metavar="DIR", help="model folder (default: the one that ships with the package)")
    text = "options chosen for the model, which those below win over (default: default; `inspect MODEL` lists them)"
    group.add_argument("--preset", metavar="NAME", help=text)
    group.add_argument(
        "--min-face",
        type=positive_float,
        default=DetectorOptions.min_face,
        metavar="PX",
        help="smallest face to find (default: the preset's, or 20)",
    )
    group.add_argument("--thresholds", type=three_thresholds, metavar="P,R,O", help=f"default: {thresholds}")
    if engine:
        text = "what runs the nets, default mxnet if installed, otherwise onnx; plain: as the original does, to compare"
        group.add_argument("--engine", choices=ENGINES, default=DetectorOptions.engine, help=text)
    group.add_argument("--compat", choices=["seanlinx", "official"], help="repeat the arithmetic of another project")
    text = "run O-Net with test-time augmentation (default: the preset's, or with a landmark head, without --compat)"
    group.add_argument("--look-again", action=argparse.BooleanOptionalAction, help=text)


def open_model(folder: Optional[PathLike] = None) -> Any:
    """Open a model folder.

    Parameters
    ----------
    folder : path, optional
        Default: the model that ships with the package.

    Returns
    -------
    gluon_mtcnn.core.nets.model_folder.Model

    Raises
    ------
    InputError
        There is no model, or it cannot be read.
    """
    path = Path(folder or DEFAULT_MODEL)
    if not folder and not (path / "model.json").is_file():
        raise InputError(f"{path}: no default model is installed: give --model DIR")
    # Photos are spread over --num-workers threads; operators that spread over the cores too would be in their way.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    from gluon_mtcnn.core.nets.model_folder import load_model

    return load_model(path)


def open_detector(options: DetectorOptions, thresholds: Optional[tuple[float, ...]] = None) -> tuple[Any, float]:
    """Open the detector with which an evaluation runs.

    Parameters
    ----------
    options : DetectorOptions
    thresholds : three floats, optional
        Used where the options name neither thresholds nor a preset; with a preset, its own are. Default: the first two
        of the preset or the model and 0.002, so that curves are full.

    Returns
    -------
    detector : gluon_mtcnn.core.detection.detector.Detector
    operating_threshold : float
        The last threshold of the preset or the model, or the one in use where that is higher: scores below it were
        never seen.

    Raises
    ------
    InputError
        No model, a net missing, no such preset, or an option out of range.
    """
    model = open_model(options.model)
    model.require(NETS)
    from gluon_mtcnn.core.detection.detector import Detector

    own = replace(options, thresholds=None).chosen(model).thresholds
    if thresholds is None:
        thresholds = (*own[:2], min(own[2], LOW_LAST_THRESHOLD))
    elif options.preset is not None:
        thresholds = own
    used = options.thresholds or thresholds
    return Detector(model, thresholds=used, **options.detector_arguments()), max(own[2], used[2])
