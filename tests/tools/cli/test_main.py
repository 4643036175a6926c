import argparse
import ast
import dataclasses
import importlib
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from gluon_mtcnn import __version__
from gluon_mtcnn.tools.cli import main as cli
from gluon_mtcnn.tools.cli.options import COMMON, add_common, defaults_of, options_from


@pytest.fixture(autouse=True)
def root_logger():
    """Let each call set up logging as a fresh process would."""
    handlers, level = logging.root.handlers[:], logging.root.level
    yield
    logging.root.handlers[:], logging.root.level = handlers, level


def test_help_lists_every_command(capsys):
    assert cli.main(["--help"]) == 0
    out = capsys.readouterr().out
    for name in cli.COMMANDS:
        assert f"  {name} " in out


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_command_has_help_with_an_example(name, capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main([*name.split(), "--help"])
    assert stop.value.code == 0
    out = capsys.readouterr().out
    assert f"gluon-mtcnn {name}" in out.split("options:")[0], "the description shows a working example"
    assert "-v, --verbose" in out


def used_names(module):
    """Return the values of the command line that a module reads: as ``args.name``, or by a dataclass of options."""
    names = set()
    for node in ast.walk(ast.parse(Path(module.__file__).read_text())):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "args":
            names.add(node.attr)
        if isinstance(node, ast.Call) and getattr(node.func, "id", "").startswith("options_"):
            names |= {field.name for field in dataclasses.fields(getattr(module, node.args[0].id))}
    return names


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_help_offers_the_common_options_that_the_command_uses(name, capsys):
    module = importlib.import_module(f"gluon_mtcnn.tools.{cli.COMMANDS[name][0]}.command")
    assert set(module.COMMON) == set(COMMON) & used_names(module)
    with pytest.raises(SystemExit):
        cli.main([*name.split(), "--help"])
    out = capsys.readouterr().out.split("options:", 1)[1]
    for option in COMMON:
        assert (f"--{option.replace('_', '-')}" in out) == (option in module.COMMON)


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_command_accepts_the_common_options(name):
    """Scripts of before give them to all commands."""
    module = importlib.import_module(f"gluon_mtcnn.tools.{cli.COMMANDS[name][0]}.command")
    parser = argparse.ArgumentParser()
    module.add_arguments(parser)
    for action in parser._actions:
        action.required = False
        if not action.option_strings:
            action.nargs, action.choices = "*", None
    for group in parser._mutually_exclusive_groups:
        group.required = False
    add_common(parser, module.COMMON)
    args = parser.parse_args(["--seed", "3", "--num-workers", "2", "--quiet", "-v"])
    assert (args.seed, args.num_workers, args.quiet, args.verbose) == (3, 2, True, True)


@dataclasses.dataclass(frozen=True)
class Options:
    out: str
    rate: float = 0.5
    names: list = dataclasses.field(default_factory=lambda: ["a"])


def test_a_dataclass_gives_the_defaults_and_takes_the_values():
    assert defaults_of(Options) == {"rate": 0.5, "names": ["a"]}
    parser = argparse.ArgumentParser()
    parser.set_defaults(**defaults_of(Options))
    parser.add_argument("--out")
    parser.add_argument("--rate", type=float, help="%(default)s")
    parser.add_argument("--other", action="store_true")
    assert "0.5" in parser.format_help()
    args = parser.parse_args(["--out", "x"])
    assert options_from(Options, args) == Options("x")
    assert options_from(Options, args, rate=1.0) == Options("x", 1.0)


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["fly"], "gluon-mtcnn: unknown command 'fly' (see gluon-mtcnn --help)"),
        (["evaluate"], "gluon-mtcnn evaluate: expected one of fddb"),
        (["plot", "pie"], "gluon-mtcnn plot: expected one of roc"),
    ],
)
def test_unknown_commands(argv, message, capsys):
    assert cli.main(argv) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith(message)
    assert captured.err.count("\n") == 1
    assert captured.out == ""


def test_bad_options_are_one_line_and_code_2(capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(["detect", "x.jpg", "--thresholds", ".5,2,.7"])
    assert stop.value.code == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "argument --thresholds: expected 0 to 1, got 2.0" in err


def test_no_arguments_and_version(capsys):
    assert cli.main([]) == 2
    assert cli.main(["--version"]) == 0
    assert f"gluon-mtcnn {__version__}" in capsys.readouterr().out


def test_ctrl_c_is_130(monkeypatch, capsys):
    def interrupt(argv):
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "parse", interrupt)
    assert cli.main(["detect", "x"]) == 130


def test_python_m_runs_the_command_without_importing_mxnet(checkout):
    code = "import sys; from gluon_mtcnn.tools.cli.main import main; main(['--help']); print('mxnet' in sys.modules)"
    environment = {**os.environ, "PYTHONPATH": str(checkout)}
    result = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert result.stdout.endswith("False\n")
    fly = [sys.executable, "-m", "gluon_mtcnn", "fly"]
    result = subprocess.run(fly, env=environment, capture_output=True, text=True)
    assert result.returncode == 2
