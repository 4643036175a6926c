"""`core.seanlinx.imdb` under its earlier name."""

from gluon_mtcnn.core.seanlinx.imdb import IMDB

__all__ = ["IMDB"]
