"""FDDB's DiscROC and ContROC, digit for digit as the official program writes them, and box AP fold by fold.

Example: gluon-mtcnn evaluate fddb --folds FDDB-folds --detections MTCNN.txt --image-sizes image_sizes.txt --out result
         gluon-mtcnn evaluate fddb --folds FDDB-folds --images originalPics --model model --out result

Detections are FDDB text files: image name, count, then `left top width height score` or, for ellipses,
`major minor angle center_x center_y score`. Leaves DiscROC.txt, ContROC.txt, ap.json and detections.txt in --out;
`plot roc` draws them.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Optional

import numpy as np

from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.core.files.atomic import PathLike, replacing, write_json
from gluon_mtcnn.tools.cli.detector_options import add_detector_options, open_detector
from gluon_mtcnn.tools.cli.options import existing_dir, existing_file
from gluon_mtcnn.tools.evaluate.detections import detect_photos, existing_photos
from gluon_mtcnn.tools.evaluate.fddb.ap import average_precision
from gluon_mtcnn.tools.evaluate.fddb.files import (
    SEANLINX_ROW,
    find_images,
    image_sizes,
    read_detections,
    read_folds,
    read_sizes,
    rectangles,
    write_detections,
)
from gluon_mtcnn.tools.evaluate.fddb.matcher import FALLBACK_SIZE, Roc, evaluate
from gluon_mtcnn.tools.evaluate.roc.curves import Curve, Method, tpr_table

log = logging.getLogger(__name__)

Sizes = Mapping[str, tuple[int, int]]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `evaluate fddb`."""
    parser.add_argument(
        "--folds", required=True, metavar="DIR", help="FDDB-fold-01.txt, FDDB-fold-01-ellipseList.txt, ..."
    )
    parser.add_argument(
        "--detections", metavar="FILE_OR_DIR", help="one file, or a folder with fold-01-out.txt, ...; any order"
    )
    parser.add_argument(
        "--images", metavar="DIR", help="the photos: a detector runs on them, or with --detections only sizes are read"
    )
    parser.add_argument(
        "--image-sizes",
        metavar="FILE",
        help="lines of `name width height` (default: from --images, otherwise {}x{} for all)".format(*FALLBACK_SIZE),
    )
    parser.add_argument(
        "--missing-as-empty", action="store_true", help="an image without an entry or photo has no detection"
    )
    parser.add_argument("--out", required=True, metavar="DIR", help="folder for the results")
    add_detector_options(parser)


def run(args: argparse.Namespace) -> int:
    """Evaluate, write the files, print a summary."""
    if not (args.detections or args.images):
        raise InputError("evaluate fddb: expected --detections FILE_OR_DIR, or --images DIR and --model DIR")
    if args.detections and args.model:
        raise InputError("evaluate fddb: expected --detections or --model, got both")
    folds, annotations = read_folds(existing_dir(args.folds, "folder of folds"))
    names = list(annotations)
    photos = _find_photos(args, names)
    sizes = _find_sizes(args, names, photos)
    out = Path(args.out)
    source, row_format = args.detections, ""
    if not source:
        source, row_format = out / "detections.txt", SEANLINX_ROW
        write_detections(source, names, _detect(args, names, photos), row_format)
    # Read back, so that the curves are those of the file, with its rounding.
    detections = complete(read_detections(source), names, args.missing_as_empty, str(source))
    if sizes is None:
        log.warning(
            "no --image-sizes and no --images: every image is taken as %d x %d pixels, rates may be off by up to .005",
            *FALLBACK_SIZE,
        )
    roc, ap = evaluate_to_folder(out, folds, annotations, detections, sizes, row_format)
    print(summary(roc, ap))
    return 0


def evaluate_to_folder(
    out: PathLike,
    folds: Mapping[str, Sequence[str]],
    annotations: Mapping[str, np.ndarray],
    detections: Mapping[str, np.ndarray],
    sizes: Optional[Sizes] = None,
    row_format: str = "",
) -> tuple[Roc, dict[str, Optional[float]]]:
    """Write DiscROC.txt, ContROC.txt, ap.json and detections.txt.

    Parameters
    ----------
    out : path of a folder, made when missing
    folds, annotations : as `fddb_files.read_folds` returns them
    detections, sizes : as of `fddb_match.evaluate`
    row_format : str
        Of the rows of detections.txt, as of `fddb_files.write_detections`.

    Returns
    -------
    roc : Roc
    ap : dict of fold to float, None for a fold without faces

    Raises
    ------
    InputError
        As of `fddb_match.evaluate`.
    """
    out = Path(out)
    roc = evaluate(annotations, detections, sizes)
    ap = average_precision(folds, annotations, detections, sizes)
    for name, lines in (("DiscROC.txt", roc.disc_lines()), ("ContROC.txt", roc.cont_lines())):
        with replacing(out / name) as temporary, open(temporary, "w", encoding="utf-8", newline="\n") as file:
            file.writelines(lines)
    write_json(out / "ap.json", {"mean": mean_ap(ap), "folds": ap, "images": len(annotations), "faces": roc.faces})
    write_detections(out / "detections.txt", annotations, detections, row_format)
    return roc, ap


def mean_ap(ap: Mapping[str, Optional[float]]) -> Optional[float]:
    """Return the plain mean of the folds that have faces; None when none has."""
    values = [value for value in ap.values() if value is not None]
    return float(np.mean(values)) if values else None


def summary(roc: Roc, ap: Mapping[str, Optional[float]]) -> str:
    """Return the figures people quote, as text."""
    fp = roc.false_positives
    method = Method("this detector", Curve(roc.discrete, fp), Curve(roc.continuous, fp))
    mean = mean_ap(ap)
    return f"{tpr_table([method])}\nmean AP of {len(ap)} folds: " + ("no face" if mean is None else f"{mean:.4f}")


def complete(
    detections: Mapping[str, np.ndarray], names: Sequence[str], missing_as_empty: bool, where: str
) -> dict[str, np.ndarray]:
    """Return an entry for each of the names, in their order; entries of other images are left out and logged.

    Raises
    ------
    InputError
        A name has no entry, unless `missing_as_empty`; `where` is the file.
    """
    missing = [name for name in names if name not in detections]
    if missing and not missing_as_empty:
        raise InputError(
            f"{where}: expected an entry for each of the {len(names)} images, got none for {len(missing)}, "
            f"such as {missing[0]} (--missing-as-empty: count them as images without detections)"
        )
    unknown = len(detections) + len(missing) - len(names)
    if unknown:
        log.warning("%s: %d images are in no fold, they are left out", where, unknown)
    return {name: detections.get(name, np.zeros((0, 5))) for name in names}


def _find_photos(args: argparse.Namespace, names: Sequence[str]) -> dict[str, PathLike]:
    """Return the photos in --images by name; none without that option."""
    if not args.images:
        return {}
    folder = existing_dir(args.images, "folder of photos")
    found = find_images(folder, names)
    return existing_photos({name: found.get(name, folder / f"{name}.jpg") for name in names}, args.missing_as_empty)


def _find_sizes(args: argparse.Namespace, names: Sequence[str], photos: Mapping[str, PathLike]) -> Optional[Sizes]:
    """Return the sizes of all images from --image-sizes or else from the photos; None when there is neither."""
    if args.image_sizes:
        sizes = read_sizes(existing_file(args.image_sizes, "file of image sizes"))
        missing = [name for name in names if name not in sizes]
        if missing:
            raise InputError(f"{args.image_sizes}: expected the size of every image, {missing[0]} has none")
        return sizes
    if photos:
        return {**dict.fromkeys(names, FALLBACK_SIZE), **image_sizes(photos, args.missing_as_empty)}
    return None


def _detect(args: argparse.Namespace, names: Sequence[str], photos: Mapping[str, PathLike]) -> dict[str, np.ndarray]:
    """Return ``x y w h score`` of every image, w = x2 - x1 as Seanlinx writes it and the official program reads it."""
    detector, _ = open_detector(args)
    found = detect_photos(detector, photos, args.quiet, args.missing_as_empty, args.num_workers)
    rows = {name: np.zeros((0, 5)) for name in names}
    return {**rows, **{name: rectangles(boxes) for name, boxes in found.items()}}
