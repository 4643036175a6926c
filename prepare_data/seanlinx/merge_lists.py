"""The intermediate lists of a net -> the image list that it is trained from.

Sampling in the Seanlinx layout leaves ``pos_12.txt``, ``neg_12.txt``, ``part_12.txt`` (24, 48 for the other nets) and,
here, perhaps ``landmark_12.txt``. They are gathered into ``imglists/train_12.txt``: all positives, and a random choice
of the others, which are far more.
"""

from __future__ import annotations

from pathlib import Path
from typing import Optional, TextIO

import numpy as np

from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.core.files.atomic import PathLike, replacing_text
from gluon_mtcnn.core.seanlinx.imglist import iterate_lines, parse_lines
from gluon_mtcnn.core.types import LABEL_NAMES, LANDMARK, NEGATIVE, PART, POSITIVE

# How many of each class are kept at most; Seanlinx/mtcnn, prepare_data/seanlinx/merge_lists.py. None: all.
SEANLINX_COUNTS: dict[int, Optional[int]] = {POSITIVE: None, NEGATIVE: 600_000, PART: 300_000, LANDMARK: None}
FILES = {POSITIVE: "pos", NEGATIVE: "neg", PART: "part", LANDMARK: "landmark"}


def gen_imglist(
    folder: PathLike,
    size: int,
    out: PathLike,
    rng: np.random.Generator,
    counts: Optional[dict[int, Optional[int]]] = None,
) -> dict[str, int]:
    """Gather the intermediate lists of a net into one image list.

    Parameters
    ----------
    folder : folder with ``{pos,neg,part}_{size}.txt`` and perhaps ``landmark_{size}.txt``
    size : {12, 24, 48}
        Input side of the net.
    out : the image list to write, atomically
    rng : numpy Generator
        Chooses the lines where a class has more than are kept.
    counts : dict of label to int or None
        How many lines are kept at most, None for all; default `SEANLINX_COUNTS`. A class may have fewer.

    Returns
    -------
    dict of str to int
        Lines written by class. They stand in the order of the intermediate lists, class after class.

    Raises
    ------
    InputError
        An intermediate list is missing, has a wrong line, or a line of another class; the message names the line.
    """
    counts = SEANLINX_COUNTS if counts is None else counts
    written = {}
    with replacing_text(out) as file:
        for label, stem in FILES.items():
            path = Path(folder, f"{stem}_{size}.txt")
            if label != LANDMARK or path.exists():
                written[LABEL_NAMES[label]] = _copy_some(path, label, counts.get(label), rng, file)
    return written


def _copy_some(path: Path, label: int, limit: Optional[int], rng: np.random.Generator, file: TextIO) -> int:
    """Copy a random choice of a list's lines in their order; return how many.

    Each chunk of lines gets its share of what is still to be chosen by the hypergeometric law, so that every choice of
    `limit` lines is equally likely while one chunk is in memory.
    """
    left = sum(len(lines) for _, lines in iterate_lines(path))
    wanted = copied = left if limit is None else min(limit, left)
    for numbers, lines in iterate_lines(path):
        labels = parse_lines(lines, numbers, path).labels
        if (labels != label).any():
            wrong = int(np.argmax(labels != label))
            raise InputError(f"{path}:{numbers[wrong]}: expected label {label}, got {labels[wrong]}")
        left -= len(lines)
        share = int(rng.hypergeometric(len(lines), left, wanted)) if lines else 0
        for i in np.sort(rng.choice(len(lines), share, replace=False)).tolist():
            file.write(lines[i] + "\n")
        wanted -= share
    return copied
