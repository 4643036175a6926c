"""One self-contained page about a run: its figures, curves, worst errors, training, data and configuration.

Example: gluon-mtcnn report quickstart --out report.html

RUN is any folder with packs, model folders or results of `evaluate`, at any depth; what it does not have is left out
with a line that says so. The worst errors are shown as pictures where detections.json, annotations and photos are in
the run, or --annotations and --images say where they are. The page opens offline, asks for nothing, and stays below
6 MB.
"""

from __future__ import annotations

import argparse

from gluon_mtcnn.tools.cli.options import options_from
from gluon_mtcnn.tools.report.run import ReportOptions, write_report

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
    print(write_report(options_from(ReportOptions, args)))
    return 0
