"""What is in a file or a folder, by its kind: what ``gluon-mtcnn inspect`` does, as a function."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gluon_mtcnn.core.errors import InputError


def describe(path: Path) -> dict[str, Any]:
    """Return what is known of a path, by its kind.

    Raises
    ------
    InputError
        There is nothing, it is of no known kind, or it is broken.
    """
    if path.is_dir():
        return _describe_folder(path)
    if not path.is_file():
        raise InputError(f"{path}: not found")
    if path.suffix == ".rec":
        about = _describe_pack(path.parent)
        return {**about, "sets": {path.stem: about["sets"][path.stem]}}
    if path.suffix == ".params":
        from gluon_mtcnn.tools.data.inspect.model import describe_params

        return describe_params(path)
    from gluon_mtcnn.tools.data.inspect.files import describe_imglist, describe_pickle

    if path.suffix in (".pkl", ".txt"):
        return describe_pickle(path) if path.suffix == ".pkl" else describe_imglist(path)
    raise InputError(f"{path}: expected a .rec, .params, .pkl or .txt file, or the folder of a pack or a model")


def _describe_folder(path: Path) -> dict[str, Any]:
    if (path / "model.json").is_file():
        from gluon_mtcnn.tools.data.inspect.model import describe_model

        return describe_model(path)
    if not any(path.glob("*.rec")) and not (path / "manifest.json").is_file():
        raise InputError(f"{path}: expected a pack (train.rec ...) or a model (model.json), found neither")
    return _describe_pack(path)


def _describe_pack(folder: Path) -> dict[str, Any]:
    from gluon_mtcnn.core.packs.pack import describe as describe_pack

    return {"kind": "pack", **describe_pack(folder)}


def problems(about: dict[str, Any]) -> Iterator[str]:
    """Yield in what the files contradict what was written about them."""
    for name, part in about.get("sets", {}).items():
        for key, what in (("sha256_matches", "digest"), ("classes_match", "class counts")):
            if part[key] is False:
                yield f"{name}.rec has another {what} than manifest.json says"
        if part["index_matches"] is False:
            yield f"{name}.idx does not list the {part['count']} records of {name}.rec"
    if about.get("sha256_matches") is False:
        yield "its digest is another than detections.json says"
