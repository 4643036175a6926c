"""Fixtures of the whole suite."""

import os
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parent.parent


def shared_folder() -> Path:
    return Path(os.environ.get("GLUON_MTCNN_SHARED", CHECKOUT.parent / "shared"))


@pytest.fixture(scope="session")
def shared() -> Path:
    """Folder with the golden data; the test is skipped where it is absent."""
    folder = shared_folder()
    if not (folder / "data").is_dir():
        pytest.skip(f"golden data not found: {folder}/data (set GLUON_MTCNN_SHARED)")
    return folder / "data"


@pytest.fixture(scope="session")
def checkout() -> Path:
    return CHECKOUT
