"""Label files of every format to the raw tables; the format is detected by content."""

import zipfile
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Self

from pipeline.errors import ArchiveError, LabelFileError
from pipeline.formats import bdd, bitmasks, coco, labelme
from pipeline.formats.content import Content, opened
from pipeline.formats.detect import Format, detect, detect_json
from pipeline.formats.json_batches import BatchProcesses, as_list, batches, batches_of_file
from pipeline.formats.json_text import Json, elements, load
from pipeline.formats.table_builder import TableBuilder, Tables
from pipeline.formats.via import reading, reading_via3
from pipeline.formats.via.regions import Options

__all__ = ["Format", "LabelReader", "format_of"]

COCO_REFUSED = (
    "{name}: is a COCO file, which is read beside label files of another format only where the recipe says that it is "
    "meant: set labels.coco: true"
)


class LabelReader:
    """Reads label files one after the other into tables."""

    def __init__(
        self,
        write: Callable[[Tables], None],
        curve_tolerance: float = 0.5,
        coco: bool = False,
        processes: int | None = None,
        scratch: Path | None = None,
    ) -> None:
        """`write` gets all tables in the order of the files; large files are decoded by `processes`.

        Flattened curves are within `curve_tolerance` pixels; COCO files are read where `coco` is set. Large members of
        archives are unpacked in the folder `scratch`, by default the system's for temporary files.
        """
        self._write, self._curve_tolerance, self._coco, self._scratch = write, curve_tolerance, coco, scratch
        self._builder = TableBuilder(curve_tolerance, write)
        self._stack = ExitStack()
        self._processes = BatchProcesses(processes)
        self._archives: dict[Path, zipfile.ZipFile] = {}

    def __enter__(self) -> Self:
        self._stack.enter_context(self._processes)
        return self

    def __exit__(self, kind: type[BaseException] | None, *exc: object) -> None:
        with self._stack:
            if kind is None:
                self._builder.flush()

    def read(
        self,
        file: int,
        path: Path,
        member: str | None,
        name: str,
        may_be_coco: Callable[[], bool] = lambda: False,
    ) -> Options:
        """Read a label file, or a member of the zip `path`; return the options that it declares for VIA attributes.

        `file` is the number of the file in the tables, `name` its name in messages. `may_be_coco` is asked whether a
        COCO file is meant where the reader hasn't been told so. A fault of one label is never raised. Raises
        LabelFileError for a file that is cut short, not JSON, or COCO where that is refused; NotLabelsError for one
        that holds no labels; and ArchiveError for a damaged zip.
        """
        with opened(path, member, self._archive(path) if member else None, name, self._scratch) as content:
            try:
                if detect(bytes(content.data[:100]), name) is Format.BITMASK:
                    bitmasks.add(self._builder, file, content, path, member)
                    return {}
                return self._read_json(file, content, may_be_coco)
            except RecursionError:
                raise LabelFileError(f"{name}: not JSON that is read: nested too deep") from None

    def _read_json(self, file: int, content: Content, may_be_coco: Callable[[], bool]) -> Options:
        if self._processes.start_for(content) and self._read_large(file, content):
            return {}
        whole = load(content)
        found = detect_json(whole)
        if found is Format.COCO and not self._coco and not may_be_coco():
            raise LabelFileError(COCO_REFUSED.format(name=content.name))
        match found:
            case Format.FRAMES | Format.WRAPPED_FRAMES:
                for batch in batches(elements(whole.members["frames"]) if whole.members else whole.parts):
                    bdd.add_frames(self._builder, file, batch)
            case Format.FRAME:
                bdd.add_frames(self._builder, file, as_list(whole.text))
            case Format.PER_IMAGE:
                bdd.add_image_file(self._builder, file, whole.text)
            case Format.COCO:
                coco.add(self._builder, file, whole)
            case Format.LABELME:
                labelme.add(self._builder, file, whole)
            case Format.VIA3_PROJECT:
                return reading_via3.add(self._builder, file, whole)
            case _:
                return reading.add(self._builder, file, whole)
        return {}

    def _read_large(self, file: int, content: Content) -> bool:
        """Read a list of frames by processes, which make their own tables; return whether the file is such a list."""
        first, places = batches_of_file(content) or ([], [])
        if not first or detect_json(Json(content.name, memoryview(b""), first)) is not Format.FRAMES:
            return False
        self._builder.flush()
        work = partial(bdd.tables_of_frames, self._curve_tolerance, file)
        for tables in self._processes.results(work, places, content):
            self._write(tables)
        return True

    def _archive(self, path: Path) -> zipfile.ZipFile:
        """Return an archive, which stays open, since many of its members are read."""
        if path not in self._archives:
            try:
                self._archives[path] = self._stack.enter_context(zipfile.ZipFile(path))
            except (OSError, zipfile.BadZipFile, NotImplementedError) as error:
                raise ArchiveError(f"{path}: can't be read as a zip archive: {error}") from None
        return self._archives[path]


def format_of(path: Path, member: str | None = None) -> Format:
    """Return the format of a label file; raises what `LabelReader.read` raises."""
    with opened(path, member) as content:
        return detect(bytes(content.data[:100]), content.name) or detect_json(load(content))
