"""The command ``gluon-mtcnn``: finds the command's module, parses, runs, and turns errors into one line and a code.

A command module has a docstring, ``add_arguments(parser)`` and ``run(args) -> int``, and imports nothing slow (MXNet,
matplotlib) before ``run``. Its ``COMMON`` names the common options that it uses; it accepts all of them.
Exit codes: 0 done, 1 our own failure, 2 bad usage or input, 130 after Ctrl-C.
"""

from __future__ import annotations

import argparse
import importlib
import logging
import os
import sys
from collections.abc import Sequence
from typing import Any, Optional

from gluon_mtcnn import __version__
from gluon_mtcnn.core.errors import CommandFailedError, InputError
from gluon_mtcnn.tools.cli.options import DEFAULT_SEED, add_common

# command -> (room in gluon_mtcnn.tools whose module `command` it is, one line of help)
COMMANDS = {
    "quickstart": ("quickstart", "the whole chain on a small built-in data set, offline, in minutes"),
    "pipeline": ("pipeline", "annotated photos -> a trained, evaluated cascade, by a recipe; goes on after a kill"),
    "split": ("data.split", "annotated photos -> lists of training and development photos"),
    "prepare": ("data.prepare", "annotated photos -> training packs for the P-, R- or O-Net"),
    "pack": ("data.pack", "a Seanlinx imglist or imdb cache -> a training pack"),
    "train": ("train", "train one net from packs"),
    "assemble": ("model.assemble", "nets of several model folders -> one model folder"),
    "launch": ("launch", "train with several processes, on this machine or many"),
    "detect": ("detect", "find faces in photos, videos and what a webcam sees"),
    "evaluate fddb": ("evaluate.fddb", "DiscROC, ContROC and AP by the FDDB protocol"),
    "evaluate wider": ("evaluate.wider", "AP on WIDER FACE's easy, medium and hard settings"),
    "evaluate boxes": ("evaluate.boxes", "AP, recall and false positives on one's own annotated photos"),
    "evaluate stages": ("evaluate.stages", "recall and false positives after each stage; picks thresholds"),
    "evaluate landmarks": ("evaluate.landmarks", "error of the five points on annotated photos"),
    "plot roc": ("evaluate.roc", "ROC curves of several methods in one figure"),
    "report": ("report", "one self-contained page about a run: data, training, figures, worst errors"),
    "inspect": ("data.inspect", "what is in a pack, a model folder or an imdb cache"),
    "benchmark detect": ("benchmark.detect", "how fast faces are found, against the plain path and other detectors"),
    "benchmark pareto": (
        "benchmark.pareto",
        "accuracy over processor time of presets, engines, models and other detectors",
    ),
    "benchmark prepare": ("benchmark.prepare", "how fast samples are prepared, and in how much memory"),
    "benchmark train": ("benchmark.train", "samples a second of a training step, and what changes them"),
    "benchmark load": ("benchmark.load", "how fast packs are read, and in how much memory"),
    "import": ("model.import_weights", "foreign checkpoints -> a model folder"),
    "export": ("model.export", "a model folder -> Seanlinx checkpoints, MXNet symbols or ONNX"),
    "doctor": ("doctor", "what this machine has to run on, and what to do about what is missing"),
}


class _Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line."""

    def error(self, message: str) -> None:  # type: ignore[override]
        """Exit with code 2 and one line."""
        self.exit(2, f"{self.prog}: {message} (see {self.prog} --help)\n")


def _top_help() -> str:
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {text}" for name, (_, text) in COMMANDS.items()]
    return "\n".join(
        [
            "usage: gluon-mtcnn COMMAND ...",
            "",
            "MTCNN face detection on MXNet Gluon.",
            "",
            "commands:",
            *lines,
            "",
            "`gluon-mtcnn COMMAND --help` shows the options and a working example.",
        ]
    )


def _find_command(argv: Sequence[str]) -> tuple[str, list[str]]:
    """Return the command's name and the arguments that follow it; names may be two words."""
    for words in (2, 1):
        name = " ".join(argv[:words])
        if len(argv) >= words and name in COMMANDS:
            return name, list(argv[words:])
    asked = argv[0]
    seconds = [name.split()[1] for name in COMMANDS if name.startswith(asked + " ")]
    if seconds:
        raise InputError(f"gluon-mtcnn {asked}: expected one of {', '.join(seconds)} (see gluon-mtcnn --help)")
    raise InputError(f"gluon-mtcnn: unknown command {asked!r} (see gluon-mtcnn --help)")


def parse(argv: Sequence[str]) -> tuple[argparse.Namespace, object]:
    """Return the parsed arguments and the module of the command that they name."""
    name, rest = _find_command(argv)
    module = importlib.import_module(f"gluon_mtcnn.tools.{COMMANDS[name][0]}.command")
    parser = _Parser(
        prog=f"gluon-mtcnn {name}",
        description=module.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    module.add_arguments(parser)
    add_common(parser, module.COMMON, getattr(module, "SEED", DEFAULT_SEED))
    return parser.parse_args(rest), module


def main(argv: Optional[Sequence[str]] = None, **context: Any) -> int:
    """Run one command; return its exit code.

    Parameters
    ----------
    argv : sequence of str, optional
        Words of the command line; default: those of this process.
    **context
        Passed on to the command's ``run``: objects of the calling program, which no command line can spell.
    """
    argv = list(sys.argv[1:] if argv is None else argv)
    if not argv or argv[0] in ("-h", "--help", "help"):
        print(_top_help())
        return 0 if argv else 2
    if argv[0] == "--version":
        print(f"gluon-mtcnn {__version__}")
        return 0
    try:
        args, module = parse(argv)
        logging.basicConfig(
            level=logging.DEBUG if args.verbose else logging.INFO, format="%(message)s", stream=sys.stderr
        )
        for noisy in ("matplotlib", "PIL", "h5py"):
            logging.getLogger(noisy).setLevel(logging.WARNING)
        return module.run(args, **context)  # type: ignore[attr-defined]
    except InputError as error:
        print(" ".join(str(error).split()), file=sys.stderr)
        return 2
    except CommandFailedError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of our output went away, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


if __name__ == "__main__":
    sys.exit(main())
