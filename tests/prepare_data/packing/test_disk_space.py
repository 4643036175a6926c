import os
import shutil

import numpy as np
import pytest

from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.core.types import ALL_FACES, ONE_FACE, Annotation
from gluon_mtcnn.prepare_data.mining.hard_examples import DETECTION_BYTES, MINED, HardExamplePlanner, Mining
from gluon_mtcnn.prepare_data.packing import disk_space as disk
from gluon_mtcnn.prepare_data.packing.disk_space import check_disk, check_expected_disk, expected_samples
from gluon_mtcnn.prepare_data.packing.options import Options
from gluon_mtcnn.prepare_data.packing.photo_table import PhotoTable, write_table
from gluon_mtcnn.prepare_data.sampling.candidates import ROW
from gluon_mtcnn.prepare_data.sampling.squares import Recipe

RECIPE = Recipe(min_face=20, near_negatives=3, size_steps=(40,), tries=(9, 9), positives=(1, 10), parts=(2, 20))
POINTS = np.full((1, 5, 2), 30.0)


def table_of(tmp_path):
    """Three photos of which all faces are listed, between two of which one is."""
    box = [[0, 0, 59, 59]]  # 60 px
    full = [
        Annotation("a.jpg", [[0, 0, 29, 29], [0, 0, 9, 9], [0, 0, 99, 49]], [False] * 3),  # small, tiny, large
        Annotation("b.jpg", [[0, 0, 29, 29]], [True]),
        Annotation("c.jpg", [], []),
    ]
    one = Annotation("d.jpg", box, [False], POINTS)
    write_table(tmp_path / "t", [(ONE_FACE, [one]), (ALL_FACES, full), (ONE_FACE, [one])])
    return PhotoTable(tmp_path / "t")


@pytest.mark.parametrize("together", [1, 2, 1 << 20])
def test_samples_are_estimated_from_the_annotations(tmp_path, monkeypatch, together):
    monkeypatch.setattr(disk, "FACES", together)
    # two usable faces of the listed ones: 1 + 10 positives, 2 + 20 parts, 3 photos of 5 negatives and 3 near each face
    np.testing.assert_array_equal(expected_samples(table_of(tmp_path), RECIPE, 5), [11, 3 * 5 + 2 * 3, 22, 2 * 30])


def usage(monkeypatch, free):
    monkeypatch.setattr(disk.shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**12, 0, free))


def test_what_counts_and_what_is_there_already(tmp_path, monkeypatch):
    usage(monkeypatch, disk.RESERVE + 600 * 1000)
    check_disk(tmp_path, tmp_path, Options(), 12, 1000)  # 1000 records of 580 bytes and 20 in the index
    for options, samples, other in (
        (Options(), 1001, 0),
        (Options(), 1000, 1),
        (Options(payload="png"), 1000, 0),
        (Options(imdb=str(tmp_path / "x")), 1000, 0),
    ):
        with pytest.raises(InputError, match="MB of free disk, got 68 MB"):
            check_disk(tmp_path, tmp_path, options, 12, samples, other)
    (tmp_path / "train.rec").write_bytes(bytes(580))
    check_disk(tmp_path, tmp_path, Options(), 12, 1000, 580)


def test_another_disk_for_the_crops(tmp_path, monkeypatch):
    monkeypatch.setattr(disk, "_device", lambda path: str(path).endswith("imdb"))
    usage(monkeypatch, disk.RESERVE + (disk.CROP_BYTES + disk.LINE_BYTES) * 100)
    options = Options(imdb=str(tmp_path / "imdb"))
    check_disk(tmp_path, tmp_path, options, 12, 100)  # either has room for its own, but not for both
    with pytest.raises(InputError, match="imdb: expected 0 MB of free disk"):
        check_disk(tmp_path, tmp_path, options, 12, 101)


def test_mining_is_refused_before_it_begins(tmp_path, monkeypatch):
    table = table_of(tmp_path)
    planner = HardExamplePlanner("rnet", RECIPE, Mining(negatives=1 << 40))
    planned = np.array([11, 3 * MINED + 6, 22, 60])
    used = 11 + 33 + 11 + 22
    need = planned.sum() * ROW.itemsize + DETECTION_BYTES * 5 + used * (1876 + 20)
    usage(monkeypatch, disk.RESERVE + need)
    check_expected_disk(tmp_path, tmp_path, table, planner, Options())
    usage(monkeypatch, disk.RESERVE + need - 1)
    with pytest.raises(InputError, match=r"expected about \d+ MB of free disk"):
        check_expected_disk(tmp_path, tmp_path, table, planner, Options())
    assert os.listdir(tmp_path) == ["t"]
