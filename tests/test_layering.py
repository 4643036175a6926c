"""Modules import downward only: example -> tools -> prepare_data -> core; model and gluon_mtcnn itself hold no code."""

import ast

import pytest

LAYERS = ["core", "prepare_data", "tools", "example"]
IMAGE_ONLY = {"boxes", "nms", "image", "types", "errors", "files"}  # of core: usable without MXNet


def imported_modules(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def modules(checkout):
    return [(layer, path) for layer in LAYERS for path in sorted((checkout / layer).glob("*.py"))]


def test_imports_point_downward(checkout):
    found = modules(checkout)
    assert len(found) > 30
    for layer, path in found:
        for name in imported_modules(path):
            parts = name.split(".")
            assert parts[0] not in LAYERS, f"{path}: bare import of {name}"
            if parts[0] == "gluon_mtcnn" and len(parts) > 1 and parts[1] in LAYERS:
                assert LAYERS.index(parts[1]) <= LAYERS.index(layer), f"{path} imports {name}, which lies above it"


@pytest.mark.parametrize("name", sorted(IMAGE_ONLY))
def test_the_foundation_does_without_mxnet(checkout, name):
    for imported in imported_modules(checkout / "core" / f"{name}.py"):
        if imported.startswith("gluon_mtcnn.core."):
            assert imported.split(".")[2] in IMAGE_ONLY, f"core/{name}.py imports {imported}"


def test_mxnet_is_imported_in_one_place(checkout):
    for layer, path in modules(checkout):
        if (layer, path.stem) != ("core", "runtime"):
            assert not any(name.split(".")[0] == "mxnet" for name in imported_modules(path)), path
