import subprocess
import sys

import pytest

from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.core.files.locks import exclusive


def test_one_at_a_time(tmp_path):
    with (
        exclusive(tmp_path / "lock", "busy"),
        pytest.raises(InputError, match="busy"),
        exclusive(tmp_path / "lock", "busy"),
    ):
        pass
    with exclusive(tmp_path / "lock", "busy"):
        pass


def test_a_process_that_is_given_the_lock_holds_it_until_it_ends(tmp_path):
    code = "import sys; sys.stdin.read()"
    with exclusive(tmp_path / "lock", "busy") as lock:
        child = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, pass_fds=(lock,))
    with pytest.raises(InputError, match="busy"), exclusive(tmp_path / "lock", "busy", patience=0.3):
        pass
    child.stdin.close()
    with exclusive(tmp_path / "lock", "busy", patience=20):
        assert child.wait(5) == 0
