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
from gluon_mtcnn.tools.data.inspect.run import describe, problems

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
    for problem in problems(about):
        raise InputError(f"{args.path}: {problem}")
    return 0


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
