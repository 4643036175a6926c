"""What `detect` writes: options that name files and folders, checks before the work, and opening them."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Optional

from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.core.files.atomic import replacing_text
from gluon_mtcnn.tools.cli.options import output_dir, output_file
from gluon_mtcnn.tools.detect.chips import CHIP_SIZE
from gluon_mtcnn.tools.detect.media import MediaSource
from gluon_mtcnn.tools.detect.outputs import (
    CsvOutput,
    FddbOutput,
    JsonOutput,
    Output,
    WiderOutput,
    faces_entry,
    stages_entry,
)
from gluon_mtcnn.tools.detect.pictures import ChipsOutput, DrawOutput

FILES = ("json", "csv", "stages", "fddb")  # fields of OutputOptions that name a file
FOLDERS = ("draw", "chips", "wider")  # those that name a folder
MOST_CHIP_SIZE = 4096  # a chip is 3 bytes a pixel, and a picture's chips are in memory together


@dataclass(frozen=True)
class OutputOptions:
    """What is written, each kind where it is named.

    Attributes
    ----------
    json, csv, stages, fddb : paths of files, optional
        Faces as JSON; one row a face; the boxes after each net as JSON; FDDB's text.
    draw, chips, wider : paths of folders, optional
        Pictures and videos with faces drawn in; every face as a picture; WIDER's text files.
    chip_size : int
        Side of a chip, pixels.
    chip_margin : float, optional
        Chips are squares around the boxes with this share of the side added on each side. Default: aligned by the
        landmarks.
    """

    json: Optional[str] = None
    csv: Optional[str] = None
    stages: Optional[str] = None
    fddb: Optional[str] = None
    draw: Optional[str] = None
    chips: Optional[str] = None
    wider: Optional[str] = None
    chip_size: int = CHIP_SIZE
    chip_margin: Optional[float] = None

    def files(self) -> dict[str, str]:
        """Return the files to write by the name of their field."""
        return {name: getattr(self, name) for name in FILES if getattr(self, name)}

    def folders(self) -> dict[str, str]:
        """Return the folders to write to by the name of their field."""
        return {name: getattr(self, name) for name in FOLDERS if getattr(self, name)}

    def check(self) -> None:
        """Refuse, before the work, what cannot be written, and chips that would be empty or huge.

        Raises
        ------
        InputError
            Names the option or the path.
        """
        for path in self.files().values():
            output_file(path)
        for path in self.folders().values():
            output_dir(path)
        if self.chip_margin is not None and not -0.5 < self.chip_margin <= 10:
            raise InputError(f"--chip-margin: expected more than -.5 and at most 10, got {self.chip_margin:g}")
        if self.chip_size > MOST_CHIP_SIZE:
            raise InputError(f"--chip-size: expected at most {MOST_CHIP_SIZE}, got {self.chip_size}")

    def open(self, sources: Sequence[MediaSource], every: int, landmarks: bool, stack: ExitStack) -> list[Output]:
        """Return the outputs that are named; files take their place when the stack closes without an error.

        Parameters
        ----------
        sources : all that will be read
        every : int
            Of videos, every so many frames are taken.
        landmarks : bool
            The detector gives landmarks.
        stack : ExitStack

        Raises
        ------
        InputError
            An output would take the place of an input or of another output.
        """
        outputs: list[Output] = []
        if self.draw:  # first, since it may refuse
            files = list(self.files().values())
            outputs.append(stack.enter_context(DrawOutput(self.draw, sources, every, files)))
        if self.json:
            outputs.append(JsonOutput(stack.enter_context(replacing_text(self.json)), faces_entry))
        if self.stages:
            outputs.append(JsonOutput(stack.enter_context(replacing_text(self.stages)), stages_entry))
        if self.csv:
            videos = any(source.kind != "image" for source in sources)
            outputs.append(CsvOutput(stack.enter_context(replacing_text(self.csv)), landmarks, videos))
        if self.fddb:
            outputs.append(FddbOutput(stack.enter_context(replacing_text(self.fddb)), sources))
        if self.wider:
            outputs.append(WiderOutput(self.wider, sources))
        if self.chips:
            outputs.append(ChipsOutput(self.chips, sources, self.chip_size, self.chip_margin))
        return outputs
