"""From annotated photos to packs: plan every sample, balance the classes, cut the chosen ones out, put them in place.

The packs' bytes depend on the inputs and the seed alone: every photo has its own generator, the choice is by random
keys, and each chosen sample has its place in the file before the first is cut. So workers write in any order, and a run
that was killed goes on where it was (prepare_data.packing.work_folder).
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Union

import numpy as np

from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.core.files.atomic import read_json, write_json
from gluon_mtcnn.core.packs.layout import rec_path, record_bytes
from gluon_mtcnn.core.packs.writer import preallocate
from gluon_mtcnn.core.types import Annotation
from gluon_mtcnn.prepare_data.executors.dask import ClusterWorkers
from gluon_mtcnn.prepare_data.executors.processes import UnitRunner, Workers, show_progress
from gluon_mtcnn.prepare_data.packing.beyond_photos import check_beyond
from gluon_mtcnn.prepare_data.packing.disk_space import check_disk, check_expected_disk
from gluon_mtcnn.prepare_data.packing.finish import finish_packs
from gluon_mtcnn.prepare_data.packing.options import Options, Source
from gluon_mtcnn.prepare_data.packing.photo_table import PhotoTable, write_table
from gluon_mtcnn.prepare_data.packing.selection import (
    CLASS_NAMES,
    CLASSES,
    SET_NAMES,
    TRAIN,
    VAL,
    choose_limits,
    choose_validation,
    targets,
)
from gluon_mtcnn.prepare_data.packing.units import (
    CUT,
    TABLE,
    UNIT,
    Skipped,
    cut_unit,
    done_path,
    open_table,
    plan_path,
    plan_unit,
    read_plan,
    read_skipped,
    unit_count,
    unit_photos,
)
from gluon_mtcnn.prepare_data.packing.work_folder import JOB, begin_job, work_folder
from gluon_mtcnn.prepare_data.sampling.planner import Planner
from gluon_mtcnn.prepare_data.seanlinx.write_layout import check_layout, write_layout

__all__ = ["Options", "Source", "prepare"]

UNREADABLE = "unreadable.json"
SHAPE = (len(SET_NAMES), len(CLASSES))


@dataclass
class Choice:
    """Which planned samples are used: see `cut_unit`; ``firsts`` has a row a unit."""

    limits: np.ndarray
    firsts: np.ndarray
    available: np.ndarray
    used: np.ndarray

    @property
    def totals(self) -> np.ndarray:
        """Return the records (2,) of train and val."""
        return self.used.sum(axis=1)


def prepare(planner: Planner, sources: Sequence[Source], out: Union[str, Path], options: Options) -> dict[str, Any]:
    """Make train.rec (and val.rec) with index and manifest in a folder, replacing what is there once all is done.

    Parameters
    ----------
    planner : Planner
        Proposes the samples of each photo; its `gather` runs first.
    sources : sequence of Source
    out : path
    options : Options

    Returns
    -------
    dict
        ``{"sets": {set: {class: count}}, "planned": the same, "photos": n, "skipped": [[name, reason], ...]}``

    Raises
    ------
    InputError
        No photo can be used, no positive sample comes of them, or the disk has no room.
    """
    out, size = Path(out), planner.size
    if options.cluster:
        out = out.absolute()  # the workers' current folder is another
    if options.imdb:
        check_layout(options.imdb, options.set_names, size)
    with work_folder(out) as work:
        metadata = {"net": planner.net, **planner.describe(), **options.describe()}
        table = _write_table(work, sources, metadata, options.strict)
        validates = choose_validation(table, options.val_fraction, np.random.default_rng([options.seed, len(table)]))
        check_expected_disk(out, work, table, planner, options)
        with _workers(planner, work, options) as workers:
            planner = planner.gather(work, workers, options.quiet)
            while True:
                skipped = _plan(work, planner, workers, table, options)
                choice = _choose(work, validates, options)
                _check_choice(choice, planner, options)
                check_disk(out, work, options, size, choice.totals.sum())
                unreadable = _cut(work, size, workers, choice, validates, options)
                if not unreadable:
                    break
                _leave_out(work, unreadable, options.strict)
            if options.imdb:
                counts = {name: int(total) for name, total in zip(options.set_names, choice.totals)}
                write_layout(work, options.imdb, counts, size, read_json(work / JOB), workers, options.quiet)
        names = [[table.texts(photo)[1], reason] for photo, reason in skipped]
        metadata.update(photos=len(table), sources=[source.description for source in sources])
        planner.finish(work, out)
        result = _finish(work, out, size, choice, names, metadata, options)
    return {**result, "photos": len(table)}


def _workers(planner: Planner, work: Path, options: Options) -> Union[Workers, ClusterWorkers]:
    if options.cluster:
        return ClusterWorkers(options.cluster, work)
    return Workers(options.num_workers, planner.inline)


def _write_table(work: Path, sources: Sequence[Source], description: dict[str, Any], strict: bool) -> PhotoTable:
    """Write the annotations, and drop the work of another job."""
    new = work / "table.new"
    summary = write_table(new, [(source.kind, _annotations(source)) for source in sources])
    names = ", ".join(_file_name(source) for source in sources)
    table = PhotoTable(new)
    if summary.missing and (strict or summary.missing == summary.photos):
        first = int(np.flatnonzero(table.photos["file_bytes"] < 0)[0])
        raise InputError(f"{table.texts(first)[0]}: photo not found ({summary.missing} of {summary.photos} in {names})")
    begin_job(work, {"table": summary.digest, **description}, new.name)
    shutil.rmtree(work / TABLE, ignore_errors=True)
    new.rename(work / TABLE)
    return open_table(work)


def _file_name(source: Source) -> str:
    return str(source.description.get("annotations", ""))


def _annotations(source: Source) -> Iterator[Annotation]:
    """Yield a source's photos; refuse one that has none."""
    count = 0
    for count, annotation in enumerate(source.annotations, 1):  # noqa: B007
        yield annotation
    if count == 0:
        raise InputError(f"{_file_name(source)}: expected annotated photos, found none")


def _plan(work: Path, planner: Planner, workers: UnitRunner, table: PhotoTable, options: Options) -> Skipped:
    """Plan the units that are not planned yet; return all skipped photos."""
    skip = _unreadable(work)
    units = range(unit_count(len(table)))
    todo = [unit for unit in units if not plan_path(work, unit).is_file()]
    tasks = (
        (
            work,
            unit,
            planner,
            options.seed,
            {p: skip[p] for p in unit_photos(unit, len(table)) if p in skip},
            options.strict,
        )
        for unit in todo
    )
    for _ in show_progress(workers.run(plan_unit, tasks), "plan", len(table), len(todo), UNIT, options.quiet):
        pass
    check_beyond(work, int(np.count_nonzero(~table.faces["ignore"])), options.max_left_out)
    skipped = read_skipped(work)
    if len(skipped) == len(table):
        raise InputError(f"{skipped[0][1]} (none of the {len(table)} photos can be used)")
    return skipped


def _choose(work: Path, validates: np.ndarray, options: Options) -> Choice:
    """Choose the samples, and give each unit its places in the packs."""
    units = range(unit_count(len(validates)))

    def read() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for unit in units:
            rows, group = read_plan(work, unit, validates[unit * UNIT : (unit + 1) * UNIT])
            yield group, rows["key"]

    def choose(available: np.ndarray) -> np.ndarray:
        shares = (1.0, validates.sum() / max((~validates).sum(), 1))  # of explicit counts
        sets = zip(available.reshape(SHAPE), shares)
        counts = options.counts
        return np.concatenate(
            [targets(a, options.ratio, [c * share for c in counts] if counts else None) for a, share in sets]
        )

    limits, available = choose_limits(read, choose, SHAPE[0] * SHAPE[1])
    used = np.zeros((len(units), *SHAPE), np.int64)
    for unit, (group, key) in zip(units, read()):
        used[unit] = np.bincount(group[key < limits[group]], minlength=limits.size).reshape(SHAPE)
    by_set = used.sum(axis=2)
    return Choice(limits, by_set.cumsum(axis=0) - by_set, available.reshape(SHAPE), used.sum(axis=0))


def _check_choice(choice: Choice, planner: Planner, options: Options) -> None:
    """Refuse a training set without faces, and an empty validation set."""
    if choice.used[TRAIN, 0] == 0:
        raise InputError(
            f"no positive sample: expected faces of at least {planner.recipe.min_face} px that are not ignored, found "
            "none that gives one"
        )
    if options.val_fraction and choice.totals[VAL] == 0:
        raise InputError(f"--val-fraction {options.val_fraction:g}: the chosen photos give no sample")


def _cut(
    work: Path, size: int, workers: UnitRunner, choice: Choice, validates: np.ndarray, options: Options
) -> dict[int, str]:
    """Fill the packs; return the photos that turned out not to decode."""
    packs = {rec_path(work, name): int(total) for name, total in zip(SET_NAMES, choice.totals)}
    if not all(path.exists() and path.stat().st_size == n * record_bytes(size) for path, n in packs.items()):
        shutil.rmtree(work / CUT, ignore_errors=True)
        for path, count in packs.items():
            preallocate(path, count, size)
    (work / CUT).mkdir(exist_ok=True)
    todo = [unit for unit in range(len(choice.firsts)) if not done_path(work, unit).exists()]
    tasks = (
        (work, unit, size, validates[unit * UNIT : (unit + 1) * UNIT], choice.limits, choice.firsts[unit])
        for unit in todo
    )
    results = show_progress(workers.run(cut_unit, tasks), "cut", len(validates), len(todo), UNIT, options.quiet)
    return {photo: reason for _, skipped in results for photo, reason in skipped}


def _unreadable(work: Path) -> dict[int, str]:
    """Return the photos that a run found not to decode."""
    path = work / UNREADABLE
    return {int(photo): reason for photo, reason in read_json(path).items()} if path.exists() else {}


def _leave_out(work: Path, unreadable: dict[int, str], strict: bool) -> None:
    """Forget what was planned of photos that do not decode, and all that was cut: the places change."""
    if strict:
        raise InputError(unreadable[min(unreadable)])
    shutil.rmtree(work / CUT)
    write_json(work / UNREADABLE, {**_unreadable(work), **unreadable})
    for photo in unreadable:
        plan_path(work, photo // UNIT).unlink(missing_ok=True)


def _finish(
    work: Path,
    out: Path,
    size: int,
    choice: Choice,
    skipped: list[list[str]],
    metadata: dict[str, Any],
    options: Options,
) -> dict[str, Any]:
    """Put finished packs in place of older ones; return what was made."""
    planned, used = (
        {name: dict(zip(CLASS_NAMES, map(int, row))) for name, row in zip(options.set_names, rows)}
        for rows in (choice.available, choice.used)
    )
    sets = {
        name: (used[name], {**metadata, "planned": planned[name], "skipped": skipped}) for name in options.set_names
    }
    finish_packs(work, out, size, sets, options.payload, options.quiet)
    return {"sets": used, "planned": planned, "skipped": skipped}
