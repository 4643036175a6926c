"""Look at what this machine has to run on, and say what to do about what is missing.

Example: gluon-mtcnn doctor

Python and the packages against the versions that were tried, whether MXNet works and what it was built with, GPUs with
driver and CUDA libraries, processors and threads, memory and disk, the default model, optional packages. The exit code
is 0 whatever is found.
"""

from __future__ import annotations

import argparse

from gluon_mtcnn import __version__
from gluon_mtcnn.tools.doctor.finding import FIX
from gluon_mtcnn.tools.doctor.run import diagnose

COMMON = ()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add nothing: there is nothing to choose."""


def run(args: argparse.Namespace) -> int:
    """Print what was found; always 0."""
    print(f"gluon-mtcnn {__version__}")
    levels = []
    for section in diagnose():
        print(f"\n{section.title}")
        for finding in section.findings:
            print(finding)
            levels.append(finding.level)
    to_do = levels.count(FIX)
    print(f"\n{to_do} thing{'' if to_do == 1 else 's'} to put right." if to_do else "\nNothing to put right.")
    return 0
