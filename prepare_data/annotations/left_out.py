"""What a reader of annotations leaves out: counted, reported once, and refused where it is more than a tenth.

A box without size is a slip of whoever drew it: WIDER's own lists hold a few, and one in ten thousand is a pixel or two
below zero. A box of a clearly negative size is another thing: the numbers mean something else than the reader takes
them for. The first such box ends the reading, with a guess (`box_forms`).
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Callable, Optional

import numpy as np

from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.core.files.atomic import PathLike
from gluon_mtcnn.core.types import Annotation
from gluon_mtcnn.prepare_data.annotations.box_forms import are_fractions, guess_form, refuse_fractions

log = logging.getLogger(__name__)
MOST = 0.1  # share of a file's faces that may be left out
FEWEST = 10  # faces of which a share says something
SLIP = 4.0  # pixels below zero that a size may be by a slip; WIDER's own are 1 and 2
WITHOUT_SIZE, NEGATIVE_SIZE = "without size", f"of a negative size, down to -{SLIP:g} pixels"


class LeftOut:
    """Counts the faces of one annotation file that its reader leaves out, and why.

    Parameters
    ----------
    path : path of the file, for messages
    most : float
        Share of the faces that may be left out: 1 for any number.
    quiet : bool
        Report nothing; more than `most` is refused all the same.

    Attributes
    ----------
    faces : int
        Faces that were read so far, with those left out.
    reasons : dict of str to int
        How many faces were left out, by reason.
    notes : dict of str to int
        How many faces there were of which something else is to be told; they count as kept.

    Examples
    --------
    >>> left_out = LeftOut("anno.txt", quiet=True)
    >>> left_out.count(20)
    >>> left_out.add("without size", "anno.txt:7")
    >>> left_out.summary()
    'anno.txt: left out 1 of 20 faces: 1 without size (the first: anno.txt:7)'
    """

    def __init__(self, path: PathLike, most: float = MOST, quiet: bool = False) -> None:
        self.faces = 0
        self.reasons: dict[str, int] = {}
        self.notes: dict[str, int] = {}
        self._first: dict[str, str] = {}
        self._forms: Counter[str] = Counter()
        self._path, self._most, self._quiet = path, most, quiet
        self._finished = False

    def count(self, faces: int) -> None:
        """Count faces that were read."""
        self.faces += faces

    def add(self, reason: str, where: str, guess: str = "") -> None:
        """Count one of the faces as left out.

        Parameters
        ----------
        reason : str
        where : str
            File and place.
        guess : str
            What its numbers look like, as `guess_form` says it: told if it is the same for most faces.
        """
        self.reasons[reason] = self.reasons.get(reason, 0) + 1
        self._first.setdefault(reason, where)
        self._forms[guess] += 1

    def note(self, what: str, where: str) -> None:
        """Count one of the faces as remarkable but kept."""
        self.notes[what] = self.notes.get(what, 0) + 1
        self._first.setdefault(what, where)

    def summary(self) -> str:
        """Return one line: how many faces are left out, and why; the first place of each reason."""
        return f"{self._path}: left out {sum(self.reasons.values())} of {self.faces} faces: {self._list(self.reasons)}"

    def finish(self) -> None:
        """Report what was left out, once; call it when the file has been read.

        Raises
        ------
        InputError
            More than `most` of at least `FEWEST` faces are left out.
        """
        if self._finished:
            return
        self._finished = True
        if self.notes and not self._quiet:
            log.warning("%s: of %d faces %s", self._path, self.faces, self._list(self.notes))
        if not self.reasons:
            return
        lost = sum(self.reasons.values())
        if self.faces >= FEWEST and lost > self._most * self.faces:
            guess, times = self._forms.most_common(1)[0]
            allowed = f"more than {self._most:g} of them (--max-left-out 1 goes on without these faces)"
            raise InputError(f"{self.summary()}: {allowed}{guess if 2 * times > lost else ''}")
        if not self._quiet:
            log.warning("%s", self.summary())

    def _list(self, counts: dict[str, int]) -> str:
        return ", ".join(f"{n} {reason} (the first: {self._first[reason]})" for reason, n in counts.items())


def usable_boxes(
    values: np.ndarray, sizes: np.ndarray, form: str, where: Callable[[int], str], left_out: LeftOut
) -> np.ndarray:
    """Return which boxes (n,) have a size; count the others, or refuse the file.

    Parameters
    ----------
    values : (n, 4) float
        The numbers of each box as the file has them.
    sizes : (n, 2) float
        Width and height that the reader takes from them, pixels.
    form : str
        What the reader takes the numbers for, a key of `box_forms.FORMS`.
    where : function of int to str
        File and place of a box.
    left_out : LeftOut

    Raises
    ------
    InputError
        A size is negative by more than `SLIP`, or the numbers are fractions of the photo.
    """
    left_out.count(len(values))
    usable: np.ndarray = (sizes >= 1).all(axis=1)
    for i in np.flatnonzero(~usable).tolist():
        if are_fractions(values[i]):
            refuse_fractions(values[i], where(i))
        check_size(values[i], sizes[i], form, where(i))
        left_out.add(NEGATIVE_SIZE if sizes[i].min() < 0 else WITHOUT_SIZE, where(i))
    return usable


def check_size(
    values: np.ndarray, size: np.ndarray, form: str, where: str, points: Optional[np.ndarray] = None
) -> None:
    """Refuse a box whose size (2,) is negative by more than `SLIP`; `points` (5, 2) of the face help to guess why."""
    if size.min() < -SLIP:
        got = " ".join(f"{value:g}" for value in values)
        raise InputError(f"{where}: expected {form}, got {got}: a negative size{guess_form(values, form, points)}")


def first_photos(photos: Iterable[Annotation], limit: Optional[int], left_out: LeftOut) -> Iterator[Annotation]:
    """Yield the first `limit` photos, all for None; then finish what counts their faces, also if more photos follow."""
    yield from islice(photos, limit)
    left_out.finish()
