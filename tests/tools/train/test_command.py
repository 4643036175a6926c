"""``gluon-mtcnn train``, through the command line."""

import csv
import dataclasses
import hashlib
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from gluon_mtcnn.core.backend.runtime import mx
from gluon_mtcnn.core.convert.seanlinx import load_seanlinx
from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.core.nets.batch_norm import attached
from gluon_mtcnn.core.nets.model_folder import load_model
from gluon_mtcnn.core.packs.pack import Pack, PackWriter
from gluon_mtcnn.core.training.checkpoint import run_record_path
from gluon_mtcnn.core.training.config import default_config
from gluon_mtcnn.core.training.learner import Learner
from gluon_mtcnn.core.training.trainer import Trainer
from gluon_mtcnn.tools.cli.main import main
from gluon_mtcnn.tools.train.configure import make_loader

SIZES = {"pnet": 12, "rnet": 24, "onet": 48}


def write_set(folder, name, count, size, seed, landmarks=True, **metadata):
    """Write samples whose faces have a bright middle."""
    rng = np.random.default_rng(seed)
    labels = rng.choice([1, 0, -1, -2 if landmarks else 0], count, p=[0.25, 0.45, 0.15, 0.15])
    images = rng.integers(0, 100, (count, size, size, 3), dtype=np.uint8)
    middle = slice(size // 4, -(size // 4))
    images[:, middle, middle][labels != 0] += 100
    rows = rng.uniform(-0.2, 0.2, (count, 15)).astype(np.float32)
    rows[:, 0] = labels
    with PackWriter(folder, name, size, metadata=metadata) as writer:
        writer.append(images, rows)


@pytest.fixture(scope="module")
def packs(tmp_path_factory):
    """Return the folder of each net's pack: 400 samples, and 120 to validate on."""
    folders = {net: tmp_path_factory.mktemp(net) for net in SIZES}
    for net, folder in folders.items():
        count = 400 if net == "pnet" else 100
        write_set(folder, "train", count, SIZES[net], 0, landmarks=net != "rnet")
        write_set(folder, "val", 120 if net == "pnet" else 40, SIZES[net], 1, landmarks=net != "rnet")
    return folders


def train(net, data, out, *options):
    return main(["train", net, "--data", str(data), "--out", str(out), "--quiet", *map(str, options)])


def read_json(path):
    return json.loads(Path(path).read_text(), parse_constant=lambda text: pytest.fail(f"{text} is not JSON"))


def digest(path):
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def test_three_nets_share_one_folder(packs, tmp_path):
    for net in SIZES:
        assert train(net, packs[net], tmp_path, "--epochs", 2, "--batch-size", 50) == 0
    model = load_model(tmp_path)
    assert list(model.nets) == ["pnet", "rnet", "onet"]
    assert [net.spec.landmarks for net in model.nets.values()] == [True, False, True]
    with open(tmp_path / "history.csv") as file:
        rows = list(csv.DictReader(file))
    assert [(row["net"], row["epoch"]) for row in rows] == [(n, e) for n in SIZES for e in "12"]
    assert (tmp_path / "history.png").read_bytes()[:4] == b"\x89PNG"
    summary = read_json(tmp_path / "summary.json")
    assert summary["net"] == "onet"
    assert list(summary["nets"]) == list(SIZES)
    lowest = min(float(row["val_calibrated_loss"]) for row in rows[:2])
    assert summary["nets"]["pnet"]["val_calibrated_loss"] == pytest.approx(lowest)
    for name in ("val_mean_accuracy", "val_recall_at_precision", "val_box_error", "samples_per_second", "seconds"):
        assert summary[name] >= 0
    assert summary["threads"] >= 1
    assert summary["versions"]["mxnet"] == "1.9.1"
    assert summary["classes"]["landmark"] > 0
    assert summary["nets"]["rnet"]["val_landmark_error"] is None
    for net in SIZES:
        assert len(list((tmp_path / "checkpoints" / net).glob("step-*.npz"))) == 2
    assert not [p for p in tmp_path.rglob("*.tmp")]


def test_the_same_seed_gives_the_same_bytes(packs, tmp_path):
    for out, seed in (("a", 3), ("b", 3), ("c", 4)):
        assert train("pnet", packs["pnet"], tmp_path / out, "--epochs", 1, "--seed", seed) == 0
    a, b, c = ([digest(tmp_path / out / name) for name in ("pnet.params", "model.json")] for out in "abc")
    assert a == b
    assert a[0] != c[0]


def test_options_reach_the_run(packs, tmp_path):
    options = "--epochs 1 --no-landmarks --optimizer adamw --lr 0.001 --wd 0.02 --ohem 1 --loss-weights 1,2,0.5"
    options += (
        " --regression smooth_l1 --ratio 1:2:1:0 --epoch-size 100 --augment full --schedule step --devices cpu:0,cpu:1"
    )
    options += " --kvstore local --warmup 3 --seed 5 --turn 12 --erase .2 --batch-norm"
    assert train("pnet", packs["pnet"], tmp_path, *options.split()) == 0
    config = read_json(run_record_path(tmp_path, "pnet"))["config"]
    expected = {
        "landmarks": False,
        "optimizer": "adamw",
        "lr": 0.001,
        "wd": 0.02,
        "ratio": [1, 2, 1, 0],
        "epoch_size": 100,
        "augment": "full",
        "schedule": "step",
        "devices": 2,
        "kvstore": "local",
        "warmup": 3,
        "seed": 5,
        "turn": 12,
        "erase": 0.2,
        "batch_norm": True,
    }
    assert {name: config[name] for name in expected} == expected
    assert config["loss"] == {"weights": [1, 2, 0.5], "ohem": 1, "regression": "smooth_l1", "reduction": "sum"}
    assert not load_model(tmp_path).nets["pnet"].spec.landmarks


def test_fine_tuning_keeps_what_is_frozen(packs, tmp_path):
    assert train("pnet", packs["pnet"], tmp_path / "a", "--epochs", 1) == 0
    options = ("--pretrained", tmp_path / "a", "--freeze", "stage*", "--epochs", 1, "--no-landmarks")
    assert train("pnet", packs["pnet"], tmp_path / "b", *options) == 0
    before, after = (load_model(tmp_path / x).nets["pnet"]._collect_params_with_prefix() for x in "ab")
    for name, parameter in after.items():
        same = (parameter.data().asnumpy() == before[name].data().asnumpy()).all()
        assert same == name.startswith("stage"), name


def test_without_a_validation_pack_the_last_epoch_is_kept(packs, tmp_path, caplog):
    write_set(tmp_path / "data", "train", 60, 12, 0)
    assert train("pnet", tmp_path / "data", tmp_path / "out", "--epochs", 2) == 0
    assert "no val.rec" in caplog.text
    assert read_json(tmp_path / "out" / "summary.json")["best_epoch"] == 2


def test_validation_on_another_folder(packs, tmp_path):
    write_set(tmp_path / "data", "train", 60, 12, 0)
    assert train("pnet", tmp_path / "data", tmp_path / "out", "--epochs", 1, "--val-data", packs["pnet"]) == 0
    assert read_json(tmp_path / "out" / "summary.json")["val_loss"] > 0


def test_several_packs_are_used_as_one(packs, tmp_path, capsys):
    write_set(tmp_path / "more", "train", 60, 12, 7)
    both = ("--data", packs["pnet"], tmp_path / "more")
    assert train("pnet", packs["pnet"], tmp_path / "out", "--epochs", 1, *both) == 0
    summary = read_json(tmp_path / "out" / "summary.json")
    assert sum(summary["classes"].values()) == 460
    assert summary["val_loss"] > 0  # of the first pack's val.rec
    assert train("pnet", packs["pnet"], tmp_path / "out", "--epochs", 1, "--resume", *both[:2]) == 2
    assert "train_pack" in capsys.readouterr().err
    assert train("pnet", packs["pnet"], tmp_path / "out", *both, packs["rnet"]) == 2
    assert "expected images of 12 px as before, got 24 px" in capsys.readouterr().err


def test_resuming_a_finished_run_changes_nothing(packs, tmp_path):
    assert train("pnet", packs["pnet"], tmp_path, "--epochs", 1) == 0
    before = digest(tmp_path / "pnet.params")
    assert train("pnet", packs["pnet"], tmp_path, "--epochs", 1, "--resume") == 0
    assert digest(tmp_path / "pnet.params") == before
    assert read_json(tmp_path / "summary.json")["epochs"] == 1


def test_resuming_with_other_options_or_data_is_refused(packs, tmp_path, capsys):
    write_set(tmp_path / "data", "train", 60, 12, 0)
    assert train("pnet", tmp_path / "data", tmp_path / "out", "--epochs", 1) == 0
    assert train("pnet", tmp_path / "data", tmp_path / "out", "--epochs", 1, "--lr", 0.5, "--resume") == 2
    assert "config.lr was 0.02 and is now 0.5" in capsys.readouterr().err
    write_set(tmp_path / "data", "train", 60, 12, 9)
    assert train("pnet", tmp_path / "data", tmp_path / "out", "--epochs", 1, "--resume") == 2
    error = capsys.readouterr().err
    assert "cannot resume: train_pack was" in error
    assert error.count("\n") == 1


def test_a_net_torn_by_a_kill_is_written_anew_on_resuming(tmp_path):
    """The kill came after the new weights and before their entry in model.json."""
    write_set(tmp_path / "data", "train", 60, 12, 0)
    assert train("pnet", tmp_path / "data", tmp_path, "--epochs", 2) == 0
    good = digest(tmp_path / "pnet.params")
    newest = max((tmp_path / "checkpoints" / "pnet").glob("step-*.npz"))
    newest.unlink()
    (tmp_path / "pnet.params").write_bytes(b"something else")
    (tmp_path / ".pnet.params.999999999.tmp").write_bytes(b"half")
    assert train("pnet", tmp_path / "data", tmp_path, "--epochs", 2, "--resume") == 0
    assert not list(tmp_path.rglob("*.tmp"))
    assert digest(tmp_path / "pnet.params") == good
    load_model(tmp_path)


def test_resume_without_a_checkpoint_starts_at_the_beginning(packs, tmp_path, caplog):
    assert train("pnet", packs["pnet"], tmp_path, "--epochs", 1, "--resume") == 0
    assert "no checkpoint to resume from" in caplog.text
    assert load_model(tmp_path).nets


def test_seanlinx_checkpoints(packs, tmp_path):
    prefix = tmp_path / "old" / "rnet"
    assert train("rnet", packs["rnet"], tmp_path, "--epochs", 2, "--seanlinx-checkpoints", prefix) == 0
    names = sorted(path.name for path in prefix.parent.iterdir())
    assert names == ["rnet-0001.params", "rnet-0002.params", "rnet-symbol.json"]
    best = load_model(tmp_path)
    epoch = read_json(tmp_path / "summary.json")["best_epoch"]
    old = load_seanlinx({"rnet": prefix}, {"rnet": epoch}).nets["rnet"]._collect_params_with_prefix()
    for name, parameter in best.nets["rnet"]._collect_params_with_prefix().items():
        np.testing.assert_array_equal(parameter.data().asnumpy(), old[name].data().asnumpy(), err_msg=name)


def test_tensorboard_logs(packs, tmp_path):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    data, rows = packs["pnet"], []
    assert train("pnet", data, tmp_path, "--epochs", 1) == 0
    assert train("pnet", data, tmp_path, "--epochs", 2) == 0  # anew: the first run's files go
    events = accumulator.EventAccumulator(str(tmp_path / "tensorboard" / "pnet")).Reload()
    with open(tmp_path / "history.csv") as file:
        rows = list(csv.DictReader(file))
    assert {"loss/train", "loss/val", "lr", "samples_per_second", "box_error/val"} <= set(events.Tags()["scalars"])
    for tag, name in (("loss/val", "val_loss"), ("lr", "lr")):
        assert [event.step for event in events.Scalars(tag)] == [1, 2]
        assert [event.value for event in events.Scalars(tag)] == pytest.approx([float(r[name]) for r in rows], abs=1e-6)


def test_without_tensorboard(packs, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    assert train("pnet", packs["pnet"], tmp_path, "--epochs", 1) == 0
    assert not (tmp_path / "tensorboard").exists()


def test_sanity(packs, tmp_path, capsys):
    assert train("pnet", packs["pnet"], tmp_path, "--sanity") == 0
    result = json.loads(capsys.readouterr().out)
    assert result["passed"]
    assert result["box_error"] < 0.02
    assert not list(tmp_path.iterdir())


def test_a_broken_loss_is_one_line_and_code_1(packs, tmp_path, caplog):
    assert train("pnet", packs["pnet"], tmp_path, "--epochs", 1, "--lr", "1e9") == 1
    assert "epoch 1, batch" in caplog.records[-1].getMessage()
    assert not (tmp_path / "pnet.params").exists()


@pytest.mark.parametrize(
    ("net", "options", "message"),
    [
        ("rnet", [], "rnet needs images of 24 px, got 12 px"),
        ("pnet", ["--val-data", "nowhere"], "pack not found"),
        ("pnet", ["--freeze", "fc.*"], "'fc.*' matches no parameter of pnet"),
        ("pnet", ["--pretrained", "nowhere"], "not a model folder"),
        ("pnet", ["--devices", "tpu"], "expected cpu, cpu:0,cpu:1"),
        ("pnet", ["--kvstore", "ring"], "expected one of local, device"),
        ("pnet", ["--ohem", "1.5"], "ohem must be in (0, 1], but got 1.5"),
        ("pnet", ["--threads", "77"], "cannot change to 77"),
        ("pnet", ["--amp"], "amp: MXNet computes with float16 on GPUs only"),
        ("pnet", ["--kvstore", "dist_sync"], "dist_sync needs gluon-mtcnn launch"),
    ],
)
def test_bad_input_is_one_line_and_code_2(packs, tmp_path, capsys, net, options, message):
    assert train(net, packs["pnet"], tmp_path, *options) == 2
    error = capsys.readouterr().err.strip()
    assert message in error
    assert "\n" not in error


def test_packs_that_hold_their_mirrors(tmp_path, caplog):
    """Points that were mirrored about where their list has them are not to be mirrored again."""
    write_set(tmp_path / "data", "train", 60, 48, 0, recipe={"landmark_shift": 0.8})
    options = ("--epochs", 1, "--augment", "strong")
    assert train("onet", tmp_path / "data", tmp_path / "out", *options) == 0
    assert "train.rec: made with --landmark-shift 0.8: give --no-landmark-mirror" in caplog.text
    caplog.clear()
    assert train("onet", tmp_path / "data", tmp_path / "out", *options, "--no-landmark-mirror") == 0
    assert "--landmark-shift" not in caplog.text
    config = read_json(run_record_path(tmp_path / "out", "onet"))["config"]
    assert (config["augment"], config["mirror_landmarks"]) == ("strong", False)


def test_a_run_of_before_an_option_was_there_resumes(packs, tmp_path):
    """What is not used is not in the run's record: it would be compared with records that cannot have it."""
    assert train("onet", packs["onet"], tmp_path, "--epochs", 1) == 0
    config = read_json(run_record_path(tmp_path, "onet"))["config"]
    assert not {"mirror_landmarks", "turn", "erase", "batch_norm"} & set(config)


@pytest.mark.parametrize("net", SIZES)
def test_normalised_batches_leave_an_ordinary_net(packs, tmp_path, net):
    """What is kept is the function that was validated; going on from it begins there, on two devices as on one."""
    options = ("--batch-norm", "--epochs", 2, "--batch-size", 50, "--lr", 0.01)
    assert train(net, packs[net], tmp_path / "first", *options) == 0
    kept = load_model(tmp_path / "first").nets[net]
    assert not attached(kept)
    config = default_config(net, landmarks=kept.spec.landmarks)
    validation = make_loader(Pack(packs[net], "val"), config, training=False)
    figures = Trainer(Learner(kept, config, [mx.cpu()]), validation, validation).validate()
    best = read_json(tmp_path / "first" / "summary.json")
    for name in ("log_loss", "box_error"):
        assert figures[name] == pytest.approx(best[f"val_{name}"], rel=1e-4)
    further = ("--pretrained", tmp_path / "first", "--lr", 1e-9, "--devices", "cpu:0,cpu:1")
    assert train(net, packs[net], tmp_path / "second", *options[:-2], *further) == 0
    again = read_json(tmp_path / "second" / "summary.json")
    assert again["val_log_loss"] == pytest.approx(best["val_log_loss"], rel=0.1)


def test_turned_and_otherwise_as_they_are(packs):
    config = default_config("onet", augment="none")
    pack = Pack(packs["onet"])
    plain, turned = (
        make_loader(pack, dataclasses.replace(config, turn=degrees), training=True).batch(0, 0) for degrees in (0, 20)
    )
    assert np.array_equal(plain.records, turned.records)
    assert not np.array_equal(plain.data, turned.data)
    with pytest.raises(InputError, match="turn: expected 0 to 45, got 46"):
        make_loader(pack, dataclasses.replace(config, turn=46), training=True)


def test_landmarks_need_landmark_samples(packs, tmp_path, capsys):
    assert train("rnet", packs["rnet"], tmp_path, "--landmarks") == 2
    assert "--landmarks needs landmark samples" in capsys.readouterr().err


@pytest.mark.parametrize(
    "option", [["--lr", "0"], ["--ratio", "1:3"], ["--epochs", "0"], ["--loss-weights", "1,-1,1"], ["--erase", "2"]]
)
def test_bad_usage_exits_2(packs, tmp_path, option):
    with pytest.raises(SystemExit) as caught:
        train("pnet", packs["pnet"], tmp_path, *option)
    assert caught.value.code == 2


def test_missing_pack(tmp_path, capsys):
    assert train("pnet", tmp_path / "nowhere", tmp_path) == 2
    assert "nowhere: folder of the training pack not found" in capsys.readouterr().err
    assert train("pnet", tmp_path, tmp_path / "out") == 2
    assert "train.rec: pack not found" in capsys.readouterr().err


def start(data, out, *options):
    command = [sys.executable, "-m", "gluon_mtcnn", "train", "pnet", "--data", str(data), "--out", str(out)]
    command += ["--epochs", "3", "--batch-size", "32", "--quiet", "--threads", "1", *options]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=Path(__file__).parents[3])


def killed_and_resumed(data, out, kills, *options):
    """Return the last checkpoint and best weights of a run that was killed after each of these numbers of steps."""
    for after in kills:
        run = start(data, out, "--resume", "--checkpoint-seconds", "0", *options)
        folder = Path(out) / "checkpoints" / "pnet"
        deadline = time.monotonic() + 120
        while run.poll() is None and time.monotonic() < deadline:
            steps = [int(p.stem.split("-")[1]) for p in folder.glob("step-*.npz")]
            if steps and max(steps) >= after:
                break
            time.sleep(0.002)
        run.send_signal(signal.SIGKILL)
        error = run.communicate()[1]
        assert run.returncode == -signal.SIGKILL, error
    return finish(data, out, "--resume", *options)


def finish(data, out, *options):
    run = start(data, out, *options)
    error = run.communicate(timeout=300)[1]
    assert run.returncode == 0, error
    newest = max((Path(out) / "checkpoints" / "pnet").glob("step-*.npz"))
    with np.load(newest) as file:
        arrays = {name: file[name] for name in file.files if name != "head"}
    assert not list(Path(out).rglob("*.tmp"))
    return newest.name, arrays, (Path(out) / "pnet.params").read_bytes()


def check_same_end(one, other):
    assert one[0] == other[0]
    assert one[1].keys() == other[1].keys()
    for name, array in one[1].items():
        np.testing.assert_array_equal(other[1][name], array, err_msg=name)
    assert one[2] == other[2]


@pytest.mark.parametrize("options", [(), ("--batch-norm",)], ids=["plain", "batch norm"])
def test_a_killed_run_ends_with_the_same_bits(packs, tmp_path, options):
    """13 batches an epoch, 39 in all; the kill comes while checkpoints are being written."""
    whole = finish(packs["pnet"], tmp_path / "whole", *options)
    check_same_end(whole, killed_and_resumed(packs["pnet"], tmp_path / "killed", [17], *options))


@pytest.mark.slow
def test_a_run_killed_five_times_ends_with_the_same_bits(packs, tmp_path):
    rng = np.random.default_rng(24)
    kills = sorted(rng.choice(np.arange(1, 37), 5, replace=False).tolist())
    whole = finish(packs["pnet"], tmp_path / "whole")
    check_same_end(whole, killed_and_resumed(packs["pnet"], tmp_path / f"killed{kills}", kills))
