"""Dataclasses as JSON holds them, for records and digests."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict
from typing import Any


def json_values(instance: Any, unused: Collection[str] = ()) -> dict[str, Any]:
    """Return a dataclass's values by field name, as they are after JSON: tuples are lists.

    Parameters
    ----------
    instance : dataclass
    unused : collection of str
        Fields to leave out. A field that came later and is not used is left out, or every digest and record of before
        would differ from now.
    """
    return {name: _plain(value) for name, value in asdict(instance).items() if name not in unused}


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    return list(map(_plain, value)) if isinstance(value, (tuple, list)) else value
