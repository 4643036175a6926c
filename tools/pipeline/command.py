"""Annotated photos -> a trained and evaluated cascade, by a recipe; what nothing has changed for is not done again.

Example: gluon-mtcnn pipeline --wider-images WIDER_train/images
             --wider-annotations wider_face_split/wider_face_train_bbx_gt.txt --out runs/mine --dry-run

Parts the photos into training and development, prepares and trains the nets as the recipe says, chooses thresholds on
the development photos, evaluates (on the test photos where some are given, else on the development photos) and writes
a report. Every command is printed as it runs, and recorded in manifest.json. After a kill the same command goes on.
Leaves the cascade in RUN/model, the page in RUN/report.html and all else in RUN/stages. docs/pipeline.md
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping

from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.core.files.locks import exclusive
from gluon_mtcnn.tools.cli.options import existing_dir, existing_file, output_dir, positive_int
from gluon_mtcnn.tools.pipeline.recipe import DEFAULT, find_recipe, read_recipe
from gluon_mtcnn.tools.pipeline.record import Record, Verdict, plan
from gluon_mtcnn.tools.pipeline.results import table
from gluon_mtcnn.tools.pipeline.run import Pipeline
from gluon_mtcnn.tools.pipeline.steps import make_steps

SEED = None  # the recipe's, unless --seed is given
LOCK, PATIENCE = ".lock", 20.0  # seconds that a killed pipeline's last command has to end
PAIRS = (  # options of which none or both are given
    ("landmark_images", "landmark_annotations"),
    ("test_wider_images", "test_ground_truth"),
    ("test_landmark_images", "test_landmark_annotations"),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``pipeline``."""
    parser.add_argument("--out", required=True, metavar="RUN", help="folder of the run, new or to go on with")
    parser.add_argument("--recipe", default=DEFAULT, metavar="FILE", help="a file, or one that ships (%(default)s)")
    parser.add_argument("--dry-run", action="store_true", help="say what would run and why, and touch nothing")
    parser.add_argument("--clean", action="store_true", help="delete packs as soon as no later stage needs them")
    parser.add_argument("--devices", metavar="LIST", help="of every training, as train takes them")
    parser.add_argument("--threads", type=positive_int, metavar="N", help="OpenMP threads of every training")
    photos = parser.add_argument_group("photos to learn from")
    photos.add_argument("--wider-images", required=True, metavar="DIR", help="WIDER's training photos")
    photos.add_argument("--wider-annotations", required=True, metavar="FILE", help="their *_bbx_gt.txt or .mat")
    photos.add_argument("--landmark-images", metavar="DIR", help="photos of faces with five points")
    photos.add_argument("--landmark-annotations", metavar="FILE", help="their CNN_FacePoint or CelebA list")
    tests = parser.add_argument_group("photos to evaluate on at the end, and nothing else")
    tests.add_argument("--test-wider-images", metavar="DIR", help="WIDER_val")
    tests.add_argument("--test-ground-truth", metavar="DIR", help="folder of wider_{face,easy,...}_val.mat")
    tests.add_argument("--test-image-list", metavar="FILE", help="which of them, as of evaluate wider")
    tests.add_argument("--test-landmark-images", metavar="DIR", help="photos of evaluate landmarks")
    tests.add_argument("--test-landmark-annotations", metavar="FILE", help="their list")


def run(args: argparse.Namespace) -> int:
    """Run what is to be run; print a table of all stages."""
    _check(args)
    recipe, out = read_recipe(find_recipe(args.recipe)), output_dir(args.out)
    steps = make_steps(recipe, args)
    record = Record(out)
    if args.dry_run:
        _print_plan(record, plan(record, steps))
        return 0
    out.mkdir(parents=True, exist_ok=True)
    with exclusive(out / LOCK, f"{out}: another pipeline is writing there", PATIENCE) as lock:
        record = Record(out)  # as the one left it that was waited for
        record.begin(recipe, steps)
        Pipeline(record, steps, args.num_workers, args.quiet, lock, args.clean).run()
    print(table({step.name: record.stages[step.name] for step in steps}, record.value["total"]))
    return 0


def _check(args: argparse.Namespace) -> None:
    """Look at what the options name.

    Raises
    ------
    InputError
        Half of a pair is missing, or a path is not there.
    """
    for pair in PAIRS:
        given = [name for name in pair if getattr(args, name) is not None]
        if len(given) == 1:
            told = " and ".join(f"--{name.replace('_', '-')}" for name in pair)
            raise InputError(f"{told}: expected both, got one")
    if args.test_image_list and not args.test_wider_images:
        raise InputError("--test-image-list: expected --test-wider-images as well")
    for name in vars(args):
        path, told = getattr(args, name), name.replace("_", " ")
        if name.endswith(("_images", "_ground_truth")) and path is not None:
            existing_dir(path, f"folder of {told}")
        elif name.endswith(("_annotations", "_list")) and path is not None:
            existing_file(path, told)


def _print_plan(record: Record, verdicts: Mapping[str, Verdict]) -> None:
    width = max(map(len, [*verdicts, *record.stages]))
    for name, verdict in verdicts.items():
        print(f"{verdict.action:<6}  {name:<{width}}  {verdict.why}")
    for name in record.stages:
        if name not in verdicts:
            print(f"{'remove':<6}  {name:<{width}}  no stage any more")
