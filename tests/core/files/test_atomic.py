import os
import stat
import tempfile
import threading

import numpy as np
import pytest

from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.core.files import atomic as files
from gluon_mtcnn.core.files.atomic import read_json, replacing_text, scratch_array, write_json


def test_read_json_with_a_byte_order_mark(tmp_path):
    (tmp_path / "a.json").write_bytes(b'\xef\xbb\xbf{"a": 1, "b": [2]}')
    assert read_json(tmp_path / "a.json") == {"a": 1, "b": [2]}
    assert read_json(tmp_path / "a.json", list) == [("a", 1), ("b", [2])]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\xff\x00", r"a\.json: expected JSON text, got binary data"),
        (b'{\n"a": }', r"a\.json:2: expected JSON: Expecting value"),
        (b"[" * 100_000, r"a\.json: expected JSON that can be read: maximum recursion depth"),
    ],
)
def test_read_json_says_what_is_wrong(tmp_path, content, message):
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(InputError, match=message):
        read_json(tmp_path / "a.json")


@pytest.mark.parametrize("name", ["a" * 255, "b" * 251 + ".txt", "\u00e9" * 127])
def test_a_name_may_have_as_many_bytes_as_the_file_system_allows(tmp_path, name):
    with replacing_text(tmp_path / name) as file:
        file.write("x")
    assert os.listdir(tmp_path) == [name]


def test_read_json_names_the_file_that_a_hook_refuses(tmp_path):
    def refuse(pairs):
        raise InputError("no objects")

    (tmp_path / "a.json").write_text("{}")
    with pytest.raises(InputError, match=r"a\.json: no objects"):
        read_json(tmp_path / "a.json", refuse)
    with pytest.raises(InputError, match=r"none\.json: cannot be read: No such file"):
        read_json(tmp_path / "none.json")


def test_scratch_arrays_are_files_without_a_name(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    small, large = scratch_array(10, np.int8), scratch_array(files.SCRATCH_BYTES, np.int32)
    assert isinstance(large.base, np.memmap)
    assert small.base is None
    assert not any(large)
    large[:] = np.arange(len(large))
    assert large[-1] == len(large) - 1
    assert list(tmp_path.iterdir()) == []


def test_scratch_arrays_without_a_folder_for_them_are_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    array = scratch_array(files.SCRATCH_BYTES, np.int32)
    assert array.base is None
    assert len(array) == files.SCRATCH_BYTES


def test_a_pipe_or_a_device_is_written_to_and_stays(tmp_path):
    """Renaming a file to /dev/null, as root, would take /dev/null from the whole machine."""
    pipe, got = tmp_path / "pipe", []
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: got.append(pipe.read_text()))
    reader.start()
    write_json(pipe, [1])
    reader.join()
    assert got == ["[\n  1\n]\n"]
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    assert os.listdir(tmp_path) == ["pipe"]


def test_a_link_stays_and_its_file_is_replaced(tmp_path):
    (tmp_path / "sub").mkdir()
    link = tmp_path / "link"
    link.symlink_to("sub/file")
    for content in "ab":  # the file that it leads to need not be there
        with replacing_text(link) as file:
            file.write(content)
        assert link.is_symlink()
        assert (tmp_path / "sub" / "file").read_text() == content
    with pytest.raises(ZeroDivisionError), replacing_text(link) as file:
        file.write("c" * (1 // 0))
    assert link.read_text() == "b"


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"x\.json: its folder cannot be made"):
        write_json(tmp_path / "file" / "below" / "x.json", [])
