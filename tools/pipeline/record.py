"""RUN/manifest.json: what each step of a pipeline was made of, what it left, how long it took; and what it decides."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Collection, Iterable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, NamedTuple

from gluon_mtcnn import __version__
from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.core.files.atomic import read_json, write_json
from gluon_mtcnn.core.packs.manifest import MANIFEST_NAME
from gluon_mtcnn.tools.pipeline.digests import changes, digests, fingerprint, key_of
from gluon_mtcnn.tools.pipeline.recipe import PipelineRecipe
from gluon_mtcnn.tools.pipeline.steps import Step, openmp_threads

log = logging.getLogger(__name__)
FORMAT, FORMAT_VERSION = "gluon-mtcnn pipeline", 1
RUN, RESUME, SKIP = "run", "resume", "skip"
RUNNING, DONE, FAILED, INTERRUPTED = "running", "done", "failed", "interrupted"
UNFINISHED = {RUNNING: "it was killed", FAILED: "it failed", INTERRUPTED: "it was interrupted"}


class Verdict(NamedTuple):
    """What is to be done with a step (`RUN`, `RESUME` or `SKIP`), and why."""

    action: str
    why: str


def now() -> str:
    """Return the time as text."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


class Record:
    """The manifest of a run, read from its folder if it is there.

    Parameters
    ----------
    run : folder of the run

    Raises
    ------
    InputError
        The folder holds something else, or the manifest is of a newer version.
    """

    def __init__(self, run: Path) -> None:
        self.path = run / MANIFEST_NAME
        self._fingerprints: dict[Path, dict[str, Any]] = {}
        self.value: dict[str, Any] = {"format": FORMAT, "version": FORMAT_VERSION, "stages": {}, "test_readings": []}
        if self.path.is_file():
            self.value = _read(self.path)
        elif run.is_dir() and any(not path.name.startswith(".") for path in run.iterdir()):
            raise InputError(f"{run}: the folder is not empty and not of an earlier pipeline: give another --out")

    @property
    def stages(self) -> dict[str, dict[str, Any]]:
        """Return the entries of the steps by name."""
        return self.value["stages"]

    def begin(self, recipe: PipelineRecipe, steps: list[Step]) -> None:
        """Note the recipe and the inputs."""
        self.value["recipe"] = {"path": str(recipe.path), "sha256": recipe.sha256, "content": recipe.content}
        inputs = {name: path for step in steps for read in step.reads for name, path in read.inputs.items()}
        self.value["inputs"] = {name: {"path": str(path), **self._of(path)} for name, path in inputs.items()}
        self.write()

    def forget(self, name: str, paths: Iterable[Path]) -> None:
        """Remove what a step left, and its entry; a kill meanwhile leaves an entry that nothing fits."""
        if name in self.stages:
            self.stages[name]["key"] = ""
            self.write()
        for path in paths:
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        self.stages.pop(name, None)
        self.write()

    def sort(self, names: Iterable[str]) -> None:
        """Put the entries in the order of the steps, which have all been run."""
        self.value["stages"] = {name: self.stages[name] for name in names}
        self.write()

    def write(self) -> None:
        """Bring the file up to date, atomically."""
        entries = self.stages.values()
        self.value["total"] = {
            name: round(sum(entry.get(name, 0) for entry in entries), 1) for name in ("seconds", "cpu_seconds")
        }
        write_json(self.path, self.value)

    def depends(self, step: Step) -> dict[str, Any]:
        """Return all that a step's output depends on; of the steps before, what they left when they last ran."""
        inputs = {name: self._of(path) for read in step.reads for name, path in read.inputs.items()}
        read_files: dict[str, dict[str, str]] = {}
        for read in step.reads:
            if read.step:
                left = self._left(read.step, read.place)
                chosen = {name: digest for name, digest in left.items() if not read.files or name in read.files}
                read_files.setdefault(read.step, {}).update(chosen)
        for name in step.after:
            for place in self.stages.get(name, {}).get("outputs", {}):
                read_files.setdefault(name, {}).update(self._left(name, place))
        return {
            "version": __version__,
            "command": list(step.words),
            "threads": openmp_threads(step),
            "inputs": inputs,
            "steps": read_files,
        }

    def judge(self, step: Step, pending: Collection[str] = ()) -> Verdict:
        """Return what is to be done with a step.

        Parameters
        ----------
        step : Step
        pending : names of earlier steps that are yet to run, so that nobody knows what they will leave
        """
        entry = self.stages.get(step.name)
        if entry is None:
            return Verdict(RUN, "never ran")
        depends = self.depends(step)
        waits = [name for name in step.sources() if name in pending]
        if entry["key"] != key_of(depends):
            said = changes(entry["depends"], depends, waits)
            if said or not waits:
                return Verdict(RUN, "; ".join(said) or "it was being removed")
        if waits:
            return Verdict(RUN, f"{waits[0]} runs before it; skipped if that leaves the same")
        if entry["status"] != DONE:
            return Verdict(RESUME, UNFINISHED.get(entry["status"], "it is not done"))
        if not entry.get("cleaned") and entry["outputs"] != {p: digests(path) for p, path in step.outputs.items()}:
            return Verdict(RUN, "what it left is gone or was changed")
        return Verdict(SKIP, "nothing that it depends on changed")

    def _left(self, name: str, place: str) -> dict[str, str]:
        return self.stages.get(name, {}).get("outputs", {}).get(place, {})

    def _of(self, path: Path) -> dict[str, Any]:
        if path not in self._fingerprints:
            self._fingerprints[path] = fingerprint(path)
        return self._fingerprints[path]


def plan(record: Record, steps: list[Step]) -> dict[str, Verdict]:
    """Return what would be done with every step, touching nothing."""
    verdicts: dict[str, Verdict] = {}
    for step in steps:
        pending = [name for name, verdict in verdicts.items() if verdict.action != SKIP]
        verdicts[step.name] = record.judge(step, pending)
    for step in reversed(steps):  # packs that were deleted, and are needed again
        for name in step.sources() if verdicts[step.name].action != SKIP else ():
            if needs_again(record, step, name) and verdicts[name].action == SKIP:
                verdicts[name] = Verdict(RUN, f"its packs were deleted, and {step.name} needs them")
    return verdicts


def needs_again(record: Record, step: Step, name: str) -> bool:
    """Return whether a step reads packs that were deleted; those named in `after` are read for their counts only."""
    return name not in step.after and bool(record.stages.get(name, {}).get("cleaned"))


def _read(path: Path) -> dict[str, Any]:
    value = read_json(path)
    if not isinstance(value, dict) or value.get("format") != FORMAT or not isinstance(value.get("stages"), dict):
        raise InputError(f"{path}: expected the manifest of a {FORMAT}, got something else: give another --out")
    version = value.get("version")
    if not isinstance(version, int) or version > FORMAT_VERSION:
        raise InputError(f"{path}: expected version 1 to {FORMAT_VERSION}, got {version!r}: of a newer gluon-mtcnn")
    return value
