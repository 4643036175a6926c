"""The command lines that users of Seanlinx/mtcnn know, mapped to ours; the scripts in example/ are made of these.

Each function parses the original's options and runs our commands. What an option of the original meant and is no longer
needed for (``--frequent``, ``--stride``, ...) is accepted, and said in one line where it changes nothing.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Callable, Optional

from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.core.files.atomic import read_json
from gluon_mtcnn.core.types import INPUT_SIZE, NETS
from gluon_mtcnn.tools.cli import main as cli
from gluon_mtcnn.tools.seanlinx.epochs import runs

log = logging.getLogger(__name__)
NEXT_NET = {"pnet": "rnet", "rnet": "onet"}


def guarded(function: Callable[[Optional[Sequence[str]]], int], argv: Optional[Sequence[str]] = None) -> int:
    """Run a function of this module as a program: bad input is one line and exit code 2."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    try:
        return function(argv)
    except InputError as error:
        print(error, file=sys.stderr)
        return 2


def _parser(description: str, root: str, dataset: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--root_path", default=root, help="holds cache/")
    parser.add_argument("--dataset_path", default=dataset, help="holds images/ and imglists/")
    return parser


def _add_cascade(parser: argparse.ArgumentParser, thresh: Sequence[float], min_face: int) -> None:
    """Add the options with which the original opens its three nets."""
    prefixes = [f"model/{kind}" for kind in NETS]
    parser.add_argument("--prefix", nargs="+", default=prefixes, help="checkpoint prefixes of the nets, in order")
    parser.add_argument("--epoch", nargs="+", type=int, default=[16, 16, 16], help="their epochs")
    parser.add_argument("--thresh", nargs="+", type=float, default=list(thresh), help="face scores required")
    parser.add_argument("--min_face", type=float, default=min_face, help="smallest face, pixels")
    parser.add_argument("--gpu", type=int, default=-1, help="GPU number, -1 for the CPU")
    parser.add_argument("--batch_size", nargs="+", type=int, help="not needed: batches fit themselves")
    parser.add_argument("--stride", type=int, default=2, choices=[2], help="of the P-Net: always 2")
    parser.add_argument("--sw", action="store_true", help="not needed: P-Net is always run on whole images")
    parser.add_argument("--shuffle", action="store_true", help="not needed: the order of images changes nothing")
    parser.add_argument("--vis", action="store_true", help="not here: use `gluon-mtcnn detect --draw`")


def _devices(gpus: str) -> str:
    """Return our --devices for the original's ``--gpus 0,1``; none or -1 is the CPU."""
    numbers = [g for g in gpus.split(",") if g.strip() not in ("", "-1")]
    return ",".join(f"gpu:{g.strip()}" for g in numbers) or "cpu"


def _command(*arguments: Any) -> int:
    words = [str(a) for a in arguments]
    log.info("gluon-mtcnn %s", " ".join(words))
    return cli.main(words)


def _model_folder(prefixes: Sequence[str], epochs: Sequence[int], scratch: str) -> str:
    """Return a model folder for checkpoint prefixes: the folder they lie in if it is one of ours, else an import."""
    first = Path(f"{prefixes[0]}-{epochs[0]:04d}.params")
    ours = Path(prefixes[0]).parent
    if not first.is_file() and (ours / "model.json").is_file():
        return str(ours)
    if _command("import", "seanlinx", *prefixes, "--epoch", *epochs[: len(prefixes)], "--out", scratch):
        raise InputError(f"{first}: the checkpoints could not be imported")
    return scratch


def train(kind: str, argv: Optional[Sequence[str]] = None) -> int:
    """Train a net as the original's ``train_{P,R,O}_net.py``: packs the image set once, then ``gluon-mtcnn train``."""
    size = INPUT_SIZE[kind]
    parser = _parser(f"Train the {kind} from a Seanlinx image set.", "data", "data/mtcnn")
    parser.add_argument("--image_set", default=f"train_{size}", help="list below imglists/")
    parser.add_argument("--prefix", default=f"model/{kind}", help="its folder becomes the model folder")
    parser.add_argument("--gpus", default="-1", help="GPU numbers with commas, -1 for the CPU")
    parser.add_argument("--pretrained", default="", help="with --resume: checkpoint prefix to start from")
    parser.add_argument("--epoch", type=int, default=0, help="epoch of --pretrained")
    parser.add_argument("--begin_epoch", type=int, default=0, help="epochs done before: the learning rate follows")
    parser.add_argument("--end_epoch", type=int, default=16, help="number of the last epoch")
    parser.add_argument("--frequent", type=int, default=200, help="not needed: there is a progress bar")
    parser.add_argument("--lr", type=float, default=0.01, help="learning rate")
    parser.add_argument(
        "--resume",
        action="store_true",
        help="start from --pretrained, otherwise from the model of --prefix; without --begin_epoch, go on with its run",
    )
    args = parser.parse_args(argv)
    pack = Path(args.root_path, "packs", args.image_set)
    if not (pack / "manifest.json").is_file():
        source = ["--imdb", args.root_path, "--image-set", args.image_set, "--dataset-path", args.dataset_path]
        code = _command("pack", *source, "--size", size, "--out", pack)
        if code:
            return code
    with tempfile.TemporaryDirectory() as scratch:
        return _train_epochs(kind, args, pack, scratch)


def _train_epochs(kind: str, args: argparse.Namespace, pack: Path, scratch: str) -> int:
    """Train from --begin_epoch to --end_epoch, each run from the weights of the one before; return the exit code."""
    out = Path(args.prefix).parent
    start, own_run = _start(kind, args, out, scratch)
    todo = runs(args.begin_epoch, args.end_epoch, args.lr)
    if not todo:
        log.info("nothing to train: --begin_epoch %d, --end_epoch %d", args.begin_epoch, args.end_epoch)
    for run in todo:
        options = ["--epochs", run.epochs, "--lr", f"{run.lr:g}", "--devices", _devices(args.gpus)]
        options += ["--pretrained", start] if start else []
        options += ["--resume"] if own_run else []
        code = _command("train", kind, "--data", pack, "--out", out, *options, "--recipe", "seanlinx")
        if code:
            return code
        start = str(out)
    return 0


def _start(kind: str, args: argparse.Namespace, out: Path, scratch: str) -> tuple[str, bool]:
    """Return the model folder whose weights a run starts from, or "", and whether the run in `out` goes on instead."""
    from gluon_mtcnn.core.training.checkpoint import run_record_path

    if not args.resume:
        if args.pretrained:
            log.info("--pretrained is used with --resume only, as in the original: starting from random weights")
        return "", False
    if args.pretrained:
        return _pretrained(kind, args, scratch), False
    if args.begin_epoch:
        return str(out), False
    record = run_record_path(out, kind)
    epochs = read_json(record)["config"]["epochs"] if record.is_file() else args.end_epoch
    if epochs < args.end_epoch:
        raise InputError(
            f"{out}: its last run was one of {epochs} epochs: to train on up to --end_epoch {args.end_epoch}, say with "
            "--begin_epoch how many are done"
        )
    return "", True


def _pretrained(kind: str, args: argparse.Namespace, scratch: str) -> str:
    """Return a model folder that holds the net of --pretrained and --epoch."""
    from gluon_mtcnn.core.convert.seanlinx import load_seanlinx
    from gluon_mtcnn.core.nets.model_folder import save_net

    ours = Path(args.pretrained).parent
    if not Path(f"{args.pretrained}-{args.epoch:04d}.params").is_file() and (ours / "model.json").is_file():
        return str(ours)
    model = load_seanlinx({kind: args.pretrained}, {kind: args.epoch})
    save_net(scratch, model.weights(kind), model.origin[kind], calibration=model.calibration)
    return scratch


def detect_fddb(argv: Optional[Sequence[str]] = None) -> int:
    """Detect on FDDB's ten folds as the original's ``test_fddb.py``; leaves ``fold-01-out.txt`` and so on."""
    parser = _parser("Detect on FDDB's folds.", "data", "data/fddb")
    parser.add_argument("--test_mode", default="onet", choices=NETS, help="the last net to run")
    parser.add_argument("--image_set", nargs="+", help="lists below imglists/; default: all folds there")
    _add_cascade(parser, (0.6, 0.7, 0.7), 24)
    args = parser.parse_args(argv)
    from tqdm import tqdm

    from gluon_mtcnn.core.ops import image as images
    from gluon_mtcnn.core.seanlinx.imdb import IMDB

    folds = args.image_set or sorted(p.stem for p in Path(args.dataset_path, "imglists").glob("fold-*.txt"))
    if not folds:
        raise InputError(f"{args.dataset_path}/imglists: expected lists fold-01.txt to fold-10.txt, got none")
    with tempfile.TemporaryDirectory() as scratch:
        detector = _detector(args, args.test_mode, scratch)
        for fold in folds:
            imdb = IMDB("fddb", fold, args.root_path, args.dataset_path, "test")
            rows = [
                detector.detect(images.read(entry["image"])).as_array()
                for entry in tqdm(imdb.gt_imdb(), desc=fold, unit="image")
            ]
            print(imdb.write_results(rows))
    return 0


def _detector(args: argparse.Namespace, last_stage: str, scratch: str) -> Any:
    """Return a detector with the original's arithmetic for the options of `_add_cascade`."""
    from gluon_mtcnn.core.backend.runtime import devices
    from gluon_mtcnn.core.detection.detector import Detector

    device = devices("cpu" if args.gpu < 0 else f"gpu:{args.gpu}")[0]
    wanted = NETS.index(last_stage) + 1
    folder = _model_folder(args.prefix[:wanted], args.epoch, scratch)
    thresholds = (*args.thresh, 1.0, 1.0)[:3]
    return Detector(
        folder, min_face=args.min_face, thresholds=thresholds, last_stage=last_stage, compat="seanlinx", device=device
    )


def demo(argv: Optional[Sequence[str]] = None) -> int:
    """Find the faces of one photo with the original's demo settings, and write the picture with them drawn in."""
    parser = argparse.ArgumentParser(description="Find the faces of a photo.")
    parser.add_argument("image", nargs="?", default="test01.jpg", help="the photo (default: %(default)s)")
    parser.add_argument("--out", default="demo", help="folder for the picture (default: demo)")
    _add_cascade(parser, (0.5, 0.5, 0.7), 40)
    args = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as scratch:
        folder = _model_folder(args.prefix, args.epoch, scratch)
        thresholds = ",".join(str(t) for t in args.thresh)
        options = ["--min-face", args.min_face, "--thresholds", thresholds, "--compat", "seanlinx"]
        return _command("detect", args.image, "--model", folder, *options, "--draw", args.out)


def gen_hard_example(argv: Optional[Sequence[str]] = None) -> int:
    """Make 24-net data (``--test_mode pnet``) or 48-net data (``rnet``) from the cascade's detections on WIDER."""
    parser = _parser("Mine samples for the next net.", "data", "data/wider")
    parser.add_argument("--image_set", default="train", help="its photos are those that --annotations lists")
    parser.add_argument("--test_mode", default="pnet", choices=sorted(NEXT_NET), help="the net that mines")
    parser.add_argument("--annotations", default="prepare_data/wider_annotations/anno.txt", help="anno.txt")
    parser.add_argument("--out", help="folder of the pack; default: ROOT/packs/train_24 or train_48")
    _add_cascade(parser, (0.6, 0.7, 0.7), 24)
    args = parser.parse_args(argv)
    kind = NEXT_NET[args.test_mode]
    out = args.out or os.path.join(args.root_path, "packs", f"train_{INPUT_SIZE[kind]}")
    with tempfile.TemporaryDirectory() as scratch:
        folder = _model_folder(args.prefix[: NETS.index(kind)], args.epoch, scratch)
        thresholds = ",".join(str(t) for t in (*args.thresh, 1, 1)[:3])
        photos = [
            "--seanlinx-annotations",
            args.annotations,
            "--seanlinx-images",
            os.path.join(args.dataset_path, "images"),
        ]
        options = ["--thresholds", thresholds, "--min-face", args.min_face, "--recipe", "seanlinx"]
        return _command("prepare", kind, *photos, "--model", folder, *options, "--out", out)


def gen_imglist(argv: Optional[Sequence[str]] = None) -> int:
    """Gather ``{pos,neg,part}_12.txt`` into ``imglists/train_12.txt`` as the original's ``gen_imglist.py``."""
    parser = _parser("Gather a net's lists into one image list.", "data", "data/mtcnn")
    parser.add_argument("--size", type=int, default=12, choices=sorted(INPUT_SIZE.values()), help="input side")
    parser.add_argument("--lists", help="folder of the lists; default: prepare_data/{pnet,rnet,onet}")
    parser.add_argument("--seed", type=int, default=0, help="of the choice among too many lines")
    args = parser.parse_args(argv)
    import numpy as np

    from gluon_mtcnn.core.seanlinx.imdb import imglist_path
    from gluon_mtcnn.prepare_data.seanlinx import merge_lists as gather

    kind = next(kind for kind, size in INPUT_SIZE.items() if size == args.size)
    folder = args.lists or os.path.join("prepare_data", kind)
    out = imglist_path(args.dataset_path, f"train_{args.size}")
    counts = gather.gen_imglist(folder, args.size, out, np.random.default_rng(args.seed))
    print(f"{out}: " + ", ".join(f"{count} {name}" for name, count in counts.items()))
    return 0
