"""One self-contained page about a run: its figures, curves, worst errors, training, data and configuration.

Example: gluon-mtcnn report quickstart --out report.html

RUN is any folder with packs, model folders or results of `evaluate`, at any depth; what it does not have is left out
with a line that says so. The worst errors are shown as pictures where detections.json, annotations and photos are in
the run, or --annotations and --images say where they are. The page opens offline, asks for nothing, and stays below
6 MB.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.core.files.atomic import replacing_text
from gluon_mtcnn.tools.cli.options import existing_dir, existing_file, output_dir

COMMON = ()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``report``."""
    parser.add_argument("run", metavar="RUN", help="folder of the run")
    parser.add_argument("--out", required=True, metavar="FILE", help="the page, say report.html")
    parser.add_argument("--title", metavar="TEXT", help="default: the run's name")
    parser.add_argument("--annotations", metavar="FILE", help="faces of the evaluated photos: WIDER text or CSV")
    parser.add_argument("--images", metavar="DIR", help="folder of the evaluated photos")


def run(args: argparse.Namespace) -> int:
    """Write the page and print its path."""
    from gluon_mtcnn.tools.report.build import build
    from gluon_mtcnn.tools.report.run_parts import find_parts

    root, out = existing_dir(args.run, "run"), Path(args.out)
    output_dir(str(out.parent))
    if out.is_dir():
        raise InputError(f"{out}: expected the name of a page to write, got a folder")
    annotations = existing_file(args.annotations, "annotations") if args.annotations else None
    images = existing_dir(args.images, "photos") if args.images else None
    parts = find_parts(root)
    if parts.is_empty():
        raise InputError(
            f"{root}: nothing to report: expected packs, a model folder or results of evaluate in it or below"
        )
    text = build(parts, args.title or f"Report: {root.resolve().name}", annotations, images)
    with replacing_text(out) as file:
        file.write(text)
    print(out)
    return 0
