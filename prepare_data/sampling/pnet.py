"""The P-Net's samples: random squares, squares around faces, and landmark squares; needs no pixels."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gluon_mtcnn.core.types import INPUT_SIZE, NEGATIVE, ONE_FACE, PART, POSITIVE, Annotation, Crops
from gluon_mtcnn.prepare_data.executors.processes import UnitRunner
from gluon_mtcnn.prepare_data.sampling.candidates import Samples
from gluon_mtcnn.prepare_data.sampling.landmarks import landmark_samples
from gluon_mtcnn.prepare_data.sampling.squares import (
    Faces,
    Recipe,
    around_faces,
    box_crops,
    first_of_each,
    label_squares,
    near_faces,
    negative_crops,
    random_negatives,
    random_squares,
)

ALL = 1 << 40


@dataclass(frozen=True)
class PNetPlanner:
    """Plans the samples of one photo after another from its annotation alone; a `planner.Planner`.

    Squares lie wholly in the photo, as the P-Net's windows do.

    Attributes
    ----------
    recipe : Recipe
    size : int
        Side of the samples in pixels: the net's cell.
    """

    recipe: Recipe
    size: int = INPUT_SIZE["pnet"]

    net = "pnet"
    inline = True  # nothing here depends on the number of threads
    gathered_bytes = 0

    @property
    def expected_negatives(self) -> float:
        """Return how many random negatives a photo gives."""
        return self.recipe.negatives

    @classmethod
    def for_cell(cls, recipe: Recipe, cell: int) -> PNetPlanner:
        """Return the planner for a net that looks at cells of this side."""
        return cls(recipe.for_cell(cell), cell)

    def describe(self) -> dict[str, Any]:
        """Return what the samples depend on, for the manifest and for telling runs apart."""
        return {"recipe": self.recipe.describe(), **({"cell": self.size} if self.size != INPUT_SIZE["pnet"] else {})}

    def gather(self, work: Path, workers: UnitRunner, quiet: bool) -> PNetPlanner:
        """Return the planner itself: annotations are all that it needs."""
        return self

    def finish(self, work: Path, out: Path) -> None:
        """Leave nothing: `gather` found nothing."""

    def plan(
        self, photo: int, source: int, annotation: Annotation, width: int, height: int, rng: np.random.Generator
    ) -> Samples:
        """Return the samples of a photo of the given size.

        Parameters
        ----------
        photo : int
            Number of the photo in the table (unused: nothing but the annotation is needed).
        source : int
            `ALL_FACES`, or `ONE_FACE`: then only landmark samples, since faces that are not listed may be in the photo.
        """
        parts = []
        if source != ONE_FACE:
            faces = Faces.of(annotation, self.recipe.min_face)
            parts.append(Samples.upright(sample_boxes(rng, faces, width, height, self.recipe)))
        if annotation.landmarks is not None:
            parts.append(landmark_samples(rng, annotation, width, height, self.recipe))
        return parts[0] if len(parts) == 1 else Samples.concatenate(parts)


def sample_boxes(rng: np.random.Generator, faces: Faces, width: int, height: int, recipe: Recipe) -> Crops:
    """Return positives, parts and negatives of a photo."""
    proposals = (
        around_faces(rng, faces, width, height, recipe),
        near_faces(rng, faces, width, height, recipe),
        random_squares(rng, recipe.negatives * 3 // 2, width, height, recipe.small_negatives, recipe.smallest),
    )
    kind = np.repeat(np.arange(3), [len(squares) for squares in proposals])
    squares = np.concatenate(proposals)
    labels, best = label_squares(squares, faces)  # one call for all: most photos are small work
    keep = np.where(kind == 0, (labels == POSITIVE) | (labels == PART), labels == NEGATIVE)
    keep[keep] = first_of_each(kind[keep], np.array([ALL, ALL, recipe.negatives]))
    crops = box_crops(squares[keep], labels[keep], best[keep], faces)
    missing = recipe.negatives - np.count_nonzero(kind[keep] == 2)
    if missing > 0:
        more = random_negatives(rng, faces, width, height, recipe, missing)
        crops = Crops.concatenate([crops, negative_crops(more)])
    return crops
