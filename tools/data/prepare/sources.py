"""From the options of a preparation to the annotated photos that they name."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable, Optional

from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.core.files.atomic import PathLike, sha256
from gluon_mtcnn.core.types import ALL_FACES, ONE_FACE, Annotation
from gluon_mtcnn.prepare_data.annotations.coco import read_coco
from gluon_mtcnn.prepare_data.annotations.csv_boxes import read_csv
from gluon_mtcnn.prepare_data.annotations.landmark_lists import read_landmarks
from gluon_mtcnn.prepare_data.annotations.left_out import LeftOut, first_photos
from gluon_mtcnn.prepare_data.annotations.listed_objects import digest_of
from gluon_mtcnn.prepare_data.annotations.pascal_voc import read_voc, voc_files
from gluon_mtcnn.prepare_data.annotations.seanlinx_anno import read_anno
from gluon_mtcnn.prepare_data.annotations.wider import IGNORE, read_wider
from gluon_mtcnn.prepare_data.annotations.yolo import read_yolo, yolo_files
from gluon_mtcnn.prepare_data.packing.options import Source
from gluon_mtcnn.tools.cli.options import existing_dir, existing_file
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
    def source(listed: int, reader: Callable[..., Iterator[Annotation]], *arguments: Any, **description: Any) -> Source:
        path = description["annotations"]
        left_out = LeftOut(path, options.max_left_out)
        if "sha256" not in description:
            description["sha256"] = sha256(path)
        photos = reader(*arguments, left_out=left_out)
        return Source(first_photos(photos, options.limit, left_out), listed, description)

    pair = photo_pair(options, "wider")
    if pair:
        ignore = IGNORE if options.ignore is None else dict(options.ignore)
        described = _describe("wider", pair[0], images=pair[1], ignore=ignore)
        yield source(ALL_FACES, read_wider, *pair, ignore, **described)
    pair = photo_pair(options, "seanlinx")
    if pair:
        yield source(ALL_FACES, read_anno, *pair, kind="anno", annotations=pair[0], images=pair[1])
    if options.csv:
        path = str(existing_file(options.csv, "annotations"))
        yield source(ALL_FACES, read_csv, path, kind="csv", annotations=path)
    for arguments, description in _object_lists(options):
        yield source(ALL_FACES, *arguments, **description)
    pair = photo_pair(options, "landmark")
    if pair:
        yield source(ONE_FACE, read_landmarks, *pair, kind="landmarks", annotations=pair[0], images=pair[1])


def _object_lists(options: PrepareOptions) -> Iterator[tuple[tuple[Any, ...], dict[str, Any]]]:
    """Yield reader, arguments and description of the COCO, Pascal VOC and YOLO data that the options name."""
    faces = list(options.face_class)
    if options.coco:
        path, images = str(existing_file(options.coco, "annotations")), _folder(options.coco_images)
        images = os.path.dirname(path) or "." if images is None else images
        yield (read_coco, path, images, faces), _describe("coco", path, images=images, face_class=faces)
    if options.voc:
        path, images = str(existing_dir(options.voc, "folder of XML files")), _folder(options.voc_images)
        digest = digest_of(voc_files(path), Path(path))
        described = _describe("voc", path, images=images, face_class=faces, sha256=digest)
        yield (read_voc, path, images, faces), described
    if options.yolo:
        path = str(existing_dir(options.yolo, "folder of photos and label files"))
        digest = digest_of(yolo_files(path), Path(path))
        yield (read_yolo, path, faces), _describe("yolo", path, face_class=faces, sha256=digest)


def _folder(path: Optional[PathLike]) -> Optional[str]:
    return None if path is None else str(existing_dir(path, "folder of photos"))


def _describe(kind: str, annotations: str, **more: Any) -> dict[str, Any]:
    return {"kind": kind, "annotations": annotations, **more}
