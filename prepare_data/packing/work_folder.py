"""The folder OUT/.prepare, in which an unfinished run keeps what it has done, for the run that follows a kill."""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.core.files.atomic import read_json, write_json
from gluon_mtcnn.core.files.locks import exclusive

log = logging.getLogger(__name__)

FORMAT_VERSION = 1  # raise it when the same options would give other samples
WORK, JOB, LOCK, DETECTIONS = ".prepare", "job.json", "lock", "detections"


@contextmanager
def work_folder(out: Path) -> Iterator[Path]:
    """Give the folder of unfinished work in `out`; one run at a time.

    It is removed when the block succeeds or the input was bad (unless it holds detections), and stays otherwise: the
    next run goes on from it.
    """
    work, existed = out / WORK, out.exists()
    try:
        work.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{out}: cannot be made a folder: {error.strerror}") from None
    with exclusive(work / LOCK, f"{out}: another prepare is writing there"):
        try:
            yield work
        except InputError:
            if not (work / DETECTIONS).exists():  # dear, and of use whatever was wrong
                shutil.rmtree(work)
                if not existed:
                    out.rmdir()
            raise
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            raise InputError(f"{out}: the disk is full; the same command resumes when there is room") from None
        shutil.rmtree(work)


def begin_job(work: Path, job: dict[str, Any], keep: str) -> None:
    """Empty the folder but for `keep` and the detections, which look after themselves, if it holds another job's work.

    Parameters
    ----------
    job : dict
        All that the samples depend on; JSON values.
    """
    job = {"version": FORMAT_VERSION, **job}
    digest = hashlib.sha256(json.dumps(job, sort_keys=True).encode()).hexdigest()
    if (work / JOB).is_file() and read_json(work / JOB) == digest:
        log.info("resuming the work in %s", work)
        return
    (work / JOB).unlink(missing_ok=True)  # first, or a kill now would leave old files under the new job
    for path in work.iterdir():
        if path.name not in (keep, LOCK, DETECTIONS):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    write_json(work / JOB, digest)
