"""Annotated photos that the options of a command name: a folder of photos and the file of their annotations."""

from __future__ import annotations

import argparse
import os
from typing import Any, Optional

from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.prepare_data.annotations.left_out import MOST
from gluon_mtcnn.tools.cli.options import existing_dir, existing_file, fraction


def add_max_left_out(parser: argparse._ActionsContainer) -> None:
    """Add --max-left-out to a parser or a group of its options."""
    parser.add_argument(
        "--max-left-out",
        type=fraction,
        default=MOST,
        metavar="F",
        help="stop where more than this share of the annotated faces has no usable box; 1: never; default %(default)s",
    )


def photo_pair(options: Any, prefix: str) -> Optional[tuple[str, str]]:
    """Return the paths of the annotations and of the folder of photos that options name; None where they name none.

    Parameters
    ----------
    options : dataclass of options
        With the fields ``{prefix}_images`` and ``{prefix}_annotations``.
    prefix : str

    Raises
    ------
    InputError
        One of the two is missing, or does not exist.
    """
    images, annotations = getattr(options, f"{prefix}_images"), getattr(options, f"{prefix}_annotations")
    if images is None and annotations is None:
        return None
    if images is None or annotations is None:
        raise InputError(f"--{prefix}-images and --{prefix}-annotations: expected both, got one")
    existing_dir(images, "folder of photos")
    existing_file(annotations, "annotations")
    return os.fspath(annotations), os.fspath(images)
