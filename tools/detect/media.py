"""What ``detect`` looks at: pictures, videos and webcams, found by their names and read one frame at a time."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import count, takewhile
from pathlib import Path
from typing import Optional

import cv2
import numpy as np

from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.core.ops import image as images

VIDEO_SUFFIXES = (
    *(
        ".mp4",
        ".m4v",
        ".mov",
        ".avi",
        ".mkv",
        ".webm",
        ".mpg",
        ".mpeg",
        ".mts",
        ".m2ts",
        ".wmv",
        ".flv",
        ".3gp",
        ".ogv",
    ),
    ".gif",  # OpenCV's image reader does not know it, its video reader does
)
CAMERA_DIGITS = 2  # of a webcam's index
LOST = 0.02  # of a video's frames and of its time: what may be missing at the end; containers state both roughly


@dataclass(frozen=True)
class MediaSource:
    """A picture, a video or a webcam.

    Attributes
    ----------
    path : str
        As it was named or found; a webcam's index.
    kind : {"image", "video", "camera"}
    name : str
        Path below the folder that all inputs share, forward slashes: its place in folders of results.
    problem : str
        Why there is nothing to read; empty where there may be something.
    """

    path: str
    kind: str
    name: str = ""
    problem: str = ""


@dataclass(frozen=True)
class Frame:
    """One picture, or one frame of a video; without image: a source that cannot be read, or not to its end.

    Attributes
    ----------
    source : MediaSource
    image : (h, w, 3) uint8 BGR or None
    index : int
        Of a video's frame, from 0; without image: how many frames were read before.
    fps : float or None
        Of the whole video, where it says.
    problem : str
        Why there is no image: one line.
    """

    source: MediaSource
    image: Optional[np.ndarray] = None
    index: int = 0
    fps: Optional[float] = None
    problem: str = ""


def quiet_opencv() -> None:
    """Keep OpenCV and FFmpeg from writing to stderr about files that they cannot read; we say it ourselves."""
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # AV_LOG_QUIET; looked up when the first video is opened
    cv2.setLogLevel(0)


def find_media(inputs: Iterable[str], skip: Sequence[str] = ()) -> list[MediaSource]:
    """Return what the arguments of a command mean, each file once.

    Parameters
    ----------
    inputs : iterable of str
        Files, folders (searched recursively for pictures and videos, hidden ones aside), globs (``**`` is recursive),
        or a webcam's index. Found files come sorted, arguments in their order.
    skip : sequence of str
        Folders that are not searched: those that results go to.

    Returns
    -------
    list of MediaSource
        One with a `problem` for an argument that means nothing and for a folder that cannot be read.
    """
    skipped = {os.path.abspath(folder) for folder in skip}
    found: dict[str, MediaSource] = {}
    folders = []
    for text in inputs:
        folder, sources = _expand(text, skipped)
        if folder is not None:
            folders.append(os.path.abspath(folder))
        for source in sources:
            found.setdefault(source.path if source.kind == "camera" else os.path.abspath(source.path), source)
    root = os.path.commonpath(folders) if folders else os.getcwd()
    return [source if source.name else replace(source, name=_name(source.path, root)) for source in found.values()]


def _name(path: str, root: str) -> str:
    return Path(os.path.relpath(path, root)).as_posix()


def _expand(text: str, skipped: set[str]) -> tuple[Optional[str], list[MediaSource]]:
    """Return the sources that one argument means, and the folder that their names start from, if any."""
    if not text:
        return None, [
            MediaSource("", "image", "unnamed", "expected the name of a picture, a video or a folder, got none")
        ]
    if os.path.isdir(text):
        found = sorted(_search(text, skipped), key=lambda source: source.path)
        kinds = f"({', '.join(images.IMAGE_SUFFIXES)}) or video"
        return text, found or [MediaSource(text, "image", problem=f"{text}: the folder holds no image {kinds}")]
    if os.path.exists(text):
        return os.path.dirname(text) or ".", [_source(text)]
    if text.isdecimal() and len(text) <= CAMERA_DIGITS:
        return None, [MediaSource(text, "camera", f"camera-{text}")]
    # A file whose own name holds a wildcard was met above.
    found = [source for path in sorted(glob.glob(text, recursive=True)) for source in _expand(path, skipped)[1]]
    if not found:
        return None, [MediaSource(text, "image", problem=f"{text}: no such file or folder")]
    return str(Path(*takewhile(lambda part: not glob.has_magic(part), Path(text).parts))), found


def _search(folder: str, skipped: set[str]) -> Iterator[MediaSource]:
    """Yield the pictures and videos below a folder, and the folders below it that cannot be read."""
    unreadable: list[MediaSource] = []

    def note(error: OSError) -> None:
        problem = f"{error.filename}: cannot be read: {error.strerror}"
        unreadable.append(MediaSource(str(error.filename), "image", problem=problem))

    for place, below, files in os.walk(folder, onerror=note):
        below[:] = [
            n for n in below if not n.startswith(".") and os.path.abspath(os.path.join(place, n)) not in skipped
        ]
        for name in files:
            path = os.path.join(place, name)
            known = os.path.splitext(name)[1].lower() in images.IMAGE_SUFFIXES + VIDEO_SUFFIXES
            # A pipe or a socket would be waited for; a link to nothing is told as such when it is read.
            if known and not name.startswith(".") and (os.path.isfile(path) or os.path.islink(path)):
                yield _source(path)
    yield from unreadable


def _source(path: str) -> MediaSource:
    is_video = os.path.splitext(path)[1].lower() in VIDEO_SUFFIXES
    return MediaSource(path, "video" if is_video else "image")


def read_frames(
    sources: Iterable[MediaSource], exif: bool = True, every: int = 1, limit: Optional[int] = None
) -> Iterator[Frame]:
    """Read pictures and videos, one frame in memory at a time.

    Parameters
    ----------
    sources : iterable of MediaSource
    exif : bool
        Turn pictures and videos as they say.
    every : int
        Of videos: 1 takes every frame, 2 every second ...
    limit : int, optional
        Most frames to take of each video or webcam.

    Yields
    ------
    Frame
        A source that cannot be read is one without an image; a video that breaks off ends with one.
    """
    for source in sources:
        if source.problem:
            yield Frame(source, problem=source.problem)
        elif source.kind == "image":
            try:
                frame = Frame(source, images.read(source.path, exif))
            except InputError as error:
                frame = Frame(source, problem=str(error))
            yield frame
        else:
            yield from _video_frames(source, exif, every, limit)


def _video_frames(source: MediaSource, exif: bool, every: int, limit: Optional[int]) -> Iterator[Frame]:
    try:
        capture = _open(source, exif)
    except InputError as error:
        yield Frame(source, problem=str(error))
        return
    fps = capture.get(cv2.CAP_PROP_FPS)
    stated = fps if 0 < fps < 1000 else None  # some containers say nonsense
    try:
        for index in count():
            if limit is not None and index >= limit * every:
                return
            milliseconds = capture.get(cv2.CAP_PROP_POS_MSEC)
            if not capture.grab():
                break
            if index % every:
                continue
            decoded, image = capture.retrieve()
            if not decoded:
                break
            yield Frame(source, image, index, stated)
        problem = _problem_at_end(capture, source, index, milliseconds)
    finally:
        capture.release()
    if problem:
        yield Frame(source, None, index, stated, problem)


def _open(source: MediaSource, exif: bool) -> cv2.VideoCapture:
    """Open a video or a webcam.

    Raises
    ------
    InputError
        It cannot be opened.
    """
    if source.kind == "camera":
        capture = cv2.VideoCapture(int(source.path))
        if not capture.isOpened():
            raise InputError(f"{source.path}: no such file or folder, and no webcam of this index can be opened")
        return capture
    try:
        with open(source.path, "rb"):
            pass
    except OSError as error:
        raise InputError(f"{source.path}: cannot be read: {error.strerror or error}") from None
    capture = cv2.VideoCapture(source.path, cv2.CAP_FFMPEG)
    if not capture.isOpened():
        size = os.path.getsize(source.path)
        raise InputError(f"{source.path}: expected a video, got {size} bytes that do not open as one")
    capture.set(cv2.CAP_PROP_ORIENTATION_AUTO, float(exif))
    return capture


def _problem_at_end(capture: cv2.VideoCapture, source: MediaSource, frames: int, milliseconds: float) -> str:
    """Return what is wrong with a video that gave this many frames; nothing when it came to its end.

    OpenCV does not tell an end from an error. A container may state its frames, or they are guessed from its duration:
    only a video that lacks frames as well as time has broken off.
    """
    if frames == 0:
        return f"{source.path}: expected a video, got one without a frame that decodes"
    stated, fps = capture.get(cv2.CAP_PROP_FRAME_COUNT), capture.get(cv2.CAP_PROP_FPS)
    if source.kind == "camera" or not (stated > 0 and fps > 0):
        return ""
    lost = max(1.0, LOST * stated)
    late = 1000 * (stated - 1) / fps - milliseconds > 1000 * lost / fps
    if stated - frames > lost and late:
        return f"{source.path}: the video breaks off: {frames} of {stated:.0f} frames decode"
    return ""


def count_frames(sources: Iterable[MediaSource], every: int = 1, limit: Optional[int] = None) -> Optional[int]:
    """Return how many frames `read_frames` will about give; None where nobody knows."""
    total = 0
    for source in sources:
        if source.kind == "camera":
            return None
        if source.kind == "image" or source.problem:
            total += 1
            continue
        capture = cv2.VideoCapture(source.path, cv2.CAP_FFMPEG)
        frames = -(-int(capture.get(cv2.CAP_PROP_FRAME_COUNT)) // every)
        capture.release()
        if frames < 0:
            return None
        total += frames if limit is None else min(frames, limit)
    return total
