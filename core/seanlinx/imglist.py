"""Image lists of the Seanlinx layout, ``<data>/imglists/<set>.txt``: one sample or photo a line.

A training line is ``name label [4 offsets] [10 landmarks]``, separated by blanks: 2, 6, 12 or 16 fields. A line of a
test list is a name. Names lie below ``<data>/images`` and come with or without their suffix.

A name may hold spaces. Then the columns are told from it by being numbers, so its last word must not be a number and
its second word must not be a label; a line where this does not settle it is an error, never a guess.
"""

from __future__ import annotations

import contextlib
import itertools
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Optional, Union

import numpy as np

from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.core.files.atomic import PathLike, replacing_text
from gluon_mtcnn.core.ops.image import IMAGE_SUFFIXES
from gluon_mtcnn.core.types import LABEL_NAMES, LANDMARK, NEGATIVE

FIELDS = (2, 6, 12, 16)  # of a training line whose name has no space
CHUNK = 1 << 16  # lines in memory as text at a time
_LABELS = {str(label): label for label in LABEL_NAMES}
_BLANKS = " \t\r\n"
_ONE_WORD = re.compile(r"[^\s\0]+")


@dataclass
class ImageList:
    """The samples of a training list, by column.

    Attributes
    ----------
    names : list of str
        Name or path of each image, with forward slashes.
    labels : (n,) int8
        1 positive, 0 negative, -1 part, -2 landmark.
    offsets : (n, 4) float
        Edge offsets of the face as fractions of the crop's side (`core.ops.boxes.encode`); zeros where there are none.
    landmarks : (n, 10) float
        ``x1 y1 .. x5 y5`` as fractions of the crop's side; zeros where there are none.
    """

    names: list[str]
    labels: np.ndarray
    offsets: np.ndarray
    landmarks: np.ndarray

    def __len__(self) -> int:
        return len(self.names)

    def rows(self) -> np.ndarray:
        """Return the (n, 15) float32 label rows of a pack: label, 4 offsets, 10 landmarks."""
        return np.concatenate([self.labels[:, None], self.offsets, self.landmarks], axis=1).astype(np.float32)

    def has_landmarks(self) -> np.ndarray:
        """Return the (n,) bool mask of the samples that carry landmarks."""
        return self.landmarks.any(axis=1)

    @classmethod
    def concatenate(cls, parts: Sequence[ImageList]) -> ImageList:
        """Return the samples of all parts, in order; no parts give no samples."""
        columns = [(np.zeros(0, np.int8), np.zeros((0, 4)), np.zeros((0, 10)))]
        columns += [(part.labels, part.offsets, part.landmarks) for part in parts]
        names = list(itertools.chain.from_iterable(part.names for part in parts))
        return cls(names, *(np.concatenate(column) for column in zip(*columns)))


def image_file(name: str) -> str:
    """Return the file name of an image: with ``.jpg`` unless the name ends in an image suffix already."""
    return name if name.lower().endswith(IMAGE_SUFFIXES) else name + ".jpg"


def read_imglist(path: PathLike) -> ImageList:
    """Read a training list. Blank lines are skipped.

    Raises
    ------
    InputError
        The file cannot be read, or a line has another number of fields, an unknown label, something that is not a
        finite number, or label -2 without landmarks; the message names the line.
    """
    return ImageList.concatenate([parse_lines(lines, numbers, path) for numbers, lines in iterate_lines(path)])


def read_names(path: PathLike) -> list[str]:
    """Read a test list: the names, a whole line each. Raises InputError as `read_imglist`."""
    return [name for _, lines in iterate_lines(path) for name in lines]


def iterate_lines(path: PathLike) -> Iterator[tuple[list[int], list[str]]]:
    """Yield the line numbers and the lines of a list, some ten thousands at a time.

    Lines are stripped, blank ones left out, backslashes turned into slashes. Bytes that are not UTF-8 are kept as
    `os.fsdecode` keeps them, so that such files can be opened.
    """
    try:
        with open(path, encoding="utf-8-sig", errors="surrogateescape", newline="\n") as file:
            for start in itertools.count(1, CHUNK):
                chunk = [line.strip(_BLANKS).replace("\\", "/") for line in itertools.islice(file, CHUNK)]
                if not chunk:
                    return
                kept = [(number, line) for number, line in enumerate(chunk, start) if line]
                if any("\0" in line for line in chunk):
                    raise InputError(f"{path}: expected a text file, found a zero byte")
                yield [number for number, _ in kept], [line for _, line in kept]
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from None


def parse_lines(lines: Sequence[str], numbers: Sequence[int], path: PathLike) -> ImageList:
    """Return the samples of stripped lines; `numbers` and `path` say in messages where they stand."""
    fields = [line.split() for line in lines]
    values = _regular_columns(fields)
    if values is None:  # names with spaces, or an error to be named
        fields = [_parse_line(line, f"{path}:{number}") for line, number in zip(lines, numbers)]
        values = _regular_columns(fields)
        assert values is not None
    parsed = ImageList([words[0] for words in fields], *values)
    bare = np.flatnonzero((parsed.labels == LANDMARK) & ~parsed.has_landmarks())
    if len(bare):
        raise InputError(f"{path}:{numbers[bare[0]]}: label {LANDMARK} needs 10 landmark columns, got none or zeros")
    return parsed


def _regular_columns(fields: Sequence[Sequence[str]]) -> Optional[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Return labels, offsets and landmarks of split lines, or None when any of them is not plain and right."""
    counts = np.fromiter(map(len, fields), np.int64, len(fields))
    offsets, landmarks = np.zeros((len(fields), 4)), np.zeros((len(fields), 10))
    if not np.isin(counts, FIELDS).all():
        return None
    try:
        labels = np.array([_LABELS[words[1]] for words in fields], np.int8)
        for count in FIELDS[1:]:
            chosen = np.flatnonzero(counts == count)
            numbers = itertools.chain.from_iterable(fields[i][2:] for i in chosen)
            values = np.fromiter(map(float, numbers), np.float64).reshape(len(chosen), count - 2)
            if count != 12:
                offsets[chosen] = values[:, :4]
            if count != 6:
                landmarks[chosen] = values[:, -10:]
    except (KeyError, ValueError):
        return None
    fits = all((np.abs(values) <= np.finfo(np.float32).max).all() for values in (offsets, landmarks))
    return (labels, offsets, landmarks) if fits else None


def is_number(text: str) -> bool:
    """Tell whether a word of a list would be read as a number; nan and inf count, to be refused as such."""
    try:
        float(text)
    except ValueError:
        return False
    return True


def trailing_numbers(words: Sequence[str]) -> int:
    """Return how many words at the end of a line are numbers; its first word always belongs to the name."""
    return sum(1 for _ in itertools.takewhile(is_number, reversed(words[1:])))


def _parse_line(line: str, where: str) -> list[str]:
    """Return the name (which may hold spaces), the label and the numbers of one line, as text, or say what is wrong."""
    words = line.split()
    columns = trailing_numbers(words)
    spaced = len(words) - 1 > columns  # some of what follows the first word is no number
    if columns + 1 not in FIELDS or (spaced and words[1] in _LABELS):
        raise InputError(f"{where}: {_what_is_wrong(words)}")
    name = line.rsplit(None, columns)[0]
    label, numbers = words[-columns], words[len(words) - columns + 1 :]
    with contextlib.suppress(ValueError):
        label = str(int(label))  # +1, 01
    if label not in _LABELS:
        raise InputError(f"{where}: {_what_is_wrong([name, label, *numbers])}")
    for number in numbers:
        if not abs(float(number)) <= np.finfo(np.float32).max:
            raise InputError(f"{where}: expected a finite number, got {number!r}")
    return [name, label, *numbers]


def _what_is_wrong(words: Sequence[str]) -> str:
    if len(words) not in FIELDS:
        return f"expected 2, 6, 12 or 16 fields, got {len(words)}"
    if words[1] not in _LABELS:
        return f"expected label 1, 0, -1 or -2, got {words[1]!r}"
    return f"expected a number, got {next(word for word in words[2:] if not is_number(word))!r}"


def write_imglist(path: PathLike, samples: Union[ImageList, Iterable[ImageList]]) -> None:
    """Write a training list, atomically, from samples or from pieces of them; reading it gives the same values.

    A negative gets no columns, a positive or part its offsets, a landmark sample its landmarks; landmarks of other
    samples and offsets of landmark samples are written where they are not all zero.

    Raises
    ------
    InputError
        A name could not be told from the columns, or a value is not a finite number or a known label.
    """
    with replacing_text(path) as file:
        for chunk in _chunks(samples) if isinstance(samples, ImageList) else samples:
            check_names(chunk.names, str(path))
            file.writelines(_format(chunk, str(path)))


def _chunks(samples: ImageList) -> Iterator[ImageList]:
    for start in range(0, len(samples), CHUNK):
        part = slice(start, start + CHUNK)
        yield ImageList(samples.names[part], samples.labels[part], samples.offsets[part], samples.landmarks[part])


def _format(samples: ImageList, where: str) -> Iterable[str]:
    if not np.isin(samples.labels, list(LABEL_NAMES)).all() or not np.isfinite(samples.rows()).all():
        raise InputError(f"{where}: labels must be 1, 0, -1 or -2 and values finite numbers")
    landmarks = samples.has_landmarks()
    offsets = samples.offsets.any(axis=1) | ((samples.labels != NEGATIVE) & (samples.labels != LANDMARK))
    # A row with label, offsets and landmarks has 16 columns; which of them to write:
    first = np.where(offsets, 0, 4).tolist()
    last = np.where(landmarks, 14, np.where(offsets, 4, 0)).tolist()
    values = np.concatenate([samples.offsets, samples.landmarks], axis=1)
    text = "%.9g".__mod__ if values.dtype == np.float32 else repr  # the shortest that keeps every bit
    for name, label, row, a, b in zip(samples.names, samples.labels.tolist(), values.tolist(), first, last):
        yield " ".join([name, str(label), *map(text, row[a:b])]) + "\n"


def check_names(names: Sequence[str], where: str) -> None:
    """Raise InputError for a name that a list cannot hold (see the module's head)."""
    for name in names:
        if _ONE_WORD.fullmatch(name):
            continue
        words = name.split()
        if not _fits_line(name) or trailing_numbers(words) or (len(words) > 1 and words[1] in _LABELS):
            raise InputError(f"{where}: the name {name!r} cannot be told from the columns of a list")


def _fits_line(name: str) -> bool:
    return bool(name) and name.strip(_BLANKS) == name and "\n" not in name and "\0" not in name


def write_names(path: PathLike, names: Sequence[str]) -> None:
    """Write a test list, a name a line, atomically."""
    with replacing_text(path) as file:
        for name in names:
            if not _fits_line(name):
                raise InputError(f"{path}: the name {name!r} does not fit a line")
            file.write(name + "\n")
