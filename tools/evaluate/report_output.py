"""The option ``--json`` of the evaluations, and where their figures go."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any, Optional

from gluon_mtcnn.core.files.atomic import write_json

STDOUT = "-"


def add_json_option(parser: argparse.ArgumentParser) -> None:
    """Add ``--json [FILE]``."""
    parser.add_argument(
        "--json",
        nargs="?",
        const=STDOUT,
        metavar="FILE",
        help="write the figures and the processor time there as JSON; without FILE print them in place of the text",
    )


def report(text: str, summary: dict[str, Any], path: Optional[str]) -> int:
    """Print the text or the JSON, write the JSON where a file is named; return 0."""
    print(json.dumps(summary, indent=2) if path == STDOUT else text)
    if path not in (None, STDOUT):
        write_json(Path(str(path)), summary)
    return 0
