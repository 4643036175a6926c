"""Split annotated photos into training and development lists.

Example: gluon-mtcnn split --wider-images WIDER_train/images --wider-annotations wider_face_train_bbx_gt.txt --out lists

Leaves training_bbx_gt.txt and development_bbx_gt.txt in --out; with landmark photos also training_landmarks.txt and
development_landmarks.txt. They name the photos as the given lists do and are used with the same folders. The split is
even over events and numbers of faces. A photo that is listed twice, and the photos of one person in a landmark list,
stay together.
"""

from __future__ import annotations

import argparse

from gluon_mtcnn.tools.cli.options import defaults_of, fraction, options_from
from gluon_mtcnn.tools.data.split.run import SplitOptions, split

COMMON = ("seed",)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``split``."""
    parser.set_defaults(**defaults_of(SplitOptions))
    parser.add_argument("--wider-images", required=True, metavar="DIR", help="WIDER's photos")
    parser.add_argument("--wider-annotations", required=True, metavar="FILE", help="WIDER's *_bbx_gt.txt or .mat")
    parser.add_argument("--landmark-images", metavar="DIR", help="photos of faces with five landmarks")
    parser.add_argument("--landmark-annotations", metavar="FILE", help="their CNN_FacePoint or CelebA list")
    parser.add_argument(
        "--fraction",
        type=fraction,
        metavar="F",
        help="share of the photos for development, default %(default)s",
    )
    parser.add_argument("--out", required=True, metavar="DIR", help="where the lists go")


def run(args: argparse.Namespace) -> int:
    """Write the lists; print how many photos each names."""
    for name, count in split(options_from(SplitOptions, args)).photos.items():
        print(f"{name:<26} {count:>8,}")
    return 0
