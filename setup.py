"""Map the top-level folders of the checkout to sub-packages of ``gluon_mtcnn``.

All metadata lives in pyproject.toml. Only this mapping needs code: a folder called ``core`` or ``tools``
must never land in site-packages under that name.
"""

from setuptools import setup

FOLDERS = ("core", "prepare_data", "tools", "model")

setup(
    packages=["gluon_mtcnn", *(f"gluon_mtcnn.{name}" for name in FOLDERS)],
    package_dir={"gluon_mtcnn": "gluon_mtcnn", **{f"gluon_mtcnn.{name}": name for name in FOLDERS}},
    package_data={"gluon_mtcnn.model": ["README.md", "*/model.json", "*/*.params", "*/README.md"]},
)
