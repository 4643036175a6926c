"""Run the whole chain on a small built-in data set: offline, in minutes, on two cores.

Example: gluon-mtcnn quickstart --out quickstart

Paints photos with faces in the layouts of WIDER FACE, landmark lists and FDDB, then runs the very commands that real
data use: prepare and train for P-, R- and O-Net, evaluate, plot, detect. Each command is printed as it runs, so the
output is a recipe. Ends with the share of faces found in unseen photos, and with exit code 1 if that is below what it
promises. The same seed gives the same figures.
"""

from __future__ import annotations

import argparse
import json
import logging
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.core.files.atomic import write_json
from gluon_mtcnn.core.types import INPUT_SIZE, NETS
from gluon_mtcnn.prepare_data.synthetic.dataset import SyntheticPaths, SyntheticSpec, write_dataset
from gluon_mtcnn.tools.cli.runner import CommandRunner

COMMON = ("seed", "num_workers", "quiet")
log = logging.getLogger(__name__)
PROMISED_RECALL, PROMISED_FALSE_POSITIVES = 0.9, 1.0  # of the test faces; a photo
MIN_FACE = "20"


@dataclass(frozen=True)
class NetSettings:
    """Options of one net's commands: how many samples (positive, negative, part, landmark) to use, and the others."""

    counts: str
    train: tuple[str, ...]
    mining: tuple[str, ...] = ()


# Small batches and mirroring alone: more steps, and an easier task, for nets that see each sample a few times only.
SHORT = ("--batch-size", "128", "--augment", "mirror")
ADAMW = ("--optimizer", "adamw")  # learns R- and O-Net in fewer epochs
SETTINGS = {
    "pnet": NetSettings("6000:18000:6000:3000", ("--epochs", "5", *SHORT)),
    "rnet": NetSettings("5000:15000:5000:2000", ("--epochs", "4", *ADAMW, *SHORT)),
    "onet": NetSettings("3000:4000:2000:2500", ("--epochs", "4", *ADAMW, *SHORT), ("--thresholds", ".3,.02,.7")),
}
VALIDATION_COUNTS = "400:800:200:400"
# Two devices of one thread each, whatever the machine has: the figures depend on the split.
DEVICES = ("--devices", "cpu:0,cpu:1", "--threads", "1")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("--out", default="quickstart", metavar="DIR", help="where everything goes (%(default)s)")


def run(args: argparse.Namespace) -> int:
    """Run the chain; return 0 when the cascade finds what it promises, else 1."""
    started = time.perf_counter()
    out = Path(args.out)
    if out.exists() and any(out.iterdir()) and not (out / "quickstart.json").is_file():
        raise InputError(f"{out}: the folder is not empty and not of an earlier quickstart: give another --out")
    out.mkdir(parents=True, exist_ok=True)
    write_json(out / "quickstart.json", {"seed": args.seed, "complete": False})
    log.info("painting photos into %s", out / "data")
    paths = write_dataset(out / "data", SyntheticSpec(train_photos=240, landmark_photos=140), args.seed, args.quiet)
    runner = CommandRunner("quickstart", args.num_workers, args.quiet, args.seed)
    for kind in NETS:
        _train_net(runner, kind, paths, out)
    summary = _evaluate(runner, paths, out)
    summary.update(seed=args.seed, seconds=round(time.perf_counter() - started, 1), complete=True)
    write_json(out / "quickstart.json", summary)
    _print_summary(summary, out)
    return 0 if summary["promise_kept"] else 1


def _train_net(run: CommandRunner, kind: str, paths: SyntheticPaths, out: Path) -> None:
    """Prepare a net's samples from training and validation photos, and train it."""
    packs, model = out / "packs" / str(INPUT_SIZE[kind]), out / "model"
    settings = SETTINGS[kind]
    options = [*settings.mining, *(("--model", model) if kind != "pnet" else ())]
    photos = ["--wider-images", paths.wider_images, "--wider-annotations", paths.wider_train_annotations]
    points = ["--landmark-images", paths.landmark_images, "--landmark-annotations", paths.landmark_annotations]
    run("prepare", kind, *photos, *points, *options, "--counts", settings.counts, "--out", packs)
    photos = ["--wider-images", paths.wider_val_images, "--wider-annotations", paths.wider_val_annotations]
    validation = out / "packs" / f"{INPUT_SIZE[kind]}-val"
    run("prepare", kind, *photos, *options, "--counts", VALIDATION_COUNTS, "--out", validation)
    run("train", kind, "--data", packs, "--val-data", validation, "--out", model, *DEVICES, *settings.train)


def _evaluate(run: CommandRunner, paths: SyntheticPaths, out: Path) -> dict[str, Any]:
    """Choose thresholds on the validation photos, evaluate on the unseen ones; return the figures."""
    model = ["--model", out / "model", "--min-face", MIN_FACE]
    targets = ["--target-recall", ".98,.98", "--target-precision", ".9", "--write"]
    photos = ["--wider-images", paths.wider_val_images, "--wider-annotations", paths.wider_val_annotations]
    run("evaluate", "stages", *photos, *model, *targets, "--out", out / "stages")
    images = ["--images", paths.fddb_images]
    run("evaluate", "fddb", "--folds", paths.fddb_folds, *images, *model, "--out", out / "fddb")
    run("plot", "roc", out / "fddb", "--labels", "quickstart", "--out", out / "roc.png")
    run("evaluate", "boxes", "--annotations", paths.test_annotations, *images, *model, "--out", out / "test")
    distractors = ["--annotations", paths.distractor_annotations, "--images", paths.distractor_images]
    run("evaluate", "boxes", *distractors, *model, "--out", out / "distractors")
    run("detect", paths.fddb_images, *model, "--draw", out / "drawn", "--json", out / "faces.json")
    run("report", out, "--out", out / "report.html")
    test = json.loads((out / "test" / "boxes.json").read_text())
    empty = json.loads((out / "distractors" / "boxes.json").read_text())
    kept = (
        test["recall"] >= PROMISED_RECALL
        and test["false_positives_per_photo"] <= PROMISED_FALSE_POSITIVES
        and empty["false_positives_per_photo"] <= PROMISED_FALSE_POSITIVES
    )
    return {"test": test, "distractors": empty, "promise_kept": kept}


def _print_summary(summary: dict[str, Any], out: Path) -> None:
    test, empty = summary["test"], summary["distractors"]
    verdict = "as promised" if summary["promise_kept"] else "LESS THAN PROMISED"
    test_false, empty_false = (part["false_positives_per_photo"] for part in (test, empty))
    lines = [
        f"{verdict}: at least {PROMISED_RECALL:.0%} of the faces, at most {PROMISED_FALSE_POSITIVES:g} false a photo",
        f"  faces found (IoU .5)   {test['recall']:.1%} of {test['faces']} in {test['photos']} unseen photos",
        f"  false a photo          {test_false:.2f}; {empty_false:.2f} in {empty['photos']} photos without a face",
        f"  AP                     {test['AP']:.3f}",
        f"  seconds                {summary['seconds']:.0f}",
        "look at",
        f"  {out / 'report.html'}: all of it on one page",
        f"  {out / 'roc.png'}: FDDB curves",
        f"  {out / 'model' / 'history.png'}: training curves",
        f"  {out / 'drawn'}: faces drawn into the test photos",
        f"  gluon-mtcnn detect PHOTO --model {out / 'model'}: on your photo (it knows painted faces only)",
    ]
    print("\n" + "\n".join(lines))
