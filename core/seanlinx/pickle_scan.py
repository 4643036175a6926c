"""A pass over the opcodes of a pickle before it is read: refuses false claims, takes over what hashes.

The reader allocates what lengths and memo indices claim, and hashes the keys of dicts and the members of sets, before
anything of ours sees them; the hash of one key can take for ever. So lengths and indices are held against the file, and
each opcode that hashes is replaced by a call of ``persistent_load``, which gets the container and the items.
Opcodes: pickletools of the standard library.
"""

from __future__ import annotations

import pickle
import pickletools
import re
import struct

SMALL_INDEX = 1 << 24  # a memo index below this takes memory that does no harm
_PERSISTENT = (pickle.PERSID, pickle.BINPERSID)
_CALL = pickle.BINPERSID
# What stands in for an opcode that hashes, and what persistent_load gets: a container and its items in a pair, the
# items of a new dict in a list, or those of a frozenset in a tuple of one list.
_INSTEAD = {
    pickle.SETITEM: pickle.TUPLE2 + pickle.TUPLE2 + _CALL,
    pickle.SETITEMS: pickle.TUPLE + pickle.TUPLE2 + _CALL,
    pickle.ADDITEMS: pickle.TUPLE + pickle.TUPLE2 + _CALL,
    pickle.DICT: pickle.LIST + _CALL,
    pickle.FROZENSET: pickle.LIST + pickle.TUPLE1 + _CALL,
}

# How many bytes follow each opcode, or one of pickletools' negative codes for "it depends".
_ARGUMENT = {op.code.encode("latin1"): op.arg.n if op.arg else 0 for op in pickletools.opcodes}
_LENGTH_FORMAT = {
    pickletools.TAKEN_FROM_ARGUMENT1: "<B",
    pickletools.TAKEN_FROM_ARGUMENT4: "<i",
    pickletools.TAKEN_FROM_ARGUMENT4U: "<I",
    pickletools.TAKEN_FROM_ARGUMENT8U: "<Q",
}


def _plain_run() -> re.Pattern[bytes]:
    """Return a pattern for many opcodes at once that need no look. It is bounded, since `re` keeps a stack."""
    looked_at = {pickle.STOP, pickle.LONG_BINPUT, pickle.FRAME, *_PERSISTENT, *_INSTEAD}
    codes: dict[int, bytes] = {}
    for code, length in _ARGUMENT.items():
        if length >= 0 and code not in looked_at:
            codes[length] = codes.get(length, b"") + re.escape(code)
    kinds = [b"[%s]" % codes[length] + b"." * length for length in sorted(codes)]
    kinds.append(pickle.LONG_BINPUT + rb"...\0")  # below SMALL_INDEX
    return re.compile(b"(?:%s){0,500}" % b"|".join(kinds), re.DOTALL)


_PLAIN_RUN = _plain_run()


def checked(data: bytes) -> bytes:
    """Return a pickle that claims no more than it holds, its opcodes that hash replaced; its frames are dropped.

    Raises
    ------
    pickle.UnpicklingError
        A length or memo index beyond the file, an unknown opcode, or a persistent id.
    """
    parts, done, at = [], 0, 0
    while True:
        at = _PLAIN_RUN.match(data, at).end()  # type: ignore[union-attr]
        code = data[at : at + 1]
        if code == pickle.STOP:
            parts.append(data[done : at + 1])
            return b"".join(parts)
        if code in _INSTEAD:
            parts += (data[done:at], _INSTEAD[code])
            done = at = at + 1
            continue
        if code in _PERSISTENT or (code and code not in _ARGUMENT):
            what = "asks for a persistent object" if code in _PERSISTENT else "is no pickle opcode"
            raise pickle.UnpicklingError(f"byte {at}, {code!r}, {what}")
        end = skip(data, at + 1, code)
        if code == pickle.FRAME:  # their lengths are no longer right
            parts.append(data[done:at])
            done = end
        at = end


def skip(data: bytes, at: int, code: bytes) -> int:
    """Return where the argument of an opcode ends that starts at a byte; UnpicklingError if it claims too much."""
    kind = _ARGUMENT.get(code, 0)
    try:
        if code == pickle.LONG_BINPUT:
            _check_index(struct.unpack_from("<I", data, at)[0], data)
        if kind == pickletools.UP_TO_NEWLINE:
            end = data.index(b"\n", at) + 1
            if code == pickle.PUT:
                _check_index(int(data[at:end]), data)
            return data.index(b"\n", end) + 1 if code in (pickle.GLOBAL, pickle.INST) else end
        if kind < 0:
            length = struct.unpack_from(_LENGTH_FORMAT[kind], data, at)[0]
            kind = struct.calcsize(_LENGTH_FORMAT[kind]) + length if length >= 0 else len(data)
        if code == pickle.FRAME and struct.unpack_from("<Q", data, at)[0] > len(data) - at - kind:
            kind = len(data)
    except (struct.error, ValueError):
        kind = len(data)
    if not code or kind < 0 or at + kind > len(data):
        raise pickle.UnpicklingError(f"it is cut short: it ends at byte {len(data)}, inside an item")
    return at + kind


def _check_index(index: int, data: bytes) -> None:
    """Refuse a memo index beyond the file. Small ones pass: who drops PUTs or goes on with a memo leaves gaps."""
    if not 0 <= index < max(SMALL_INDEX, len(data)):
        raise pickle.UnpicklingError(f"it claims {index} items in {len(data)} bytes")
