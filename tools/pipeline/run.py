"""A pipeline from options to a result: runs the steps, each as far as it must, and keeps their record."""

from __future__ import annotations

import logging
import resource
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.core.files.locks import exclusive
from gluon_mtcnn.core.packs.manifest import listed_sets
from gluon_mtcnn.tools.cli.options import output_dir
from gluon_mtcnn.tools.cli.runner import CommandRunner
from gluon_mtcnn.tools.pipeline.digests import digests, key_of, tree_bytes
from gluon_mtcnn.tools.pipeline.options import PipelineOptions
from gluon_mtcnn.tools.pipeline.recipe import PipelineRecipe, find_recipe, read_recipe
from gluon_mtcnn.tools.pipeline.record import (
    DONE,
    FAILED,
    INTERRUPTED,
    RESUME,
    RUNNING,
    SKIP,
    Record,
    Verdict,
    needs_again,
    now,
    plan,
)
from gluon_mtcnn.tools.pipeline.results import main_result
from gluon_mtcnn.tools.pipeline.steps import Step, make_steps

log = logging.getLogger(__name__)
LOCK, PATIENCE = ".lock", 20.0  # seconds that a killed pipeline's last command has to end


@dataclass(frozen=True)
class PipelinePlan:
    """What a pipeline would do.

    Attributes
    ----------
    verdicts : dict of str to Verdict
        By the name of the step, in order.
    removed : list of str
        Steps of an earlier run that the recipe no longer has.
    """

    verdicts: dict[str, Verdict]
    removed: list[str]


@dataclass(frozen=True)
class PipelineResult:
    """What a pipeline left.

    Attributes
    ----------
    folder : Path
        Folder of the run. The cascade is in its ``model``, the page in its ``report.html``.
    stages : dict of str to dict
        What manifest.json says of each step, in order: seconds, outputs, main result.
    total : dict of str to float
        ``seconds`` and ``cpu_seconds`` of all steps.
    """

    folder: Path
    stages: dict[str, dict[str, Any]]
    total: dict[str, float]


def plan_pipeline(options: PipelineOptions) -> PipelinePlan:
    """Return what `run_pipeline` would do and why, touching nothing.

    Raises
    ------
    InputError
        As of `run_pipeline`.
    """
    _, steps, out = _make(options)
    record = Record(out)
    verdicts = plan(record, steps)
    return PipelinePlan(verdicts, [name for name in record.stages if name not in verdicts])


def run_pipeline(options: PipelineOptions) -> PipelineResult:
    """Prepare, train, choose thresholds, evaluate and report by a recipe; skip the steps that nothing has changed for.

    Each step is a command in a process of its own.

    Raises
    ------
    InputError
        A path is missing, the recipe is wrong, or a command refuses its input.
    CommandFailedError
        A command failed.
    """
    recipe, steps, out = _make(options)
    Record(out)  # refuses a folder of something else before it is locked
    out.mkdir(parents=True, exist_ok=True)
    with exclusive(out / LOCK, f"{out}: another pipeline is writing there", PATIENCE) as lock:
        record = Record(out)  # as the one left it that was waited for
        record.begin(recipe, steps)
        Pipeline(record, steps, options.num_workers, options.quiet, lock, options.clean).run()
    return PipelineResult(out, {step.name: record.stages[step.name] for step in steps}, record.value["total"])


def _make(options: PipelineOptions) -> tuple[PipelineRecipe, list[Step], Path]:
    options.check()
    recipe, out = read_recipe(find_recipe(options.recipe)), output_dir(options.out)
    return recipe, make_steps(recipe, options), out


class Pipeline:
    """The run of a pipeline.

    Parameters
    ----------
    record : Record
    steps : list of Step
    num_workers, quiet : of every command
    lock : int
        Descriptor of the run's lock, which every command holds until it has ended.
    clean : bool
        Delete packs as soon as no later step reads them.
    """

    def __init__(
        self, record: Record, steps: Sequence[Step], num_workers: int, quiet: bool, lock: int, clean: bool
    ) -> None:
        self._record, self._steps, self._clean = record, steps, clean
        self._num_workers, self._quiet, self._lock = num_workers, quiet, lock
        self._by_name = {step.name: step for step in steps}

    def run(self) -> None:
        """Bring every step up to date, in order.

        Raises
        ------
        InputError, CommandFailedError
            A command ended so, or left nothing; the manifest says which.
        KeyboardInterrupt
            Ctrl-C.
        """
        for name in [name for name in self._record.stages if name not in self._by_name]:
            log.info("removing %s: no stage any more", name)
            self._record.forget(name, [self._record.path.parent / "stages" / name])
        for number, step in enumerate(self._steps, 1):
            verdict = self._record.judge(step)
            if verdict.action != SKIP:
                self._restore(step)
            log.info("\n[%d/%d] %s: %s: %s", number, len(self._steps), step.name, verdict.action, verdict.why)
            if verdict.action != SKIP:
                self._follow(step, verdict.action == RESUME)
            if self._clean:
                self._delete_packs(number)
        self._record.sort(self._by_name)

    def _restore(self, step: Step) -> None:
        """Make packs again that were deleted and that a step needs."""
        for name in step.sources():
            if needs_again(self._record, step, name):
                self._restore(self._by_name[name])
                log.info("\n%s: run: its packs were deleted, and %s needs them", name, step.name)
                self._follow(self._by_name[name], resume=False)

    def _follow(self, step: Step, resume: bool) -> None:
        """Run a step's command and record it, however it ends."""
        record, command = self._record, list(step.command)
        if resume and command[0] == "train" and any((path / "checkpoints").is_dir() for path in step.outputs.values()):
            command.append("--resume")
        if not resume:
            record.forget(step.name, step.outputs.values())
        depends, before = record.depends(step), record.stages.get(step.name, {})
        entry = {
            "status": RUNNING,
            "command": command,
            "key": key_of(depends),
            "depends": depends,
            "outputs": {},
            "result": "",
            "seconds": before.get("seconds", 0.0),
            "cpu_seconds": before.get("cpu_seconds", 0.0),
            "started": before.get("started", now()),
        }
        record.stages[step.name] = entry
        if step.tests:
            record.value["test_readings"].append({"time": now(), "stage": step.name, "command": command})
        record.write()
        runner = CommandRunner(f"pipeline: stage {step.name}", self._num_workers, self._quiet, held=(self._lock,))
        with _recorded(record, entry):
            runner(*command)
            _note_outputs(step, entry)

    def _delete_packs(self, done: int) -> None:
        """Delete the packs that no step after the first `done` reads."""
        for step in self._steps[:done]:
            read_later = any(read.step == step.name for later in self._steps[done:] for read in later.reads)
            entry = self._record.stages[step.name]
            for path in step.outputs.values() if not (read_later or entry.get("cleaned")) else ():
                if listed_sets(path):
                    entry["cleaned"] = True
                    self._record.write()  # first: what is gone then is meant to be
                    for file in (*path.glob("*.rec"), *path.glob("*.idx")):
                        file.unlink()


@contextmanager
def _recorded(record: Record, entry: dict[str, Any]) -> Iterator[None]:
    """Note how a block ends and what time it took, its children's processor time too, above what is noted already."""
    started, before = time.perf_counter(), _children_seconds()
    try:
        yield
    except BaseException as error:
        entry["status"] = INTERRUPTED if isinstance(error, KeyboardInterrupt) else FAILED
        raise
    finally:
        entry["seconds"] = round(entry["seconds"] + time.perf_counter() - started, 2)
        entry["cpu_seconds"] = round(entry["cpu_seconds"] + _children_seconds() - before, 2)
        entry["ended"] = now()
        record.write()


def _children_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _note_outputs(step: Step, entry: dict[str, Any]) -> None:
    """Note what a step left.

    Raises
    ------
    InputError
        Nothing.
    """
    entry["outputs"] = {place: digests(path) for place, path in step.outputs.items()}
    for place, left in entry["outputs"].items():
        if not left:
            raise InputError(f"pipeline: stage {step.name} left nothing in {step.outputs[place]}")
    entry["result"] = main_result(step.outputs.values())
    entry["bytes"] = sum(map(tree_bytes, step.outputs.values()))
    entry["status"] = DONE
