import importlib.metadata
import sys

import pytest

from gluon_mtcnn.tools.doctor.requirements import (
    find_requirement,
    installed_version,
    is_within,
    parse_pyproject,
    requirements,
)

TEXT = """
[build-system]
requires = ["setuptools>=68"]
[project]
dependencies = [
  "numpy>=1.23.5,<2",
  "setuptools>=68; python_version>='3.12'",  # "not this"
]
classifiers = ["no requirement"]
[project.optional-dependencies]
cpu = ["mxnet==1.9.1"]  # why
gpu = [
  "mxnet-cu112==1.9.1; sys_platform=='linux'",
]
[project.scripts]
other = ["nothing"]
"""


def test_parsing_by_hand():
    assert parse_pyproject(TEXT) == {
        "": ["numpy>=1.23.5,<2", "setuptools>=68"],
        "cpu": ["mxnet==1.9.1"],
        "gpu": ["mxnet-cu112==1.9.1"],
    }


@pytest.mark.skipif(sys.version_info < (3, 11), reason="Python reads TOML from 3.11 on")
def test_our_own_file_is_read_as_toml_has_it(checkout):
    import tomllib

    project = tomllib.loads((checkout / "pyproject.toml").read_text())["project"]
    listed = {"": project["dependencies"], **project["optional-dependencies"]}
    expected = {extra: [line.partition(";")[0].strip() for line in lines] for extra, lines in listed.items()}
    assert requirements() == expected


def test_without_a_reader_of_toml_pips_record_is_taken(monkeypatch):
    expected = requirements()
    monkeypatch.setitem(sys.modules, "tomllib" if sys.version_info >= (3, 11) else "tomli", None)
    found = requirements()
    assert find_requirement("mxnet") == ("==1.9.1", "cpu")
    assert set(found) == set(expected)


def test_where_a_package_is_listed():
    assert find_requirement("mxnet") == ("==1.9.1", "cpu")
    assert find_requirement("mxnet-cu112") == ("==1.9.1", "cu112")
    wanted, extra = find_requirement("NumPy")
    assert wanted.startswith(">=")
    assert extra == ""
    assert find_requirement("num") is None


def test_versions():
    assert installed_version("numpy") == importlib.metadata.version("numpy")
    assert installed_version("no-such-package") is None
    assert is_within("1.26.4", ">=1.23.5,<2") is True
    assert is_within("2.0.1", ">=1.23.5,<2") is False
    assert is_within("1.0", "nonsense") is None
