"""From the options of a preparation to the annotated photos that they name."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.core.files.atomic import sha256
from gluon_mtcnn.core.types import ALL_FACES, ONE_FACE, Annotation
from gluon_mtcnn.prepare_data.annotations.csv_boxes import read_csv
from gluon_mtcnn.prepare_data.annotations.landmark_lists import read_landmarks
from gluon_mtcnn.prepare_data.annotations.seanlinx_anno import read_anno
from gluon_mtcnn.prepare_data.annotations.wider import IGNORE, read_wider
from gluon_mtcnn.prepare_data.packing.options import Source
from gluon_mtcnn.tools.cli.options import existing_file
from gluon_mtcnn.tools.data.photos import photo_pair
from gluon_mtcnn.tools.data.prepare.options import PrepareOptions


def make_sources(options: PrepareOptions) -> list[Source]:
    """Return the sources that the options name, in the order of the photos.

    Raises
    ------
    InputError
        There is none, or a path is missing.
    """
    sources = list(_sources(options))
    if not sources:
        raise InputError("prepare: expected photos: --wider-images and --wider-annotations, --csv, or another source")
    return sources


def _sources(options: PrepareOptions) -> Iterator[Source]:
    def source(listed: int, photos: Iterable[Annotation], **description: Any) -> Source:
        description["sha256"] = sha256(description["annotations"])
        return Source(islice(photos, options.limit), listed, description)

    pair = photo_pair(options, "wider")
    if pair:
        ignore = IGNORE if options.ignore is None else dict(options.ignore)
        photos = read_wider(*pair, ignore)
        yield source(ALL_FACES, photos, kind="wider", annotations=pair[0], images=pair[1], ignore=ignore)
    pair = photo_pair(options, "seanlinx")
    if pair:
        yield source(ALL_FACES, read_anno(*pair), kind="anno", annotations=pair[0], images=pair[1])
    if options.csv:
        path = str(existing_file(options.csv, "annotations"))
        yield source(ALL_FACES, read_csv(path), kind="csv", annotations=path)
    pair = photo_pair(options, "landmark")
    if pair:
        yield source(ONE_FACE, read_landmarks(*pair), kind="landmarks", annotations=pair[0], images=pair[1])
