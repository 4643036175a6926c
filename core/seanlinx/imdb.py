"""Image sets of the Seanlinx layout: class IMDB with its cache, and the samples of a set for packing.

Image lists (`imglist`) are the truth here. The cache, ``<root>/cache/<name>_<set>_gt_roidb.pkl``, is a copy of a
list for the original, which looks at nothing else once it exists: so it is written for Python 2, and written again when
the list changes. We read a cache only where the list is gone, or to see whether one of unknown origin agrees with the
list; reading the text is faster.

Source: Seanlinx/mtcnn at feacb3b, core/seanlinx/imdb.py (its behaviour).
"""

from __future__ import annotations

import logging
import os
import posixpath
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Optional

import numpy as np

from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.core.files.atomic import PathLike, sha256
from gluon_mtcnn.core.seanlinx.detection_files import write_results
from gluon_mtcnn.core.seanlinx.imdb_cache import (
    Entry,
    mirror_entries,
    read_cached_samples,
    staleness,
    to_entries,
    write_cache,
)
from gluon_mtcnn.core.seanlinx.imglist import ImageList, image_file, read_imglist, read_names

log = logging.getLogger(__name__)


class IMDB:
    """An image set of the Seanlinx layout, with the methods and attributes that its users know.

    Parameters
    ----------
    name : str
        Name of the data set, such as ``mtcnn`` or ``fddb``; ``IMDB.name`` is ``<name>_<image_set>``.
    image_set : str
        Name of the list: ``train_12``, ``fold-01``, ...
    root_path : folder of ``cache/``
    dataset_path : folder of ``images/`` and ``imglists/``
    mode : {"train", "test"}
        Rows with label and targets, or images only.

    Attributes
    ----------
    image_set_index : list of str
        Names in the list; twice as many after `append_flipped_images`.
    num_images : int
        Names in the list.

    Raises
    ------
    InputError
        The list is missing or wrong, or there is no such mode.

    Examples
    --------
    >>> imdb = IMDB("mtcnn", "train_12", root_path="imdb", dataset_path="imdb/mtcnn")
    >>> rows = imdb.gt_imdb()  # from the list once, then from imdb/cache/mtcnn_train_12_gt_roidb.pkl
    >>> sorted(rows[0])
    ['bbox_target', 'flipped', 'image', 'label']
    """

    classes = ("__background__", "face")
    num_classes = 2

    def __init__(
        self, name: str, image_set: str, root_path: PathLike, dataset_path: PathLike, mode: str = "train"
    ) -> None:
        if mode not in ("train", "test"):
            raise InputError(f"mode must be 'train' or 'test', but got {mode!r}")
        self.image_set = image_set
        self.name = f"{name}_{image_set}"
        self.root_path = os.fspath(root_path)
        self.data_path = os.fspath(dataset_path)
        self.mode = mode
        self.image_set_index = self.load_image_set_index()

    @property
    def num_images(self) -> int:
        """Names in the list, mirrored images not counted."""
        return len(self._names)

    @property
    def cache_path(self) -> str:
        """Folder of the caches; it is made when something is written to it."""
        return os.path.join(self.root_path, "cache")

    @property
    def cache_file(self) -> str:
        """The cache of this image set."""
        return os.path.join(self.cache_path, f"{self.name}_gt_roidb.pkl")

    @property
    def imglist(self) -> Path:
        """The list of this image set."""
        return imglist_path(self.data_path, self.image_set)

    def load_image_set_index(self) -> list[str]:
        """Read the list; return the names in it."""
        self._samples: Optional[ImageList] = None
        if self.mode == "test":
            self._names = read_names(self.imglist)
        else:
            self._samples = read_imglist(self.imglist)
            self._names = self._samples.names
        self._source = cache_source(self.imglist, self.data_path, self.mode, len(self._names))
        return list(self._names)

    def image_path_from_index(self, index: str) -> str:
        """Return the path of an image of the list, with ``.jpg`` where the name has no image suffix.

        Raises
        ------
        InputError
            There is no such image.
        """
        path = image_path(self.data_path, index)
        if not os.path.exists(path):
            raise InputError(f"{path}: image not found, named in {self.imglist}")
        return path

    def load_annotations(self) -> list[Entry]:
        """Return the rows of the list. All its images must be there: InputError otherwise."""
        return self._entries([self.image_path_from_index(name) for name in self._names])

    def _entries(self, paths: list[str]) -> list[Entry]:
        if self._samples is None:
            return [{"image": path} for path in paths]
        return to_entries(ImageList(paths, self._samples.labels, self._samples.offsets, self._samples.landmarks))

    def gt_imdb(self) -> list[Entry]:
        """Return the rows of the image set, and leave a cache of them that the original loads.

        A cache that agrees with the list is left alone; another one is replaced, with a warning.

        Returns
        -------
        list of dict
            ``image`` (str), and in mode train ``label`` (int), ``flipped`` (False), ``bbox_target`` ((4,) float64,
            zeros where the line has none) and, where the line has landmarks, ``landmark_target`` ((10,) float64).

        Raises
        ------
        InputError
            An image is missing (looked at when a cache is written), or there is a cache of unknown origin that is no
            pickle of plain rows.
        """
        if os.path.exists(self.cache_file):
            stale = self.staleness()
            if not stale:
                return self._listed()
            log.warning("%s: stale, written again: %s", self.cache_file, stale)
        entries = self.load_annotations()
        write_cache(self.cache_file, entries, self._source)
        return entries

    def _listed(self) -> list[Entry]:
        return self._entries([image_path(self.data_path, name) for name in self._names])

    def staleness(self) -> str:
        """Say in what the cache, which must be there, differs from the list, or return "". Raises as `gt_imdb`."""
        return staleness(self.cache_file, self._source, self._listed(), self._names)

    def append_flipped_images(self, imdb: Sequence[Entry]) -> list[Entry]:
        """Return the rows followed by those of the mirrored images, and double `image_set_index`.

        Parameters
        ----------
        imdb : sequence of dict
            Training rows, as of `gt_imdb`; not changed, unlike in the original.

        Returns
        -------
        list of dict
            Twice the rows. In the second half ``flipped`` is True, ``bbox_target`` is ``(-dx2, dy1, -dx1, dy2)``, and
            landmarks have x -> 1 - x with left and right exchanged. Who reads the image mirrors its pixels.
        """
        if any("bbox_target" not in entry for entry in imdb):
            raise InputError(f"{self.name}: rows without targets (mode 'test') cannot be flipped")
        self.image_set_index = self.image_set_index * 2
        return [*imdb, *mirror_entries(imdb)]

    def write_results(self, all_boxes: Sequence[np.ndarray]) -> str:
        """Write detections as FDDB's program reads them to ``<root>/cache/results/<image_set>-out.txt``.

        Parameters
        ----------
        all_boxes : one (n, 5) array ``x1 y1 x2 y2 score``, or an empty one, for each image of the list

        Returns
        -------
        str
            The path of the file.
        """
        path = os.path.join(self.cache_path, "results", f"{self.image_set}-out.txt")
        write_results(path, self._names, all_boxes)
        return path


def imglist_path(dataset_path: PathLike, image_set: str) -> Path:
    """Return where the list of an image set lies."""
    return Path(dataset_path, "imglists", f"{image_set}.txt")


def image_path(dataset_path: PathLike, name: str) -> str:
    """Return the path of an image of a list."""
    return posixpath.join(os.fspath(dataset_path), "images", image_file(name))


def cache_file(root: PathLike, image_set: str, name: str = "mtcnn") -> Path:
    """Return where the cache of an image set lies."""
    return Path(root, "cache", f"{name}_{image_set}_gt_roidb.pkl")


def cache_source(imglist: PathLike, dataset_path: PathLike, mode: str, count: int) -> dict[str, Any]:
    """Return what a cache depends on; kept in its manifest, so that a changed list is noticed."""
    return {
        "imglist_sha256": sha256(imglist),
        "dataset_path": os.fspath(dataset_path),
        "mode": mode,
        "count": count,
    }


def read_samples(
    root: PathLike, image_set: str, dataset_path: Optional[PathLike] = None, name: str = "mtcnn"
) -> tuple[list[str], np.ndarray]:
    """Return the training samples of a Seanlinx layout: of its image list or, where that is gone, of its cache.

    Parameters
    ----------
    root : folder of ``cache/``
    image_set : str
        ``train_12``, ``train_24``, ...
    dataset_path : folder of ``images/`` and ``imglists/``, default ``<root>/<name>``
    name : str
        Name of the data set in the cache's file name.

    Returns
    -------
    paths : list of str
        Image of each sample; that it exists is not checked. Cached paths that do not exist as written are looked for
        under the data set.
    rows : (n, 15) float32
        Label, 4 offsets, 10 landmarks.

    Raises
    ------
    InputError
        There is neither list nor cache, or it is wrong.
    """
    dataset_path = os.path.join(root, name) if dataset_path is None else dataset_path
    listed = imglist_path(dataset_path, image_set)
    if listed.is_file():
        samples = read_imglist(listed)
        return [image_path(dataset_path, sample) for sample in samples.names], samples.rows()
    cache = cache_file(root, image_set, name)
    if not cache.is_file():
        raise InputError(f"{listed}: image list not found, nor a cache {cache}")
    samples = read_cached_samples(cache)
    return [_find_image(path, dataset_path) for path in samples.names], samples.rows()


def _find_image(path: str, dataset_path: PathLike) -> str:
    """Return the path itself where it exists, else what follows an ``images/`` in it, under the data set."""
    if os.path.exists(path):
        return path
    parts = path.split("/")
    tails = [parts[i + 1 :] for i, part in enumerate(parts) if part == "images"] or [parts]
    candidates = [posixpath.join(os.fspath(dataset_path), "images", *tail) for tail in tails]
    return next(filter(os.path.exists, candidates), candidates[-1])
