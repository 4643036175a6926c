"""The detector: an image in, faces out (Zhang et al. 2016, section II-A).

What it runs is a cascade: `core.detection.cascade` in the arithmetics "exact" and "seanlinx", or
`core.detection.official_cascade`. If O-Net has a landmark head, "exact" runs it with test-time augmentation.
"""

from __future__ import annotations

import copy
import os
import threading
from collections.abc import Generator, Iterable, Sequence
from contextlib import closing
from dataclasses import replace
from typing import Any, Optional, Union

import numpy as np

from gluon_mtcnn.core.detection.cascade import Cascade, CascadeSettings, StageOutput, Stages
from gluon_mtcnn.core.detection.engines import default_engine, open_engine
from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.core.files.threads import ClonePool, map_ahead
from gluon_mtcnn.core.nets.model_folder import Model, load_model
from gluon_mtcnn.core.nets.presets import Preset
from gluon_mtcnn.core.ops.image import COLORS, as_bgr, pyramid_scales, read
from gluon_mtcnn.core.types import NETS, Detections
from gluon_mtcnn.model import DEFAULT_MODEL


class Detector:
    """Finds faces with the nets of a model.

    Parameters
    ----------
    model : path of a model folder, or a loaded Model; default: the one that ships with the package
    engine : {"mxnet", "onnx", "plain"}, optional
        What runs the nets; all find the same faces. "onnx" needs no MXNet. "plain" works as the original did, for
        comparison. Default: "mxnet", or where MXNet is not installed "onnx".
    min_face : float, optional
        Smallest face to find, pixels. Default: the preset's, or 20.
    thresholds : three floats, optional
        Face scores that P, R and O require (strictly more). Default: the preset's, or the model's own.
    scale_factor : float, optional
        Between levels of the pyramid. Default: the preset's, or 0.709.
    last_stage : {"pnet", "rnet", "onet"}, optional
        Where to stop; default: the last net up to which the model has all.
    compat : {"seanlinx", "official"}, optional
        Repeat the arithmetic of Seanlinx/mtcnn or of the official MATLAB code.
    look_again : bool, optional
        An earlier name of `test_time_augmentation`.
    test_time_augmentation : bool, optional
        Run O-Net on several shifted and mirrored crops of each face, and raise the score where many candidates overlap
        (`core.detection.test_time_augmentation`). Default: as the preset says; where it says nothing, if O-Net has a
        landmark head, and not with `compat`.
        Which candidates are near enough to be seen again depends on the threshold: a few of those that pass a high
        threshold in a run at a low one are not found at the high one.
    color : {"bgr", "rgb"}
        Order of the channels in arrays; PIL images know theirs.
    device : MXNet context, optional
    preset : str or Preset, optional
        Which of the model's presets: "fast", "default", "accurate" of the model that ships. Options given beside it win
        over it. Default: "default"; a model without presets has the defaults named above.

    Raises
    ------
    InputError
        An option out of range, or a net that the model does not have.

    Notes
    -----
    Threads may share a detector: one waits for the other. To work at the same time, give each thread a `clone`, or let
    `detect_many` do it.

    Examples
    --------
    >>> import cv2
    >>> detector = Detector(min_face=20)
    >>> faces = detector.detect(cv2.imread("photo.jpg"))
    >>> faces.boxes.shape == (len(faces), 4), faces.landmarks.shape == (len(faces), 5, 2)
    (True, True)
    """

    def __init__(
        self,
        model: Union[str, os.PathLike, Model] = DEFAULT_MODEL,
        engine: Optional[str] = None,
        min_face: Optional[float] = None,
        thresholds: Optional[tuple[float, ...]] = None,
        scale_factor: Optional[float] = None,
        last_stage: Optional[str] = None,
        compat: Optional[str] = None,
        color: str = "bgr",
        device: Any = None,
        look_again: Optional[bool] = None,
        test_time_augmentation: Optional[bool] = None,
        preset: Union[str, Preset, None] = None,
    ) -> None:
        self.model = model if isinstance(model, Model) else load_model(model)
        if engine is None:
            engine = "mxnet" if compat == "official" else default_engine()
        self.engine = engine
        self.kinds = _stages(self.model, last_stage)
        self.color = color
        augmented = look_again if test_time_augmentation is None else test_time_augmentation
        options = self.model.detector_options(Preset(thresholds, min_face, scale_factor, augmented), preset)
        if preset is not None or compat is None:
            augmented = options.test_time_augmentation
        if augmented is None:
            augmented = compat is None and "onet" in self.model.nets and self.model.spec("onet").landmarks
        self._settings = CascadeSettings(
            min_face=options.min_face,
            scale_factor=options.scale_factor,
            thresholds=tuple(options.thresholds),
            legacy=compat == "seanlinx",
            clipped=compat == "seanlinx" or self.model.calibration == "clipped",
            augmented=augmented,
        )
        self._check(compat)
        self._cascade = self._open(compat, device)
        self._lock = threading.Lock()
        self._clones: list[Detector] = []

    def _check(self, compat: Optional[str]) -> None:
        """Refuse bad options here, not at the first image."""
        settings, cell = self._settings, self.model.spec("pnet").cell
        if len(settings.thresholds) != 3 or not all(0 <= t <= 1 for t in settings.thresholds):
            raise InputError(f"thresholds: expected three numbers from 0 to 1, got {settings.thresholds}")
        if compat not in (None, "seanlinx", "official"):
            raise InputError(f"compat: expected 'seanlinx' or 'official', got {compat!r}")
        if compat == "official" and self.engine != "mxnet":
            raise InputError(f"compat 'official' runs with engine 'mxnet' only, got {self.engine!r}")
        if compat and settings.augmented:
            raise InputError(f"compat {compat!r} runs without test-time augmentation, as the original does")
        if self.color not in COLORS:
            raise InputError(f"color must be 'bgr' or 'rgb', but got {self.color!r}")
        if compat == "official" and cell != 12:
            raise InputError(f"compat 'official' runs P-Nets with cells of 12 px only, got {cell} px")
        pyramid_scales(1, 1, settings.min_face, settings.scale_factor)

    def _open(self, compat: Optional[str], device: Any) -> Stages:
        if compat == "official":
            from gluon_mtcnn.core.detection.official_cascade import OfficialCascade  # MXNet, which "onnx" does without

            settings = self._settings
            return OfficialCascade(
                self.model.nets, settings.min_face, settings.scale_factor, settings.thresholds, device
            )
        engine = open_engine(self.engine, self.model, device)
        return Cascade(engine, {kind: self.model.spec(kind) for kind in self.model.nets}, self._settings)

    @property
    def thresholds(self) -> tuple[float, ...]:
        """Return the face scores that P, R and O require."""
        return self._settings.thresholds

    @property
    def min_face(self) -> float:
        """Return the smallest face that is looked for, pixels."""
        return self._settings.min_face

    @property
    def scale_factor(self) -> float:
        """Return the factor between levels of the pyramid."""
        return self._settings.scale_factor

    @property
    def test_time_augmentation(self) -> bool:
        """Return whether O-Net runs with test-time augmentation."""
        return self._settings.augmented

    @property
    def look_again(self) -> bool:
        """Return `test_time_augmentation`, under its earlier name."""
        return self._settings.augmented

    def detect(self, image: Any) -> Detections:
        """Return the faces of an image, best score first; boxes in its inclusive pixels.

        Parameters
        ----------
        image : array or PIL image
            (h, w), (h, w, 1), (h, w, 3) or (h, w, 4), of any size from 0 on; uint8, uint16, bool or float 0..255.

        Raises
        ------
        InputError
            Not such an image.
        """
        return self.stages(image)[self.kinds[-1]].detections()

    def detect_batch(self, images: Sequence[Any]) -> list[Detections]:
        """Return the faces of each of several images of any sizes; arguments as of `detect`."""
        return [self.detect(image) for image in images]

    def detect_many(
        self, images: Iterable[Any], workers: int = 1, errors: str = "raise"
    ) -> Generator[Union[Detections, InputError], None, None]:
        """Detect in any number of images, reading ahead and in order.

        Memory holds about two images a worker, however many there are.

        Parameters
        ----------
        images : iterable of paths, arrays and PIL images
            Taken one by one; files are read without EXIF rotation.
        workers : int
            Threads that detect, each with a clone of this detector; one more reads.
        errors : {"raise", "return"}
            What to do about an image that cannot be read: end with its InputError, or give that in its place.

        Yields
        ------
        Detections
        """
        if errors not in ("raise", "return") or workers < 1:
            raise InputError(f"expected errors 'raise' or 'return' and workers >= 1, got {errors!r} and {workers}")
        self._clones += [self.clone() for _ in range(workers - 1 - len(self._clones))]
        pool = ClonePool((self, *self._clones[: workers - 1]))

        def detect(image: Any) -> Union[Detections, InputError]:
            try:
                pixels = read(image) if isinstance(image, (str, os.PathLike)) else as_bgr(image, self.color)
            except InputError as error:
                return error
            with pool.one() as detector:
                return detector._run(pixels)[self.kinds[-1]].detections()

        with closing(map_ahead(detect, images, threads=workers + 1, ahead=2 * workers)) as results:
            for result in results:
                if isinstance(result, InputError) and errors == "raise":
                    raise result
                yield result

    def clone(self) -> Detector:
        """Return a detector that shares the weights, for another thread."""
        return self._clone(self._settings)

    def with_thresholds(self, thresholds: tuple[float, ...]) -> Detector:
        """Return a clone with these thresholds of P, R and O."""
        return self._clone(replace(self._settings, thresholds=thresholds))

    def with_thresholds_moved(self, step: float) -> Detector:
        """Return a clone whose thresholds of scores and of overlaps are all higher by `step`."""
        thresholds = tuple(threshold + step for threshold in self.thresholds)
        overlaps = {mode: overlap + step for mode, overlap in self._settings.overlaps.items()}
        return self._clone(replace(self._settings, thresholds=thresholds, overlaps=overlaps))

    def _clone(self, settings: CascadeSettings) -> Detector:
        other = copy.copy(self)
        other._settings, other._clones = settings, []
        if isinstance(self._cascade, Cascade):
            other._cascade = self._cascade.clone(settings)
            other._lock = threading.Lock()
        # The official cascade's nets are shared as they are: there threads go on waiting for each other.
        return other

    def stages(self, image: Any) -> dict[str, StageOutput]:
        """Return what each net left, by net; boxes before and after calibration."""
        return self._run(as_bgr(image, self.color))

    def stage(self, kind: str, image: Any, candidates: np.ndarray) -> StageOutput:
        """Return what one net leaves: the P-Net of the image alone, R and O of the boxes (n, 4) of the net before."""
        image = as_bgr(image, self.color)
        with self._lock:
            return self._cascade.propose(image) if kind == "pnet" else self._cascade.refine(kind, image, candidates)

    def _run(self, image: np.ndarray) -> dict[str, StageOutput]:
        """Return what each net leaves of a BGR image."""
        with self._lock:
            found = {"pnet": self._cascade.propose(image)}
            for kind in self.kinds[1:]:
                before = found[NETS[NETS.index(kind) - 1]]
                found[kind] = self._cascade.refine(kind, image, before.after[:, :4])
        return found


def _stages(model: Model, last: Optional[str]) -> tuple[str, ...]:
    """Return the nets to run, in order."""
    if last is not None and last not in NETS:
        raise InputError(f"last stage: expected {', '.join(NETS)}, got {last!r}")
    if last is None:
        last = next((kind for kind in reversed(NETS) if kind in model.nets), "pnet")
    kinds = NETS[: NETS.index(last) + 1]
    model.require(kinds)
    return kinds
