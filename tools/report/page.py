"""The HTML of a report: one file, no script, no request; every text is escaped here and nowhere else.

Functions take plain text and numbers and return HTML. Pictures go into an `Album`, which bounds the page's size.
"""

from __future__ import annotations

import base64
import html
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

import cv2
import numpy as np

from gluon_mtcnn.tools.report.style import STYLE

NOTHING = "–"
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
PNG_MAGIC = b"\x89PNG\r\n\x1a\n"


def escape(value: Any) -> str:
    """Return any value as text that is safe in HTML and in attributes, bytes that are not UTF-8 replaced."""
    return html.escape(str(value).encode("utf-8", "replace").decode("utf-8"))


def number(value: Any, digits: int = 4) -> str:
    """Return a number as people read it: whole ones grouped, others rounded; a dash where there is none."""
    if isinstance(value, bool) or not isinstance(value, (int, float, np.number)) or not math.isfinite(value):
        return NOTHING
    if isinstance(value, (int, np.integer)):
        return f"{value:,}"
    return f"{value:,.{digits}f}"


class Album:
    """Pictures as data URIs, up to a number of bytes on the page.

    Attributes
    ----------
    left_out : int
        Pictures that did not fit any more.
    """

    def __init__(self, limit: int) -> None:
        self._room = limit
        self.left_out = 0

    def add(self, picture: np.ndarray, quality: int = 80) -> Optional[str]:
        """Return a BGR picture (h, w, 3) as the URI of a JPEG, or None where it does not fit."""
        return self._take("jpeg", cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes())

    def add_png(self, path: Path) -> Optional[str]:
        """Return a PNG file as it is, or None where it is no PNG or does not fit."""
        data = path.read_bytes()
        return self._take("png", data) if data.startswith(PNG_MAGIC) else None

    def _take(self, kind: str, data: bytes) -> Optional[str]:
        uri = f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
        if len(uri) > self._room:
            self.left_out += 1
            return None
        self._room -= len(uri)
        return uri


@dataclass(frozen=True)
class Section:
    """A part of the page: its anchor, its heading, and blocks of HTML."""

    anchor: str
    title: str
    blocks: Sequence[str]

    def html(self) -> str:
        """Return the section."""
        heading = f'<h2 id="{escape(self.anchor)}-title">{escape(self.title)}</h2>'
        opening = f'<section id="{escape(self.anchor)}" aria-labelledby="{escape(self.anchor)}-title">'
        return "\n".join([opening, heading, *self.blocks, "</section>"])


def page(title: str, lead: str, sections: Sequence[Section], foot: str) -> str:
    """Return the whole page."""
    links = "".join(f'<li><a href="#{escape(s.anchor)}">{escape(s.title)}</a></li>' for s in sections)
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy" content="{escape(POLICY)}">
<title>{escape(title)}</title>
<link rel="icon" href="data:,">
<style>
{STYLE}
</style>
</head>
<body>
<header><h1>{escape(title)}</h1><p>{escape(lead)}</p>
<nav aria-label="Sections"><ul>{links}</ul></nav></header>
<main>
{chr(10).join(section.html() for section in sections)}
</main>
<footer><p>{escape(foot)}</p></footer>
</body>
</html>
"""


def heading(text: str) -> str:
    """Return the heading of a part of a section."""
    return f"<h3>{escape(text)}</h3>"


def paragraph(text: str) -> str:
    """Return a line of text."""
    return f"<p>{escape(text)}</p>"


def note(text: str) -> str:
    """Return the line that stands for a part that is missing or cannot be read."""
    return f'<p class="note">{escape(text)}</p>'


def tiles(figures: Sequence[tuple[str, str, str]]) -> str:
    """Return the main figures, large: (what, figure, of what)."""
    items = (
        f"<div><dt>{escape(what)}</dt><dd>{escape(figure)}</dd><dd class='of'>{escape(of)}</dd></div>"
        for what, figure, of in figures
    )
    return f'<dl class="tiles">{"".join(items)}</dl>'


def table(caption: str, head: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Return a table whose first column names the rows; wide ones scroll by themselves."""
    columns = "".join(f'<th scope="col">{escape(name)}</th>' for name in head)
    body = "".join(
        f'<tr><th scope="row">{escape(first)}</th>{"".join(f"<td>{escape(cell)}</td>" for cell in rest)}</tr>'
        for first, *rest in rows
    )
    return (
        f'<div class="scroll" tabindex="0" role="group" aria-label="{escape(caption)}"><table>'
        f"<caption><span>{escape(caption)}</span></caption><thead><tr>{columns}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def picture(uri: Optional[str], alt: str, caption: str, shape: tuple[int, ...]) -> str:
    """Return a picture of the shape (h, w, ...) with its caption; nothing where there is no URI."""
    if uri is None:
        return ""
    height, width = shape[:2]
    return (
        f'<figure><img src="{uri}" alt="{escape(alt)}" width="{width}" height="{height}">'
        f"<figcaption>{escape(caption)}</figcaption></figure>"
    )


def grid(figures: Sequence[str], kind: str = "charts") -> str:
    """Return figures side by side, as many as the width takes; kind: charts, sheets or crops."""
    return f'<div class="{escape(kind)}">{"".join(figures)}</div>' if any(figures) else ""


def details(summary: str, body: str, is_open: bool = False) -> str:
    """Return HTML that unfolds."""
    return f"<details{' open' if is_open else ''}><summary>{escape(summary)}</summary>{body}</details>"
