"""The public names of ``gluon_mtcnn``: what importing them costs, what their docstrings say, and that examples run."""

import ast
import doctest
import inspect
import os
import subprocess
import sys

import numpy as np
import pytest

import gluon_mtcnn
from gluon_mtcnn.core.backend.runtime import mx
from gluon_mtcnn.prepare_data.annotations.wider import read_wider
from gluon_mtcnn.prepare_data.synthetic.dataset import SyntheticSpec, write_dataset
from gluon_mtcnn.tools.cli.main import main

NAMES = [name for name in gluon_mtcnn.__all__ if name != "__version__"]
WITHOUT_MXNET = ("Annotation", "Detections", "Detector", "DetectorOptions", "IMDB", "InputError", "Model", "Pack")
WITHOUT_MXNET += ("TrainConfig", "load_model")
WITHOUT_MXNET += ("PrepareOptions", "PrepareResult", "prepare", "TrainOptions", "TrainResult", "train")


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
    documented = getattr(gluon_mtcnn, name)
    text = inspect.getdoc(documented)
    assert text, name
    assert ">>> " in text, f"{name}: no example"
    if inspect.isfunction(documented):
        assert "Returns\n-------" in text, name


@pytest.fixture(scope="module")
def painted(tmp_path_factory, write_wider_truth):
    """A folder as the examples expect it: painted photos in the layouts of real data, a pack, a Seanlinx data set."""
    folder = tmp_path_factory.mktemp("door")
    paths = write_dataset(folder / "data", SyntheticSpec(24, 4, 12, 4, 10, 1), seed=0, quiet=True)
    photo = sorted(paths.wider_images.rglob("*.jpg"))[3]
    (folder / "photo.jpg").write_bytes(photo.read_bytes())
    write_wider_truth(folder / "truth", wider_events(paths.wider_val_annotations, paths.wider_val_images))
    wider = ["--wider-images", str(paths.wider_images), "--wider-annotations", str(paths.wider_train_annotations)]
    landmarks = ["--landmark-images", str(paths.landmark_images)]
    landmarks += ["--landmark-annotations", str(paths.landmark_annotations)]
    for recipe in (
        ["--out", "packs/12", *landmarks],
        ["--out", "packs/12-seanlinx", "--recipe", "seanlinx", "--imdb", "imdb"],
    ):
        recipe = [str(folder / word) if word.startswith(("packs", "imdb")) else word for word in recipe]
        assert main(["prepare", "pnet", *wider, *recipe, "--quiet"]) == 0
    return folder


def wider_events(annotations, images):
    """Return the annotated photos as `write_wider_truth` takes them; every face counts in each setting."""
    events = {}
    for photo in read_wider(annotations, images):
        event, name = photo.name[: -len(".jpg")].split("/")
        faces = np.column_stack([photo.boxes[:, :2], photo.boxes[:, 2:] - photo.boxes[:, :2] + 1])
        numbers = list(range(1, len(faces) + 1))
        events.setdefault(event, {})[name] = (faces, {setting: numbers for setting in ("easy", "medium", "hard")})
    return events


@pytest.fixture
def examples_folder(painted, monkeypatch):
    monkeypatch.chdir(painted)
    return painted


def examples():
    """Yield the examples of the package and of every public name, with the methods of classes."""
    finder = doctest.DocTestFinder(recurse=False)
    known = {**{name: getattr(gluon_mtcnn, name) for name in NAMES}, "mx": mx}  # what a reader has imported
    for name in ("gluon_mtcnn", *NAMES):
        documented = getattr(gluon_mtcnn, name, gluon_mtcnn)
        things = {name: documented}
        if inspect.isclass(documented):
            things.update({f"{name}.{k}": v for k, v in vars(documented).items() if inspect.isfunction(v)})
        for label, thing in things.items():
            yield from (test for test in finder.find(thing, label, globs=known) if test.examples)


@pytest.mark.parametrize("example", examples(), ids=lambda example: example.name)
def test_examples_give_what_they_show(example, examples_folder):
    report = []
    result = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(example, out=report.append)
    assert result.failed == 0, "".join(report)
    assert result.attempted > 0


def test_the_session_of_the_docs_gives_what_it_shows(checkout, examples_folder):
    text = (checkout / "docs" / "python.md").read_text()
    session = doctest.DocTestParser().get_doctest(text, {}, "docs/python.md", "docs/python.md", 0)
    report = []
    result = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(session, out=report.append)
    assert result.failed == 0, "".join(report)
    assert result.attempted > 5
