"""The page about a run, from options to a file: what ``gluon-mtcnn report`` does, as a function."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Optional

from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.core.files.atomic import PathLike, replacing_text
from gluon_mtcnn.tools.cli.options import existing_dir, existing_file, output_dir


@dataclass(frozen=True)
class ReportOptions:
    """The options of a page: those of ``gluon-mtcnn report``, with the same defaults.

    Attributes
    ----------
    run : path
        Folder of the run.
    out : path
        The page to write.
    title : str, optional
        Default: the run's name.
    annotations, images : path, optional
        Faces of the evaluated photos (WIDER text or CSV), and the folder of the photos, where the run does not say so.
    """

    run: PathLike
    out: PathLike
    title: Optional[str] = None
    annotations: Optional[PathLike] = None
    images: Optional[PathLike] = None


def write_report(options: ReportOptions) -> Path:
    """Write one self-contained page about a run; return its path.

    Raises
    ------
    InputError
        A path is missing, or there is nothing to report in the run.
    """
    from gluon_mtcnn.tools.report.build import build  # imports matplotlib
    from gluon_mtcnn.tools.report.run_parts import find_parts

    root, out = existing_dir(options.run, "run"), Path(options.out)
    output_dir(out.parent)
    if out.is_dir():
        raise InputError(f"{out}: expected the name of a page to write, got a folder")
    annotations = existing_file(options.annotations, "annotations") if options.annotations else None
    images = existing_dir(options.images, "photos") if options.images else None
    parts = find_parts(root)
    if parts.is_empty():
        raise InputError(
            f"{root}: nothing to report: expected packs, a model folder or results of evaluate in it or below"
        )
    text = build(parts, options.title or f"Report: {root.resolve().name}", annotations, images)
    with replacing_text(out) as file:
        file.write(text)
    return out
