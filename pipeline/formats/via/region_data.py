"""The files of VIA 1 and 2, `via_region_data.json` and `via_project.json`, written image by image."""

from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

import msgspec

from pipeline.files.atomic import whole_file
from pipeline.formats.via.writing import DATA_FORMAT, Declarations, Entry, project_settings

REGION_DATA = "via_region_data.json"
PROJECT = "via_project.json"

_encode = msgspec.json.Encoder().encode


class _EntryWriter:
    """Writes a JSON file whose entries come one by one, whole or not at all."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stack = ExitStack()
        self._file: BinaryIO
        self._separator = b"\n"

    def __enter__(self) -> Self:
        self._file = self._stack.enter_context(whole_file(self._path))
        self._begin()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._end()
        self._stack.__exit__(kind, error, trace)

    def _begin(self) -> None:
        self._file.write(b"{")

    def _end(self) -> None:
        self._file.write(b"\n}\n")

    def _write(self, key: str, content: Any) -> None:
        self._file.write(self._separator + _encode(key) + b":" + _encode(content))
        self._separator = b",\n"


class RegionDataWriter(_EntryWriter):
    """Writes via_region_data.json, an image a line."""

    def write(self, entry: Entry) -> None:
        """Append an image."""
        self._write(entry.key, entry.region_data())


class ProjectWriter(_EntryWriter):
    """Writes a VIA 2 project; the attributes and image ids that it must name come after the images."""

    def __init__(self, path: Path, name: str, declared: Declarations | None = None, image_folder: str = "") -> None:
        super().__init__(path)
        self._settings = project_settings(name, image_folder)
        self._declared = declared or Declarations()
        self._ids: list[str] = []

    def write(self, entry: Entry) -> None:
        """Append an image."""
        self._declared.add(entry)
        self._ids.append(entry.key)
        self._write(entry.key, entry.project_data())

    def _begin(self) -> None:
        self._file.write(b'{"_via_settings":' + _encode(self._settings) + b',\n"_via_img_metadata":{')

    def _end(self) -> None:
        self._file.write(b"},\n")
        self._file.write(b'"_via_attributes":' + _encode(self._declared.as_json()) + b",\n")
        self._file.write(b'"_via_data_format_version":' + _encode(DATA_FORMAT) + b",\n")
        self._file.write(b'"_via_image_id_list":' + _encode(self._ids) + b"}\n")
