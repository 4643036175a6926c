"""Where ``detect`` writes what it found as text: JSON, CSV, FDDB's and WIDER's formats.

Every output takes one frame at a time and keeps none, so that a long video needs no more memory than a short one. Files
take their place when all is done; those that are one a frame (WIDER's) when they are.
"""

from __future__ import annotations

import csv
import json
import os
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional, TextIO

import numpy as np

from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.core.types import Detections
from gluon_mtcnn.tools.detect.media import Frame, MediaSource
from gluon_mtcnn.tools.evaluate.fddb.files import SEANLINX_ROW, image_name, rectangles, write_entry
from gluon_mtcnn.tools.evaluate.wider.files import write_text_folder

POINT_NAMES = ("left_eye", "right_eye", "nose", "left_mouth", "right_mouth")


@dataclass(frozen=True)
class Found:
    """A frame and its faces.

    Attributes
    ----------
    frame : Frame
    faces : Detections
    stages : dict of net to gluon_mtcnn.core.detection.cascade.StageOutput, or None
    """

    frame: Frame
    faces: Detections
    stages: Optional[dict[str, Any]] = None

    @property
    def image(self) -> np.ndarray:
        """The frame's image; outputs get no frame without one."""
        assert self.frame.image is not None
        return self.frame.image


class Output:
    """Takes what was found, frame by frame, in the order of the sources."""

    def add(self, found: Found) -> None:
        """Take the faces of one frame."""

    def end(self, source: MediaSource, frames: int, problem: str) -> None:
        """Learn that a source is done, how many of its frames were added, and what was wrong with it, if anything."""

    def finish(self) -> None:
        """Write what belongs after the last frame."""


class Outputs:
    """Several outputs as one, which tells them where a source ends.

    Attributes
    ----------
    faces : int
        How many were added.
    problems : list of str
        One line for each source that could not be read, or not to its end.
    """

    def __init__(self, outputs: Sequence[Output]) -> None:
        self._outputs = outputs
        self._source: Optional[MediaSource] = None
        self._frames, self._problem = 0, ""
        self.faces, self.problems = 0, []  # type: tuple[int, list[str]]

    def add(self, found: Found) -> None:
        """Take one frame; one without an image tells what is wrong with its source."""
        if found.frame.source != self._source:
            self._end()
            self._source = found.frame.source
        if found.frame.image is None:
            self._problem = found.frame.problem
            return
        self._frames += 1
        self.faces += len(found.faces)
        for output in self._outputs:
            output.add(found)

    def finish(self) -> None:
        """End the last source and all outputs."""
        self._end()
        for output in self._outputs:
            output.finish()

    def _end(self) -> None:
        if self._source is None:
            return
        for output in self._outputs:
            output.end(self._source, self._frames, self._problem)
        if self._problem:
            self.problems.append(self._problem)
        self._source, self._frames, self._problem = None, 0, ""


def faces_as_json(faces: Detections) -> list[dict[str, Any]]:
    """Return detections as plain values: one dict a face with box, score and, if the model has them, landmarks."""
    entries = []
    for i in range(len(faces)):
        entry: dict[str, Any] = {"box": faces.boxes[i].tolist(), "score": float(faces.scores[i])}
        if faces.landmarks is not None:
            entry["landmarks"] = faces.landmarks[i].tolist()
        entries.append(entry)
    return entries


def faces_entry(found: Found) -> dict[str, Any]:
    """Return a frame's entry in the JSON of faces."""
    return {"faces": faces_as_json(found.faces)}


def stages_entry(found: Found) -> dict[str, Any]:
    """Return a frame's entry in the JSON of stages: boxes of every net before and after calibration."""
    stages = found.stages or {}
    return {net: {"boxes": at.before.tolist(), "boxes_c": at.after.tolist()} for net, at in stages.items()}


class JsonOutput(Output):
    """``{"PATH": entry}``, of a video ``{"PATH": {"fps": f, "frames": [{"index": i, entry}]}}``; one line a frame."""

    def __init__(self, file: TextIO, entry: Callable[[Found], dict[str, Any]]) -> None:
        self._file, self._entry = file, entry
        self._before = "{\n"
        self._in_video = False

    def _key(self, source: MediaSource) -> None:
        self._file.write(f"{self._before}{json.dumps(source.path)}: ")
        self._before = ",\n"

    def add(self, found: Found) -> None:
        """Write a frame's entry."""
        frame, entry = found.frame, self._entry(found)
        if frame.source.kind == "image":
            self._key(frame.source)
            self._file.write(json.dumps(entry))
            return
        if not self._in_video:
            self._key(frame.source)
            self._file.write(f'{{"fps": {json.dumps(frame.fps)}, "frames": [\n')
        else:
            self._file.write(",\n")
        self._file.write(json.dumps({"index": frame.index, **entry}))
        self._in_video = True

    def end(self, source: MediaSource, frames: int, problem: str) -> None:
        """Close a video's list; write the entry of a source that could not be read."""
        if self._in_video:
            error = f', "error": {json.dumps(problem)}' if problem else ""
            self._file.write(f"\n]{error}}}")
            self._in_video = False
        elif problem:
            self._key(source)
            self._file.write(json.dumps({"error": problem}))

    def finish(self) -> None:
        """Close the object."""
        self._file.write(("{" if self._before == "{\n" else "\n") + "}\n")


class CsvOutput(Output):
    """One row a face: path, box, score, points if the model has them, number of the frame if there are videos."""

    def __init__(self, file: TextIO, landmarks: bool, frames: bool) -> None:
        points = [f"{name}_{axis}" for name in POINT_NAMES for axis in "xy"] if landmarks else []
        self._writer, self._frames = csv.writer(file), frames
        self._writer.writerow(["path", "x1", "y1", "x2", "y2", "score", *points, *["frame"] * frames])

    def add(self, found: Found) -> None:
        """Write a frame's faces."""
        faces, frame = found.faces, found.frame
        points = np.zeros((len(faces), 0)) if faces.landmarks is None else faces.landmarks.reshape(-1, 10)
        index = [frame.index if frame.source.kind != "image" else ""] * self._frames
        rows = np.concatenate([faces.as_array(), points], axis=1).tolist()
        self._writer.writerows([frame.source.path, *row, *index] for row in rows)


class FddbOutput(Output):
    """FDDB's text, for ``evaluate fddb --detections``."""

    def __init__(self, file: TextIO, sources: Iterable[MediaSource]) -> None:
        check_distinct((fddb_name(Frame(source)) for source in sources), "--fddb")
        self._file = file

    def add(self, found: Found) -> None:
        """Write a frame's entry."""
        rows = rectangles(found.faces.as_array().astype(np.float64))
        write_entry(self._file, fddb_name(found.frame), rows, SEANLINX_ROW)


def fddb_name(frame: Frame) -> str:
    """Return FDDB's name of a picture, its path without suffix; of a video's frame its number below the video's."""
    name = image_name(frame.source.name)
    return name if frame.source.kind == "image" else f"{name}/{frame.index:06d}"


class WiderOutput(Output):
    """WIDER's text files, one a picture, for ``evaluate wider --detections``."""

    def __init__(self, folder: str, sources: Iterable[MediaSource]) -> None:
        check_distinct((wider_name(Frame(source)) for source in sources), "--wider")
        self._folder = folder

    def add(self, found: Found) -> None:
        """Write a frame's file."""
        write_text_folder(self._folder, {wider_name(found.frame): found.faces.as_array().astype(np.float64)})


def wider_name(frame: Frame) -> str:
    """Return ``event/name.jpg``: the picture's own folder and name; a video is an event of numbered frames.

    The event of a picture in ``/``, whose folder has no name, is ``root``.
    """
    if frame.source.kind != "image":
        return f"{Path(frame.source.name).stem}/{frame.index:06d}.jpg"
    path = Path(os.path.abspath(frame.source.path))
    return f"{path.parent.name or 'root'}/{path.name}"


def check_distinct(names: Iterable[str], option: str) -> None:
    """Refuse names of which two are the same; suffixes aside, since evaluations leave them aside.

    Raises
    ------
    InputError
        `option` is the one whose file would hold a name twice.
    """
    repeated = [name for name, times in Counter(map(image_name, names)).items() if times > 1]
    if repeated:
        raise InputError(f"{option}: two of the inputs would both be called {repeated[0]}")


def check_files(files: Mapping[str, str], sources: Iterable[MediaSource]) -> None:
    """Refuse files, by option, of which two are one, or one is an input; a device such as /dev/null takes any number.

    Raises
    ------
    InputError
        Names the options, or the option and the file.
    """
    inputs = {os.path.realpath(source.path) for source in sources if source.kind != "camera"}
    taken: dict[str, str] = {}
    for option, path in files.items():
        place = os.path.realpath(path)
        if place in inputs:
            raise InputError(f"{option}: {path} is an input: give another file")
        if place in taken and (os.path.isfile(place) or not os.path.exists(place)):
            raise InputError(f"{taken[place]} and {option}: both would write {path}")
        taken[place] = option


@contextmanager
def stdout_file() -> Iterator[TextIO]:
    """Give a text file whose content goes to stdout once the block succeeds."""
    with tempfile.TemporaryFile("w+", encoding="utf-8") as file:
        yield file
        file.seek(0)
        shutil.copyfileobj(file, sys.stdout)
