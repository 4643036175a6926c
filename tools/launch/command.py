"""Train with several processes, on this machine or many, over MXNet's parameter server.

For example::

  gluon-mtcnn launch -n 2 -- train pnet --data packs/12 --out runs/first
  gluon-mtcnn launch -n 8 -s 2 --hosts hosts.txt --restart 3 -- train onet --data packs/48 --out runs/first

Each worker takes its share of every batch. When a member dies, stops or cannot be reached, the whole job ends and says
which; with --restart it then goes on from the last checkpoint.
"""

from __future__ import annotations

import argparse
import logging
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gluon_mtcnn.core.distributed.kvstores import DIST_KVSTORES
from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.core.training.checkpoint import run_record_path
from gluon_mtcnn.tools.cli import main as cli
from gluon_mtcnn.tools.cli.options import DEFAULT_SEED, existing_dir, non_negative_int, output_dir, positive_int
from gluon_mtcnn.tools.launch.job import Host, Job, JobLostError, read_hosts
from gluon_mtcnn.tools.launch.watch import DEAD_SECONDS, STALL_SECONDS, Limits

COMMON = ("seed",)
logger = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``launch``."""
    parser.add_argument("-n", "--workers", type=positive_int, required=True, metavar="N", help="workers")
    parser.add_argument("-s", "--servers", type=positive_int, default=1, metavar="N", help="servers (default 1)")
    parser.add_argument("--hosts", metavar="FILE", help="a host a line, as ssh calls it (default: this machine)")
    parser.add_argument(
        "--restart", type=non_negative_int, default=0, metavar="N", help="start anew after a failure, up to N times"
    )
    parser.add_argument("--logs", metavar="DIR", help="a log per member (default: logs/ in train's --out)")
    parser.add_argument(
        "--dead-seconds",
        type=positive_int,
        default=DEAD_SECONDS,
        metavar="S",
        help="without a sign of life (default %(default)g)",
    )
    parser.add_argument(
        "--stall-seconds",
        type=positive_int,
        default=STALL_SECONDS,
        metavar="S",
        help="alive, but without a step or use of the CPU (default %(default)g)",
    )
    parser.add_argument("train", nargs=argparse.REMAINDER, metavar="-- train ...", help="what each worker does")


def run(args: argparse.Namespace) -> int:
    """Run the job; 1 when it is lost, 2 when a worker refuses its options or data."""
    argv = args.train[1:] if args.train[:1] == ["--"] else args.train
    train = _check(argv)
    hosts = read_hosts(args.hosts) if args.hosts else [Host()]
    if not args.hosts:
        for folder in train.data:
            existing_dir(folder, "folder of the training pack")
    logs = output_dir(args.logs or str(Path(train.out) / "logs"))
    logs.mkdir(parents=True, exist_ok=True)
    for old in logs.glob("*.log"):
        old.unlink()
    limits = Limits(args.dead_seconds, args.stall_seconds)
    argv = [*argv, "--quiet", *(["-v"] if args.verbose else [])]
    if args.seed != DEFAULT_SEED:
        argv = [*argv, "--seed", str(args.seed)]
    with _caught_signals() as caught:
        for attempt in range(args.restart + 1):
            try:
                with Job(args.workers, args.servers, hosts, argv, logs, limits, caught) as job:
                    job.run()
                return 0
            except JobLostError as failure:
                _clean(train)
                if failure.code == 2 or attempt == args.restart:
                    logger.error("%s", failure)
                    return failure.code
                logger.warning("%s; restart %d of %d from the last checkpoint", failure, attempt + 1, args.restart)
                argv = [*argv, "--resume"]
    raise AssertionError("every attempt returns or fails")


def _check(argv: list[str]) -> Any:
    """Return the parsed options of the train command that the workers will run.

    Raises
    ------
    InputError
        It is another command, or cannot be shared among workers.
    """
    if argv[:1] != ["train"]:
        raise InputError(f"launch: expected -- train ..., got {' '.join(argv) or 'nothing'}")
    args, _ = cli.parse(argv)
    if args.sanity:
        raise InputError("launch: --sanity is for one process, run train without launch")
    if args.kvstore not in (None, *DIST_KVSTORES):
        raise InputError(f"launch: kvstore: expected one of {', '.join(DIST_KVSTORES)}, got {args.kvstore!r}")
    return args


@contextmanager
def _caught_signals() -> Iterator[list[int]]:
    """Collect SIGINT, SIGTERM and SIGHUP in a list, for `Job` to look at: an exception could break in anywhere."""
    caught: list[int] = []
    signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    old = {number: signal.signal(number, lambda number, frame: caught.append(number)) for number in signals}
    try:
        yield caught
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)


def _clean(train: Any) -> None:
    """Remove what killed workers left half-written."""
    from gluon_mtcnn.core.training.checkpoint import remove_abandoned

    for folder in (Path(train.out), run_record_path(train.out, train.net).parent):
        remove_abandoned(folder)
