"""Find faces in photos.

Example: gluon-mtcnn detect photos/ --model model/seanlinx --json faces.json --draw drawn/

Without an output option the JSON goes to stdout: {"PATH": {"faces": [{"box": [x1, y1, x2, y2], "score": s, "landmarks":
[[x, y], ...]}]}}, boxes in inclusive pixels of the image as decoded, neither rounded nor clipped.
"""

from __future__ import annotations

import argparse
import csv
import glob
import json
import logging
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Optional

import cv2
import numpy as np
from tqdm import tqdm

from gluon_mtcnn.core import image as images
from gluon_mtcnn.core.boxes import area, clip
from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.core.files import replacing, write_json
from gluon_mtcnn.core.types import NETS, Detections
from gluon_mtcnn.tools.detector_options import add_detector_options, open_model
from gluon_mtcnn.tools.draw import draw_detections
from gluon_mtcnn.tools.options import fraction, positive_int

log = logging.getLogger(__name__)
POINT_NAMES = ("left_eye", "right_eye", "nose", "left_mouth", "right_mouth")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("inputs", nargs="+", metavar="IMAGE_OR_DIR", help="image files, folders (recursive) or globs")
    add_detector_options(parser, "the model's own", "detector")
    parser.add_argument("--last-stage", choices=NETS, help="stop after this net (default: the last the model has)")
    out = parser.add_argument_group("output")
    out.add_argument("--json", metavar="FILE", help="write faces as JSON")
    out.add_argument("--csv", metavar="FILE", help="write one row a face: path, box, score, landmarks")
    out.add_argument("--draw", metavar="DIR", help="write the pictures with faces drawn in")
    out.add_argument("--stages", metavar="FILE", help="write the boxes after each net as JSON")
    choice = parser.add_argument_group("which faces")
    choice.add_argument("--min-score", type=fraction, default=0, metavar="S", help="drop faces below this score")
    choice.add_argument("--top-k", type=positive_int, metavar="K", help="keep the K best of each picture")
    choice.add_argument("--largest", action="store_true", help="keep the largest face of each picture")
    choice.add_argument("--clip", action="store_true", help="clip boxes to the picture")
    parser.add_argument("--no-exif", action="store_true", help="do not turn pictures as their EXIF data say")
    parser.add_argument("--strict", action="store_true", help="stop at the first unreadable picture")


def run(args: argparse.Namespace) -> int:
    """Detect; return 0, or 2 when a picture could not be read."""
    paths = list(find_images(args.inputs))
    model = open_model(args)
    from gluon_mtcnn.core.detector import Detector

    detector = Detector(model, args.min_face, args.thresholds, last_stage=args.last_stage, compat=args.compat)
    if len(paths) == 1:
        args.strict = True  # one named input that is bad ends the command
    output = _Output(args, paths)
    failed = 0
    for path in tqdm(paths, desc="detect", unit="image", disable=args.quiet or len(paths) == 1):
        try:
            image = images.read(path, exif=not args.no_exif)
        except InputError as error:
            if args.strict:
                raise
            output.add_error(path, str(error))
            failed += 1
            continue
        stages = detector.stages(image)
        faces = _select(stages[detector.kinds[-1]].detections(), image.shape, args)
        output.add(path, image, faces, stages)
    output.finish()
    return 2 if failed else 0


def find_images(inputs: Iterable[str]) -> Iterator[str]:
    """Yield the image files that the arguments mean: files as named, folders recursively and sorted, globs sorted.

    Raises
    ------
    InputError
        An argument means nothing, or a folder holds no image.
    """
    for name in inputs:
        if os.path.isdir(name):
            found = sorted(str(p) for p in Path(name).rglob("*") if p.suffix.lower() in images.IMAGE_SUFFIXES)
            if not found:
                raise InputError(f"{name}: the folder holds no image ({', '.join(images.IMAGE_SUFFIXES)})")
        elif os.path.exists(name):
            found = [name]
        else:
            found = sorted(glob.glob(name, recursive=True))
            if not found:
                raise InputError(f"{name}: no such file or folder")
        yield from found


def _select(faces: Detections, shape: tuple[int, ...], args: argparse.Namespace) -> Detections:
    faces = faces[faces.scores >= args.min_score]
    if args.largest and len(faces):
        faces = faces[[int(np.argmax(area(faces.boxes)))]]
    if args.top_k:
        faces = faces[: args.top_k]
    if args.clip:
        faces = Detections(clip(faces.boxes, *shape[:2]), faces.scores, faces.landmarks)
    return faces


def faces_as_json(faces: Detections) -> list[dict[str, Any]]:
    """Return detections as plain values: one dict a face with box, score and, if the model has them, landmarks."""
    entries = []
    for i in range(len(faces)):
        entry: dict[str, Any] = {"box": faces.boxes[i].tolist(), "score": float(faces.scores[i])}
        if faces.landmarks is not None:
            entry["landmarks"] = faces.landmarks[i].tolist()
        entries.append(entry)
    return entries


class _Output:
    """Collects what the options ask for and writes it, files last and whole."""

    def __init__(self, args: argparse.Namespace, paths: list[str]) -> None:
        self._args = args
        self._faces: dict[str, Any] = {}
        self._rows: list[list] = []
        self._stages: dict[str, Any] = {}
        self._errors: list[str] = []
        self._root = _common_folder(paths)

    def add(self, path: str, image: np.ndarray, faces: Detections, stages: dict[str, Any]) -> None:
        self._faces[path] = {"faces": faces_as_json(faces)}
        points = np.zeros((len(faces), 0)) if faces.landmarks is None else faces.landmarks.reshape(-1, 10)
        self._rows += [
            [path, *box, score, *point]
            for box, score, point in zip(faces.boxes.tolist(), faces.scores.tolist(), points.tolist())
        ]
        if self._args.stages:
            self._stages[path] = {
                kind: {"boxes": stage.before.tolist(), "boxes_c": stage.after.tolist()}
                for kind, stage in stages.items()
            }
        if self._args.draw:
            self._draw(path, image, faces)

    def add_error(self, path: str, message: str) -> None:
        self._faces[path] = {"error": message}
        if self._args.stages:
            self._stages[path] = {"error": message}
        self._errors.append(message)

    def _draw(self, path: str, image: np.ndarray, faces: Detections) -> None:
        target = Path(self._args.draw) / os.path.relpath(path, self._root)
        target.parent.mkdir(parents=True, exist_ok=True)
        if not cv2.imwrite(str(target), draw_detections(image, faces)):
            raise InputError(f"{target}: the picture could not be written")

    def finish(self) -> None:
        args = self._args
        if args.json:
            write_json(args.json, self._faces)
        if args.stages:
            write_json(args.stages, self._stages)
        if args.csv:
            self._write_csv(args.csv)
        if not (args.json or args.stages or args.csv or args.draw):
            print(json.dumps(self._faces, indent=2))
        count = sum(len(entry.get("faces", ())) for entry in self._faces.values())
        log.info("%d faces in %d pictures", count, len(self._faces) - len(self._errors))
        for message in self._errors:
            log.error("%s", message)

    def _write_csv(self, path: str) -> None:
        points = [f"{name}_{axis}" for name in POINT_NAMES for axis in "xy"]
        header = ["path", "x1", "y1", "x2", "y2", "score"]
        with replacing(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(header + (points if self._rows and len(self._rows[0]) > len(header) else []))
            writer.writerows(self._rows)


def _common_folder(paths: list[str]) -> Optional[str]:
    """Return the deepest folder that holds all pictures, so that drawn ones keep their places below it."""
    return os.path.commonpath([os.path.dirname(os.path.abspath(path)) for path in paths])
