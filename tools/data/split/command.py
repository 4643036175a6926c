"""Part annotated photos into training and development lists.

Example: gluon-mtcnn split --wider-images WIDER_train/images --wider-annotations wider_face_train_bbx_gt.txt --out lists

Leaves training_bbx_gt.txt and development_bbx_gt.txt in --out; with landmark photos also training_landmarks.txt and
development_landmarks.txt. Both name the photos as the given lists do, so they are used with the same folders. Evenly
over events and numbers of faces; photos listed twice, and those of a person in a landmark list, are not split.
"""

from __future__ import annotations

import argparse
from typing import Optional

from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.tools.cli.options import existing_dir, existing_file, fraction, output_dir

COMMON = ("seed",)
DEFAULT_FRACTION = 0.1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``split``."""
    parser.add_argument("--wider-images", required=True, metavar="DIR", help="WIDER's photos")
    parser.add_argument("--wider-annotations", required=True, metavar="FILE", help="WIDER's *_bbx_gt.txt or .mat")
    parser.add_argument("--landmark-images", metavar="DIR", help="photos of faces with five points")
    parser.add_argument("--landmark-annotations", metavar="FILE", help="their CNN_FacePoint or CelebA list")
    parser.add_argument(
        "--fraction",
        type=fraction,
        default=DEFAULT_FRACTION,
        metavar="F",
        help="share of the photos for development, default %(default)s",
    )
    parser.add_argument("--out", required=True, metavar="DIR", help="where the lists go")


def run(args: argparse.Namespace) -> int:
    """Write the lists; print how many photos each names."""
    from gluon_mtcnn.prepare_data.packing.split_photos import split_photos

    out = output_dir(args.out)
    faces = (
        existing_file(args.wider_annotations, "annotations"),
        existing_dir(args.wider_images, "folder of photos"),
    )
    for name, count in split_photos(out, args.fraction, args.seed, faces, _points(args)).items():
        print(f"{name:<26} {count:>8,}")
    return 0


def _points(args: argparse.Namespace) -> Optional[tuple[str, str]]:
    """Return (annotations, images) of the landmark photos, None without any."""
    pair = (args.landmark_annotations, args.landmark_images)
    if pair == (None, None):
        return None
    if None in pair:
        raise InputError("--landmark-images and --landmark-annotations: expected both, got one")
    existing_dir(pair[1], "folder of photos")
    existing_file(pair[0], "annotations")
    return pair
