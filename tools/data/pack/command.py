"""Turn a Seanlinx image list or imdb cache and its loose crops into a training pack.

Example: gluon-mtcnn pack --imdb data --image-set train_12 --out packs/12

Reads ROOT/mtcnn/imglists/SET.txt or, where that is gone, ROOT/cache/mtcnn_SET_gt_roidb.pkl (safely: nothing in it is
executed). Crops that cannot be read are left out and listed. Leaves train.rec, train.idx and manifest.json in --out.
"""

from __future__ import annotations

import argparse
import logging

from gluon_mtcnn.core.packs.manifest import PAYLOADS
from gluon_mtcnn.tools.cli.options import defaults_of, options_from
from gluon_mtcnn.tools.data.pack.run import SIZES, PackOptions, pack_imdb
from gluon_mtcnn.tools.data.photos import add_max_left_out

COMMON = ("quiet",)
log = logging.getLogger(__name__)
LISTED = 20  # unreadable crops named in the log


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.set_defaults(**defaults_of(PackOptions))
    parser.add_argument("--imdb", required=True, metavar="ROOT", help="the original's --root_path: holds cache/")
    parser.add_argument("--image-set", required=True, metavar="SET", help="train_12, train_24, train_48, ...")
    parser.add_argument("--dataset-path", metavar="DIR", help="holds images/ and imglists/ (default: ROOT/mtcnn)")
    parser.add_argument("--size", type=int, choices=SIZES, help="side (default: SET's number)")
    parser.add_argument("--payload", choices=PAYLOADS, help="of the records (bmp: fastest)")
    parser.add_argument("--strict", action="store_true", help="stop at the first crop that cannot be read")
    add_max_left_out(parser)
    parser.add_argument("--out", required=True, metavar="DIR", help="folder of the pack")


def run(args: argparse.Namespace) -> int:
    """Pack; return 0."""
    result = pack_imdb(options_from(PackOptions, args))
    for message in result.skipped[:LISTED]:
        log.warning("left out: %s", message)
    log.info("%d of %d crops packed: %s", result.count, result.listed, result.classes)
    return 0
