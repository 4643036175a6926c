import pickle

import numpy as np
import pytest

from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.core.seanlinx.detection_files import read_detections, write_detections, write_results

FACES = np.array([[10, 20, 29.5, 59, 0.987654321], [-1, 0, 5, 7, 0.5]], np.float32)


def test_python2_detections(shared):
    items = read_detections(shared / "seanlinx/python2/detections.pkl")
    with np.load(shared / "seanlinx/python2/detections_expected.npz") as expected:
        assert [item.shape for item in items] == [(3, 5), (0, 5), (1, 5), (7, 5)]
        for i, item in enumerate(items):
            np.testing.assert_array_equal(item, expected[f"d{i}"].reshape(-1, 5))
            assert type(item) is np.ndarray


def test_round_trip_keeps_type_and_order(tmp_path):
    path = tmp_path / "detections.pkl"
    write_detections(path, [FACES, np.zeros((0, 5), np.float32), FACES[:1].astype(np.float64), np.zeros(0), []])
    items = read_detections(path)
    assert [item.shape for item in items] == [(2, 5), (0, 5), (1, 5), (0, 5), (0, 5)]
    assert items[0].dtype == np.float32
    np.testing.assert_array_equal(items[0], FACES)
    assert items[2].dtype == np.float64


def test_an_empty_one_is_what_the_original_expects(tmp_path):
    write_detections(tmp_path / "detections.pkl", [np.zeros((0, 5), np.float32)])
    raw = pickle.loads((tmp_path / "detections.pkl").read_bytes(), encoding="latin1")
    assert raw[0].shape == (0,)
    assert raw[0].dtype == np.float64


@pytest.mark.parametrize(
    ("items", "message"),
    [
        ({"a": FACES}, "expected a list of arrays, got a dict"),
        ([FACES, FACES[:, :4]], r"item 1: expected a float array \(n, 5\), got float32 \(2, 4\)"),
        ([FACES.astype(int)], r"item 0: expected a float array \(n, 5\), got int64"),
        ([None], "item 0: .* got a NoneType"),
        ([np.float64(3)], "item 0: "),
        ([np.array(3.0)], "item 0: "),
    ],
)
def test_other_pickles_are_named(tmp_path, items, message):
    path = tmp_path / "detections.pkl"
    path.write_bytes(pickle.dumps(items, 2))
    with pytest.raises(InputError, match=message):
        read_detections(path)


def test_results_are_those_of_fddb(tmp_path):
    path = tmp_path / "results" / "fold-01-out.txt"
    write_results(path, ["2002/08/11/big/img_591", "a.b/c.jpg"], [FACES, np.zeros(0)])
    assert path.read_text() == (
        "2002/08/11/big/img_591\n2\n10.00 20.00 19.50 39.00 0.98765\n-1.00 0.00 6.00 7.00 0.50000\na.b/c\n0\n"
    )
    assert FACES[0, 2] == np.float32(29.5)  # not written into


def test_results_of_another_number_of_images_are_refused(tmp_path):
    with pytest.raises(InputError, match="expected detections of 2 images, got 1"):
        write_results(tmp_path / "x.txt", ["a", "b"], [FACES])
    with pytest.raises(InputError, match=r"x\.txt: a: expected a float array"):
        write_results(tmp_path / "x.txt", ["a"], [FACES[0]])
    assert list(tmp_path.iterdir()) == []
