"""A folder of pictures, read as an archive is."""

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class PictureFolder:
    """The pictures that a prediction leaves beside its labels, in the terms of `zipfile.ZipFile`."""

    NAME = "pictures"

    def __init__(self, path: Path) -> None:
        self.filename = str(path)

    @classmethod
    @contextmanager
    def opened(cls, path: Path) -> "Iterator[PictureFolder | zipfile.ZipFile]":
        """Open a folder or an archive of pictures."""
        if path.is_dir():
            yield cls(path)
            return
        with zipfile.ZipFile(path) as archive:
            yield archive

    def infolist(self) -> list[zipfile.ZipInfo]:
        """Return the files in the folder, their names behind its own."""
        found = []
        for path in sorted(path for path in Path(self.filename).iterdir() if path.is_file()):
            info = zipfile.ZipInfo(f"{self.NAME}/{path.name}")
            info.file_size = path.stat().st_size
            found.append(info)
        return found

    def read(self, info: zipfile.ZipInfo) -> bytes:
        """Return the bytes of a file."""
        return (Path(self.filename).parent / info.filename).read_bytes()
