"""Presets: named sets of a detector's options, kept in ``model.json`` with the weights that they were chosen for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Optional

from gluon_mtcnn.core.errors import InputError

DEFAULT = "default"  # the preset of a detector that is given none


@dataclass(frozen=True)
class Preset:
    """Options of a detector; None says nothing about an option.

    Attributes
    ----------
    thresholds : three floats, optional
        Face scores that P, R and O require.
    min_face : float, optional
        Smallest face to find, pixels.
    scale_factor : float, optional
        Between levels of the pyramid.
    test_time_augmentation : bool, optional
        Run O-Net on several crops of each face.
    """

    thresholds: Optional[tuple[float, ...]] = None
    min_face: Optional[float] = None
    scale_factor: Optional[float] = None
    test_time_augmentation: Optional[bool] = None

    def over(self, other: Preset) -> Preset:
        """Return these options, and those of another preset for which this one says nothing."""
        pairs = {field.name: (getattr(self, field.name), getattr(other, field.name)) for field in fields(self)}
        return Preset(**{name: second if first is None else first for name, (first, second) in pairs.items()})

    def as_json(self) -> dict[str, Any]:
        """Return the options that are given, as JSON values."""
        given = {name: value for name, value in asdict(self).items() if value is not None}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in given.items()}


@dataclass(frozen=True)
class ChosenOptions:
    """The options of a detector, as of `Preset`; only test-time augmentation may be left open: None."""

    thresholds: tuple[float, ...]
    min_face: float = 20
    scale_factor: float = 0.709
    test_time_augmentation: Optional[bool] = None

    @classmethod
    def of(cls, preset: Preset, thresholds: tuple[float, ...]) -> ChosenOptions:
        """Return the options of a preset; where it says nothing, these thresholds and the defaults."""
        given = {field.name: getattr(preset, field.name) for field in fields(cls)}
        return cls(**{"thresholds": thresholds, **{name: value for name, value in given.items() if value is not None}})


def choose(presets: Mapping[str, Preset], name: Optional[str], where: str) -> Preset:
    """Return a preset by its name.

    Parameters
    ----------
    presets : of a model
    name : str, optional
        Default: "default", which is an empty preset where the model has none of this name.
    where : str
        The model, for the message.

    Raises
    ------
    InputError
        No such preset; names those that there are.
    """
    name = DEFAULT if name is None else name
    if name not in presets and name != DEFAULT:
        raise InputError(f"{where}: expected a preset of the model ({', '.join(presets) or DEFAULT}), got {name!r}")
    return presets.get(name, Preset())


def parse_presets(value: Any, where: str) -> dict[str, Preset]:
    """Return the presets of a ``model.json``.

    Parameters
    ----------
    value : what JSON gives: an object of objects
    where : str
        The file, for messages.

    Raises
    ------
    InputError
        Not of that form, an option that is not known, or a value out of range.
    """
    if not isinstance(value, dict):
        raise InputError(f"{where}: presets: expected an object of presets by name, got {type(value).__name__}")
    return {name: _parse(options, f"{where}: preset {name!r}") for name, options in value.items()}


def _parse(options: Any, where: str) -> Preset:
    known = [field.name for field in fields(Preset)]
    if not isinstance(options, dict) or not set(options) <= set(known):
        got = sorted(set(options) - set(known)) if isinstance(options, dict) else type(options).__name__
        raise InputError(f"{where}: expected the options {', '.join(known)}, got {got}")
    for name, value in options.items():
        expected, fits = RULES[name]
        if not fits(value):
            raise InputError(f"{where}: {name}: expected {expected}, got {value!r}")
    thresholds = options.get("thresholds")
    return Preset(**{**options, "thresholds": None if thresholds is None else tuple(map(float, thresholds))})


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


RULES = {
    "thresholds": (
        "three numbers from 0 to 1",
        lambda value: isinstance(value, list) and len(value) == 3 and all(_number(t) and 0 <= t <= 1 for t in value),
    ),
    "min_face": ("a number above 0", lambda value: _number(value) and 0 < value < float("inf")),
    "scale_factor": ("a number between 0 and 1", lambda value: _number(value) and 0 < value < 1),
    "test_time_augmentation": ("true or false", lambda value: isinstance(value, bool)),
}
