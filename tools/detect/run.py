"""Detecting in photos, videos and webcams: options in, faces out, files where they are named."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any, Optional, TextIO

from tqdm import tqdm

from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.core.files.atomic import PathLike
from gluon_mtcnn.tools.cli.detector_options import DetectorOptions, open_model
from gluon_mtcnn.tools.detect.frames import Choice, detect_frames
from gluon_mtcnn.tools.detect.media import MediaSource, count_frames, find_media, quiet_opencv, read_frames
from gluon_mtcnn.tools.detect.output_options import OutputOptions
from gluon_mtcnn.tools.detect.outputs import Found, JsonOutput, Outputs, check_files, faces_entry


@dataclass(frozen=True)
class DetectOptions:
    """Where to find faces, with which detector, and which of them.

    Attributes
    ----------
    inputs : sequence of paths
        Pictures, videos, folders (searched recursively), globs, or a webcam's index as text.
    detector : DetectorOptions
        Its thresholds are by default the model's own.
    last_stage : {"pnet", "rnet", "onet"}, optional
        Stop after this net. Default: the last that the model has.
    max_size : int, optional
        Shrink larger pictures to this longer side before detecting.
    choice : Choice
        Which faces are kept.
    every : int
        Of videos, take every so many frames.
    max_frames : int, optional
        Most frames of a video or webcam.
    no_exif : bool
        Do not turn pictures as their EXIF data say.
    strict : bool
        Raise at the first picture that cannot be read.
    num_workers : int
        Threads.
    quiet : bool
        No progress bar.
    """

    inputs: Sequence[PathLike]
    detector: DetectorOptions = field(default_factory=DetectorOptions)
    last_stage: Optional[str] = None
    max_size: Optional[int] = None
    choice: Choice = field(default_factory=Choice)
    every: int = 1
    max_frames: Optional[int] = None
    no_exif: bool = False
    strict: bool = False
    num_workers: int = 1
    quiet: bool = False


@dataclass(frozen=True)
class DetectResult:
    """What detecting into files came to.

    Attributes
    ----------
    faces, inputs : int
        Faces found, inputs looked at.
    problems : tuple of str
        One line for each input that could not be read, or not to its end.
    stopped : bool
        Ctrl-C ended a webcam.
    """

    faces: int
    inputs: int
    problems: tuple[str, ...]
    stopped: bool


def detect(options: DetectOptions) -> Iterator[Found]:
    """Find faces frame by frame; nothing is written.

    Parameters
    ----------
    options : DetectOptions

    Yields
    ------
    Found
        In the order of the inputs; a frame without image says in ``frame.problem`` why an input cannot be read.

    Raises
    ------
    InputError
        The only input, or with `strict` any, cannot be read; or the detector cannot be opened.
    """
    quiet_opencv()
    sources = _find(options, ())
    yield from _detect(options, sources, _open_detector(options), with_stages=False)


def detect_to_files(options: DetectOptions, outputs: OutputOptions, otherwise: Optional[TextIO] = None) -> DetectResult:
    """Find faces and write them.

    Parameters
    ----------
    options : DetectOptions
    outputs : OutputOptions
    otherwise : text file, optional
        Gets the JSON of the faces where no output is named.

    Raises
    ------
    InputError
        As of `detect`; or an output cannot be written, or would take the place of an input or of another output.
    """
    quiet_opencv()
    outputs.check()
    sources = _find(options, [folder for folder in (outputs.draw, outputs.chips) if folder])
    check_files({f"--{name}": path for name, path in outputs.files().items()}, sources)
    _check_first(options, sources)
    detector = _open_detector(options)
    landmarks = detector.model.spec(detector.kinds[-1]).landmarks
    with ExitStack() as stack:
        opened = outputs.open(sources, options.every, landmarks, stack)
        written = Outputs(opened if opened or otherwise is None else [JsonOutput(otherwise, faces_entry)])
        live = any(source.kind == "camera" for source in sources)
        stopped = stack.enter_context(ctrl_c_noted()) if live else threading.Event()
        for found in _detect(options, sources, detector, bool(outputs.stages)):
            written.add(found)
            if stopped.is_set():
                break
        written.finish()
    return DetectResult(written.faces, len(sources), tuple(written.problems), stopped.is_set())


def _find(options: DetectOptions, skip: Sequence[str]) -> list[MediaSource]:
    if not options.inputs:
        raise InputError("detect: expected at least one input, got none")
    return find_media([str(path) for path in options.inputs], skip)


def _check_first(options: DetectOptions, sources: Sequence[MediaSource]) -> None:
    """Refuse, before a model is opened, a first input that is known to be bad and ends the work."""
    if sources[0].problem and (len(sources) == 1 or options.strict):
        raise InputError(sources[0].problem)


def _open_detector(options: DetectOptions) -> Any:
    model = open_model(options.detector.model)
    from gluon_mtcnn.core.detection.detector import Detector

    arguments = options.detector.detector_arguments()
    return Detector(model, thresholds=options.detector.thresholds, last_stage=options.last_stage, **arguments)


def _detect(
    options: DetectOptions, sources: Sequence[MediaSource], detector: Any, with_stages: bool
) -> Iterator[Found]:
    """Read, detect and choose under a progress bar; raise where a bad input ends the work."""
    _check_first(options, sources)
    total = None if options.quiet else count_frames(sources, options.every, options.max_frames)
    frames = read_frames(sources, not options.no_exif, options.every, options.max_frames)
    live = any(source.kind == "camera" for source in sources)  # its frames are not to wait for the next ones
    workers = 1 if live or total == 1 else options.num_workers
    each = detect_frames(detector, frames, options.max_size, with_stages, workers)
    hidden = options.quiet or total == 1
    for found in tqdm(each, total=total, desc="detect", unit="image", disable=hidden, delay=0.5):
        if found.frame.problem and (options.strict or (len(sources) == 1 and not found.frame.index)):
            raise InputError(found.frame.problem)
        yield options.choice.of(found)


@contextmanager
def ctrl_c_noted() -> Iterator[threading.Event]:
    """Let Ctrl-C set an event, so that the frame at hand is finished; a second one interrupts."""
    noted = threading.Event()

    def note(*_: Any) -> None:
        if noted.is_set():
            raise KeyboardInterrupt
        noted.set()

    before = signal.signal(signal.SIGINT, note)
    try:
        yield noted
    finally:
        signal.signal(signal.SIGINT, before)
