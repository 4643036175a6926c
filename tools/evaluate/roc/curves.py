"""ROC curves in files, ours and published ones, and the rates read off them.

A DiscROC file has lines ``true_positive_rate false_positives [threshold]``, a ContROC file the first two. Published
files differ: either direction, CRLF, with or without thresholds, and often a row ``0 0 1.79769e+308`` that only says
that some image has no detection.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

import numpy as np

from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.core.files.atomic import PathLike
from gluon_mtcnn.tools.evaluate.text_file import TextFile

COLUMNS = {
    2: "true_positive_rate false_positives",
    3: "true_positive_rate false_positives threshold",
}
SENTINEL = 1e19  # thresholds from here on mean "nothing detected": DBL_MAX, or 1e20 in files from Windows
TABLE_AT = (50, 100, 200, 500, 1000)
KIND = re.compile(r"(disc|cont)(?=[-_]?roc)|disc|cont", re.IGNORECASE)
OTHER = {"disc": "cont", "Disc": "Cont", "DISC": "CONT", "cont": "disc", "Cont": "Disc", "CONT": "DISC"}


@dataclass(frozen=True)
class RocCurve:
    """One ROC curve.

    Attributes
    ----------
    tpr : (n,) float
        True positive rate, or IoU per face for the continuous score.
    fp : (n,)
        False positives in the whole set. Rows in any order.
    """

    tpr: np.ndarray
    fp: np.ndarray

    def rate_at(self, false_positives: float) -> float:
        """Return the best rate that costs no more than so many false positives; 0 when there is none."""
        return float(self.tpr[self.fp <= false_positives].max(initial=0))

    def points(self, max_fp: float, min_fp: float = 0) -> tuple[np.ndarray, np.ndarray]:
        """Return what is to be drawn: x ascending and distinct, and the best y there.

        Parameters
        ----------
        max_fp : float
            Right end of the axis; one point beyond it is kept.
        min_fp : float
            Left end; what lies left of it is moved there (a logarithmic axis has no 0).
        """
        fp = np.maximum(self.fp, min_fp)
        order = np.lexsort((self.tpr, fp))
        fp, tpr = fp[order], self.tpr[order]
        last = np.append(fp[1:] > fp[:-1], True)
        fp, tpr = fp[last], tpr[last]
        end = np.searchsorted(fp, max_fp, side="right") + 1
        return fp[:end], tpr[:end]


@dataclass(frozen=True)
class Method:
    """A detector's curves; None where there is no file."""

    label: str
    disc: Optional[RocCurve]
    cont: Optional[RocCurve]


def read_curve(path: PathLike) -> RocCurve:
    """Read a DiscROC or ContROC file, without its sentinel row.

    Raises
    ------
    InputError
        Unreadable, empty, not two or three numbers a line, a rate outside 0..1, or negative false positives.
    """
    file = TextFile(path)
    if not file.lines:
        raise InputError(f"{path}: expected a ROC curve, got an empty file")
    rows = file.rows(0, len(file.lines), COLUMNS)
    bad = np.flatnonzero((rows[:, 0] < 0) | (rows[:, 0] > 1) | (rows[:, 1] < 0))
    if len(bad):
        file.fail(int(bad[0]), "a true positive rate from 0 to 1, then false positives of at least 0")
    sentinel = (rows[:, :2] == 0).all(axis=1) & (rows.shape[1] == 2 or rows[:, -1] >= SENTINEL)
    rows = rows[:1] if sentinel.all() else rows[~sentinel]
    return RocCurve(rows[:, 0], rows[:, 1])


def read_methods(paths: Sequence[PathLike], labels: Sequence[str] = ()) -> list[Method]:
    """Read the curves that the arguments of `plot roc` name.

    Parameters
    ----------
    paths : sequence of paths
        Folders with DiscROC.txt and ContROC.txt, or files whose names say Disc or Cont; the other one is looked for
        beside it. Two files of one method count once.
    labels : sequence of str
        One for each method; by default from the names of files and folders.

    Raises
    ------
    InputError
        A path that is neither; a bad curve; as many labels as methods were expected.
    """
    pairs = list(dict.fromkeys(_pair(Path(path)) for path in paths))
    if labels and len(labels) != len(pairs):
        raise InputError(f"--labels: expected {len(pairs)}, one for each method, got {len(labels)}")
    labels = labels or [_label(next(filter(None, pair))) for pair in pairs]
    return [Method(label, *(read_curve(path) if path else None for path in pair)) for label, pair in zip(labels, pairs)]


def curves_in(folder: PathLike) -> list[Path]:
    """Return the DiscROC and ContROC files of a folder, and those of its folders that hold a DiscROC.txt; sorted.

    Raises
    ------
    InputError
        There is none.
    """
    entries = sorted(Path(folder).iterdir(), key=lambda path: path.name.lower())
    found = [p for p in entries if (p / "DiscROC.txt").is_file() or (p.is_file() and "roc" in p.stem.lower())]
    found = [path for path in found if path.is_dir() or (path.suffix == ".txt" and KIND.search(path.stem))]
    if not found:
        raise InputError(f"{folder}: expected files such as pico-DiscROC.txt, found none")
    return found


def _pair(path: Path) -> tuple[Optional[Path], Optional[Path]]:
    """Return the discrete and the continuous file of a method; one of them may be None."""
    if path.is_dir():
        disc, cont = path / "DiscROC.txt", path / "ContROC.txt"
        if not (disc.is_file() or cont.is_file()):
            raise InputError(f"{path}: expected DiscROC.txt and ContROC.txt in it (--overlay: all curves of a folder)")
    else:
        if not path.is_file():
            raise InputError(f"{path}: curve not found")
        kind = KIND.search(path.name)
        if not kind:
            raise InputError(f"{path}: expected Disc or Cont in the file's name, to know which curve it is")
        word = OTHER.get(kind[0], kind[0])
        other = path.with_name(path.name[: kind.start()] + word + path.name[kind.end() :])
        disc, cont = (path, other) if kind[0].lower() == "disc" else (other, path)
    return disc if disc.is_file() else None, cont if cont.is_file() else None


def _label(path: Path) -> str:
    """Return a method's name: what a file's name says besides DiscROC, or the folder's name."""
    stem = re.sub(r"[-_. ]?(disc|cont)([-_]?roc)?", "", path.stem, flags=re.IGNORECASE).strip("-_. ")
    return stem or path.resolve().parent.name


def tpr_table(methods: Sequence[Method], at: Sequence[int] = TABLE_AT) -> str:
    """Return the rates at some numbers of false positives as text, one line a method, a block a kind of curve."""
    width = max(len("true positive rate at false positives"), *(len(method.label) + 2 for method in methods))
    lines = [f"{'true positive rate at false positives':<{width}}" + "".join(f"{fp:>9}" for fp in at)]
    short = False
    for title, kind in (("discrete", "disc"), ("continuous", "cont")):
        curves = [(method.label, getattr(method, kind)) for method in methods]
        lines += [title] if any(curve for _, curve in curves) else []
        for label, curve in curves:
            if curve is None:
                continue
            ended = [fp > curve.fp.max() for fp in at]
            cells = (f"{curve.rate_at(fp):>8.4f}{'*' if end else ' '}" for fp, end in zip(at, ended))
            lines.append((f"  {label:<{width - 2}}" + "".join(cells)).rstrip())
            short = short or any(ended)
    return "\n".join(lines + ["* the curve ends before that many false positives: its last value"] * short)
