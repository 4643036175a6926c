"""Training as a function: options in, a result out, in a process in which MXNet already runs."""

import csv
import json
import math
import subprocess
import sys

import numpy as np
import pytest

from gluon_mtcnn.core.backend.runtime import mx
from gluon_mtcnn.core.errors import InputError, NonFiniteLossError
from gluon_mtcnn.core.packs.pack import PackWriter
from gluon_mtcnn.core.training.config import TrainConfig
from gluon_mtcnn.tools.cli.main import main
from gluon_mtcnn.tools.train.options import OF_THE_RUN, TrainOptions
from gluon_mtcnn.tools.train.run import sanity, train


@pytest.fixture(scope="module")
def pack(tmp_path_factory):
    """Return a folder with 200 samples and 60 to validate on."""
    folder = tmp_path_factory.mktemp("pack")
    for name, count, seed in (("train", 200, 0), ("val", 60, 1)):
        rng = np.random.default_rng(seed)
        labels = rng.choice([1, 0, -1, -2], count, p=[0.25, 0.45, 0.15, 0.15])
        images = rng.integers(0, 100, (count, 12, 12, 3), dtype=np.uint8)
        images[:, 3:-3, 3:-3][labels != 0] += 100
        rows = rng.uniform(-0.2, 0.2, (count, 15)).astype(np.float32)
        rows[:, 0] = labels
        with PackWriter(folder, name, 12) as writer:
            writer.append(images, rows)
    return folder


def test_the_function_leaves_what_the_command_leaves(pack, tmp_path):
    changed = {"epochs": 2, "batch_size": 50, "lr": 0.01, "loss_weights": [1, 0.5, 0.25], "regression": "smooth_l1"}
    result = train(TrainOptions("pnet", pack, tmp_path / "function", quiet=True, **changed))
    words = ["--epochs", "2", "--batch-size", "50", "--lr", "0.01", "--loss-weights", "1,.5,.25"]
    words += ["--regression", "smooth_l1", "--quiet"]
    assert main(["train", "pnet", "--data", str(pack), "--out", str(tmp_path / "command"), *words]) == 0
    for name in ("pnet.params", "checkpoints/pnet/run.json"):
        one, other = (tmp_path / folder / name for folder in ("function", "command"))
        assert one.read_bytes() == other.read_bytes()
    summary = json.loads((tmp_path / "function" / "summary.json").read_text())
    assert result.summary == summary["nets"]["pnet"]
    assert result.folder == tmp_path / "function"
    assert result.metrics["loss"] == summary["val_loss"]
    assert (result.best_epoch, result.seconds) == (summary["best_epoch"], summary["seconds"])
    with open(tmp_path / "function" / "history.csv") as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in result.history] == [int(row["epoch"]) for row in rows] == [1, 2]


def test_a_resumed_run_has_its_whole_history(pack, tmp_path):
    train(TrainOptions("pnet", pack, tmp_path, epochs=1, quiet=True))
    result = train(TrainOptions("pnet", [pack], tmp_path, epochs=1, quiet=True, resume=True))
    assert len(result.history) == result.best_epoch == 1
    assert result.samples_per_second > 0


def test_sanity(pack, tmp_path):
    result = sanity(TrainOptions("pnet", pack, tmp_path))
    assert result.passed
    assert result.samples == 20
    assert result.metrics["box_error"] < 0.02
    assert not list(tmp_path.iterdir())


def test_a_broken_loss_is_raised(pack, tmp_path):
    with pytest.raises(NonFiniteLossError, match="epoch 1"):
        train(TrainOptions("pnet", pack, tmp_path, epochs=1, lr=1e9, quiet=True))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"net": "qnet"}, "net: expected one of pnet, rnet, onet, got 'qnet'"),
        ({"augment": "wild"}, "augment: expected one of none, mirror, full, strong, got 'wild'"),
        ({"cell": 13}, "cell: expected one of 12, 20, got 13"),
        ({"epochs": 0}, "epochs: expected a finite number above 0, got 0"),
        ({"lr": math.nan}, "lr: expected a finite number above 0, got nan"),
        ({"wd": -1}, "wd: expected a finite number at least 0, got -1"),
        ({"ratio": (1, 3)}, r"ratio: expected 4 numbers of at least 0, got \(1, 3\)"),
        ({"loss_weights": (0, 0, 0)}, "loss_weights: expected 3 numbers"),
    ],
)
def test_bad_values_are_refused_at_once(changed, message):
    with pytest.raises(InputError, match=f"train: {message}"):
        TrainOptions(**{"net": "pnet", "data": "packs", "out": "out", **changed})


def test_what_cannot_be_used_is_refused_by_the_run(pack, tmp_path):
    with pytest.raises(InputError, match="nowhere: folder of the training pack not found"):
        train(TrainOptions("pnet", "nowhere", tmp_path))
    with pytest.raises(InputError, match="train rnet: expected no --cell"):
        train(TrainOptions("rnet", pack, tmp_path, cell=12))
    with pytest.raises(InputError, match="MXNet already runs"):
        train(TrainOptions("pnet", pack, tmp_path, threads=77))
    assert mx.__version__


def test_options_reach_the_configuration_by_their_names():
    """A field that both have and that is not the run's own is passed on as it is."""
    options = TrainOptions("pnet", "packs", "out", erase=0.25, freeze="stage1.*", warmup=0)
    changes = options.config_changes()
    assert (changes["erase"], changes["freeze"], changes["warmup"], changes["lr"]) == (0.25, "stage1.*", 0, None)
    assert not set(OF_THE_RUN) & set(changes)
    assert set(changes) <= set(TrainConfig.__dataclass_fields__)


def test_options_and_function_are_imported_without_mxnet(checkout):
    code = (
        "import sys; sys.modules['mxnet'] = None; import gluon_mtcnn.tools.train.run, gluon_mtcnn.tools.train.command"
    )
    ran = subprocess.run([sys.executable, "-c", code], cwd=checkout, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
