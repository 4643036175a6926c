"""From a recipe and the pipeline's options to steps: commands as they run, and what each reads and leaves."""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Optional

from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.tools.cli import main as cli
from gluon_mtcnn.tools.pipeline import recipe as names
from gluon_mtcnn.tools.pipeline.options import PipelineOptions
from gluon_mtcnn.tools.pipeline.recipe import PLACEHOLDER, PipelineRecipe

FACE_LIST, LANDMARK_LIST = "{}_bbx_gt.txt", "{}_landmarks.txt"  # what `split` leaves, of training and development
TESTS = ("test_wider", "test_landmarks")


@dataclass(frozen=True)
class Words:
    """What a placeholder stands for.

    Attributes
    ----------
    words : of the command
    inputs : dict of the pipeline's option, without dashes, to the path that is read
    step : str
        Whose output is read; "" for none.
    place : {"out", "model"}
    files : names that are read; () for all
    """

    words: tuple[str, ...] = ()
    inputs: dict[str, Path] = field(default_factory=dict)
    step: str = ""
    place: str = names.OUT
    files: tuple[str, ...] = ()

    def __add__(self, other: Words) -> Words:
        return Words(
            self.words + other.words,
            {**self.inputs, **other.inputs},
            self.step or other.step,
            self.place,
            self.files + other.files,
        )


@dataclass(frozen=True)
class Step:
    """A stage with everything filled in.

    Attributes
    ----------
    name : str
    words : as in the recipe, and the options that the pipeline adds: what the step is, wherever it runs
    command : as it is run
    outputs : dict of place ("out", "model") to the folder or file that it leaves
    reads : what stands behind its placeholders
    after : names of steps whose outputs are read as a whole, aside from those of `reads`
    tests : whether it looks at test photos
    """

    name: str
    words: tuple[str, ...]
    command: tuple[str, ...]
    outputs: dict[str, Path]
    reads: tuple[Words, ...]
    after: tuple[str, ...] = ()
    tests: bool = False

    def sources(self) -> list[str]:
        """Return the names of the steps that this one depends on."""
        return list(dict.fromkeys([*(read.step for read in self.reads if read.step), *self.after]))


def make_steps(recipe: PipelineRecipe, options: PipelineOptions) -> list[Step]:
    """Return all steps in order: the split, the recipe's stages, evaluations, the report.

    Parameters
    ----------
    recipe : PipelineRecipe
    options : PipelineOptions

    Raises
    ------
    InputError
        A stage's command would refuse its options, or needs photos that were not given.
    """
    run = Path(options.out)
    maker = next(stage.name for stage in recipe.stages if stage.makes_model())
    table = {
        **_photo_words(options, run),
        names.MODEL: Words((str(run / "model"),), step=maker, place=names.MODEL),
        **{stage.name: Words((str(_folder(run, stage.name)),), step=stage.name) for stage in recipe.stages},
    }
    lines: list[tuple[str, tuple[str, ...]]] = [
        (names.PHOTOS, ("split", "{all_photos}", "--fraction", f"{recipe.fraction:g}", "--out", "{out}"))
    ]
    lines += [(stage.name, stage.command) for stage in recipe.stages]
    lines += [(name, (*words, *recipe.evaluate)) for name, words in _evaluations(recipe, options)]
    steps = [_step(name, words, table, options, recipe.seed) for name, words in lines]
    for step in steps:
        _check(recipe, step)
    report = ("report", str(run), "--out", str(run / "report.html"), "--title", f"{recipe.name}: {run.resolve().name}")
    outputs, tests = {names.OUT: run / "report.html"}, any(step.tests for step in steps)
    after = tuple(step.name for step in steps)
    return [*steps, Step(names.REPORT, ("report", "--title", recipe.name), report, outputs, (), after, tests)]


def _folder(run: Path, name: str) -> Path:
    return run / "stages" / name


def _photo_words(options: PipelineOptions, run: Path) -> dict[str, Words]:
    """Return what the placeholders of photos stand for."""
    lists = _folder(run, names.PHOTOS)
    images, faces = Path(options.wider_images), options.landmark_images and Path(options.landmark_images)

    def wider(part: str, names_of: Sequence[str] = ("--wider-images", "--wider-annotations")) -> Words:
        file = FACE_LIST.format(part)
        words = (names_of[0], str(images), names_of[1], str(lists / file))
        return Words(words, {"wider-images": images}, names.PHOTOS, files=(file,))

    def landmarks(part: str) -> Words:
        if not faces:
            return Words()
        file = LANDMARK_LIST.format(part)
        words = ("--landmark-images", str(faces), "--landmark-annotations", str(lists / file))
        return Words(words, {"landmark-images": faces}, names.PHOTOS, files=(file,))

    return {
        "all_photos": _given(options, "wider") + _given(options, "landmark"),
        "wider_photos": wider("training"),
        "landmark_photos": landmarks("training"),
        "photos": wider("training") + landmarks("training"),
        "development_photos": wider("development"),
        "development_landmarks": landmarks("development"),
        "development_boxes": wider("development", ("--images", "--annotations")),
        **_test_words(options),
    }


def _given(options: PipelineOptions, kind: str) -> Words:
    """Return the photos that the options name; the split reads only their lists."""
    images, annotations = getattr(options, f"{kind}_images"), getattr(options, f"{kind}_annotations")
    if not images:
        return Words()
    words = (f"--{kind}-images", str(images), f"--{kind}-annotations", str(annotations))
    return Words(words, {f"{kind}-annotations": Path(annotations)})


def _test_words(options: PipelineOptions) -> dict[str, Words]:
    """Return what the placeholders of test photos stand for, where there are some."""
    wider = {
        "images": ("test-wider-images", options.test_wider_images),
        "ground-truth": ("test-ground-truth", options.test_ground_truth),
        "image-list": ("test-image-list", options.test_image_list),
    }
    landmarks = {
        "landmark-images": ("test-landmark-images", options.test_landmark_images),
        "landmark-annotations": ("test-landmark-annotations", options.test_landmark_annotations),
    }
    found = {}
    for name, table in zip(TESTS, (wider, landmarks)):
        given = {option: (read, Path(path), str(path)) for option, (read, path) in table.items() if path}
        words = tuple(word for option, (_, _, text) in given.items() for word in (f"--{option}", text))
        if given:
            found[name] = Words(words, {read: path for read, path, _ in given.values()})
    return found


def _evaluations(recipe: PipelineRecipe, options: PipelineOptions) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield the evaluations: on test photos where there are some, else on the development photos."""
    rest = ("--model", "{model}", "--out", "{out}")
    if options.test_wider_images:
        yield names.TEST_WIDER, ("evaluate", "wider", "{test_wider}", *rest)
    else:
        yield names.DEVELOPMENT, ("evaluate", "boxes", "{development_boxes}", *rest)
    if options.test_landmark_images:
        yield names.TEST_LANDMARKS, ("evaluate", "landmarks", "{test_landmarks}", *rest)
    elif options.landmark_images and recipe.uses("photos", "landmark_photos"):  # or the nets have no landmark head
        yield names.DEVELOPMENT_LANDMARKS, ("evaluate", "landmarks", "{development_landmarks}", *rest)


def _step(name: str, words: Sequence[str], table: dict[str, Words], options: PipelineOptions, seed: int) -> Step:
    """Fill in one line's placeholders and the options that it does not have."""
    words = [*words, *_common(words, options, seed)]
    own = {names.OUT: str(_folder(Path(options.out), name)), names.MODEL: table[names.MODEL].words[0]}
    there = [found for word in words for found in PLACEHOLDER.findall(word)]
    makes_model = table[names.MODEL].step == name
    places = [place for place in own if place in there and (place == names.OUT or makes_model)]
    command: list[str] = []
    for word in words:
        found = PLACEHOLDER.findall(word)
        if found and word == f"{{{found[0]}}}" and found[0] not in own:
            command += table[found[0]].words
        else:
            command.append(PLACEHOLDER.sub(lambda m: own.get(m[1]) or table[m[1]].words[0], word))
    reads = tuple(table[key] for key in dict.fromkeys(there) if key not in places and key != names.OUT)
    outputs = {place: Path(own[place]) for place in places}
    return Step(name, tuple(words), tuple(command), outputs, reads, tests=any(key in TESTS for key in there))


def _common(words: Sequence[str], options: PipelineOptions, seed: int) -> list[str]:
    """Return the options that every command gets, or every training, unless it has its own."""
    wanted: dict[str, Optional[object]] = {"--seed": seed if options.seed is None else options.seed}
    if words[0] == "train":
        wanted.update({"--devices": options.devices, "--threads": options.threads})
    there = {word.partition("=")[0] for word in words}
    return [
        word
        for option, value in wanted.items()
        if value is not None and option not in there
        for word in (option, str(value))
    ]


def openmp_threads(step: Step) -> Optional[str]:
    """Return the OpenMP threads of a training as the environment says, on which its last bits depend."""
    if step.words[0] != "train" or "--threads" in step.words:
        return None
    return os.environ.get("OMP_NUM_THREADS")


def _check(recipe: PipelineRecipe, step: Step) -> None:
    """Let the command look at its options now, not after hours."""
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
            cli.parse(step.command)
    except SystemExit:
        problem = said.getvalue().strip().rpartition(" (see ")[0] or "expected no --help"
        raise InputError(f"{recipe.path}: stage {step.name}: {problem}") from None
