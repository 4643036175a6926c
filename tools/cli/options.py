"""Options that mean the same in every command, checks of their values, and dataclasses filled with them."""

from __future__ import annotations

import argparse
import math
import os
from collections.abc import Collection, Iterator
from dataclasses import MISSING, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, Optional, TypeVar

from gluon_mtcnn.core.errors import InputError

if TYPE_CHECKING:  # it imports numpy, without which `doctor` still runs
    from gluon_mtcnn.core.files.atomic import PathLike

DEFAULT_SEED = 0
COMMON = ("seed", "num_workers", "quiet")  # a command's own COMMON names those that it uses
Options = TypeVar("Options")


def default_workers() -> int:
    """Return the number of worker processes where none is asked for: one for each core."""
    return os.cpu_count() or 1


def add_common(parser: argparse.ArgumentParser, used: Collection[str], seed: Optional[int] = DEFAULT_SEED) -> None:
    """Add --seed, --num-workers, --quiet and -v, which every command accepts.

    Parameters
    ----------
    parser : ArgumentParser
    used : collection of str
        Those of `COMMON` that the command uses; its help does not show the others.
    seed : int, optional
        Default of --seed; None: a recipe's.
    """
    group = parser.add_argument_group("common options")

    def add(name: str, text: str, **settings: Any) -> None:
        option = f"--{name.replace('_', '-')}"
        group.add_argument(option, help=text if name in used else argparse.SUPPRESS, **settings)

    text = "default: the recipe's" if seed is None else "default %(default)s"
    add("seed", text, type=non_negative_int, default=seed, metavar="N")
    text = "worker processes or threads (default: one for each core, %(default)s)"
    add("num_workers", text, type=positive_int, default=default_workers(), metavar="N")
    add("quiet", "no progress bars", action="store_true")
    group.add_argument("-v", "--verbose", action="store_true", help="log more to stderr")


def defaults_of(options: type) -> dict[str, Any]:
    """Return the default of each field of a dataclass that has one, for ``parser.set_defaults``.

    Called before ``add_argument``, it makes the dataclass the one place where a default is written.
    """
    return dict(_defaults(options))


def _defaults(options: Any) -> Iterator[tuple[str, Any]]:
    for field in fields(options):
        if field.default is not MISSING:
            yield field.name, field.default
        elif field.default_factory is not MISSING:
            yield field.name, field.default_factory()


def options_from(options: Callable[..., Options], parsed: object, **values: Any) -> Options:
    """Return a dataclass of options filled with parsed values by the names of its fields.

    Parameters
    ----------
    options : dataclass type
    parsed : object
        Has the values as attributes. What it does not have keeps the field's default.
    **values
        In place of parsed ones.
    """
    names = [field.name for field in fields(options)]  # type: ignore[arg-type]
    found = {name: getattr(parsed, name) for name in names if hasattr(parsed, name)}
    return options(**{**found, **values})


def positive_int(text: str) -> int:
    """Parse an integer of at least 1 (an argparse type)."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"expected at least 1, got {value}")
    return value


def non_negative_int(text: str) -> int:
    """Parse an integer of at least 0 (an argparse type)."""
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"expected at least 0, got {value}")
    return value


def fraction(text: str) -> float:
    """Parse a number in [0, 1] (an argparse type)."""
    value = float(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"expected 0 to 1, got {value}")
    return value


def finite_float(text: str) -> float:
    """Parse a number that is neither infinite nor NaN (an argparse type)."""
    value = float(text)
    if not math.isfinite(value):
        raise argparse.ArgumentTypeError(f"expected a finite number, got {text}")
    return value


def positive_float(text: str) -> float:
    """Parse a finite number above 0 (an argparse type)."""
    value = finite_float(text)
    if value <= 0:
        raise argparse.ArgumentTypeError(f"expected more than 0, got {text}")
    return value


def three_thresholds(text: str) -> tuple[float, ...]:
    """Parse ``.6,.7,.7``, one threshold a stage (an argparse type)."""
    values = tuple(fraction(part) for part in text.split(","))
    if len(values) != 3:
        raise argparse.ArgumentTypeError(f"expected three numbers like .6,.7,.7, got {text!r}")
    return values


def existing_file(path: PathLike, what: str) -> Path:
    """Return the path of a file that a command needs.

    Raises
    ------
    InputError
        There is no such file; the message names `what` it was meant to be.
    """
    if not Path(path).is_file():
        raise InputError(f"{path}: {what} not found" + (", it is a folder" if Path(path).is_dir() else ""))
    return Path(path)


def existing_dir(path: PathLike, what: str) -> Path:
    """Return the path of a folder that a command needs.

    Raises
    ------
    InputError
        There is no such folder; the message names `what` it was meant to be.
    """
    if not Path(path).is_dir():
        raise InputError(f"{path}: {what} not found" + (", it is a file" if Path(path).is_file() else ""))
    return Path(path)


def output_dir(path: PathLike) -> Path:
    """Return the folder for a command's results, which need not exist yet; checked before long work, not after it.

    Raises
    ------
    InputError
        Something in the path is a file, or cannot be written to.
    """
    there = next(folder for folder in (Path(path), *Path(path).absolute().parents) if folder.exists())
    if not there.is_dir() or not os.access(there, os.W_OK):
        raise InputError(f"{path}: expected a folder to write to, but {there} is not one")
    return Path(path)


def output_file(path: PathLike) -> Path:
    """Return the path of a file to write; checked before long work, not after it.

    Raises
    ------
    InputError
        It is a folder, or its own folder cannot be written to; see `output_dir`.
    """
    if Path(path).is_dir():
        raise InputError(f"{path}: expected a file to write, but it is a folder")
    if Path(path).exists() and not Path(path).is_file():
        return Path(path)  # /dev/null, /dev/stdout, a pipe: nothing is made in its folder
    output_dir(Path(path).parent)
    return Path(path)
