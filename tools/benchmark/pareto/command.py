"""Accuracy over processor time: presets, engines, models, grids of thresholds, and other detectors, in one run.

Each photo is decoded once and given to everything that is compared, one after the other, with one thread (set
OMP_NUM_THREADS=1). Time is processor time. Of our detector, the first two thresholds are those of the preset, the last
is 0.002, so that curves are full. AP is that of `evaluate boxes` for each --annotations file and each smallest face, or
with --ground-truth that of `evaluate wider`. What no other beats is marked: the Pareto front.

Example: OMP_NUM_THREADS=1 gluon-mtcnn benchmark pareto --images WIDER_val --ground-truth ground_truth
             --models model/default model/official --engines onnx --peers --json pareto.json --plot pareto.png
         OMP_NUM_THREADS=1 gluon-mtcnn benchmark pareto --images photos --annotations development.txt --engines onnx
             --grid-pnet .6:.9:7 --grid-rnet .7:.99:9 --choose default=30 --json grid.json

--grid-pnet and --grid-rnet measure all pairs of thresholds, LOW:HIGH:COUNT at equal steps of the log-odds or a list;
what pairs have in common is computed once. --choose names the setting of the highest mean AP within a processor time,
and --write puts it into the model's model.json as a preset, with the lowest last threshold that reaches
--target-precision in the column --precision-column.
"""

from __future__ import annotations

import argparse
import json

from gluon_mtcnn.core.nets.presets import ChosenOptions
from gluon_mtcnn.core.types import ENGINES
from gluon_mtcnn.tools.benchmark.measure import environment
from gluon_mtcnn.tools.benchmark.pareto.choice import Choice, choose_presets
from gluon_mtcnn.tools.benchmark.pareto.grid import Grid, log_odds_steps
from gluon_mtcnn.tools.benchmark.pareto.run import ParetoOptions, ParetoResult, benchmark_pareto
from gluon_mtcnn.tools.benchmark.pareto.table import table
from gluon_mtcnn.tools.cli.options import (
    finite_float,
    fraction,
    options_from,
    output_file,
    positive_float,
    positive_int,
)

COMMON = ("quiet",)


def thresholds(text: str) -> tuple[float, ...]:
    """Parse thresholds of a grid (an argparse type)."""
    try:
        return log_odds_steps(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"expected .6,.7 or LOW:HIGH:COUNT, got {text!r}: {error}") from None


def budget(text: str) -> tuple[str, float]:
    """Parse ``NAME=MS`` (an argparse type)."""
    name, _, value = text.partition("=")
    if not name or not value:
        raise argparse.ArgumentTypeError(f"expected NAME=MILLISECONDS, got {text!r}")
    return name, positive_float(value)


def numbers(text: str) -> tuple[float, ...]:
    """Parse ``50,30,10`` (an argparse type)."""
    return tuple(finite_float(part) for part in text.split(","))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    _add_photos(parser)
    compared = parser.add_argument_group("what is compared")
    compared.add_argument("--models", nargs="+", default=(), metavar="DIR", help="default: the model that ships")
    compared.add_argument(
        "--presets",
        nargs="+",
        default=(),
        metavar="NAME",
        help="default: all of a model; one without presets is run without and with test-time augmentation",
    )
    compared.add_argument("--engines", nargs="+", default=(), choices=ENGINES, help="default: the detector's")
    compared.add_argument("--peers", action="store_true", help="also other detectors that are installed")
    _add_grid(parser)
    parser.add_argument("--json", metavar="FILE", help="write the figures there")
    parser.add_argument("--plot", metavar="FILE", help="draw mean AP over time there; png, svg or pdf by suffix")


def _add_photos(parser: argparse.ArgumentParser) -> None:
    photos = parser.add_argument_group("photos")
    photos.add_argument("--images", required=True, metavar="DIR", help="folder that the names of the photos start from")
    truth = photos.add_mutually_exclusive_group(required=True)
    truth.add_argument("--annotations", nargs="+", default=(), metavar="FILE", help="WIDER text or CSV, a set each")
    truth.add_argument("--ground-truth", metavar="DIR", help="folder of wider_{face,easy,...}_val.mat")
    photos.add_argument("--image-list", metavar="FILE", help="with --ground-truth: the photos to take")
    photos.add_argument(
        "--ignore", default=ParetoOptions.ignore, metavar="RULE", help="as of evaluate boxes; default %(default)s"
    )
    photos.add_argument(
        "--min-face-shorter-side",
        dest="smallest",
        type=numbers,
        default=ParetoOptions.smallest,
        metavar="PX,PX",
        help="with --annotations: an AP for each, of the faces whose shorter side is at least this; default 0: all",
    )
    photos.add_argument("--limit", type=positive_int, metavar="N", help="most photos of each set, evenly spaced")


def _add_grid(parser: argparse.ArgumentParser) -> None:
    grid = parser.add_argument_group("grid, instead of presets")
    grid.add_argument("--grid-pnet", type=thresholds, metavar="P", help="thresholds of P-Net, such as .6:.9:7")
    grid.add_argument("--grid-rnet", type=thresholds, metavar="R", help="thresholds of R-Net")
    grid.add_argument(
        "--grid-augmentation",
        choices=sorted(AUGMENTATION),
        default="no",
        help="O-Net with test-time augmentation, default %(default)s",
    )
    grid.add_argument(
        "--grid-min-face",
        type=numbers,
        default=Grid.min_face,
        metavar="PX,PX",
        help=f"smallest faces, default {ChosenOptions.min_face}",
    )
    grid.add_argument(
        "--grid-scale-factor",
        type=numbers,
        default=Grid.scale_factor,
        metavar="F,F",
        help=f"factors between levels of the pyramid, default {ChosenOptions.scale_factor}",
    )
    grid.add_argument(
        "--choose", nargs="+", type=budget, default=(), metavar="NAME=MS", help="most processor time of a preset"
    )
    grid.add_argument("--write", action="store_true", help="put the chosen presets into model.json, beside others")
    grid.add_argument(
        "--target-precision",
        type=fraction,
        default=ParetoOptions.target_precision,
        metavar="F",
        help="of the score given beside each AP, and of a chosen last threshold; default %(default)s",
    )
    grid.add_argument("--precision-column", metavar="NAME", help="of the last threshold (default: the first column)")


AUGMENTATION = {"no": (False,), "yes": (True,), "both": (False, True)}


def run(args: argparse.Namespace) -> int:
    """Measure, print the table and what is chosen, write the files."""
    for path in filter(None, (args.json, args.plot)):
        output_file(path)
    choice = Choice(dict(args.choose), args.precision_column, args.write)
    result = benchmark_pareto(_options(args))
    print(table(result))
    chosen = choose_presets(result, choice) if args.choose else {}
    for name, preset in chosen.items():
        print(f"{name}: {json.dumps(preset.as_json())}")
    if args.json:
        _write_json(result, chosen, args.json)
    return 0


def _options(args: argparse.Namespace) -> ParetoOptions:
    grid = None
    if args.grid_pnet or args.grid_rnet:
        grid = Grid(
            args.grid_pnet or (),
            args.grid_rnet or (),
            AUGMENTATION[args.grid_augmentation],
            args.grid_min_face,
            args.grid_scale_factor,
        )
    return options_from(ParetoOptions, args, grid=grid)


def _write_json(result: ParetoResult, chosen: dict, path: str) -> None:
    from gluon_mtcnn.core.files.atomic import write_json

    presets = {name: preset.as_json() for name, preset in chosen.items()}
    write_json(path, {**result.summary(), "chosen": presets, "environment": environment()})
