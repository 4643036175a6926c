"""``gluon-mtcnn launch``: real parameter servers on the loopback, and what is left after every kind of end."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from gluon_mtcnn.core.nets.model_folder import load_model
from gluon_mtcnn.core.packs.pack import PackWriter
from gluon_mtcnn.tools.cli.main import main

CHECKOUT = Path(__file__).parents[3]
QUICK = ("--dead-seconds", "8")  # a loaded machine may take some seconds to start Python


@pytest.fixture(scope="module")
def pack(tmp_path_factory):
    """Return a folder with 400 samples and 60 to validate on."""
    folder = tmp_path_factory.mktemp("pack")
    for name, count, seed in (("train", 400, 0), ("val", 60, 1)):
        rng = np.random.default_rng(seed)
        labels = rng.choice([1, 0, -1, -2], count, p=[0.25, 0.45, 0.15, 0.15])
        images = rng.integers(0, 100, (count, 12, 12, 3), dtype=np.uint8)
        images[:, 3:-3, 3:-3][labels != 0] += 100
        rows = rng.uniform(-0.2, 0.2, (count, 15)).astype(np.float32)
        rows[:, 0] = labels
        with PackWriter(folder, name, 12) as writer:
            writer.append(images, rows)
    return folder


def command(pack, out, *options, epochs=2, launch=("-n", 2), **_):
    train = ["train", "pnet", "--data", pack, "--out", out, "--epochs", epochs, "--batch-size", 64, *options]
    return [sys.executable, "-W", "ignore", "-m", "gluon_mtcnn", "launch", *launch, "--", *train]


class Launch:
    """A launcher under test; nothing of it is left after the block."""

    def __init__(self, *arguments, path=None, **options):
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        if path:
            environment["PATH"] = f"{path}{os.pathsep}{environment['PATH']}"
        words = [str(word) for word in command(*arguments, **options)]
        self.logs = Path(arguments[1]) / "logs"
        self.text = ""
        self.process = subprocess.Popen(
            words, env=environment, stderr=subprocess.PIPE, text=True, cwd=CHECKOUT, start_new_session=True
        )

    def __enter__(self):
        return self

    def __exit__(self, *error):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.process.stderr.close()

    def members(self):
        """Return the process numbers of all members of the newest attempt; the launcher logs them."""
        found = {}
        while len(found) < 4:
            line = self.process.stderr.readline()
            assert line, self.text
            self.text += line
            match = re.match(r"(scheduler|server \d|worker \d): process (\d+)", line)
            if match:
                found[match[1]] = int(match[2])
        return found

    def wait_for_steps(self, out):
        """Wait until the workers have trained for a while, and have said so: they report once a second."""
        deadline = time.monotonic() + 200
        while not list(Path(out).glob("checkpoints/pnet/step-*.npz")):
            assert time.monotonic() < deadline
            assert self.process.poll() is None, self.process.stderr.read()
            time.sleep(0.05)
        time.sleep(3)

    def end(self):
        """Return exit code and last line."""
        self.text += self.process.stderr.read()
        return self.process.wait(200), self.text.strip().splitlines()[-1]


def check_gone(pids):
    """All of these processes end within a few seconds."""
    deadline = time.monotonic() + 60
    left = set(pids)
    while left and time.monotonic() < deadline:
        left = {pid for pid in left if alive(pid)}
        time.sleep(0.05)
    assert not left


def alive(pid):
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False


def parameters(folder):
    net = load_model(folder).nets["pnet"]
    return {name: p.data().asnumpy() for name, p in net._collect_params_with_prefix().items()}


def test_two_workers_train_what_one_process_trains(pack, tmp_path):
    options = ("--wd", 0.01, "--augment", "full")
    with Launch(pack, tmp_path / "two", *options, launch=("-n", 2, "-s", 2)) as job:
        code, last = job.end()
    assert code == 0, job.text
    train = ["train", "pnet", "--data", pack, "--out", tmp_path / "one", "--epochs", 2, "--batch-size", 64, "--quiet"]
    assert main([str(word) for word in (*train, *options)]) == 0
    two, one = (parameters(tmp_path / name) for name in ("two", "one"))
    for name, array in one.items():
        np.testing.assert_allclose(two[name], array, atol=1e-5, err_msg=name)
    summaries = [json.loads((tmp_path / name / "summary.json").read_text()) for name in ("two", "one")]
    assert summaries[0]["config"]["workers"] == 2
    assert summaries[0]["val_loss"] == pytest.approx(summaries[1]["val_loss"], rel=1e-4)
    assert summaries[0]["train_loss"] == pytest.approx(summaries[1]["train_loss"], rel=1e-4)
    logs = sorted(path.name for path in (tmp_path / "two" / "logs").iterdir())
    assert logs == ["scheduler.log", "server-0.log", "server-1.log", "worker-0.log", "worker-1.log"]
    best = summaries[1]["best_epoch"]
    assert last == f"pnet: best epoch {best} of 2; wrote {tmp_path / 'two'}"  # worker 0's log is passed on


ENDLESS = {"epochs": 10000}


@pytest.mark.parametrize(
    ("victim", "sign", "message"),
    [
        ("worker 1", signal.SIGKILL, "worker 1 died: killed by SIGKILL (after {} steps); see "),
        ("server 0", signal.SIGKILL, "server 0 died: killed by SIGKILL; see "),
        ("worker 0", signal.SIGSTOP, "worker 0 has shown no sign of life for 8 s (after {} steps); see "),
    ],
)
def test_a_lost_member_ends_the_job(pack, tmp_path, victim, sign, message):
    with Launch(pack, tmp_path, launch=("-n", 2, *QUICK), **ENDLESS) as job:
        members = job.members()
        job.wait_for_steps(tmp_path)
        os.kill(members[victim], sign)
        code, last = job.end()
    assert code == 1
    assert re.match(re.escape(message).replace(r"\{\}", r"\d+"), last), last
    assert last.endswith(f"{victim.replace(' ', '-')}.log")
    check_gone(members.values())
    assert not list(tmp_path.rglob("*.tmp"))


SLEEPY = """
import os, time
from gluon_mtcnn.core.distributed.heartbeat import Activity

def step(self, count=Activity.step):
    count(self)
    if os.environ.get("DMLC_WORKER_ID") == "1" and self.steps == 5:
        {}

Activity.step = step
"""


@pytest.mark.parametrize(
    ("pause", "message"),
    [
        ("time.sleep(6)", None),
        pytest.param("end = time.time() + 14\n        while time.time() < end: pass", None, marks=pytest.mark.slow),
        (
            "time.sleep(1000)",
            "worker 1 is alive but has neither taken a step nor used the CPU for 10 s (after 5 steps)",
        ),
    ],
    ids=["unseen by the CPU clock", "longer, but at work", "stuck"],
)
def test_a_slow_step_is_told_from_a_stuck_member(pack, tmp_path, monkeypatch, pause, message):
    (tmp_path / "sitecustomize.py").write_text(SLEEPY.format(pause))
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{CHECKOUT}")
    with Launch(pack, tmp_path, launch=("-n", 2, *QUICK, "--stall-seconds", 10), epochs=1) as job:
        code, last = job.end()
    if message is None:
        assert code == 0, job.text
    else:
        assert code == 1
        assert last.startswith(message)


@pytest.mark.parametrize(("sign", "expected"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -9)])
def test_no_member_outlives_the_launcher(pack, tmp_path, sign, expected):
    with Launch(pack, tmp_path, **ENDLESS) as job:
        members = job.members()
        os.kill(members["worker 1"], signal.SIGSTOP)  # even one that stands still
        job.process.send_signal(sign)
        assert job.process.wait(200) == expected
        check_gone(members.values())


@pytest.mark.slow
def test_restart_ends_with_the_same_weights(pack, tmp_path):
    with Launch(pack, tmp_path / "whole", epochs=40) as job:
        assert job.end()[0] == 0, job.text
    with Launch(pack, tmp_path / "killed", epochs=40, launch=("-n", 2, "--restart", 1)) as job:
        members = job.members()
        job.wait_for_steps(tmp_path / "killed")
        os.kill(members["worker 1"], signal.SIGKILL)
        assert job.end()[0] == 0, job.text
    assert "restart 1 of 1 from the last checkpoint" in job.text
    assert "resuming at epoch" in (tmp_path / "killed" / "logs" / "worker-0.log").read_text()
    whole, killed = (parameters(tmp_path / name) for name in ("whole", "killed"))
    for name, array in whole.items():
        np.testing.assert_array_equal(killed[name], array, err_msg=name)


SSH = """#!/bin/sh
[ "$1 $2" = "-o BatchMode=yes" ] || exit 64
echo "welcome to $3"
case "$4" in *"DMLC_ROLE=${STUCK:-none}"*) exec sleep 1000;; esac
cd /
exec sh -c "$4"
"""


@pytest.fixture
def ssh(tmp_path):
    """Return a folder with a stand-in for ssh, which runs the command here."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "ssh").write_text(SSH)
    (folder / "ssh").chmod(0o755)
    (tmp_path / "hosts").write_text("# two machines\nlocalhost\nuser@nowhere.invalid 127.0.0.1  # by address\n")
    return folder


def test_hosts(pack, tmp_path, ssh):
    out = tmp_path / "it's out"
    with Launch(pack, out, epochs=1, launch=("-n", 2, "--hosts", tmp_path / "hosts"), path=ssh) as job:
        assert job.end()[0] == 0, job.text
    assert "worker 1: process" in job.text
    assert "on user@nowhere.invalid" in job.text
    assert "welcome to user@nowhere.invalid" in (out / "logs" / "worker-1.log").read_text()
    assert json.loads((out / "summary.json").read_text())["epochs"] == 1


def test_a_server_that_never_comes_up(pack, tmp_path, ssh, monkeypatch):
    monkeypatch.setenv("STUCK", "server")
    hosts = ("--hosts", tmp_path / "hosts")
    with Launch(pack, tmp_path / "out", launch=("-n", 2, *hosts, *QUICK), path=ssh) as job:
        code, last = job.end()
    assert code == 1
    assert last.startswith("server 0 never came up: no sign of life within 8 s on localhost; see ")


def test_a_worker_that_refuses_its_data(pack, tmp_path):
    with Launch(pack, tmp_path, "--freeze", "nothing*", launch=("-n", 2, "--restart", 3)) as job:
        code, last = job.end()
    assert code == 2
    assert re.match(r"worker \d ended with exit code 2: freeze: 'nothing\*' matches no parameter of pnet", last)


@pytest.mark.parametrize(
    ("train", "message"),
    [
        ([], "launch: expected -- train ..., got nothing"),
        (["detect", "x.jpg"], "launch: expected -- train ..., got detect x.jpg"),
        (["train", "pnet", "--data", ".", "--out", "o", "--sanity"], "--sanity is for one process"),
        (["train", "pnet", "--data", ".", "--out", "o", "--kvstore", "device"], "expected one of dist_sync"),
        (["train", "pnet", "--data", "nowhere", "--out", "o"], "nowhere: folder of the training pack not found"),
    ],
)
def test_bad_input_is_one_line_and_code_2(train, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["launch", "-n", "2", "--", *train]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_hosts_files(tmp_path, capsys):
    train = ["--", "train", "pnet", "--data", ".", "--out", str(tmp_path / "out")]
    for text, message in (
        ("", "expected a host a line, got none"),
        ("a b c\n", "hosts:1: expected a host and perhaps its address, got 'a b c'"),
        ("a\n-oProxyCommand=x\n", "hosts:2: expected a host"),
    ):
        (tmp_path / "hosts").write_text(text)
        assert main(["launch", "-n", "2", "--hosts", str(tmp_path / "hosts"), *train]) == 2
        assert message in capsys.readouterr().err
    assert main(["launch", "-n", "2", "--hosts", str(tmp_path / "none"), *train]) == 2
    assert "cannot be read" in capsys.readouterr().err
