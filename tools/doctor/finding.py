"""One line of what `doctor` found, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass

OK, NOTE, FIX = "ok", "note", "fix"


@dataclass(frozen=True)
class Finding:
    """What was found.

    Attributes
    ----------
    level : {"ok", "note", "fix"}
        As it should be; good to know; something does not work until it is put right.
    what : str
    advice : str
        What to do about it; empty where nothing needs doing.
    """

    level: str
    what: str
    advice: str = ""

    def __str__(self) -> str:
        line = f"  {self.level:<5} {self.what}"
        return f"{line}\n        -> {self.advice}" if self.advice else line
