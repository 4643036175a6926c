"""How the pipeline notices changes: cheap digests of inputs and outputs, and a description of each difference."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.core.files.atomic import read_json, sha256
from gluon_mtcnn.core.ops.image import IMAGE_SUFFIXES
from gluon_mtcnn.core.packs.manifest import listed_sets

COUNTED = (*IMAGE_SUFFIXES, ".mat")  # files of an input folder: photos, WIDER's ground truth
TEXTS = (".json", ".txt", ".csv", ".html")  # results that are small enough to read


def fingerprint(path: Path) -> dict[str, Any]:
    """Return what identifies an input: the digest of a file, or the names and sizes of the files in a folder.

    Raises
    ------
    InputError
        There is no such file or folder, or it cannot be read.
    """
    if path.is_file():
        return {"sha256": sha256(path)}
    if not path.is_dir():
        raise InputError(f"{path}: not found")
    try:
        listed = sorted(_sizes(path, ""))
    except OSError as error:
        raise InputError(f"{error.filename or path}: cannot be read: {error.strerror}") from None
    digest = hashlib.sha256("".join(f"{name}\0{size}\n" for name, size in listed).encode(errors="surrogateescape"))
    return {"files": len(listed), "bytes": sum(size for _, size in listed), "sha256": digest.hexdigest()}


def _sizes(folder: Path, below: str) -> Iterator[tuple[str, int]]:
    with os.scandir(folder / below) as entries:
        for entry in entries:
            name = f"{below}{entry.name}"
            if entry.is_dir():
                yield from _sizes(folder, f"{name}/")
            elif entry.name.lower().endswith(COUNTED) and entry.is_file():
                yield name, entry.stat().st_size


def digests(path: Path) -> dict[str, str]:
    """Return what identifies the output of a step, without reading packs or weights again.

    Of packs and models it is what their manifest.json and model.json say, as far as the files are there; of other
    folders the digests of the texts that lie in them. Times, histories and logs take no part where there is a net.
    """
    if path.is_file():
        return {path.name: sha256(path)}
    packs = listed_sets(path)
    if packs:
        sizes = {name: path / f"{name}.rec" for name in packs}
        return {
            f"{name}.rec": packs[name].get("sha256", "")
            for name, file in sizes.items()
            if file.is_file() and file.stat().st_size == packs[name].get("bytes")
        }
    if (path / "model.json").is_file():
        return _model_digests(path)
    texts = sorted(file for file in path.glob("*") if file.suffix in TEXTS and file.is_file())
    return {file.name: sha256(file) for file in texts if not file.name.startswith(".")}


def _model_digests(folder: Path) -> dict[str, str]:
    value = read_json(folder / "model.json")
    nets = value.get("nets", {})
    found = {f"{net}.params": nets[net].get("sha256", "") for net in nets if (folder / f"{net}.params").is_file()}
    thresholds = ",".join(f"{threshold:g}" for threshold in value.get("thresholds", ()))
    return {**found, "thresholds": thresholds, "calibration": str(value.get("calibration"))}


def tree_bytes(path: Path) -> int:
    """Return the size of a file, or of all files in a folder."""
    if path.is_file():
        return path.stat().st_size
    return sum(Path(folder, name).lstat().st_size for folder, _, files in os.walk(path) for name in files)


def key_of(depends: Mapping[str, Any]) -> str:
    """Return the digest of all that a step depends on."""
    return hashlib.sha256(json.dumps(depends, sort_keys=True).encode()).hexdigest()


def changes(before: Mapping[str, Any], now: Mapping[str, Any], pending: Sequence[str] = ()) -> list[str]:
    """Return a description of what changed among the dependencies of a step, steps that have not run yet aside."""
    said = []
    if before["version"] != now["version"]:
        said.append(f"version {before['version']} -> {now['version']}")
    if before["command"] != now["command"]:
        said.append(f"its command changed: {_word_changes(before['command'], now['command'])}")
    if before["threads"] != now["threads"]:
        said.append(f"OMP_NUM_THREADS {before['threads'] or 'unset'} -> {now['threads'] or 'unset'}")
    for name in _differing(before["inputs"], now["inputs"]):
        old, new = (side["inputs"].get(name, {}).get("files") for side in (before, now))
        counts = f" ({old} -> {new} files)" if old is not None and new is not None and old != new else ""
        said.append(f"another --{name}{counts}")
    steps = [name for name in _differing(before["steps"], now["steps"]) if name not in pending]
    return said + [_output_change(name, before["steps"].get(name), now["steps"].get(name)) for name in steps]


def _differing(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    return [name for name in dict.fromkeys([*now, *before]) if before.get(name) != now.get(name)]


def _output_change(name: str, before: Any, now: Any) -> str:
    """Return which outputs of another step have changed."""
    if before is None or now is None:
        return f"it depends on {name}" if before is None else f"it depends on {name} no more"
    files = _differing(before, now)
    for suffix, what in ((".rec", "packs"), (".params", "weights"), ("_bbx_gt.txt", "lists"), (".txt", "lists")):
        if any(file.endswith(suffix) for file in files):
            return f"{name} made other {what}"
    return f"{name} made other {files[0]}"


def _word_changes(before: Sequence[str], now: Sequence[str]) -> str:
    """Return the options whose values differ: ``--epochs 6 -> 8``."""
    old, new = _options(before), _options(now)
    said = []
    for option in _differing(old, new):
        was, becomes = (" ".join(side[option]) if option in side else None for side in (old, new))
        if was is None:
            said.append(f"{option} {becomes} added".replace("  ", " "))
        elif becomes is None:
            said.append(f"{option} {was} removed".replace("  ", " "))
        else:
            said.append(f"{option} {was} -> {becomes}".strip())
    return ", ".join(said) or "the order of its words"


def _options(words: Sequence[str]) -> dict[str, list[str]]:
    """Return words by the option that they follow; those before the first option under ""."""
    found: dict[str, list[str]] = {"": []}
    option = ""
    for word in words:
        if word.startswith("--"):
            option = word
            found.setdefault(option, [])
        else:
            found[option].append(word)
    return found
