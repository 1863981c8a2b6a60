"""The files of VIA 1 and 2, `via_region_data.json` and `via_project.json`, written image by image."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from pipeline.files.atomic import whole_file
from pipeline.formats.via.writing import DATA_FORMAT, Declarations, Entry, project_settings

REGION_DATA = "via_region_data.json"
PROJECT = "via_project.json"

Append = Callable[[Entry], None]
"""Appends an image to a file of VIA."""

_encode = msgspec.json.Encoder().encode


@contextmanager
def region_data_file(path: Path) -> Iterator[Append]:
    """Open via_region_data.json, an image a line; it appears at `path` when the block ends without an error."""
    with whole_file(path) as file:
        file.write(b"{")
        yield _appender(file, Entry.region_data)
        file.write(b"\n}\n")


@contextmanager
def project_file(
    path: Path, name: str, declared: Declarations | None = None, image_folder: str = ""
) -> Iterator[Append]:
    """Open a VIA 2 project; the attributes and image ids that it must name come after the images.

    `image_folder` is that of `project_settings`; what the images use is added to `declared`.
    """
    attributes = declared or Declarations()
    ids: list[str] = []

    def project_data(entry: Entry) -> dict[str, Any]:
        attributes.add(entry)
        ids.append(entry.key)
        return entry.project_data()

    with whole_file(path) as file:
        file.write(b'{"_via_settings":' + _encode(project_settings(name, image_folder)))
        file.write(b',\n"_via_img_metadata":{')
        yield _appender(file, project_data)
        file.write(b'},\n"_via_attributes":' + _encode(attributes.as_json()))
        file.write(b',\n"_via_data_format_version":' + _encode(DATA_FORMAT))
        file.write(b',\n"_via_image_id_list":' + _encode(ids) + b"}\n")


def _appender(file: BinaryIO, content_of: Callable[[Entry], dict[str, Any]]) -> Append:
    """Return the function that writes an image as a member of the object that `file` is within."""
    separator = b"\n"

    def append(entry: Entry) -> None:
        nonlocal separator
        file.write(separator + _encode(entry.key) + b":" + _encode(content_of(entry)))
        separator = b",\n"

    return append
