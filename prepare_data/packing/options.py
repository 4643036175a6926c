"""What a run is asked to make packs of, and how."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Optional

from gluon_mtcnn.core.types import Annotation
from gluon_mtcnn.prepare_data.annotations.left_out import MOST
from gluon_mtcnn.prepare_data.packing.selection import DEFAULT_RATIO, SET_NAMES


@dataclass(frozen=True)
class Source:
    """Annotated photos.

    Attributes
    ----------
    annotations : iterable of Annotation
    kind : int
        `photo_table.ALL_FACES` or `ONE_FACE`.
    description : dict
        What the manifest says of them; JSON values.
    """

    annotations: Iterable[Annotation]
    kind: int
    description: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Options:
    """How to make packs of planned samples.

    Attributes
    ----------
    seed : int
    val_fraction : float
        Share of the photos that give val.rec instead of train.rec.
    ratio : four numbers
        Positive, negative, part, landmark: all positives are used, the others in proportion.
    counts : four numbers, optional
        Instead of `ratio`: at most so many in train.rec, and in val.rec in proportion to its photos.
    strict : bool
        Stop at the first photo that cannot be used instead of leaving it out.
    max_left_out : float
        Share of the faces that may lie for the most part outside of their photos.
    num_workers : int
    quiet : bool
        No progress bars.
    cluster : str
        Address of a Dask scheduler whose workers take the place of `num_workers` processes; "" for none.
    payload : {"bmp", "jpg", "png"}
        What the records hold.
    imdb : str
        Also write the Seanlinx layout there (see `prepare_data.seanlinx.write_layout`); "" for none.
    """

    seed: int = 0
    val_fraction: float = 0.0
    ratio: tuple[float, ...] = DEFAULT_RATIO
    counts: Optional[tuple[float, ...]] = None
    strict: bool = False
    max_left_out: float = MOST
    num_workers: int = 1
    quiet: bool = False
    cluster: str = ""
    payload: str = "bmp"
    imdb: str = ""

    @property
    def set_names(self) -> tuple[str, ...]:
        """Return the sets that are made."""
        return SET_NAMES if self.val_fraction else SET_NAMES[:1]

    def describe(self) -> dict[str, Any]:
        """Return the options that the packs' bytes depend on."""
        return {
            "seed": self.seed,
            "val_fraction": self.val_fraction,
            "ratio": None if self.counts else list(self.ratio),
            "counts": list(self.counts) if self.counts else None,
        }
