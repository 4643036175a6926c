"""The processor time of detecting, beside the accuracy of what was found."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Optional

from gluon_mtcnn.core.processes.processor_time import processor_seconds


@dataclass
class ProcessorTime:
    """What detecting in some photos took.

    Attributes
    ----------
    photos : int
    seconds : float
        User and system time of this process, all threads, and of its children. Reading the photos is part of it,
        opening the detector is not.
    """

    photos: int
    seconds: float = 0.0

    @property
    def ms_per_photo(self) -> Optional[float]:
        """Milliseconds a photo; None without photos."""
        return 1000 * self.seconds / self.photos if self.photos else None

    def summary(self) -> dict[str, Any]:
        """Return what goes into the JSON beside the accuracy."""
        return {"seconds": self.seconds, "photos": self.photos, "ms_per_photo": self.ms_per_photo}

    def line(self) -> str:
        """Return the line of the text output."""
        each = "" if self.ms_per_photo is None else f", {self.ms_per_photo:.1f} ms a photo"
        return f"processor time {self.seconds:.2f} s for {self.photos} photos{each}"


@contextmanager
def processor_time(photos: int) -> Iterator[ProcessorTime]:
    """Measure a block that detects in this many photos."""
    taken, before = ProcessorTime(photos), processor_seconds()
    try:
        yield taken
    finally:
        taken.seconds = processor_seconds() - before


def with_processor_time(summary: dict[str, Any], taken: Optional[ProcessorTime]) -> dict[str, Any]:
    """Return a result's JSON with ``processor_time``, which is missing where no detector ran."""
    return summary if taken is None else {**summary, "processor_time": taken.summary()}
