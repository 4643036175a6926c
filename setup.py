"""Map the top-level folders of the checkout to sub-packages of ``gluon_mtcnn``.

All metadata lives in pyproject.toml. Only this mapping needs code: a folder called ``core`` or ``tools``
must never land in site-packages under that name.
"""

from setuptools import find_packages, setup

FOLDERS = {name: name for name in ("core", "prepare_data", "tools", "model")}
FOLDERS["recipes"] = "example/recipes"  # no code: files that `pipeline` reads
ROOMS = [f"gluon_mtcnn.{top}.{room}" for top, folder in FOLDERS.items() for room in find_packages(folder)]

setup(
    packages=["gluon_mtcnn", *(f"gluon_mtcnn.{name}" for name in FOLDERS), *ROOMS],
    package_dir={"gluon_mtcnn": "gluon_mtcnn", **{f"gluon_mtcnn.{name}": path for name, path in FOLDERS.items()}},
    package_data={
        "gluon_mtcnn.model": ["README.md", "*/model.json", "*/*.params", "*/README.md"],
        "gluon_mtcnn.recipes": ["*.json"],
    },
)
