"""Weights that ship with the package; ``model/default`` is what ``--model`` means when it is not given."""
