"""The decisions of a pipeline with commands that are quick fakes; then one run of real ones, with a kill in it."""

import copy
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gluon_mtcnn.prepare_data.synthetic.dataset import SyntheticSpec, write_dataset
from gluon_mtcnn.tools.cli.main import main
from gluon_mtcnn.tools.pipeline import run as pipeline_run

RECIPE = {
    "format": 1,
    "name": "tiny",
    "about": "for tests",
    "seed": 3,
    "development_fraction": 0.25,
    "stages": [
        {
            "name": "pnet-data",
            "command": "prepare pnet {photos} --counts 300:600:300:100 --val-fraction .2 --out {out}",
        },
        {
            "name": "pnet",
            "command": "train pnet --data {pnet-data} --epochs 6 --batch-size 64 --checkpoint-seconds 0 --out {out}",
        },
        {"name": "rnet-data", "command": "prepare rnet {photos} --counts 200:400:200:60 --model {pnet} --out {out}"},
        {"name": "rnet", "command": "train rnet --data {rnet-data} --epochs 1 --batch-size 64 --out {out}"},
        {"name": "pr", "command": "assemble --pnet {pnet} --rnet {rnet} --out {out}"},
        {"name": "onet-data", "command": "prepare onet {photos} --counts 100:200:100:60 --model {pr} --out {out}"},
        {"name": "onet", "command": "train onet --data {onet-data} --epochs 1 --batch-size 64 --out {out}"},
        {"name": "cascade", "command": "assemble --pnet {pnet} --rnet {rnet} --onet {onet} --out {out}"},
        {
            "name": "thresholds",
            "command": "evaluate stages {development_photos} --model {cascade} --write-to {model} --out {out}",
        },
    ],
}
SAME = ("--resume", "--limit", "9999")  # words that change nothing of what the fake leaves
NAMES = ["photos", *(stage["name"] for stage in RECIPE["stages"]), "development", "development-landmarks", "report"]


def write_recipe(path, **edits):
    """Write the recipe, with the commands of some stages edited: ``pnet=("--epochs 6", "--epochs 8")``."""
    recipe = copy.deepcopy(RECIPE)
    for stage in recipe["stages"]:
        old, new = edits.get(stage["name"].replace("-", "_"), ("", ""))
        assert old in stage["command"]
        stage["command"] = stage["command"].replace(old, new).split() if old else stage["command"].split()
    path.write_text(json.dumps(recipe))
    return path


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    spec = SyntheticSpec(24, 1, 16, 1, 1, 1)
    paths = write_dataset(folder, spec, 0, quiet=True)
    lines = []
    for i, line in enumerate(paths.landmark_annotations.read_text().splitlines()):
        name, _, rest = line.partition(" ")
        (paths.landmark_images / name).rename(paths.landmark_images / f"person{i}x.jpg")  # each of another person
        lines.append(f"person{i}x.jpg {rest}")
    paths.landmark_annotations.write_text("\n".join(lines) + "\n")
    return paths


def words_of(data, run, recipe, *more):
    faces = ["--wider-images", data.wider_images, "--wider-annotations", data.wider_train_annotations]
    points = ["--landmark-images", data.landmark_images, "--landmark-annotations", data.landmark_annotations]
    words = ["pipeline", *faces, *points, "--out", run, "--recipe", recipe, "--quiet", "--num-workers", 1, *more]
    return [str(word) for word in words]


class FakeCommands:
    """In place of CommandRunner: leaves what the command would, its bytes a function of its words and inputs."""

    def __init__(self, fail=None):
        self.ran, self.fail = [], fail

    def __call__(self, owner, num_workers, quiet, held=()):
        self.owner = owner.rpartition(" ")[2]
        return self.run

    def run(self, *words):
        options = dict(zip(words, words[1:]))
        self.ran.append(self.owner)
        seen = hashlib.sha256(" ".join(w for w in words if "/" not in w and w not in SAME).encode())
        if words[0] == "split":
            return main([*words]) == 0
        for option in ("--data", "--model", "--pnet", "--rnet", "--onet"):
            for name in ("manifest.json", "model.json"):
                path = Path(options.get(option, "."), name)
                seen.update(path.read_bytes() if path.is_file() else b"")
        self.leave(words, Path(options["--out"]), seen.hexdigest())
        if "--write-to" in options:
            self.leave(("train", "onet"), Path(options["--write-to"]), seen.hexdigest())
        if self.owner == self.fail:
            raise KeyboardInterrupt
        return 0.0

    def leave(self, words, out, digest):
        if words[0] == "report":
            out.write_text(digest)
            return
        out.mkdir(parents=True, exist_ok=True)
        if words[0] == "prepare":
            (out / "train.rec").write_text(digest)
            sets = {"train": {"sha256": digest, "bytes": len(digest), "count": 1}}
            (out / "manifest.json").write_text(json.dumps({"format": "gluon-mtcnn pack", "sets": sets}))
        elif words[0] in ("train", "assemble"):
            (out / "pnet.params").write_text(digest)
            (out / "checkpoints").mkdir(exist_ok=True)
            model = {"nets": {"pnet": {"sha256": digest}}, "thresholds": [0.6, 0.7, 0.7], "calibration": "x"}
            (out / "model.json").write_text(json.dumps(model))
        else:
            (out / "result.json").write_text(json.dumps(digest))


@pytest.fixture
def commands(monkeypatch):
    fake = FakeCommands()
    monkeypatch.setattr(pipeline_run, "CommandRunner", fake)
    return fake


def manifest(run):
    return json.loads((run / "manifest.json").read_text())


def tree(folder):
    return {path: (path.stat().st_mtime_ns, path.is_file() and path.read_bytes()) for path in folder.rglob("*")}


def plan(words, capsys):
    """Return what --dry-run says: dict of stage to (action, why)."""
    capsys.readouterr()
    assert main([*words, "--dry-run"]) == 0
    lines = [line.split(None, 2) for line in capsys.readouterr().out.splitlines()]
    return {name: (action, why) for action, name, why in lines}


def test_a_run_and_what_its_manifest_says(data, commands, tmp_path, capsys):
    words = words_of(data, tmp_path / "run", write_recipe(tmp_path / "recipe.json"))
    assert set(plan(words, capsys).values()) == {("run", "never ran")}
    assert not (tmp_path / "run").exists()
    assert main(words) == 0
    assert commands.ran == NAMES
    said = capsys.readouterr().out
    assert [line.split()[0] for line in said.splitlines()[-len(NAMES) - 2 :]] == ["stage", *NAMES, "all"]
    value = manifest(tmp_path / "run")
    assert (value["format"], value["version"]) == ("gluon-mtcnn pipeline", 1)
    assert value["recipe"]["content"]["name"] == "tiny"
    assert set(value["inputs"]) == {"wider-images", "wider-annotations", "landmark-images", "landmark-annotations"}
    entry = value["stages"]["pnet"]
    assert entry["status"] == "done"
    assert entry["command"][-2:] == ["--seed", "3"]
    assert list(entry["outputs"]["out"]) == ["pnet.params", "thresholds", "calibration"]
    assert {"seconds", "cpu_seconds", "started", "ended", "bytes", "result", "key"} <= set(entry)
    assert value["test_readings"] == []
    commands.ran.clear()
    assert main(words) == 0
    assert commands.ran == []


def test_a_dry_run_touches_nothing(data, commands, tmp_path, capsys):
    words = words_of(data, tmp_path / "run", write_recipe(tmp_path / "recipe.json"))
    assert main(words) == 0
    before = tree(tmp_path)
    assert {action for action, _ in plan(words, capsys).values()} == {"skip"}
    assert tree(tmp_path) == before


def test_an_edited_stage_runs_and_what_depends_on_it(data, commands, tmp_path, capsys):
    recipe = tmp_path / "recipe.json"
    words = words_of(data, tmp_path / "run", write_recipe(recipe))
    assert main(words) == 0
    write_recipe(recipe, onet=("--epochs 1", "--epochs 2 --lr .1"))
    said = plan(words, capsys)
    assert said["onet"] == ("run", "its command changed: --epochs 1 -> 2, --lr .1 added")
    assert said["cascade"] == ("run", "onet runs before it; skipped if that leaves the same")
    assert said["onet-data"][0] == said["pnet"][0] == "skip"
    commands.ran.clear()
    assert main(words) == 0
    assert commands.ran == NAMES[NAMES.index("onet") :]
    # Packs that come out the same spare what is trained on them.
    write_recipe(recipe, onet=("--epochs 1", "--epochs 2 --lr .1"), rnet_data=("--model", "--limit 9999 --model"))
    commands.ran.clear()
    assert main(words) == 0
    assert commands.ran == ["rnet-data"]


def test_other_photos_seeds_and_lost_files(data, commands, tmp_path, capsys, monkeypatch):
    words = words_of(data, tmp_path / "run", write_recipe(tmp_path / "recipe.json"))
    assert main(words) == 0
    assert plan([*words, "--seed", "4"], capsys)["pnet"] == ("run", "its command changed: --seed 3 -> 4")
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    assert plan(words, capsys)["pnet"][1].endswith("-> 7")
    monkeypatch.undo()
    monkeypatch.setattr(pipeline_run, "CommandRunner", commands)
    extra = data.wider_images / "extra.jpg"
    extra.write_bytes(b"1")
    try:
        said = plan(words, capsys)
    finally:
        extra.unlink()
    assert said["photos"][0] == "skip"  # of the lists alone
    assert said["pnet-data"] == ("run", "another --wider-images (24 -> 25 files)")
    (tmp_path / "run" / "stages" / "rnet-data" / "train.rec").unlink()
    (tmp_path / "run" / "model" / "pnet.params").unlink()
    said = plan(words, capsys)
    assert said["rnet-data"] == ("run", "what it left is gone or was changed")
    assert said["rnet"] == ("run", "rnet-data runs before it; skipped if that leaves the same")
    commands.ran.clear()
    assert main(words) == 0
    assert commands.ran == ["rnet-data", "thresholds"]  # they left the same


def test_ctrl_c_and_resume(data, commands, tmp_path, capsys):
    words = words_of(data, tmp_path / "run", write_recipe(tmp_path / "recipe.json"))
    commands.fail = "rnet"
    assert main(words) == 130
    assert manifest(tmp_path / "run")["stages"]["rnet"]["status"] == "interrupted"
    assert plan(words, capsys)["rnet"] == ("resume", "it was interrupted")
    kept = tmp_path / "run" / "stages" / "rnet" / "kept"
    kept.touch()
    commands.fail = None
    commands.ran.clear()
    assert main(words) == 0
    assert commands.ran == NAMES[NAMES.index("rnet") :]
    assert manifest(tmp_path / "run")["stages"]["rnet"]["command"][-1] == "--resume"
    assert kept.exists()
    commands.fail = "rnet"
    write_recipe(tmp_path / "recipe.json", rnet=("--epochs 1", "--epochs 2"))
    assert main(words) == 130
    assert not kept.exists()  # a changed stage begins anew


def test_packs_are_deleted_and_made_again(data, commands, tmp_path, capsys):
    recipe = tmp_path / "recipe.json"
    words = [*words_of(data, tmp_path / "run", write_recipe(recipe)), "--clean"]
    assert main(words) == 0
    assert not list(tmp_path.rglob("*.rec"))
    commands.ran.clear()
    assert main(words) == 0
    assert commands.ran == []
    write_recipe(recipe, onet=("--epochs 1", "--epochs 2"))
    assert plan(words, capsys)["onet-data"] == ("run", "its packs were deleted, and onet needs them")
    assert main(words) == 0
    assert commands.ran[:3] == ["onet-data", "onet", "cascade"]
    assert not list(tmp_path.rglob("*.rec"))


def test_test_photos_are_read_at_the_end_and_noted(data, commands, tmp_path, capsys):
    words = words_of(data, tmp_path / "run", write_recipe(tmp_path / "recipe.json"))
    assert main(words) == 0
    truth = tmp_path / "truth"
    truth.mkdir()
    (truth / "wider_face_val.mat").write_text("x")
    test = ["--test-wider-images", str(data.wider_val_images), "--test-ground-truth", str(truth)]
    said = plan([*words, *test], capsys)
    assert said["development"] == ("remove", "no stage any more")
    assert said["test-wider"] == ("run", "never ran")
    commands.ran.clear()
    assert main([*words, *test]) == 0
    assert commands.ran == ["test-wider", "report"]
    assert not (tmp_path / "run" / "stages" / "development").exists()
    readings = manifest(tmp_path / "run")["test_readings"]
    assert [reading["stage"] for reading in readings] == ["test-wider", "report"]
    assert readings[0]["command"][:2] == ["evaluate", "wider"]


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (("--epochs 6", "--epochs six"), "stage pnet: gluon-mtcnn train: argument --epochs: invalid"),
        (("--epochs 6", "--epoks 6"), "stage pnet: gluon-mtcnn train: unrecognized arguments: --epoks 6"),
    ],
)
def test_options_are_looked_at_first(edit, message, data, tmp_path, capsys):
    assert main(words_of(data, tmp_path / "run", write_recipe(tmp_path / "recipe.json", pnet=edit))) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert message in err
    assert not (tmp_path / "run").exists()


def test_folders_and_options_that_are_refused(data, tmp_path, capsys):
    run, recipe = tmp_path / "run", write_recipe(tmp_path / "recipe.json")
    run.mkdir()
    words = words_of(data, run, recipe)

    def refused(*more):
        assert main([*words, *more]) == 2
        return capsys.readouterr().err

    (run / "mine.txt").touch()
    assert "the folder is not empty and not of an earlier pipeline: give another --out" in refused()
    (run / "manifest.json").write_text('{"format": "gluon-mtcnn pack"}')
    assert "expected the manifest of a gluon-mtcnn pipeline" in refused()
    (run / "manifest.json").write_text('{"format": "gluon-mtcnn pipeline", "version": 2, "stages": {}}')
    assert "expected version 1 to 1, got 2: of a newer gluon-mtcnn" in refused("--dry-run")
    assert "--test-wider-images and --test-ground-truth: expected both" in refused("--test-ground-truth", str(run))
    assert "--test-image-list: expected --test-wider-images as well" in refused("--test-image-list", str(recipe))
    assert "folder of landmark images not found" in refused("--landmark-images", str(tmp_path / "none"))


def test_real_commands_through_a_kill(data, checkout, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    run, recipe = tmp_path / "run", write_recipe(tmp_path / "recipe.json")
    words = words_of(data, run, recipe)
    environment = {**os.environ, "PYTHONPATH": str(checkout)}
    command = [sys.executable, "-W", "ignore", "-m", "gluon_mtcnn", *words]
    killed = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    checkpoints = run / "stages" / "pnet" / "checkpoints" / "pnet"
    while not any(path.name[0] != "." and path.name != "run.json" for path in checkpoints.glob("*")):
        assert killed.poll() is None
        time.sleep(0.02)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    assert manifest(run)["stages"]["pnet"]["status"] == "running"
    result = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    stages = manifest(run)["stages"]
    assert [stages[name]["status"] for name in NAMES] == ["done"] * len(NAMES)
    assert "pnet: resume: it was killed" in result.stderr
    assert "resuming at epoch" in result.stderr
    assert stages["pnet"]["command"][-1] == "--resume"
    assert stages["onet"]["cpu_seconds"] > 0
    assert json.loads((run / "model" / "model.json").read_text())["nets"].keys() == {"pnet", "rnet", "onet"}
    assert set(json.loads((run / "model" / "summary.json").read_text())["nets"]) == {"pnet", "rnet", "onet"}
    page = (run / "report.html").read_text()
    for name in ("stages/pnet-data/val", "model: rnet", "stages/development", "stages/thresholds"):
        assert name in page
    assert "stages/rnet: rnet" not in page  # told of with the model
    assert {action for action, _ in plan(words, capsys).values()} == {"skip"}
