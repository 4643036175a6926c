"""A small painted data set with faces, for quickstart and tests."""
