"""Where ``detect`` puts pictures: photos and videos with the faces drawn in, and face chips."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Optional

import cv2
import numpy as np

from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.core.files.atomic import move_into_place, replacing
from gluon_mtcnn.core.ops import image as images
from gluon_mtcnn.tools.detect.chips import face_chips
from gluon_mtcnn.tools.detect.draw import draw_detections
from gluon_mtcnn.tools.detect.media import MediaSource
from gluon_mtcnn.tools.detect.outputs import Found, Output

DRAWN_SUFFIXES = tuple(suffix for suffix in images.IMAGE_SUFFIXES if suffix != ".pgm")  # .pgm has no colours
DEFAULT_FPS = 25  # of a drawn video whose source does not say


class DrawOutput(Output):
    """Pictures and videos with the faces drawn in, at their places below a folder; use as a context.

    Raises
    ------
    InputError
        A picture would take the place of the one it was drawn from, or of one of the `files` that hold other results.
    """

    def __init__(self, folder: str, sources: Sequence[MediaSource], every: int = 1, files: Sequence[str] = ()) -> None:
        self._targets = {source: Path(folder) / name for source, name in drawn_names(sources).items()}
        check_not_inputs(self._targets.values(), sources, "--draw")
        drawn = {os.path.realpath(target) for target in self._targets.values()}
        clash = next((file for file in files if os.path.realpath(file) in drawn), None)
        if clash is not None:
            raise InputError(f"--draw: a drawn picture would take the place of {clash}: give another folder")
        self._every = every
        self._stack = ExitStack()
        self._write: Optional[Callable[[np.ndarray], None]] = None

    def __enter__(self) -> DrawOutput:
        """Return itself."""
        return self

    def __exit__(self, *error: Any) -> Any:
        """Drop a video that was not ended."""
        return self._stack.__exit__(*error)

    def add(self, found: Found) -> None:
        """Write a picture, or one more frame of a video."""
        frame, target = found.frame, self._targets[found.frame.source]
        drawn = draw_detections(found.image, found.faces)
        if frame.source.kind == "image":
            write_image(target, drawn)
            return
        if self._write is None:
            fps = (frame.fps or DEFAULT_FPS) / self._every
            self._write = self._stack.enter_context(video_file(target, fps, drawn.shape))
        self._write(drawn)

    def end(self, source: MediaSource, frames: int, problem: str) -> None:
        """End a video."""
        self._stack.close()
        self._write = None


class ChipsOutput(Output):
    """Every face as a PNG of its own: ``folder/picture_0.png``, ``folder/video.mp4/000025_0.png``."""

    def __init__(self, folder: str, sources: Sequence[MediaSource], size: int, margin: Optional[float]) -> None:
        self._stems = {source: Path(folder) / name for source, name in chip_names(sources).items()}
        check_not_inputs((Path(f"{stem}_0.png") for stem in self._stems.values()), sources, "--chips")
        self._size, self._margin = size, margin

    def add(self, found: Found) -> None:
        """Write a frame's faces."""
        frame, stem = found.frame, self._stems[found.frame.source]
        start = f"{stem}_" if frame.source.kind == "image" else f"{stem}/{frame.index:06d}_"
        for i, chip in enumerate(face_chips(found.image, found.faces, self._size, self._margin)):
            write_image(Path(f"{start}{i}.png"), chip)


def drawn_names(sources: Sequence[MediaSource]) -> dict[MediaSource, str]:
    """Return what each source's drawn copy is called: as itself where OpenCV writes that format, else with a suffix."""
    names: dict[MediaSource, str] = {}
    taken = {source.name for source in sources}
    for source in sources:
        kept = DRAWN_SUFFIXES if source.kind == "image" else (".mp4",)
        added = ".png" if source.kind == "image" else ".mp4"
        is_kept = source.name.lower().endswith(kept)
        names[source] = source.name if is_kept else _distinct(source.name, added, taken)
        taken.add(names[source])
    return names


def chip_names(sources: Sequence[MediaSource]) -> dict[MediaSource, str]:
    """Return what a source's chips are called, less their number: its name without suffix where no other has that."""
    stems = Counter(str(Path(source.name).with_suffix("")) for source in sources if source.kind == "image")
    names, taken = {}, set()  # type: tuple[dict[MediaSource, str], set[str]]
    for source in sources:
        stem = str(Path(source.name).with_suffix("")) if source.kind == "image" else source.name
        names[source] = _distinct(stem if stems[stem] <= 1 else source.name, "", taken)
        taken.add(names[source])
    return names


def _distinct(stem: str, suffix: str, taken: Collection[str]) -> str:
    """Return a name that is not taken yet."""
    while stem + suffix in taken:
        stem += "_"
    return stem + suffix


def check_not_inputs(targets: Iterable[Path], sources: Iterable[MediaSource], option: str) -> None:
    """Refuse to write over what is to be read.

    Raises
    ------
    InputError
        `option` would.
    """
    paths = {os.path.realpath(source.path) for source in sources if source.kind != "camera"}
    over = next((target for target in targets if os.path.realpath(target) in paths), None)
    if over is not None:
        raise InputError(f"{option}: {over} is an input: give another folder")


def write_image(path: Path, image: np.ndarray) -> None:
    """Write a picture, atomically, in the format of its suffix.

    Raises
    ------
    InputError
        The format cannot hold it.
    """
    try:
        done, data = cv2.imencode(path.suffix, image)
    except cv2.error:
        done = False
    if not done:
        raise InputError(f"{path}: {image.shape[1]} x {image.shape[0]} pixels cannot be written in this format")
    with replacing(path) as temporary:
        temporary.write_bytes(data.tobytes())


@contextmanager
def video_file(path: Path, fps: float, shape: tuple[int, ...]) -> Iterator[Callable[[np.ndarray], None]]:
    """Give a function that appends frames to an MPEG-4 video of this shape; it is there once the block succeeds.

    Sides are even in this format: the last row or column of others is doubled.

    Raises
    ------
    InputError
        It cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{os.getpid()}.tmp{path.suffix}")  # OpenCV goes by the suffix
    odd, size = (shape[1] % 2, shape[0] % 2), (shape[1], shape[0])
    even = (size[0] + odd[0], size[1] + odd[1])
    writer = cv2.VideoWriter(str(temporary), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*"mp4v"), fps, even)

    def write(frame: np.ndarray) -> None:
        frame = frame if frame.shape[1::-1] == size else cv2.resize(frame, size)
        writer.write(cv2.copyMakeBorder(frame, 0, odd[1], 0, odd[0], cv2.BORDER_REPLICATE) if any(odd) else frame)

    try:
        if not writer.isOpened():
            raise InputError(f"{path}: a video of {size[0]} x {size[1]} pixels at {fps:g} frames/s cannot be written")
        yield write
        writer.release()
        move_into_place(temporary, path)
    finally:
        writer.release()
        temporary.unlink(missing_ok=True)
