"""Label files of every format to the rows of the raw tables: `LabelReader` tells the format apart by content.

Each format has a module of its own that fills `pipeline.formats.rows`.
"""

import zipfile
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

from pipeline.errors import ArchiveError, LabelFileError
from pipeline.formats import bitmasks
from pipeline.formats.bdd import frames as bdd_frames
from pipeline.formats.coco import files
from pipeline.formats.detect import Format, detect, detect_json
from pipeline.formats.json_stream import Json, Processes, batches, elements, load
from pipeline.formats.opening import Content, opened
from pipeline.formats.options import ReadOptions
from pipeline.formats.rows import Rows, Tables
from pipeline.formats.via import reading, reading_via3
from pipeline.formats.via.classes import Options

__all__ = ["Format", "LabelReader", "ReadOptions", "format_of"]

COCO_REFUSED = (
    "{name}: is a COCO file, which is read only where the recipe says that it is meant: set labels.coco: true"
)


class LabelReader:
    """Reads label files one after the other; what they say is handed on as tables, in their order."""

    def __init__(
        self,
        options: ReadOptions,
        take: Callable[[Tables], None],
        processes: int | None = None,
        scratch: Path | None = None,
    ) -> None:
        """`take` gets all tables, whose images say of which file they are; large files are read by `processes`.

        Large members of archives are unpacked in the folder `scratch`, by default the system's for temporary files.
        """
        self._options, self._take, self._scratch = options, take, scratch
        self._rows = Rows(options.curve_tolerance, take)
        self._stack = ExitStack()
        self._processes = Processes(processes)
        self._archives: dict[Path, zipfile.ZipFile] = {}

    def __enter__(self) -> Self:
        self._stack.enter_context(self._processes)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._stack:
            if kind is None:
                self._hand_on()

    def read(self, file: int, path: Path, member: str | None, name: str) -> Options:
        """Read a label file, or a member of the zip `path`; return the options that it declares for VIA attributes.

        `file` is what its images are numbered with, `name` what messages call it. A fault of one label is never raised.
        Raises LabelFileError for a file that is cut short, not JSON, or COCO where `options` don't say that COCO is
        read; NotLabelsError for one that holds no labels; and ArchiveError for a damaged zip.
        """
        with opened(path, member, self._archive(path) if member else None, name, self._scratch) as content:
            try:
                return self._read(file, content, path, member)
            except RecursionError:
                raise LabelFileError(f"{name}: not JSON that is read: nested too deep") from None

    def _read(self, file: int, content: Content, path: Path, member: str | None) -> Options:
        if detect(bytes(content.data[:100]), content.name) is Format.BITMASK:
            bitmasks.add(self._rows, file, content, path, member)
            return {}
        are_helped = self._processes.help_with(content)
        whole = load(content)
        found = detect_json(whole)
        if found is Format.COCO and not self._options.coco:
            raise LabelFileError(COCO_REFUSED.format(name=content.name))
        if found in (Format.FRAMES, Format.WRAPPED_FRAMES):
            self._read_frames(file, whole, found, are_helped and whole.mapped is not None)
            return {}
        return self._read_members(file, whole, found)

    def _read_members(self, file: int, whole: Json, found: Format) -> Options:
        """Read a file that is one object."""
        options: Options = {}
        if found is Format.COCO:
            files.add(self._rows, file, whole)
        elif found is Format.FRAME:
            bdd_frames.add(self._rows, file, b"".join((b"[", whole.text, b"]")))
        elif found is Format.PER_IMAGE:
            bdd_frames.add_per_image(self._rows, file, whole.text)
        elif found is Format.VIA3_PROJECT:
            options = reading_via3.add(self._rows, file, whole)
        else:
            options = reading.add(self._rows, file, whole, is_project=found is Format.VIA_PROJECT)
        return options

    def _read_frames(self, file: int, whole: Json, found: Format, are_helped: bool) -> None:
        """Read a list of frames in batches, by processes where it is large: these make tables of their own."""
        frames = elements(whole.members["frames"]) if found is Format.WRAPPED_FRAMES else whole.parts
        if are_helped:
            self._hand_on()
            work = partial(bdd_frames.tables, self._options.curve_tolerance, file)
            for tables in self._processes.results(work, frames, whole):
                self._take(tables)
            return
        for batch in batches(frames, whole.text):
            bdd_frames.add(self._rows, file, batch.text(whole.text))

    def _hand_on(self) -> None:
        if self._rows.images:
            self._take(self._rows.tables())

    def _archive(self, path: Path) -> zipfile.ZipFile:
        """Return an archive that stays open, since many of its members are read."""
        if path not in self._archives:
            try:
                self._archives[path] = self._stack.enter_context(zipfile.ZipFile(path))
            except (OSError, zipfile.BadZipFile, NotImplementedError) as error:
                raise ArchiveError(f"{path}: can't be read as a zip archive: {error}") from None
        return self._archives[path]


def format_of(path: Path, member: str | None = None, archive: zipfile.ZipFile | None = None) -> Format:
    """Return the format of a label file; raises what `LabelReader.read` raises."""
    with opened(path, member, archive) as content:
        return detect(bytes(content.data[:100]), content.name) or detect_json(load(content))
