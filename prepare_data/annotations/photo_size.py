"""The size of a photo from the head of its file, so that samples can be planned before anything is decoded."""

from __future__ import annotations

from typing import Optional

from PIL import Image

from gluon_mtcnn.core.ops import image

HEAD_BYTES = 1 << 14  # of a JPEG that are looked at; a thumbnail before the frame may fill more
# Start of frame: baseline, progressive, ... The numbers between are tables (C4), a reserved one (C8), arithmetic (CC).
_FRAMES = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC})


def image_size(path: str) -> tuple[int, int]:
    """Return (width, height) of a photo as stored, from its header where it is understood.

    Raises
    ------
    InputError
        The photo is missing or no image.
    """
    try:
        with open(path, "rb", buffering=0) as file:
            size = jpeg_size(file.read(HEAD_BYTES))
        if size is not None:
            return size
        with Image.open(path) as photo:
            return photo.size
    except Exception:  # Pillow raises anything on odd files; OpenCV, which must decode it later, has the last word
        height, width = image.read(path).shape[:2]
        return width, height


def jpeg_size(head: bytes) -> Optional[tuple[int, int]]:
    """Return (width, height) that the first frame header in the head of a JPEG tells, or None where none is found.

    Source: ITU-T T.81, annex B.
    """
    if not head.startswith(b"\xff\xd8"):
        return None
    at = 2
    while at + 9 <= len(head) and head[at] == 0xFF:
        marker = head[at + 1]
        if marker == 0xFF:  # a fill byte
            at += 1
            continue
        if marker in _FRAMES:
            height, width = int.from_bytes(head[at + 5 : at + 7], "big"), int.from_bytes(head[at + 7 : at + 9], "big")
            return (width, height) if width and height else None  # 0: the height follows later
        at += 2 + int.from_bytes(head[at + 2 : at + 4], "big")
    return None
