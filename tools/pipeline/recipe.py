"""Recipes of ``pipeline``: JSON files that name the commands from annotated photos to a cascade; docs/pipeline.md."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gluon_mtcnn
from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.core.files.atomic import PathLike, read_json, sha256
from gluon_mtcnn.tools.cli import main as cli

FORMAT_VERSION = 1
DEFAULT = "default"
PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
NAME = re.compile(r"[a-z0-9][a-z0-9-]*")
# Each stands for several words, options and their values, and so must be a word of its own.
LISTS = ("photos", "wider_photos", "landmark_photos", "development_photos", "development_landmarks")
OUT, MODEL = "out", "model"  # the stage's own folder; the model folder of the run
# Stages that the pipeline adds.
PHOTOS, REPORT = "photos", "report"
DEVELOPMENT, DEVELOPMENT_LANDMARKS = "development", "development-landmarks"
TEST_WIDER, TEST_LANDMARKS = "test-wider", "test-landmarks"
OWN = (PHOTOS, REPORT, DEVELOPMENT, DEVELOPMENT_LANDMARKS, TEST_WIDER, TEST_LANDMARKS)
TAKEN = {*OWN, *LISTS, OUT, MODEL}  # no name for a stage
REFUSED = ("pipeline", "quickstart")  # no commands of a stage
TYPES: dict[str, Any] = {
    "format": int,
    "name": str,
    "about": str,
    "seed": int,
    "development_fraction": (int, float),
    "stages": list,
}
OPTIONAL = {"evaluate": list}


@dataclass(frozen=True)
class RecipeStage:
    """One command of a recipe, its words as written."""

    name: str
    command: tuple[str, ...]

    def placeholders(self) -> list[str]:
        """Return the names in braces, in order."""
        return [name for word in self.command for name in PLACEHOLDER.findall(word)]

    def makes_model(self) -> bool:
        """Return whether this stage leaves the run's model."""
        pairs = zip(self.command, self.command[1:])
        return any(option in ("--out", "--write-to") and word == "{model}" for option, word in pairs)


@dataclass(frozen=True)
class PipelineRecipe:
    """A recipe of a pipeline, checked.

    Attributes
    ----------
    path : Path
    name, about : str
    seed : int
        Of all commands that do not have one of their own.
    fraction : float
        Share of the photos in the development split.
    stages : tuple of RecipeStage
    evaluate : tuple of str
        Detector options of the evaluations that the pipeline adds.
    content : dict
        The file.
    sha256 : str
        Its digest.
    """

    path: Path
    name: str
    about: str
    seed: int
    fraction: float
    stages: tuple[RecipeStage, ...]
    evaluate: tuple[str, ...]
    content: dict[str, Any]
    sha256: str

    def uses(self, *placeholders: str) -> bool:
        """Return whether a stage has one of these placeholders."""
        return any(name in placeholders for stage in self.stages for name in stage.placeholders())


def shipped_folder() -> Path:
    """Return the folder of the recipes that ship: below the installed package, or in the checkout."""
    package = Path(gluon_mtcnn.__file__).parent
    places = (package / "recipes", package.parent / "example" / "recipes")
    return next((place for place in places if place.is_dir()), places[0])


def find_recipe(name: str) -> Path:
    """Return the path of a recipe: a file, or the name of one that ships.

    Raises
    ------
    InputError
        There is neither.
    """
    if Path(name).is_file():
        return Path(name)
    path = shipped_folder() / f"{name}.json"
    if NAME.fullmatch(name) and path.is_file():
        return path
    shipped = ", ".join(sorted(found.stem for found in shipped_folder().glob("*.json"))) or "none"
    raise InputError(f"{name}: expected a recipe's file or one of the recipes that ship ({shipped})")


def read_recipe(path: PathLike) -> PipelineRecipe:
    """Read and check a recipe.

    Raises
    ------
    InputError
        It is not JSON, of another format, or a stage cannot be; the message names the file and the stage.
    """
    path, value = Path(path), read_json(path)
    _check_types(path, value)
    stages: list[RecipeStage] = []
    for number, item in enumerate(value["stages"], 1):
        stages.append(_read_stage(path, number, item, {stage.name: stage for stage in stages}))
    if not stages:
        raise InputError(f"{path}: expected stages, got none")
    _check_references(path, stages)
    return PipelineRecipe(
        path,
        value["name"],
        value["about"],
        value["seed"],
        float(value["development_fraction"]),
        tuple(stages),
        _words(value.get("evaluate", []), f"{path}: evaluate"),
        value,
        sha256(path),
    )


def _check_types(path: Path, value: Any) -> None:
    if not isinstance(value, dict):
        raise InputError(f"{path}: expected a recipe, a JSON object, got {type(value).__name__}")
    if value.get("format") != FORMAT_VERSION:
        raise InputError(f"{path}: expected a recipe of format {FORMAT_VERSION}, got {value.get('format')!r}")
    for name in value.keys() | TYPES.keys():
        wanted = {**TYPES, **OPTIONAL}.get(name)
        if wanted is None:
            raise InputError(f"{path}: unknown entry {name!r}: a recipe has {', '.join([*TYPES, *OPTIONAL])}")
        if not isinstance(value.get(name), wanted) or isinstance(value[name], bool):
            told = "a list" if wanted is list else "text" if wanted is str else "a number"
            raise InputError(f"{path}: {name}: expected {told}, got {value.get(name)!r}")
    if value["seed"] < 0:
        raise InputError(f"{path}: seed: expected at least 0, got {value['seed']}")
    if not 0 < value["development_fraction"] < 1:
        raise InputError(f"{path}: development_fraction: expected above 0 and below 1")


def _words(value: Any, where: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(word, str) for word in value):
        raise InputError(f"{where}: expected a list of words, all of them text, got {value!r}")
    return tuple(value)


def _read_stage(path: Path, number: int, item: Any, earlier: dict[str, RecipeStage]) -> RecipeStage:
    if not isinstance(item, dict) or set(item) != {"name", "command"}:
        raise InputError(f"{path}: stage {number}: expected an object of name and command, got {item!r}")
    name = item["name"]
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise InputError(f"{path}: stage {number}: expected a name of a-z, 0-9 and -, got {name!r}")
    if name in TAKEN:
        raise InputError(f"{path}: stage {number}: the name {name} is the pipeline's own")
    if name in earlier:
        raise InputError(f"{path}: stage {number}: another stage is named {name}")
    stage = RecipeStage(name, _words(item["command"], f"{path}: stage {name}: command"))
    command = next((words for words in (2, 1) if " ".join(stage.command[:words]) in cli.COMMANDS), None)
    if command is None or stage.command[0] in REFUSED:
        raise InputError(f"{path}: stage {name}: {' '.join(stage.command[:2])!r} is no command for a stage")
    return stage


def _check_references(path: Path, stages: Sequence[RecipeStage]) -> None:
    """Check every placeholder: known, of an earlier stage, alone where it stands for several words."""
    makers = [stage.name for stage in stages if stage.makes_model()]
    if len(makers) != 1:
        told = ", ".join(makers) or "none"
        raise InputError(
            f"{path}: expected one stage that leaves the model (--out or --write-to {{model}}), got {told}"
        )
    names = [stage.name for stage in stages]
    with_folder = {stage.name for stage in stages if OUT in stage.placeholders()}
    for i, stage in enumerate(stages):
        where = f"{path}: stage {stage.name}"
        if stage.name not in with_folder and not stage.makes_model():
            raise InputError(f"{where}: expected {{out}} in its command: the folder that the stage writes to")
        for word in stage.command:
            for name in PLACEHOLDER.findall(word):
                source = makers[0] if name == MODEL else name
                if name in LISTS and word != f"{{{name}}}":
                    raise InputError(f"{where}: {{{name}}} stands for several words: expected it alone, got {word!r}")
                if name in LISTS or name == OUT or (name == MODEL and source == stage.name):
                    continue
                if source not in names:
                    raise InputError(
                        f"{where}: unknown placeholder {{{name}}}: {', '.join((OUT, MODEL, *LISTS))}"
                        " or the name of an earlier stage"
                    )
                if names.index(source) >= i:
                    raise InputError(f"{where}: {{{name}}} is not there yet: stage {source} comes later")
                if name != MODEL and name not in with_folder:
                    raise InputError(f"{where}: stage {name} writes to {{model}} only: expected {{model}}")
