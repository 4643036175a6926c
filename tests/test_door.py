"""The public names of ``gluon_mtcnn``: what importing them costs, that each is documented, that the example runs."""

import ast
import doctest
import inspect
import os
import subprocess
import sys

import pytest

import gluon_mtcnn
from gluon_mtcnn.prepare_data.synthetic.dataset import SyntheticSpec, write_dataset

NAMES = [name for name in gluon_mtcnn.__all__ if name != "__version__"]
WITHOUT_MXNET = ("Annotation", "Detections", "Detector", "DetectorOptions", "IMDB", "InputError", "Model", "Pack")
WITHOUT_MXNET += ("TrainConfig", "load_model")


def run_python(code, checkout, *options):
    environment = {**os.environ, "PYTHONPATH": str(checkout), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, *options, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=True).stdout.split()


def test_editors_see_the_names_that_there_are(checkout):
    tree = ast.parse((checkout / "gluon_mtcnn" / "__init__.py").read_text())
    block = next(node for node in tree.body if isinstance(node, ast.If))
    seen = {alias.name: node.module for node in block.body for alias in node.names}
    assert seen == {name: f"gluon_mtcnn.{module}" for name, module in gluon_mtcnn._MODULE_OF.items()}


def test_a_name_that_is_not_there_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'Detektor'"):
        gluon_mtcnn.Detektor  # noqa: B018


def test_dir_and_star_give_the_public_names():
    assert set(NAMES) <= set(dir(gluon_mtcnn))
    namespace = {}
    exec("from gluon_mtcnn import *", namespace)
    assert set(NAMES) <= set(namespace)


def test_importing_the_package_imports_next_to_nothing(checkout):
    code = "import sys; before = set(sys.modules); import gluon_mtcnn; print(*sorted(set(sys.modules) - before))"
    imported = run_python(code, checkout)
    assert not {"mxnet", "cv2", "numpy", "scipy", "matplotlib"} & set(imported)
    assert [name for name in imported if name.startswith("gluon_mtcnn")] == ["gluon_mtcnn"]


@pytest.mark.parametrize("name", WITHOUT_MXNET)
def test_names_that_need_no_mxnet_do_not_import_it(checkout, name):
    code = f"import sys; sys.modules['mxnet'] = None; from gluon_mtcnn import {name}; print({name}.__name__)"
    assert run_python(code, checkout) == [name]


@pytest.mark.parametrize("name", NAMES)
def test_each_name_says_what_it_is(name):
    assert inspect.getdoc(getattr(gluon_mtcnn, name)), name


@pytest.fixture(scope="module")
def painted(tmp_path_factory):
    """A folder as the examples expect it: painted photos in WIDER's, FDDB's and landmark lists' layouts, photo.jpg."""
    folder = tmp_path_factory.mktemp("door")
    spec = SyntheticSpec(24, 4, 12, 4, 10, 1)
    paths = write_dataset(folder / "data", spec, seed=0, quiet=True)
    photo = sorted(paths.wider_images.rglob("*.jpg"))[3]
    (folder / "photo.jpg").write_bytes(photo.read_bytes())
    return folder


@pytest.fixture
def examples_folder(painted, monkeypatch):
    monkeypatch.chdir(painted)
    return painted


def test_the_example_of_the_package_gives_what_it_shows(examples_folder):
    result = doctest.testmod(gluon_mtcnn)
    assert result.failed == 0
    assert result.attempted == 4
