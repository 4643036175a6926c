"""What pip puts into site-packages, from a copy of the tree so that the checkout stays clean."""

import shutil
import subprocess
import sys

import pytest

pytest.importorskip("setuptools")
PIP = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q"]


@pytest.fixture
def tree(checkout, tmp_path):
    skip = shutil.ignore_patterns(".git", ".venv", "build", "*.egg-info", "__pycache__", ".*_cache", "quickstart")
    shutil.copytree(checkout, tmp_path / "tree", ignore=skip)
    return tmp_path / "tree"


def install(tree, target, *options):
    command = [*PIP, "install", "--no-deps", "--no-build-isolation", "--no-index", "--target", str(target), *options]
    subprocess.run([*command, str(tree)], check=True, capture_output=True)
    return sorted(p.name for p in target.iterdir() if p.name != "bin")


def test_only_the_package_lands_in_site_packages(tree, tmp_path):
    names = install(tree, tmp_path / "site")
    assert [name for name in names if not name.endswith(".dist-info")] == ["gluon_mtcnn"]
    assert len(names) == 2
    inside = {p.name for p in (tmp_path / "site" / "gluon_mtcnn").iterdir()}
    assert {"core", "tools", "prepare_data", "model", "__init__.py", "__main__.py"} <= inside
    assert (tmp_path / "site" / "gluon_mtcnn" / "model" / "README.md").is_file()
    assert (tmp_path / "site" / "gluon_mtcnn" / "recipes" / "default.json").is_file()


def test_an_installed_copy_runs_away_from_the_checkout(tree, tmp_path):
    install(tree, tmp_path / "site")
    code = "import gluon_mtcnn.core.ops.boxes as b, gluon_mtcnn; print(b.__file__); print(list(gluon_mtcnn.__path__))"
    environment = {"PYTHONPATH": str(tmp_path / "site")}
    result = subprocess.run(
        [sys.executable, "-c", code], env=environment, cwd=tmp_path, capture_output=True, text=True, check=True
    )
    code = "from gluon_mtcnn.tools.pipeline import recipe as r; print(r.read_recipe(r.find_recipe('default')).path)"
    found = subprocess.run([sys.executable, "-c", code], env=environment, cwd=tmp_path, capture_output=True, text=True)
    assert found.stdout.strip() == str(tmp_path / "site" / "gluon_mtcnn" / "recipes" / "default.json")
    assert result.stdout.splitlines() == [
        str(tmp_path / "site" / "gluon_mtcnn" / "core" / "ops" / "boxes.py"),
        str([str(tmp_path / "site" / "gluon_mtcnn")]),
    ]


def test_an_editable_install_leaves_metadata_only(tree, tmp_path):
    """pip refuses --target with --editable, so the wheel that it would install is looked into."""
    code = f"import sys, setuptools.build_meta as b; sys.argv = ['setup.py'];print(b.build_editable({str(tmp_path)!r}))"
    result = subprocess.run([sys.executable, "-c", code], cwd=tree, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    import zipfile

    wheel = next(tmp_path.glob("*.whl"))
    names = {name.split("/")[0] for name in zipfile.ZipFile(wheel).namelist()}
    assert all(name.startswith(("__editable__", "gluon_mtcnn-")) for name in names), names
