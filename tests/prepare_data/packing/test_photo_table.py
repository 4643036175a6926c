import numpy as np

from gluon_mtcnn.core.types import ALL_FACES, ONE_FACE, Annotation
from gluon_mtcnn.prepare_data.packing.photo_table import PhotoTable, write_table


def annotations(tmp_path):
    (tmp_path / "ä b.jpg").write_bytes(b"12345")
    points = np.arange(20, dtype=np.float32).reshape(2, 5, 2)
    return [
        Annotation(str(tmp_path / "ä b.jpg"), [[1, 2, 3, 4], [5, 6, 7, 8]], [True, False], points, "ä b.jpg"),
        Annotation(str(tmp_path / "gone\udcff.jpg"), [], [], name=""),
    ]


def test_annotations_come_back(tmp_path):
    given = annotations(tmp_path)
    summary = write_table(tmp_path / "table", [(ALL_FACES, given[:1]), (ONE_FACE, iter(given[1:]))])
    assert (summary.photos, summary.faces, summary.missing) == (2, 2, 1)
    table = PhotoTable(tmp_path / "table")
    assert len(table) == 2
    for i, expected in enumerate(given):
        found = table[i]
        assert (found.image, found.name) == (expected.image, expected.name or expected.image)
        np.testing.assert_array_equal(found.boxes, expected.boxes)
        np.testing.assert_array_equal(found.ignore, expected.ignore)
    np.testing.assert_array_equal(table[0].landmarks, given[0].landmarks)
    assert table[1].landmarks is None
    assert table.texts(1) == (given[1].image, given[1].image)
    np.testing.assert_array_equal(table.photos["source"], [ALL_FACES, ONE_FACE])


def test_the_digest_notices_boxes_and_photos(tmp_path):
    given = annotations(tmp_path)
    first = write_table(tmp_path / "a", [(ALL_FACES, given)]).digest
    assert write_table(tmp_path / "b", [(ALL_FACES, given)]).digest == first
    given[0].boxes[0, 0] += 1
    second = write_table(tmp_path / "b", [(ALL_FACES, given)]).digest
    assert second != first
    (tmp_path / "ä b.jpg").write_bytes(b"123456")
    assert write_table(tmp_path / "b", [(ALL_FACES, given)]).digest != second


def test_no_photos(tmp_path):
    assert write_table(tmp_path, []).photos == 0
    assert len(PhotoTable(tmp_path)) == 0
