"""Annotated photos -> a trained and evaluated cascade, by a recipe; what nothing has changed for is not done again.

Example: gluon-mtcnn pipeline --wider-images WIDER_train/images
             --wider-annotations wider_face_split/wider_face_train_bbx_gt.txt --out runs/mine --dry-run

Splits the photos into training and development, prepares and trains the nets as the recipe says, chooses thresholds on
the development photos, evaluates (on the test photos where some are given, else on the development photos) and writes
a report. Every command is printed as it runs, and recorded in manifest.json. After a kill the same command goes on.
Leaves the cascade in RUN/model, the page in RUN/report.html and all else in RUN/stages. docs/pipeline.md
"""

from __future__ import annotations

import argparse

from gluon_mtcnn.tools.cli.options import defaults_of, options_from, positive_int
from gluon_mtcnn.tools.pipeline.options import PipelineOptions
from gluon_mtcnn.tools.pipeline.results import table
from gluon_mtcnn.tools.pipeline.run import PipelinePlan, plan_pipeline, run_pipeline

COMMON = ("seed", "num_workers", "quiet")
SEED = None  # the recipe's, unless --seed is given


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``pipeline``."""
    parser.set_defaults(**defaults_of(PipelineOptions))
    parser.add_argument("--out", required=True, metavar="RUN", help="folder of the run, new or to go on with")
    parser.add_argument("--recipe", metavar="FILE", help="a file, or one that ships (%(default)s)")
    parser.add_argument("--dry-run", action="store_true", help="say what would run and why, and touch nothing")
    parser.add_argument("--clean", action="store_true", help="delete packs as soon as no later stage needs them")
    parser.add_argument("--devices", metavar="LIST", help="of every training, as train takes them")
    parser.add_argument("--threads", type=positive_int, metavar="N", help="OpenMP threads of every training")
    photos = parser.add_argument_group("photos to learn from")
    photos.add_argument("--wider-images", required=True, metavar="DIR", help="WIDER's training photos")
    photos.add_argument("--wider-annotations", required=True, metavar="FILE", help="their *_bbx_gt.txt or .mat")
    photos.add_argument("--landmark-images", metavar="DIR", help="photos of faces with five landmarks")
    photos.add_argument("--landmark-annotations", metavar="FILE", help="their CNN_FacePoint or CelebA list")
    tests = parser.add_argument_group("photos to evaluate on at the end, and nothing else")
    tests.add_argument("--test-wider-images", metavar="DIR", help="WIDER_val")
    tests.add_argument("--test-ground-truth", metavar="DIR", help="folder of wider_{face,easy,...}_val.mat")
    tests.add_argument("--test-image-list", metavar="FILE", help="which of them, as of evaluate wider")
    tests.add_argument("--test-landmark-images", metavar="DIR", help="photos of evaluate landmarks")
    tests.add_argument("--test-landmark-annotations", metavar="FILE", help="their list")


def run(args: argparse.Namespace) -> int:
    """Run what is to be run; print a table of all stages."""
    options = options_from(PipelineOptions, args)
    if args.dry_run:
        _print_plan(plan_pipeline(options))
        return 0
    result = run_pipeline(options)
    print(table(result.stages, result.total))
    return 0


def _print_plan(plan: PipelinePlan) -> None:
    width = max(map(len, [*plan.verdicts, *plan.removed]))
    for name, verdict in plan.verdicts.items():
        print(f"{verdict.action:<6}  {name:<{width}}  {verdict.why}")
    for name in plan.removed:
        print(f"{'remove':<6}  {name:<{width}}  no stage any more")
