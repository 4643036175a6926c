import os
import subprocess
import sys

import pytest

from gluon_mtcnn.core.backend import cuda
from gluon_mtcnn.core.backend.runtime import mx
from gluon_mtcnn.tools.cli.main import main
from gluon_mtcnn.tools.doctor import environment
from gluon_mtcnn.tools.doctor.finding import FIX, NOTE, OK, Finding
from gluon_mtcnn.tools.doctor.mxnet import gpu_findings, mxnet_builds, mxnet_findings, try_mxnet
from gluon_mtcnn.tools.doctor.requirements import find_requirement
from gluon_mtcnn.tools.doctor.run import diagnose, guarded

GOOD = {"version": "1.9.1", "features": ["MKLDNN", "OPENMP", "DIST_KVSTORE"], "sum": 6.0, "seconds": 1.0}


def levels(findings):
    return [finding.level for finding in findings]


def test_every_section_is_printed_and_the_code_is_0(capsys):
    assert main(["doctor"]) == 0
    out = capsys.readouterr().out
    titles = [line for line in out.splitlines() if line and not line.startswith((" ", "\t"))]
    assert titles[1:-1] == [
        *("Python", "Packages", "MXNet", "GPUs", "Processors", "Memory and disk", "Default model", "Optional packages")
    ]
    assert f"{next(iter(mxnet_builds()))} {mx.__version__}" in out
    assert "it loads and computes" in out
    assert "could not be looked at" not in out


def test_the_findings_are_values():
    sections = {section.title: section.findings for section in diagnose()}
    assert len(sections) == 8
    assert sections["Python"][0].level == OK
    assert levels(sections["MXNet"])[:2] == [OK, OK]


def run_doctor(checkout, tmp_path, module, content):
    """Run the command with a module in place of the one that is installed."""
    (tmp_path / f"{module}.py").write_text(content)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(checkout)]), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-W", "ignore", "-m", "gluon_mtcnn", "doctor"]
    return subprocess.run(command, env=environment, capture_output=True, text=True, cwd=tmp_path)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (
            "raise OSError('libgomp.so.1: not found')",
            "it does not work: MXNet cannot be loaded: libgomp.so.1: not found",
        ),
        ("raise RuntimeError('odd')", "it does not work: RuntimeError: odd"),
        ("import os; os.abort()", "it does not work: it ends the process by SIGABRT"),
        ("print('no mxnet at all')", "it does not work: MXNet cannot be loaded: No module named 'mxnet.contrib'"),
    ],
)
def test_an_mxnet_that_does_not_load_is_a_line(checkout, tmp_path, content, said):
    result = run_doctor(checkout, tmp_path, "mxnet", content)
    assert result.returncode == 0, result.stderr
    assert said in result.stdout
    assert "Optional packages" in result.stdout
    assert "1 thing to put right." in result.stdout


def test_without_numpy_the_rest_is_told(checkout, tmp_path):
    result = run_doctor(checkout, tmp_path, "numpy", "raise ImportError('it is broken')")
    assert result.returncode == 0, result.stderr
    assert "does not load: ImportError: it is broken" in result.stdout
    assert "Default model\n  note  this could not be looked at: ImportError" in result.stdout


def test_a_trial_in_another_process():
    trial = try_mxnet()
    assert trial["sum"] == 6
    assert trial["version"] == mx.__version__
    assert ("MKLDNN" in trial["features"]) == mx.runtime.Features().is_enabled("MKLDNN")
    assert try_mxnet("import sys; sys.exit('the last line')") == {"error": "the last line"}
    assert try_mxnet("import sys; sys.exit(3)") == {"error": "exit code 3"}


def test_which_mxnet():
    wanted, _ = find_requirement("mxnet")
    version = wanted.strip("=")
    assert levels(mxnet_findings({"mxnet": version}, GOOD)) == [OK, OK, OK]
    (missing,) = mxnet_findings({}, {})
    assert missing.level == FIX
    assert "pip install 'gluon-mtcnn[cpu]'" in missing.advice
    old = list(mxnet_findings({"mxnet": "1.6.0"}, GOOD))
    assert old[0] == Finding(FIX, f"mxnet 1.6.0: tried with {wanted} only", f"pip install 'mxnet{wanted}'")
    both = list(mxnet_findings({"mxnet": version, "mxnet-cu112": version}, GOOD))
    assert both[0].level == FIX
    assert both[0].advice.startswith("pip uninstall mxnet mxnet-cu112, then pip install")
    assert levels(mxnet_findings({"mxnet": version}, {"error": "it crashes"})) == [OK, FIX]
    assert levels(mxnet_findings({"mxnet": version}, {**GOOD, "features": []})) == [OK, OK, OK, NOTE, NOTE]


@pytest.fixture
def driver(monkeypatch):
    """A stand-in for NVIDIA's driver with two cards, one of them too new for the wheel."""
    monkeypatch.setattr(cuda, "has_driver", lambda: True)
    monkeypatch.setattr(cuda, "driver_version", lambda: (11, 4))
    monkeypatch.setattr(cuda, "device_count", lambda: 2)
    monkeypatch.setattr(cuda, "compute_capability", lambda index: [(8, 6), (9, 0)][index])
    monkeypatch.setattr(cuda, "preload", list)


def test_cards_driver_and_libraries(driver, monkeypatch):
    found = list(gpu_findings({"mxnet-cu112": "1.9.1"}))
    assert levels(found) == [OK, OK, OK, FIX]
    assert found[0].what == "NVIDIA driver for CUDA 11.4, 2 GPUs"
    assert found[3].what.startswith("gpu:1 has compute capability 9.0: MXNet's wheel holds code for 5.x to 8.x only")
    assert levels(gpu_findings({"mxnet": "1.9.1"})) == [OK, NOTE]
    assert levels(gpu_findings({})) == [OK]
    monkeypatch.setattr(cuda, "driver_version", lambda: (10, 2))
    monkeypatch.setattr(cuda, "device_count", lambda: 0)
    monkeypatch.setattr(cuda, "preload", lambda: ["libcudnn.so.8"])
    found = list(gpu_findings({"mxnet-cu112": "1.9.1"}))
    assert levels(found) == [OK, FIX, NOTE, FIX]
    assert found[3] == Finding(FIX, "CUDA libraries not found: libcudnn.so.8", "pip install 'gluon-mtcnn[cu112]'")


def test_no_driver(monkeypatch):
    monkeypatch.setattr(cuda, "has_driver", lambda: False)
    assert levels(gpu_findings({"mxnet": "1.9.1"})) == [OK]
    assert levels(gpu_findings({"mxnet-cu112": "1.9.1"})) == [FIX]


def test_threads():
    there = os.cpu_count()
    for text, level in (("", NOTE), ("1", OK), (str(there + 1), FIX), ("two", FIX), ("0", FIX), ("-1", FIX)):
        found = list(environment.processor_findings({"OMP_NUM_THREADS": text}))
        assert found[1].level == level, text
        assert (level == OK) == (found[1].advice == "")
    found = list(environment.processor_findings({"OMP_NUM_THREADS": "1", "MXNET_ENGINE_TYPE": "NaiveEngine"}))
    assert found[-1] == Finding(NOTE, "MXNET_ENGINE_TYPE=NaiveEngine changes how MXNet works")


def test_limits_of_a_container(tmp_path):
    assert environment.cgroup_processors(tmp_path) is None
    assert environment.cgroup_memory(tmp_path) is None
    (tmp_path / "cpu.max").write_text("150000 100000\n")
    (tmp_path / "memory.max").write_text("1073741824\n")
    assert environment.cgroup_processors(tmp_path) == 1
    assert environment.cgroup_memory(tmp_path) == 2**30
    (tmp_path / "cpu.max").write_text("max 100000\n")
    (tmp_path / "memory.max").write_text("max\n")
    assert environment.cgroup_processors(tmp_path) is None
    assert environment.cgroup_memory(tmp_path) is None


def test_the_model(tmp_path):
    (finding,) = environment.model_findings(tmp_path)
    assert finding.what.endswith("has no net")
    for name in ("model.json", "pnet.params", "rnet.params"):
        (tmp_path / name).touch()
    (finding,) = environment.model_findings(tmp_path)
    assert (finding.level, finding.what) == (NOTE, f"{tmp_path} has pnet, rnet")
    (tmp_path / "onet.params").touch()
    assert levels(environment.model_findings(tmp_path)) == [OK]


def test_a_check_that_fails_is_a_line():
    def broken():
        yield Finding(OK, "one")
        raise OSError("no /proc here")

    assert levels(guarded(broken)) == [OK, NOTE]
    assert str(Finding(FIX, "what", "advice")) == "  fix   what\n        -> advice"
