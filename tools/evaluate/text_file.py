"""Text files of rows, with their line numbers for messages."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn, Optional

import numpy as np

from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.core.files.atomic import PathLike

PARSED_AT_ONCE = 4096  # lines
MAX_DIGITS = 12  # of a whole number


class TextFile:
    """The lines of a text file that are not blank, stripped.

    Line ends may be LF, CRLF or CR; a byte order mark and a final Ctrl-Z (0x1A, as DOS editors leave) are dropped.

    Raises
    ------
    InputError
        The file cannot be read or is not text.
    """

    def __init__(self, path: PathLike) -> None:
        self.path = Path(path)
        self.lines = [line for line in map(str.strip, self._read().splitlines()) if line]

    def _read(self) -> str:
        try:
            data = self.path.read_bytes()
        except OSError as error:
            raise InputError(f"{self.path}: cannot be read: {error.strerror or error}") from None
        try:
            text = data.rstrip(b"\x1a \t\r\n").decode("utf-8-sig")
        except UnicodeDecodeError:
            text = "\0"
        if "\0" in text:
            raise InputError(f"{self.path}: expected a text file, got binary data")
        return text

    def fail(self, index: int, expected: str) -> NoReturn:
        """Raise an InputError about the line with this index in `lines`, or about the end of the file."""
        if index >= len(self.lines):
            raise InputError(f"{self.path}: expected {expected}, but the file ends")
        numbers = [n for n, line in enumerate(self._read().splitlines(), 1) if line.strip()]
        raise InputError(f"{self.path}:{numbers[index]}: expected {expected}, got {quote(self.lines[index])}")

    def rows(self, start: int, count: int, columns: Mapping[int, str]) -> np.ndarray:
        """Return the numbers of some lines.

        Parameters
        ----------
        start, count : int
            Which of `lines`.
        columns : mapping of int to str
            The numbers of columns there may be, and their names; all lines must agree.

        Returns
        -------
        (count, columns) float64

        Raises
        ------
        InputError
            A line of another form, or a number that is not finite.
        """
        width = len(self.lines[start].split()) if count else 0
        width = width if width in columns else min(columns)
        rows = np.empty((count, width))
        for first in range(0, count, PARSED_AT_ONCE):
            lines = self.lines[start + first : start + min(first + PARSED_AT_ONCE, count)]
            try:
                parsed = np.array([line.split() for line in lines], dtype=np.float64)
                rows[first : first + len(lines)] = parsed.reshape(len(lines), width)
            except ValueError:
                self._fail_at_bad_row(start + first, width, columns)
        bad = np.flatnonzero(~np.isfinite(rows).all(axis=1))
        if len(bad):
            self.fail(start + int(bad[0]), "finite numbers")
        return rows

    def _fail_at_bad_row(self, start: int, width: int, columns: Mapping[int, str]) -> NoReturn:
        choices = " or ".join(f"{n} numbers ({names})" for n, names in sorted(columns.items()))
        bad = (i for i in range(start, len(self.lines)) if len(numbers(self.lines[i])) != width)
        self.fail(next(bad, start), choices)


def numbers(line: str) -> list[float]:
    """Return the numbers of a line; none when anything else is in it."""
    try:
        return [float(part) for part in line.split()]
    except ValueError:
        return []


def whole_number(text: str) -> Optional[int]:
    """Return the whole number, 0 or more, that a text is, or None."""
    return int(text) if text.isdecimal() and len(text) <= MAX_DIGITS else None


def quote(line: str) -> str:
    """Return a line in quotes, shortened."""
    return repr(line if len(line) <= 60 else line[:57] + "...")
