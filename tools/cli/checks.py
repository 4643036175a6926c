"""Checks of the values in a dataclass of options: a notebook that gives a bad one is told at once which."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from gluon_mtcnn.core.errors import InputError


class OptionChecks:
    """Checks of the fields of one dataclass of options; None, which stands for a default, passes all of them.

    Parameters
    ----------
    command : str
        Begins every message.
    options : dataclass
    """

    def __init__(self, command: str, options: Any) -> None:
        self._command, self._options = command, options

    def refuse(self, name: str, expected: str) -> None:
        """Raise InputError that says what a field was expected to be, and what it is."""
        raise InputError(f"{self._command}: {name}: expected {expected}, got {getattr(self._options, name)!r}")

    def choices(self, of: Mapping[str, Collection[Any]]) -> None:
        """Check that each field has one of its choices."""
        for name, choices in of.items():
            if getattr(self._options, name) not in (None, *choices):
                self.refuse(name, f"one of {', '.join(map(str, choices))}")

    def above_zero(self, names: Iterable[str]) -> None:
        """Check that fields are finite numbers above 0."""
        for name in names:
            value = getattr(self._options, name)
            if value is not None and not 0 < value < float("inf"):
                self.refuse(name, "a finite number above 0")

    def not_negative(self, names: Iterable[str]) -> None:
        """Check that fields are finite numbers of at least 0."""
        for name in names:
            value = getattr(self._options, name)
            if value is not None and not 0 <= value < float("inf"):
                self.refuse(name, "a finite number at least 0")

    def several(self, lengths: Mapping[str, int], all_zero: bool = False) -> None:
        """Check that fields have so many finite numbers of at least 0, not all of them 0 unless `all_zero`."""
        for name, length in lengths.items():
            values = getattr(self._options, name)
            if values is None:
                continue
            fine = len(values) == length and all(0 <= value < float("inf") for value in values)
            if not fine or not (all_zero or any(values)):
                self.refuse(name, f"{length} numbers of at least 0")
