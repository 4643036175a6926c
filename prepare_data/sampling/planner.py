"""What a planner of samples is: the whole protocol, which every planner implements."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import numpy as np

from gluon_mtcnn.core.types import Annotation
from gluon_mtcnn.prepare_data.executors.processes import UnitRunner
from gluon_mtcnn.prepare_data.sampling.candidates import Samples
from gluon_mtcnn.prepare_data.sampling.squares import Recipe


class Planner(Protocol):
    """Proposes the samples of a net, one photo after another; small, so that workers can be sent one."""

    @property
    def net(self) -> str:
        """Return the net that the samples are for."""

    @property
    def size(self) -> int:
        """Return the side of the samples, pixels."""

    @property
    def recipe(self) -> Recipe:
        """Return the rules for squares around faces."""

    @property
    def inline(self) -> bool:
        """Return whether a single worker may be the calling process."""

    @property
    def expected_negatives(self) -> float:
        """Return about how many random or mined negatives a photo gives."""

    @property
    def gathered_bytes(self) -> int:
        """Return about how many bytes of disk `gather` and `finish` take for a photo."""

    def describe(self) -> dict[str, Any]:
        """Return what the samples depend on, for the manifest and for telling runs apart."""

    def gather(self, work: Path, workers: UnitRunner, quiet: bool) -> Planner:
        """Find out what planning needs of all photos, before any is planned; return the planner that knows it."""

    def plan(
        self, photo: int, source: int, annotation: Annotation, width: int, height: int, rng: np.random.Generator
    ) -> Samples:
        """Return the samples of a photo of the given size."""

    def finish(self, work: Path, out: Path) -> None:
        """Leave what `gather` found beside the packs, once they are complete."""
