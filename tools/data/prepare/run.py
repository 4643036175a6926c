"""One preparation, from options to packs: what ``gluon-mtcnn prepare`` does, as a function."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from gluon_mtcnn.prepare_data.packing import build
from gluon_mtcnn.prepare_data.packing.options import Options
from gluon_mtcnn.prepare_data.packing.selection import DEFAULT_RATIO
from gluon_mtcnn.tools.data.prepare.options import PrepareOptions
from gluon_mtcnn.tools.data.prepare.planner import make_planner
from gluon_mtcnn.tools.data.prepare.sources import make_sources

# all positives (and landmarks), at most this many others
SEANLINX_COUNTS = (float(2**40), 600_000.0, 300_000.0, float(2**40))


@dataclass(frozen=True)
class PrepareResult:
    """What a preparation left.

    Attributes
    ----------
    folder : Path
        Folder of the packs, as `core.packs.pack.Pack` opens it.
    sets : dict of str to (dict of str to int)
        Samples in the packs by set (``train``, ``val``) and class (``positive``, ``negative``, ``part``, ``landmark``).
    planned : dict of str to (dict of str to int)
        Samples that there were to choose from.
    photos : int
        Annotated photos, with the skipped ones.
    skipped : list of (str, str)
        Name of each photo that was left out, and why.

    Examples
    --------
    >>> from pathlib import Path
    >>> counts = {"positive": 8, "negative": 24, "part": 8, "landmark": 0}
    >>> result = PrepareResult(Path("packs/12"), {"train": counts}, {"train": counts}, photos=24, skipped=[])
    >>> sum(result.sets["train"].values())
    40
    """

    folder: Path
    sets: dict[str, dict[str, int]]
    planned: dict[str, dict[str, int]]
    photos: int
    skipped: list[tuple[str, str]]


def prepare(options: PrepareOptions) -> PrepareResult:
    """Make the training packs of one net from annotated photos.

    Leaves train.rec, train.idx and manifest.json in ``options.out``, and val.rec and val.idx with a `val_fraction`;
    R-Net and O-Net leave detections.pkl too. Packs that are there are replaced once all is done. A run that was killed
    goes on when it is called again with the same options.

    Parameters
    ----------
    options : PrepareOptions

    Returns
    -------
    PrepareResult

    Raises
    ------
    InputError
        Photos, annotations or a model are missing or cannot be used, no photo gives a positive sample, or the disk has
        no room.
    WorkerError
        A worker process died (`prepare_data.executors.processes`).

    Examples
    --------
    >>> photos = {"wider_images": "data/WIDER_train/images"}
    >>> photos["wider_annotations"] = "data/wider_face_split/wider_face_train_bbx_gt.txt"
    >>> result = prepare(PrepareOptions("pnet", "packs/new", **photos, num_workers=1, quiet=True))
    >>> result.photos, result.skipped
    (24, [])
    >>> sorted(result.sets["train"]), result.sets["train"]["positive"] > 0
    (['landmark', 'negative', 'part', 'positive'], True)
    """
    out = Path(options.out)
    planner = make_planner(options)
    made = build.prepare(planner, make_sources(options), out, _packing_options(options))
    skipped = [(name, reason) for name, reason in made["skipped"]]
    return PrepareResult(out, made["sets"], made["planned"], made["photos"], skipped)


def _packing_options(options: PrepareOptions) -> Options:
    counts = options.counts
    if counts is None and not options.ratio and options.recipe == "seanlinx":
        counts = SEANLINX_COUNTS
    return Options(
        seed=options.seed,
        val_fraction=options.val_fraction,
        ratio=tuple(options.ratio or DEFAULT_RATIO),
        counts=None if counts is None else tuple(counts),
        strict=options.strict,
        max_left_out=options.max_left_out,
        num_workers=options.num_workers,
        quiet=options.quiet,
        cluster=options.cluster,
        payload=options.payload,
        imdb=os.fspath(options.imdb or ""),
    )
