"""Weights that ship with the package; ``model/default`` is what ``--model`` means when it is not given."""

from pathlib import Path

DEFAULT_MODEL = Path(__file__).parent / "default"
