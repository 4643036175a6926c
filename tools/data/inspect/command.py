"""Say what is in a pack, a model folder, an imdb cache, a detections.pkl, an image list or a parameter file.

Example: gluon-mtcnn inspect packs/12
         gluon-mtcnn inspect model/mine --json

Counts and digests are taken from the files themselves. Exit code 2 where a file is not what its manifest says.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gluon_mtcnn.core.errors import InputError

COMMON = ()
SHOWN = 12  # items of a list, and characters of a digest, that the text shows


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("path", metavar="PACK|MODEL|CACHE", help="a folder or a file")
    parser.add_argument("--json", action="store_true", help="print JSON, with all that the text leaves out")


def run(args: argparse.Namespace) -> int:
    """Print what is there; return 0."""
    about = describe(Path(args.path))
    print(json.dumps(about, indent=2) if args.json else "\n".join(_lines(about)))
    for problem in _problems(about):
        raise InputError(f"{args.path}: {problem}")
    return 0


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


def _problems(about: dict[str, Any]) -> Iterator[str]:
    """Yield in what the files contradict what was written about them."""
    for name, part in about.get("sets", {}).items():
        for key, what in (("sha256_matches", "digest"), ("classes_match", "class counts")):
            if part[key] is False:
                yield f"{name}.rec has another {what} than manifest.json says"
        if part["index_matches"] is False:
            yield f"{name}.idx does not list the {part['count']} records of {name}.rec"
    if about.get("sha256_matches") is False:
        yield "its digest is another than detections.json says"


def _lines(value: dict[str, Any], indent: str = "") -> Iterator[str]:
    """Yield lines ``key: value``, nested ones indented."""
    width = max(map(len, value), default=0)
    for key, item in value.items():
        if isinstance(item, dict) and item and (any(isinstance(v, (dict, list)) for v in item.values()) or not indent):
            yield f"{indent}{key}"
            yield from _lines(item, indent + "  ")
        else:
            yield f"{indent}{key:<{width}}  {_text(item)}"


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return "  ".join(f"{key} {_text(item)}" for key, item in value.items()) or "-"
    if isinstance(value, list):
        shown = ", ".join(map(_text, value[:SHOWN]))
        return shown + (f", ... ({len(value):,} in all)" if len(value) > SHOWN else "") or "-"
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "-"}[value]
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:g}" if isinstance(value, float) else str(value)
