import builtins
import sys

import numpy as np
import pytest
from scipy.io import savemat

from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.prepare_data.annotations.wider import ATTRIBUTES, read_wider

# event -> photo -> rows of x y w h and six attributes
PHOTOS = {
    "0--Parade": {
        "a.b": [[10, 20, 30, 40, 0, 0, 0, 0, 0, 0], [5, 6, 7, 8, 2, 1, 0, 0, 1, 1], [1, 2, 0, 3, 0, 0, 0, 0, 0, 0]],
        "one": [[9, 9, 10, 10, 0, 0, 0, 1, 2, 0]],
    },
    "1--Handshaking": {"empty": []},
}
LISTS = ("face_bbx_list", *(f"{name}_label_list" for name in ATTRIBUTES))
TEXT = """0--Parade/a.b.jpg
3
10 20 30 40 0 0 0 0 0 0
5 6 7 8 2 1 0 0 1 1
1 2 0 3 0 0 0 0 0 0
0--Parade/one.jpg
1
9 9 10 10 0 0 0 1 2 0
1--Handshaking/empty.jpg
0
0 0 0 0 0 0 0 0 0 0
"""


def columns(rows):
    """Return the matrices that a photo has in each of LISTS."""
    rows = np.array(rows, np.float64).reshape(-1, 10)
    return [rows[:, :4], *(rows[:, i : i + 1] for i in range(4, 10))]


def write_hdf5(path, photos=PHOTOS, leave_out=()):
    """Write a file as MATLAB's ``save -v7.3`` does: 512 bytes of header, references in #refs#, matrices transposed."""
    h5py = pytest.importorskip("h5py", reason="h5py is not installed (the extra `mat`)")
    with h5py.File(path, "w", userblock_size=512) as file:
        refs = file.create_group("#refs#")

        def store(value):
            inner = [store(item) for item in value] if isinstance(value, list) else None
            name = f"#refs#/{len(refs)}"
            if isinstance(value, str):
                file[name] = np.array([[ord(c)] for c in value], np.uint16)
            elif isinstance(value, list):
                file[name] = np.array([inner], h5py.ref_dtype)
            elif value.size == 0:
                file[name] = np.array(value.shape, np.uint64)
                file[name].attrs["MATLAB_empty"] = np.uint8(1)
            else:
                file[name] = value.T
            return file[name].ref

        lists = {"event_list": list(photos), "file_list": [list(event) for event in photos.values()]}
        for i, name in enumerate(LISTS):
            lists[name] = [[columns(rows)[i] for rows in event.values()] for event in photos.values()]
        for name, cells in lists.items():
            if name not in leave_out:
                file[name] = np.array([[store(cell) for cell in cells]], h5py.ref_dtype)
    data = bytearray(path.read_bytes())
    data[:20] = b"MATLAB 7.3 MAT-file "
    path.write_bytes(data)


def cell(items):
    array = np.empty((len(items), 1), object)
    array[:, 0] = [item for item in items] if not items or isinstance(items[0], str) else [None] * len(items)
    if items and not isinstance(items[0], str):
        for i, item in enumerate(items):
            array[i, 0] = item
    return array


def write_v5(path):
    lists = {"event_list": cell(list(PHOTOS)), "file_list": cell([cell(list(event)) for event in PHOTOS.values()])}
    for i, name in enumerate(LISTS):
        lists[name] = cell([cell([columns(rows)[i] for rows in event.values()]) for event in PHOTOS.values()])
    savemat(path, lists)


@pytest.mark.parametrize("write", [write_hdf5, write_v5])
def test_it_says_what_the_text_says(tmp_path, write):
    write(tmp_path / "wider_face_train.mat")
    (tmp_path / "gt.txt").write_text(TEXT)
    found = list(read_wider(tmp_path / "wider_face_train.mat", tmp_path))
    same_annotations(found, list(read_wider(tmp_path / "gt.txt", tmp_path)))
    np.testing.assert_array_equal(found[0].boxes, [[10, 20, 39, 59], [5, 6, 11, 13]])
    assert [photo.ignore.tolist() for photo in found] == [[False, True], [True], []]


def same_annotations(found, expected):
    assert [photo.name for photo in found] == [photo.name for photo in expected]
    assert [photo.image for photo in found] == [photo.image for photo in expected]
    for a, b in zip(found, expected):
        np.testing.assert_array_equal(a.boxes, b.boxes)
        np.testing.assert_array_equal(a.ignore, b.ignore)
        for name in b.attributes:
            np.testing.assert_array_equal(a.attributes[name], b.attributes[name])


def test_the_validation_set(shared):
    """The ground truth of the evaluation is the same annotation as v5; the golden text is a cut of the set."""
    text = {p.name: p for p in read_wider(shared / "wider/wider_face_split/wider_face_val_bbx_gt.txt", shared)}
    mat = [p for p in read_wider(shared / "wider/ground_truth/wider_face_val.mat", shared) if p.name in text]
    assert len(mat) == len(text) > 100
    same_annotations(mat, [text[photo.name] for photo in mat])


def test_bad_files_are_one_line(tmp_path):
    path = tmp_path / "x.mat"
    for content in (b"", b"text", b"MATLAB 5.0 MAT-file" + bytes(200)):
        path.write_bytes(content)
        with pytest.raises(InputError, match=r"x\.mat: expected WIDER's annotations in a MATLAB"):
            list(read_wider(path, tmp_path))
    write_hdf5(path, leave_out=("pose_label_list",))
    with pytest.raises(InputError, match=r"x\.mat: expected the fields of WIDER's annotations: .*pose_label_list"):
        list(read_wider(path, tmp_path))
    savemat(path, {"event_list": cell(["a"])})
    with pytest.raises(InputError, match=r"x\.mat: expected the fields .* no 'file_list'"):
        list(read_wider(path, tmp_path))
    write_hdf5(path, {"e": {"p": [[np.nan] * 4 + [0] * 6]}})
    with pytest.raises(InputError, match=r"x\.mat: e/p\.jpg: expected finite numbers up to 1e\+06, got nan"):
        list(read_wider(path, tmp_path))
    with pytest.raises(InputError, match=r"none\.mat: cannot be read"):
        list(read_wider(tmp_path / "none.mat", tmp_path))


def test_labels_of_another_number_than_faces(tmp_path, monkeypatch):
    path = tmp_path / "x.mat"
    original = columns
    monkeypatch.setattr(sys.modules[__name__], "columns", lambda rows: [original(rows)[0], *original(rows[:1])[1:]])
    write_hdf5(path)
    with pytest.raises(InputError, match=r"0--Parade/a\.b\.jpg: expected 4 numbers and 6 labels a face, got 12, \[1,"):
        list(read_wider(path, tmp_path))


def test_without_h5py(tmp_path, monkeypatch):
    write_hdf5(tmp_path / "x.mat")
    original = builtins.__import__

    def refuse(name, *args):
        if name == "h5py":
            raise ImportError(name)
        return original(name, *args)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(InputError, match=r"x\.mat: MATLAB v7\.3 needs h5py: pip install 'gluon-mtcnn\[mat\]'"):
        list(read_wider(tmp_path / "x.mat", tmp_path))
