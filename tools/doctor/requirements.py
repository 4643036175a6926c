"""Which versions of other packages this project was tried with, and which of them are installed."""

from __future__ import annotations

import importlib.metadata
import re
from pathlib import Path
from typing import Optional

PROJECT = "gluon-mtcnn"
NAME = re.compile(r"[A-Za-z0-9._-]+")


def requirements() -> dict[str, list[str]]:
    """Return the requirements, ``name>=1,<2``, by extra; those of the project itself are under "".

    Read from pyproject.toml where the project runs from its checkout, otherwise from what pip recorded; empty where
    there is neither.
    """
    path = Path(__file__).resolve().parents[2] / "pyproject.toml"
    if path.is_file():
        return parse_pyproject(path.read_text(encoding="utf-8"))
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
    """Return the requirements in our own pyproject.toml; Python before 3.11 cannot read TOML."""
    found: dict[str, list[str]] = {}
    table, key = "", ""
    for line in text.splitlines():
        header = re.match(r"\[([^\]]+)\]", line)
        assigned = re.match(r"([\w-]+) = \[", line)
        if header:
            table, key = header[1], ""
        elif assigned:
            key = assigned[1]
        is_ours = (table, key) == ("project", "dependencies") or table == "project.optional-dependencies"
        if is_ours and key:
            strings = re.findall(r'"([^"]+)"', line.partition("#")[0])
            extra = "" if table == "project" else key
            found.setdefault(extra, []).extend(s.partition(";")[0].strip() for s in strings)
        if line.rstrip().partition("#")[0].rstrip().endswith("]") and not header:
            key = ""
    return found


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
