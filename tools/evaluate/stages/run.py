"""One evaluation stage by stage: options in, curves, figures and thresholds out, files where a folder is named."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Optional

from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.core.files.atomic import PathLike, write_json
from gluon_mtcnn.core.types import NETS, Annotation
from gluon_mtcnn.prepare_data.annotations.left_out import MOST
from gluon_mtcnn.tools.cli.detector_options import DetectorOptions, open_model
from gluon_mtcnn.tools.cli.options import existing_dir, existing_file, output_dir
from gluon_mtcnn.tools.evaluate.annotated_photos import read_annotations
from gluon_mtcnn.tools.evaluate.detections import existing_photos
from gluon_mtcnn.tools.evaluate.origin import DEFAULT_IGNORE
from gluon_mtcnn.tools.evaluate.stages.cascade import Targets, sweep_stages, time_stages
from gluon_mtcnn.tools.evaluate.stages.counts import FaceSet, Sweep
from gluon_mtcnn.tools.evaluate.stages.plot import plot_recall, plot_stages

LOWEST = (0.1, 0.01, 0.01)  # what a stage leaves below these is not worth its time
TIMED_PHOTOS = 30


@dataclass(frozen=True)
class StagesOptions:
    """On which photos to evaluate the stages of a cascade, and how to pick thresholds.

    Attributes
    ----------
    wider_images, wider_annotations : paths
        Folder of the photos; WIDER's text, or CSV (suffix ``.csv``).
    target_recall : two floats
        Share of all counted faces that P-Net must find, and share of those that R-Net must keep.
    target_precision : float, optional
        Of the last threshold; default: the best F1.
    write : bool
        Write the thresholds into the model's model.json.
    write_to : path, optional
        Write a copy of the model with the thresholds there.
    calibrate : three floats, optional
        With `write` or `write_to`: move the nets' scores so that the picked thresholds become these.
    last_stage : {"pnet", "rnet", "onet"}, optional
        Evaluate the nets up to this; default: all of the model.
    ignore : str
        WIDER attributes from which a face is ignored, such as ``blur=2,occlusion=2``, or ``none``.
    min_sqrt_area : float, optional
        Faces whose square root of the area, sqrt(w h), is below it, in pixels, are ignored; default: the detector's
        smallest face.
    max_left_out : float
        Share of the annotated faces that may have no usable box.
    lowest : three floats
        Where the curves begin.
    out : path, optional
        Folder for stages.json, stages.png and stages_recall.png. Default: no file is written.
    detector : DetectorOptions
        Its thresholds, if any, are evaluated instead of picked ones.
    quiet : bool
        No progress bar.
    """

    wider_images: PathLike
    wider_annotations: PathLike
    target_recall: tuple[float, ...] = Targets.recall
    target_precision: Optional[float] = None
    write: bool = False
    write_to: Optional[PathLike] = None
    calibrate: Optional[tuple[float, ...]] = None
    last_stage: Optional[str] = None
    ignore: str = DEFAULT_IGNORE
    min_sqrt_area: Optional[float] = None
    max_left_out: float = MOST
    lowest: tuple[float, ...] = LOWEST
    out: Optional[PathLike] = None
    detector: DetectorOptions = field(default_factory=DetectorOptions)
    quiet: bool = False

    @property
    def targets(self) -> Targets:
        """By what thresholds are picked."""
        return Targets(self.target_recall, self.target_precision, self.detector.thresholds)


@dataclass(frozen=True)
class StagesResult:
    """What each stage of a cascade finds.

    Attributes
    ----------
    curves : dict of net to Sweep
        Recall, false positives and boxes over the threshold.
    thresholds : three floats
        Picked, or given; of a net that was not evaluated the model's own.
    summary : dict
        The content of stages.json: for each stage the figures at its threshold, and the curves as lists.
    """

    curves: dict[str, Sweep]
    thresholds: tuple[float, ...]
    summary: dict[str, Any]


def evaluate_stages(options: StagesOptions) -> StagesResult:
    """Run each net of a model over annotated photos, pick its threshold, and give what passes to the next net.

    Parameters
    ----------
    options : StagesOptions

    Raises
    ------
    InputError
        A file is missing or not of its form, no face counts, or the model cannot be opened.
    """
    if options.out is not None:
        output_dir(str(options.out))
    if options.calibrate and not (options.write or options.write_to):
        raise InputError("evaluate stages: --calibrate needs --write or --write-to: it changes weights")
    model = open_model(options.detector.model)
    own = options.detector.chosen(model)
    smallest = own.min_face if options.min_sqrt_area is None else options.min_sqrt_area
    annotations, faces = _read(options, smallest)
    photos = [photo.image for photo in annotations]
    from gluon_mtcnn.core.detection.detector import Detector

    targets, arguments = options.targets, {**options.detector.detector_arguments(), "last_stage": options.last_stage}
    lowest = tuple(map(min, options.lowest, targets.thresholds or options.lowest))
    detector = Detector(model, thresholds=lowest, **arguments)
    curves, counted = sweep_stages(detector, photos, faces, targets, options.quiet)
    thresholds = tuple(counted[k]["threshold"] if k in counted else model.thresholds[i] for i, k in enumerate(NETS))
    step = -(-len(photos) // TIMED_PHOTOS)
    times = time_stages(Detector(model, thresholds=thresholds, **arguments), photos[::step])
    written = _write_model(options, model, thresholds, tuple(counted))
    summary = {
        **_set_figures(annotations, faces),
        "min_face": own.min_face,
        "min_face_px": smallest,
        **_targets(options),
        "thresholds": list(thresholds),
        "model_thresholds": list(model.thresholds),
        "written": written,
        "stages": {
            kind: {**figures, "milliseconds": times[kind], "curve": curves[kind].as_lists()}
            for kind, figures in counted.items()
        },
    }
    if options.out is not None:
        _write(Path(options.out), summary, curves)
    return StagesResult(curves, thresholds, summary)


def _read(options: StagesOptions, smallest: float) -> tuple[list[Annotation], FaceSet]:
    """Return the annotated photos, which are all there, and their faces; those of a least sqrt(w h) in pixels count."""
    path = existing_file(str(options.wider_annotations), "annotations")
    images = existing_dir(str(options.wider_images), "photos")
    annotations = read_annotations(path, images, options.ignore, options.max_left_out)
    existing_photos({photo.name: photo.image for photo in annotations}, missing_as_empty=None)
    faces = FaceSet.of(annotations, smallest)
    if not faces.counted.any():
        raise InputError(f"{path}: expected faces of at least {smallest:g} px that are not ignored, got none")
    return annotations, faces


def _write_model(
    options: StagesOptions, model: Any, thresholds: tuple[float, ...], kinds: tuple[str, ...]
) -> Optional[list[float]]:
    """Write the thresholds into the model or a copy; return those that it has then, None where nothing is written."""
    if not (options.write or options.write_to):
        return None
    from gluon_mtcnn.core.detection.score_calibration import write_model

    return list(write_model(model.path, thresholds, options.calibrate, kinds, options.write_to))


def _set_figures(annotations: Sequence[Annotation], faces: FaceSet) -> dict[str, Any]:
    return {
        "photos": len(annotations),
        "faces": int(faces.counted.sum()),
        "ignored": int((~faces.counted).sum()),
        "faces_by_size": {label: int(mask.sum()) for label, mask in faces.size_masks().items() if mask.any()},
    }


def _targets(options: StagesOptions) -> dict[str, Any]:
    """Return what stages.json says of the targets."""
    return {
        "target_recall": None if options.targets.thresholds else list(options.target_recall),
        "target_precision": options.target_precision,
    }


def _write(out: Path, summary: dict[str, Any], curves: dict[str, Sweep]) -> None:
    write_json(out / "stages.json", summary)
    plot_stages(out / "stages.png", curves, summary)
    plot_recall(out / "stages_recall.png", curves, summary)
