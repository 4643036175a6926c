"""Files that are whole or not there: written under a temporary name, then renamed. Imports no MXNet."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Callable, Optional, TextIO, Union

import numpy as np

from gluon_mtcnn.core.errors import InputError

PathLike = Union[str, os.PathLike]
LONGEST_NAME = 255  # bytes of a file name, in most file systems
SCRATCH_BYTES = 1 << 18  # smaller arrays are ordinary memory


@contextmanager
def replacing(path: PathLike) -> Iterator[Path]:
    """Give a temporary name beside `path` to write to; it takes the place of `path` only when the block succeeds.

    A link stays, and the file that it leads to is replaced. A device or a pipe (/dev/null, /dev/stdout) stays too: the
    file's content is written to it.

    Raises
    ------
    InputError
        The folder of `path` cannot be made.
    """
    path = Path(path)
    if path.exists() and not path.is_file() and not path.is_dir():
        with tempfile.TemporaryDirectory() as folder:
            temporary = Path(folder) / "content"
            yield temporary
            with open(temporary, "rb") as content, open(path, "wb") as target:
                shutil.copyfileobj(content, target)
        return
    path = Path(os.path.realpath(path)) if path.is_symlink() else path
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{path}: its folder cannot be made: {error.strerror}") from None
    temporary = _temporary(path)
    try:
        yield temporary
        move_into_place(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _temporary(path: Path) -> Path:
    """Return a hidden name beside `path`: with all of its name, or where that is too long the digest of it."""
    name = f".{path.name}.{os.getpid()}.tmp"
    if len(os.fsencode(name)) > LONGEST_NAME:
        name = f".{hashlib.sha256(os.fsencode(path.name)).hexdigest()}.{os.getpid()}.tmp"
    return path.with_name(name)


@contextmanager
def replacing_text(path: PathLike) -> Iterator[TextIO]:
    """Give a text file to write, in UTF-8 with plain newlines, that takes the place of `path` as of `replacing`.

    File names that are not UTF-8, as `os.fsdecode` gives them, come out as the bytes they were.
    """
    with replacing(path) as temporary:
        file = open(temporary, "w", encoding="utf-8", errors="surrogateescape", newline="\n")  # noqa: SIM115
        with file:
            yield file


def move_into_place(temporary: PathLike, path: PathLike) -> None:
    """Rename a finished file, its bytes on the disk first, so that a crash leaves the old file or the new one."""
    with open(temporary, "rb") as file:
        os.fsync(file.fileno())
    os.replace(temporary, path)


def write_json(path: PathLike, value: Any) -> None:
    """Write indented JSON, atomically."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")


def read_json(path: PathLike, pairs_hook: Optional[Callable[[list[tuple[str, Any]]], Any]] = None) -> Any:
    """Read a JSON file.

    Parameters
    ----------
    path : path of the file
    pairs_hook : function, optional
        Makes a value of each object's pairs, instead of a dict; may raise InputError.

    Raises
    ------
    InputError
        It is missing or not JSON, or the hook refuses it; the message names the file and where it can the line.
    """
    try:
        return json.loads(Path(path).read_bytes().decode("utf-8-sig"), object_pairs_hook=pairs_hook)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise InputError(f"{path}: expected JSON text, got binary data") from None
    except json.JSONDecodeError as error:
        raise InputError(f"{path}:{error.lineno}: expected JSON: {error.msg}") from None
    except (ValueError, RecursionError) as error:  # a number of thousands of digits; thousands of brackets
        raise InputError(f"{path}: expected JSON that can be read: {error}") from None
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def sha256(path: PathLike) -> str:
    """Return the hexadecimal digest of a file, read in pieces."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        for piece in iter(lambda: file.read(1 << 20), b""):
            digest.update(piece)
    return digest.hexdigest()


def scratch_array(count: int, dtype: Any) -> np.ndarray:
    """Return zeros (count,) in a file without a name, which the kernel keeps in memory only while there is room.

    What a large pack is asked for again and again (the labels, the records of each class) so takes no memory of the
    process. Where no temporary file can be made, it is ordinary memory.
    """
    bytes_ = count * np.dtype(dtype).itemsize
    if bytes_ < SCRATCH_BYTES:
        return np.zeros(count, dtype)
    try:
        with tempfile.TemporaryFile() as file:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(file.fileno(), 0, bytes_)  # a full disk is met here, not when a page is written
            file.truncate(bytes_)
            return np.memmap(file, dtype, "r+", shape=(count,)).view(np.ndarray)
    except OSError:
        return np.zeros(count, dtype)
