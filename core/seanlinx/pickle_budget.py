"""How much a pickle may make of what it holds."""

from __future__ import annotations

import pickle
from typing import Union


class Budget:
    """Bytes or items that things of one kind may still take, so that one string cannot become a thousand arrays.

    Each kind has a budget of its own. What a sound file makes of one kind, it holds: but the same byte can be text,
    then the bytes that the text is encoded to, then the content of an array.
    """

    def __init__(self, left: int, kind: str) -> None:
        self.left = left
        self.kind = kind

    def take(self, count: int) -> None:
        """Take that many."""
        self.left -= count
        if self.left < 0:
            raise pickle.UnpicklingError(f"its {self.kind} are larger than the file")

    def bytes_of(self, raw: Union[str, bytes, bytearray]) -> bytes:
        """Return a copy of the bytes of a str (Python 2's), bytes or bytearray."""
        if not isinstance(raw, (str, bytes, bytearray)):
            raise pickle.UnpicklingError(f"the content of its {self.kind} is a {type(raw).__name__}, not bytes")
        self.take(len(raw))
        return raw.encode("latin1") if isinstance(raw, str) else bytes(memoryview(raw))
