"""Modules import downward only, and no two import each other, lazy imports counted.

`ROOMS` is the order of the packages from the ground up; a package's own modules are held to have no cycle. What is
written here is the map of docs/architecture.md.
"""

import ast
import subprocess
import sys
from graphlib import CycleError, TopologicalSorter

import pytest

TOPS = ("core", "prepare_data", "tools", "example")
# From the ground up. A room may import rooms before it. `gluon_mtcnn` is the door: only its version is imported.
ROOMS = (
    "model",
    "core.processes",
    *("core.errors", "core.types", "core.ops", "core.files", "core.backend", "core.packs", "core.seanlinx"),
    *("core.distributed", "core.nets", "core.convert", "core.detection", "core.training", "core.detector", "core.imdb"),
    *("prepare_data.executors", "prepare_data.annotations", "prepare_data.sampling", "prepare_data.seanlinx"),
    *("prepare_data.packing", "prepare_data.mining", "prepare_data.synthetic"),
    *("tools.cli", "tools.doctor", "tools.data", "tools.train", "tools.launch", "tools.model", "tools.evaluate"),
    *("tools.detect", "tools.report", "tools.pipeline", "tools.quickstart", "tools.benchmark", "tools.seanlinx"),
    "example",
)
# Rooms that import where there is no MXNet, but for the modules of `NEEDING_MXNET`.
WITHOUT_MXNET = (
    "core.processes",
    *("core.errors", "core.types", "core.ops", "core.files", "core.packs", "core.seanlinx"),
    *("core.backend", "core.nets", "core.convert", "core.detection", "core.detector", "core.imdb"),
    *("prepare_data.executors", "prepare_data.annotations", "prepare_data.sampling", "prepare_data.seanlinx"),
    *("prepare_data.packing", "prepare_data.mining", "prepare_data.synthetic"),
)
NEEDING_MXNET = (
    *("core.backend.runtime", "core.backend.gluon_cv"),
    *("core.nets.mtcnn", "core.nets.batch_norm", "core.nets.initialise", "core.nets.symbol_graph", "core.nets.zoo"),
    *("core.detection.engine_mxnet", "core.detection.engine_reference"),
    *("core.detection.official_nets", "core.detection.official_cascade"),
)


def modules(checkout):
    """Return the path of each module by its name without ``gluon_mtcnn``; a package's is that of its __init__."""
    found = {}
    for top in TOPS:
        for path in sorted((checkout / top).rglob("*.py")):
            parts = path.relative_to(checkout).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imported_names(path):
    """Yield every module that a file imports, at any depth of it, and what could be one."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def import_graph(checkout):
    """Return {module: modules of ours that it imports}."""
    found = modules(checkout)
    graph = {}
    for name, path in found.items():
        imported = {i.removeprefix("gluon_mtcnn.") for i in imported_names(path) if i.startswith("gluon_mtcnn.")}
        graph[name] = {i for i in imported if i in found or i == "model"} - {name}
    return graph


def room_of(module):
    """Return the room of a module: the longest name in `ROOMS` that it begins with; None for a bare top folder."""
    fitting = [room for room in ROOMS if module == room or module.startswith(room + ".")]
    return max(fitting, key=len, default=None)


def upward(graph):
    """Return ``module -> module`` for each import of a room that is not below the importing one."""
    return [
        f"{name} -> {target}"
        for name, targets in graph.items()
        for target in targets
        if room_of(name) != room_of(target) and ROOMS.index(room_of(target)) > ROOMS.index(room_of(name))
    ]


def cycle(graph):
    """Return the modules of an import cycle, () where there is none."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return tuple(error.args[1])
    return ()


def test_every_module_has_a_room(checkout):
    found = modules(checkout)
    assert len(found) > 100
    assert [name for name in found if room_of(name) is None] == list(TOPS[:3])


def test_imports_point_downward(checkout):
    assert upward(import_graph(checkout)) == []


def test_no_two_modules_import_each_other(checkout):
    assert cycle(import_graph(checkout)) == ()


def test_nothing_is_imported_by_a_bare_name(checkout):
    for path in modules(checkout).values():
        for name in imported_names(path):
            assert name.split(".")[0] not in TOPS, f"{path}: bare import of {name}"


@pytest.mark.parametrize("lazy", [False, True], ids=["at the top", "in a function"])
def test_a_planted_cycle_and_an_upward_import_are_seen(checkout, tmp_path, lazy):
    for top in TOPS:
        (tmp_path / top).mkdir()
    files = {"core/ops/a.py": "gluon_mtcnn.core.ops.b", "core/ops/b.py": "gluon_mtcnn.core.ops.deep.c"}
    files |= {"core/ops/deep/c.py": "gluon_mtcnn.core.ops.a", "core/files/d.py": "gluon_mtcnn.core.nets.e"}
    files |= {"core/nets/e.py": "os"}
    for name, target in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        statement = (
            f"from {target.rpartition('.')[0]} import {target.rpartition('.')[2]}" if "." in target else "import os"
        )
        (tmp_path / name).write_text(f"def f():\n    {statement}\n" if lazy else f"{statement}\n")
    graph = import_graph(tmp_path)
    assert set(cycle(graph)) == {"core.ops.a", "core.ops.b", "core.ops.deep.c"}
    assert upward(graph) == ["core.files.d -> core.nets.e"]


def parsed_options(path):
    """Yield the lines where a file handles parsed options: argparse.Namespace, or a parameter called args."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, (ast.Attribute, ast.alias)):
            if "Namespace" in (getattr(node, "attr", ""), getattr(node, "name", "")):
                yield node.lineno
        elif isinstance(node, ast.arguments):
            named = (*node.posonlyargs, *node.args, *node.kwonlyargs)  # without *args, which has another meaning
            yield from (argument.lineno for argument in named if argument.arg == "args")


def test_parsed_options_end_in_commands(checkout):
    """What a command does, a function does: it takes a dataclass of options, which a notebook can fill as well."""
    for name, path in modules(checkout).items():
        if name.rpartition(".")[2] != "command" and name != "tools.cli.main":
            assert not list(parsed_options(path)), path


def test_parsed_options_are_seen(tmp_path):
    code = "import argparse\ndef f(args: argparse.Namespace): pass\nfrom argparse import Namespace\ndef g(*args): pass"
    (tmp_path / "a.py").write_text(code)
    assert sorted(parsed_options(tmp_path / "a.py")) == [2, 2, 3]


@pytest.mark.parametrize(
    ("package", "place"), [("mxnet", "core.backend.runtime"), ("gluoncv", "core.backend.gluon_cv")]
)
def test_mxnet_and_gluoncv_are_imported_in_one_place_each(checkout, package, place):
    found = modules(checkout).items()
    assert [name for name, path in found if package in {i.split(".")[0] for i in imported_names(path)}] == [place]


IMPORT_WITHOUT_MXNET = """
import importlib, sys
sys.modules["mxnet"] = None
for name in sys.argv[1:]:
    try:
        importlib.import_module("gluon_mtcnn." + name)
    except Exception as error:
        print(name)
"""


def test_rooms_without_mxnet_import_where_there_is_none(checkout):
    """All their modules do, but for those that are named; and those do not, or they are not to be named."""
    names = [n for n in modules(checkout) if room_of(n) in WITHOUT_MXNET]
    command = [sys.executable, "-c", IMPORT_WITHOUT_MXNET, *names]
    ran = subprocess.run(command, cwd=checkout, capture_output=True, text=True, check=True)
    assert sorted(ran.stdout.split()) == sorted(NEEDING_MXNET)
