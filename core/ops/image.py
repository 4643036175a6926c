"""Images: reading, the pyramid, and cutting squares out. BGR uint8 (h, w, 3) everywhere until a net normalises it."""

from __future__ import annotations

import io
import os
import struct
import zlib
from pathlib import Path
from typing import Any, Union

import cv2
import numpy as np

from gluon_mtcnn.core.errors import InputError

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm")
COLORS = ("bgr", "rgb")
MEAN, SCALE = 127.5, 0.0078125
WARP_LIMIT = 2**15 - 1  # side of an image that cv2.warpAffine and cv2.remap refuse
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def read(path: Union[str, os.PathLike], exif: bool = False) -> np.ndarray:
    """Return the photo as BGR uint8 (h, w, 3).

    Parameters
    ----------
    path : path of an image file
    exif : bool
        Turn the photo as its EXIF orientation says. Data sets are annotated without, so False is the default. OpenCV
        turns TIFF files in either case.

    Raises
    ------
    InputError
        The file is missing, empty, or not an image that OpenCV can decode.
    """
    try:
        data = Path(path).read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the path
        raise InputError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from None
    if data.startswith(PNG_SIGNATURE):
        _check_png(data, path)
    flags = cv2.IMREAD_COLOR if exif else cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), flags) if data else None
    except cv2.error:
        image = None
    if image is None:
        raise InputError(f"{path}: expected an image, got {len(data)} bytes that do not decode as one")
    return _turn_webp(image, data) if exif and data[8:12] == b"WEBP" else image


def _check_png(data: bytes, path: Union[str, os.PathLike]) -> None:
    """Refuse a PNG that is cut off or damaged; libpng would say so on stderr itself, without the file's name."""
    view, at = memoryview(data), len(PNG_SIGNATURE)
    while at + 12 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        end = at + 12 + length
        if end > len(data):
            break
        needed = kind[:1].isupper()  # libpng gets along without the others
        if needed and zlib.crc32(view[at + 4 : end - 4]) != struct.unpack_from(">I", data, end - 4)[0]:
            raise InputError(f"{path}: expected an image, got a PNG that is damaged at byte {at}")
        if kind == b"IEND":
            return
        at = end
    raise InputError(f"{path}: expected an image, got a PNG that is cut off after {len(data)} bytes")


def _turn_webp(image: np.ndarray, data: bytes) -> np.ndarray:
    """Return a WebP image turned as its EXIF orientation says, which OpenCV does for JPEG and PNG only."""
    from PIL import ExifTags, Image, ImageOps

    tag = ExifTags.Base.Orientation
    try:
        with Image.open(io.BytesIO(data)) as file:
            orientation = file.getexif().get(tag, 1)
    except (OSError, SyntaxError, ValueError, struct.error):  # EXIF data that mean nothing
        return image
    picture = Image.fromarray(image)  # OpenCV's pixels: other decoders round otherwise
    picture.getexif()[tag] = orientation
    return np.array(ImageOps.exif_transpose(picture))


def as_bgr(image: Any, color: str = "bgr") -> np.ndarray:
    """Return any image in memory as contiguous BGR uint8 (h, w, 3).

    Parameters
    ----------
    image : array or PIL image
        (h, w), (h, w, 1), (h, w, 3) or (h, w, 4); uint8, uint16 (scaled down), bool or float (0..255).
    color : {"bgr", "rgb"}
        Order of the first three channels of colour arrays; a PIL image knows its own.

    Raises
    ------
    InputError
        Another shape, type or order.
    """
    if color not in COLORS:
        raise InputError(f"color must be 'bgr' or 'rgb', but got {color!r}")
    if hasattr(image, "getbands"):
        image, color = _from_pil(image), "rgb"
    try:
        image = np.asarray(image)
    except ValueError:  # lists of different lengths
        raise InputError("an image must be an array, but got rows of different lengths") from None
    if image.ndim == 2:
        image = image[..., None]
    if image.ndim != 3 or image.shape[2] not in (1, 3, 4):
        raise InputError(f"an image must be (h, w), (h, w, 1), (h, w, 3) or (h, w, 4), but got {image.shape}")
    if image.dtype.kind == "u" and image.dtype.itemsize == 2:  # of either byte order
        image = (image >> 8).astype(np.uint8)
    elif image.dtype == bool:
        image = image.astype(np.uint8) * 255
    elif image.dtype != np.uint8:
        if image.dtype.kind not in "iuf":
            raise InputError(f"an image must hold real numbers, but got {image.dtype}")
        if not np.isfinite(image).all():
            raise InputError("an image must hold finite numbers, but got NaN or infinity")
        image = np.clip(np.rint(image), 0, 255).astype(np.uint8)
    image = np.repeat(image, 3, axis=2) if image.shape[2] == 1 else image[..., :3]
    return np.ascontiguousarray(image[..., ::-1] if color == "rgb" else image)


def _from_pil(image: Any) -> np.ndarray:
    """Return a PIL image as an array, RGB or grey; modes I hold 16 bits. Its file may be decoded only now."""
    try:
        if image.mode.startswith("I"):
            return np.clip(np.asarray(image), 0, 65535).astype(np.uint16)
        return np.asarray(image if image.mode in ("L", "F", "RGB") else image.convert("RGB"))
    except (OSError, SyntaxError, ValueError) as error:
        raise InputError(f"{getattr(image, 'filename', '') or 'a PIL image'}: cannot be decoded: {error}") from None


def pyramid_scales(height: int, width: int, min_face: float, factor: float = 0.709, cell: int = 12) -> list[float]:
    """Return the scales of the pyramid that P-Net runs over: the first makes `min_face` px fill its cell.

    Ends with the last scale whose shorter side, truncated to an integer, is above the cell (the rule of Seanlinx).
    """
    if not min_face > 0 or not 0 < factor < 1:  # NaN is neither
        raise InputError(f"min face must be > 0 and scale factor in (0, 1), but got {min_face} and {factor}")
    scales = []
    scale = cell / min_face
    while min(int(height * scale), int(width * scale)) > cell:
        scales.append(scale)
        scale *= factor
    return scales


def crop_and_resize(image: np.ndarray, boxes: np.ndarray, size: int) -> np.ndarray:
    """Cut integer boxes out of an image and resize each to a square.

    Parameters
    ----------
    image : (h, w, 3) uint8
    boxes : (n, 4) integers
        Inclusive pixels; may reach outside the image, where the crop is zero.
    size : int
        Side of the result.

    Returns
    -------
    (n, size, size, 3) uint8
    """
    boxes = np.asarray(boxes)
    out = np.zeros((len(boxes), size, size, 3), np.uint8)
    height, width = image.shape[:2]
    # The loop is the cost of cutting small crops: Python's integers, positional arguments, nothing that can be outside.
    for target, x1, y1, x2, y2 in zip(out, *boxes.astype(np.int64).T.tolist()):
        if 0 <= x1 <= x2 < width and 0 <= y1 <= y2 < height:
            cv2.resize(image[y1 : y2 + 1, x1 : x2 + 1], (size, size), target, 0, 0, cv2.INTER_LINEAR)
        else:
            _crop_beyond(image, (x1, y1, x2, y2), target)
    return out


def _crop_beyond(image: np.ndarray, box: tuple[int, int, int, int], target: np.ndarray) -> None:
    """Cut out one box that reaches outside the image, which is zero there, into `target`, which was zero."""
    x1, y1, x2, y2 = box
    height, width = image.shape[:2]
    if max(x1, 0) <= min(x2, width - 1) and max(y1, 0) <= min(y2, height - 1):
        cv2.resize(cut_out(image, x1, y1, x2, y2), target.shape[:2], target, 0, 0, cv2.INTER_LINEAR)


def cut_out(image: np.ndarray, x1: int, y1: int, x2: int, y2: int) -> np.ndarray:
    """Return the pixels of one inclusive box that has a pixel in the image (h, w, 3); zero outside the image."""
    height, width = image.shape[:2]
    left, top, right, bottom = max(x1, 0), max(y1, 0), min(x2 + 1, width), min(y2 + 1, height)
    border = (top - y1, y2 + 1 - bottom, left - x1, x2 + 1 - right)
    return cv2.copyMakeBorder(image[top:bottom, left:right], *border, cv2.BORDER_CONSTANT)


def mirror_some(images: np.ndarray, chosen: np.ndarray) -> None:
    """Mirror the images (n, h, w, 3) of a mask (n,) left to right, in place."""
    images[chosen] = images[chosen, :, ::-1]


def normalise(images: np.ndarray) -> np.ndarray:
    """Return (n, h, w, 3) uint8 as the nets' input: (n, 3, h, w) float32, ``(x - 127.5) / 128``."""
    return (images.transpose(0, 3, 1, 2).astype(np.float32) - np.float32(MEAN)) * np.float32(SCALE)


def planar(images: np.ndarray) -> np.ndarray:
    """Return images (n, S, S, 3) uint8 as contiguous (n, 3, S, S); OpenCV splits colours 4 times as fast as numpy."""
    count, size = images.shape[:2]
    planes = cv2.split(images.reshape(count * size, size, 3))
    return np.stack([plane.reshape(count, size, size) for plane in planes], axis=1)
