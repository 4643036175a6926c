"""One training run, from options to the files of a model folder: what ``gluon-mtcnn train`` does, as functions.

Importing this module imports no MXNet, because the number of threads must be fixed before MXNet starts.
"""

from __future__ import annotations

from typing import Optional

from gluon_mtcnn.core.backend.threads import set_threads
from gluon_mtcnn.core.distributed.heartbeat import Activity
from gluon_mtcnn.core.files.atomic import read_json
from gluon_mtcnn.core.training.checkpoint import run_record_path
from gluon_mtcnn.tools.cli.options import existing_dir
from gluon_mtcnn.tools.train.options import TrainOptions
from gluon_mtcnn.tools.train.result import SanityResult, TrainResult


def train(options: TrainOptions, activity: Optional[Activity] = None) -> TrainResult:
    """Train one net from packs and leave its files in ``options.out``.

    It validates after each epoch and keeps the weights of the best one. A run that was killed goes on with
    ``resume=True`` and ends with the same bits. In a job worker 0 writes the files; the others take their share of
    every batch. Seeds the global generators of Python, NumPy and MXNet, and sets OMP_NUM_THREADS where MXNet does not
    run yet.

    Parameters
    ----------
    options : TrainOptions
    activity : Activity, optional
        In a job: is told what this worker does, for the thread that reports it.

    Returns
    -------
    TrainResult

    Raises
    ------
    InputError
        A pack, a model folder or a value cannot be used; the run that is resumed had other options; or MXNet already
        runs with another number of threads.
    NonFiniteLossError
        The loss, a validation figure or a weight is no longer a finite number.

    Examples
    --------
    >>> result = train(TrainOptions("pnet", data="packs/12", out="runs/first", epochs=1, quiet=True))
    >>> result.best_epoch, len(result.history)
    (1, 1)
    """
    _prepare_process(options)
    from gluon_mtcnn.tools.train.session import run_session

    return run_session(options, activity)


def sanity(options: TrainOptions) -> SanityResult:
    """Learn 20 samples by heart and say how well that went; it takes seconds, writes nothing and finds broken packs.

    Parameters
    ----------
    options : TrainOptions

    Returns
    -------
    SanityResult

    Raises
    ------
    InputError
        As of `train`; or this process is a worker of a job.
    """
    _prepare_process(options)
    from gluon_mtcnn.tools.train.session import learn_by_heart

    return learn_by_heart(options)


def _prepare_process(options: TrainOptions) -> None:
    """Check that the packs' folders exist, and fix the number of threads: a resumed run has that of its record."""
    for folder in options.folders:
        existing_dir(folder, "folder of the training pack")
    path = run_record_path(options.out, options.net)
    recorded = read_json(path) if options.resume and path.is_file() else {}
    set_threads(options.threads or recorded.get("threads"), options.devices)
