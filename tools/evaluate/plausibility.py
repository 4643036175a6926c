"""Detections that cannot be meant as they are read: most boxes outside of their photos, sides of a pixel, equal scores.

A bad detector is no reason for a warning; numbers in another form are. So the boxes are also taken in the other forms
that programs write, and a form in which several times as many of them meet a face is named as the likely cause.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from typing import Any, Callable, Optional

import numpy as np

from gluon_mtcnn.prepare_data.annotations.box_forms import FORMS
from gluon_mtcnn.tools.evaluate.matching import best_faces

log = logging.getLogger(__name__)
FEWEST = 10  # boxes, or hits, that say something
PHOTOS, BOXES = 200, 200  # looked at: photos with boxes, evenly spaced, and the highest scores of each
PIXEL = 1 + 1e-6  # sides that boxes of a pixel, or of fractions, do not exceed
TIMES = 3  # as many hits in another form
SHARE = 0.2  # of the boxes or faces, whichever are fewer, that must be hits in another form
SCALES = (1 / 4, 1 / 3, 1 / 2, 2, 3, 4)
Columns = Callable[..., tuple[Any, ...]]
# what other programs write -> the corners of four columns in that form
OTHER_FORMS: dict[str, Columns] = {
    **FORMS,
    "centre x, centre y, w, h": lambda a, b, c, d: (a - c / 2, b - d / 2, a + c / 2, b + d / 2),
    "y1 x1 y2 x2": lambda a, b, c, d: (b, a, d, c),
    "y x h w": lambda a, b, c, d: (b, a, b + d, a + c),
}


def warn_of_implausible(
    rows: Sequence[np.ndarray],
    faces: Sequence[np.ndarray],
    form: str,
    source: object,
    sizes: Optional[Sequence[tuple[int, int]]] = None,
) -> None:
    """Log one warning where detections are implausible as a whole; arguments as of `find_implausible`."""
    found = find_implausible(rows, faces, form, sizes)
    if found:
        log.warning("%s: %s", source, found)


def find_implausible(
    rows: Sequence[np.ndarray],
    faces: Sequence[np.ndarray],
    form: str,
    sizes: Optional[Sequence[tuple[int, int]]] = None,
) -> str:
    """Return what is implausible in the detections of a set of photos, and the likely cause, in a line; "" if nothing.

    Parameters
    ----------
    rows : per photo (n, 5) float64
        Four numbers in `form` and the score, as the file has them.
    faces : per photo (m, 4) float64
        Annotated faces ``x1 y1 x2 y2``.
    form : {"x1 y1 x2 y2", "x y w h"}
        What the file should hold.
    sizes : per photo (width, height), optional
        Default: beyond the farthest face of all photos counts as outside.
    """
    boxes = np.concatenate([np.zeros((0, 5)), *rows])
    if len(boxes) < FEWEST:
        return ""
    limits = _limits(rows, faces, sizes)
    symptoms = list(_symptoms(boxes, _corners(FORMS[form], boxes), limits))
    cause = _likely_cause(boxes, rows, faces, form)
    if cause:
        symptoms.append(cause)
    return f"{len(boxes)} detections look implausible: {'; '.join(symptoms)}" if symptoms else ""


def _corners(form: Columns, rows: np.ndarray) -> np.ndarray:
    """Return the corners (n, 4) of the numbers in a form."""
    return np.stack(form(*rows[:, :4].T), axis=1)


def _limits(
    rows: Sequence[np.ndarray], faces: Sequence[np.ndarray], sizes: Optional[Sequence[tuple[int, int]]]
) -> np.ndarray:
    """Return the width and height (n, 2) of the photo of each box; infinite where nothing is known of them."""
    counts = [len(photo) for photo in rows]
    if sizes is not None:
        return np.repeat(np.array(sizes, np.float64).reshape(-1, 2), counts, axis=0)
    every = np.concatenate([np.zeros((0, 4)), *faces])
    farthest = every[:, 2:].max(axis=0) if len(every) else np.full(2, np.inf)
    return np.tile(farthest, (sum(counts), 1))


def _symptoms(rows: np.ndarray, corners: np.ndarray, limits: np.ndarray) -> Iterator[str]:
    """Yield what holds for most boxes."""
    width, height = (corners[:, 2:] - corners[:, :2]).T
    outside = (corners[:, :2] >= limits).any(axis=1) | (corners[:, 2:] < 0).any(axis=1)
    negative = (width < 0) | (height < 0)
    small = ~negative & (np.maximum(width, height) <= PIXEL)
    for mask, text in (
        (negative, "have a negative size"),
        (small, "have sides of a pixel or less"),
        (outside & ~negative, "lie outside of their photos, or beyond every annotated face"),
    ):
        if 2 * np.count_nonzero(mask) > len(rows):
            yield f"{np.count_nonzero(mask)} {text}"
    if (rows[:, 4] == rows[0, 4]).all():
        yield f"all have the score {rows[0, 4]:g}: average precision and curves need different scores"


def _likely_cause(boxes: np.ndarray, rows: Sequence[np.ndarray], faces: Sequence[np.ndarray], form: str) -> str:
    """Return what the numbers look like if that explains them better than the expected form; "" if not."""
    fractions = ((boxes[:, :4] >= 0) & (boxes[:, :4] <= 1)).all(axis=1)
    if 2 * np.count_nonzero(fractions) > len(boxes):
        return "likely cause: these look like fractions of the photo's sides, expected pixels"
    sample = _sample(rows, faces)
    hits = _hits(sample, FORMS[form])
    fewer = min(sum(len(r) for r, _ in sample), sum(len(f) for _, f in sample))
    needed = max(FEWEST, SHARE * fewer, TIMES * hits + 1)
    found = {f"these look like {name}, expected {form}": _hits(sample, other) for name, other in OTHER_FORMS.items()}
    for scale in SCALES:
        text = f"the boxes are those of photos resized by {scale:.3g}"
        found[text] = _hits(sample, lambda *columns, by=scale: tuple(v / by for v in FORMS[form](*columns)))
    best = max(found, key=lambda name: found[name])
    if found[best] < needed:
        return ""
    return f"likely cause: {best} ({found[best]} boxes of those looked at meet a face then, {hits} as they are)"


def _sample(rows: Sequence[np.ndarray], faces: Sequence[np.ndarray]) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return some photos with boxes and faces, and the boxes of the highest scores of each."""
    both = [i for i, (boxes, real) in enumerate(zip(rows, faces)) if len(boxes) and len(real)]
    chosen = both[:: max(1, -(-len(both) // PHOTOS))]
    return [(rows[i][np.argsort(-rows[i][:, 4], kind="stable")[:BOXES]], faces[i]) for i in chosen]


def _hits(sample: Sequence[tuple[np.ndarray, np.ndarray]], form: Columns) -> int:
    """Return how many boxes meet a face with IoU of at least 0.5 when their numbers are taken in a form."""
    return sum(int(np.count_nonzero(best_faces(_corners(form, rows), faces) >= 0)) for rows, faces in sample)
