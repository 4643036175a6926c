"""The forms in which files write a box, and guesses at the form of numbers that do not make sense in another one."""

from __future__ import annotations

import math
import re
from typing import Any, Callable, NoReturn, Optional

import numpy as np

from gluon_mtcnn.core.errors import InputError

CORNERS, SIZED, BY_AXIS, BACKWARDS = "x1 y1 x2 y2", "x y w h", "x1 x2 y1 y2", "x2 y2 x1 y1"
Numbers = tuple[float, float, float, float]
# form -> the corners x1 y1 x2 y2 of four numbers, or columns of them, in that form
FORMS: dict[str, Callable[..., tuple[Any, ...]]] = {
    SIZED: lambda a, b, c, d: (a, b, a + c, b + d),  # the most frequent mistake first
    CORNERS: lambda a, b, c, d: (a, b, c, d),
    BY_AXIS: lambda a, b, c, d: (a, c, b, d),
    BACKWARDS: lambda a, b, c, d: (c, d, a, b),
}
PLAIN_SIDES = 2.0  # ratio of a face's sides up to which nothing speaks against a form: the first in `FORMS` is guessed
POINT_SLACK = 0.1  # of a side by which a landmark may lie outside its box
LOOKED_AT = 300  # characters of a line, for a hint
_NUMBER = r"\s*[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?\s*"
# a;1;2;3;4 or a,1,2,3,4; a 1;2;3;4 or a 1, 2, 3, 4
_ALL_SEPARATED = (rf"[^{mark}]+(?:{mark}{_NUMBER}){{4,}}{mark}?" for mark in ";,")
_SEPARATED = re.compile("|".join([*_ALL_SEPARATED, rf".*\s{_NUMBER}(?:[;,]{_NUMBER}){{3,}}.*"]))


def are_fractions(values: np.ndarray) -> bool:
    """Return whether the four numbers of a box look like fractions of a photo's sides, as YOLO writes them."""
    return bool(((values >= 0) & (values <= 1)).all() and (values != np.rint(values)).any())


def refuse_fractions(values: np.ndarray, where: str) -> NoReturn:
    """Raise the error about a box in fractions of the photo's sides."""
    got = " ".join(f"{value:g}" for value in values[:4])
    raise InputError(
        f"{where}: expected pixels, got {got}: this looks like fractions of the photo's sides, as YOLO writes them "
        "(prepare --yolo reads its label files)"
    )


def guess_form(values: np.ndarray, expected: str, points: Optional[np.ndarray] = None) -> str:
    """Return ``: this looks like FORM`` for four numbers that make no box in the expected form; "" without a guess.

    Parameters
    ----------
    values : (4,) float
    expected : str
        The form in which they make no sense, a key of `FORMS`.
    points : (5, 2) float, optional
        Landmarks of the same face: the form with the smallest box that holds them is guessed.
    """
    best, name = math.inf, ""
    for form, corners in FORMS.items():
        x1, y1, x2, y2 = corners(*map(float, values))
        if form == expected or (values < 0).any() or x2 <= x1 or y2 <= y1:
            continue
        if points is None:
            misfit = max(abs(math.log((x2 - x1) / (y2 - y1))), math.log(PLAIN_SIDES))
        else:
            misfit = (x2 - x1) * (y2 - y1) if _holds((x1, y1, x2, y2), points) else math.inf
        if misfit < best:
            best, name = misfit, form
    return f": this looks like {name}" if name else ""


def _holds(box: Numbers, points: np.ndarray) -> bool:
    low, high = np.array(box[:2]), np.array(box[2:])
    slack = POINT_SLACK * (high - low)
    return bool(((points >= low - slack) & (points <= high + slack)).all())


def separator_hint(line: str) -> str:
    """Return a sentence about columns that are separated by another character than a blank; "" where they are not."""
    text = line.strip()
    mark = ";" if ";" in text else ","
    if len(text) > LOOKED_AT:
        text = text[:LOOKED_AT].rpartition(mark)[0]
    if not _SEPARATED.fullmatch(text):
        return ""
    return f": the columns are separated by {mark!r}, expected blanks"
