"""Several packs read as one: their records are numbered one pack after another."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.core.files.atomic import PathLike
from gluon_mtcnn.core.packs.layout import ROW_WIDTH
from gluon_mtcnn.core.packs.pack import Pack


class JoinedRecords:
    """The records of several packs; see `readers.StridedRecords` for what the methods return."""

    def __init__(self, packs: Sequence[Pack]) -> None:
        self._packs, self.size = packs, packs[0].size
        self._ends = np.cumsum([len(pack) for pack in packs])

    def __len__(self) -> int:
        return int(self._ends[-1])

    def _by_pack(self, indices: np.ndarray) -> list[tuple[Pack, np.ndarray, np.ndarray]]:
        """Return each pack that is asked, which places of the answer are its, and its own record numbers."""
        owners = np.searchsorted(self._ends, indices, side="right")
        asked = []
        for number in np.unique(owners).tolist():
            places, pack = np.flatnonzero(owners == number), self._packs[number]
            asked.append((pack, places, indices[places] - (self._ends[number] - len(pack))))
        return asked

    def rows(self, indices: np.ndarray) -> np.ndarray:
        """Return label rows (n, 15) float32."""
        rows = np.zeros((len(indices), ROW_WIDTH), np.float32)
        for pack, places, numbers in self._by_pack(indices):
            rows[places] = pack.rows(numbers)
        return rows

    def read(self, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return images (n, size, size, 3) uint8 BGR and label rows (n, 15) float32."""
        images = np.zeros((len(indices), self.size, self.size, 3), np.uint8)
        rows = np.zeros((len(indices), ROW_WIDTH), np.float32)
        for pack, places, numbers in self._by_pack(indices):
            images[places], rows[places] = pack.read(numbers)
        return images, rows


class JoinedPack(Pack):
    """Several packs as one.

    Parameters
    ----------
    packs : sequence of Pack, at least one

    Attributes
    ----------
    path : Path
        That of the first pack, for messages.

    Raises
    ------
    InputError
        Their images differ in size.
    """

    def __init__(self, packs: Sequence[Pack]) -> None:
        for pack in packs[1:]:
            if pack.size != packs[0].size:
                raise InputError(f"{pack.path}: expected images of {packs[0].size} px as before, got {pack.size} px")
        self.packs, self.manifest = tuple(packs), {}
        self.folder, self.set_name, self.path = packs[0].folder, packs[0].set_name, packs[0].path
        self._records = JoinedRecords(self.packs)
        self.count, self.size = len(self._records), self._records.size
        self._labels = None

    @property
    def parts(self) -> tuple[Pack, ...]:
        """The packs that are joined."""
        return self.packs

    def digest(self) -> str:
        """Return a digest of all packs' records, in order."""
        return hashlib.sha256("".join(pack.digest() for pack in self.packs).encode()).hexdigest()

    def __getstate__(self) -> dict[str, Any]:
        return {"packs": self.packs}


def open_packs(folders: Sequence[PathLike], set_name: str = "train") -> Pack:
    """Return the pack of one folder, or those of several as one."""
    packs = [Pack(folder, set_name) for folder in folders]
    return packs[0] if len(packs) == 1 else JoinedPack(packs)
