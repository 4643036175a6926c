"""Which versions of other packages this project was tried with, and which of them are installed."""

from __future__ import annotations

import importlib.metadata
import re
import sys
from pathlib import Path
from typing import Optional

PROJECT = "gluon-mtcnn"
NAME = re.compile(r"[A-Za-z0-9._-]+")


def requirements() -> dict[str, list[str]]:
    """Return the requirements, ``name>=1,<2``, by extra; those of the project itself are under "".

    Read from pyproject.toml where the project runs from its checkout, otherwise, and where TOML cannot be read, from
    what pip recorded; empty where there is neither.
    """
    path = Path(__file__).resolve().parents[2] / "pyproject.toml"
    try:
        if path.is_file():
            return parse_pyproject(path.read_text(encoding="utf-8"))
    except ModuleNotFoundError:
        pass
    try:
        recorded = importlib.metadata.requires(PROJECT) or []
    except importlib.metadata.PackageNotFoundError:
        return {}
    found: dict[str, list[str]] = {}
    for line in recorded:
        requirement, _, marker = line.partition(";")
        extra = re.search(r"extra == ['\"]([^'\"]+)", marker)
        found.setdefault(extra[1] if extra else "", []).append(requirement.strip())
    return found


def parse_pyproject(text: str) -> dict[str, list[str]]:
    """Return the requirements in a pyproject.toml, without the markers behind a semicolon.

    Raises
    ------
    ModuleNotFoundError
        Python before 3.11 without tomli.
    """
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    project = tomllib.loads(text)["project"]
    listed = {"": project.get("dependencies", []), **project.get("optional-dependencies", {})}
    return {extra: [line.partition(";")[0].strip() for line in lines] for extra, lines in listed.items()}


def find_requirement(name: str) -> Optional[tuple[str, str]]:
    """Return the range of a package's versions and the extra that brings it ("" for none); None if it is not listed."""
    for extra, lines in requirements().items():
        for line in lines:
            match = NAME.match(line)
            if match and match[0].lower() == name.lower():
                return line[match.end() :].strip(), extra
    return None


def installed_version(name: str) -> Optional[str]:
    """Return the version of an installed package; None where it is not."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def is_within(version: str, wanted: str) -> Optional[bool]:
    """Return whether a version is within a range ``>=1,<2``; None where nobody can tell."""
    try:
        from packaging.specifiers import SpecifierSet

        return SpecifierSet(wanted).contains(version, prereleases=True)
    except (ImportError, ValueError):
        return None
