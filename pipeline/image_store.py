"""Reads the bytes of indexed images where they lie: in archives by offset, in folders by path."""

import os
import threading
from pathlib import Path
from types import TracebackType
from typing import Self

from pipeline.archives import inflate
from pipeline.errors import ArtifactError
from pipeline.image_index import IndexedImage


class ImageStore:
    """The images of a raw_images folder: `with ImageStore(folder) as store: …`. Threads may share it."""

    def __init__(self, raw_images: Path) -> None:
        self.raw_images = raw_images
        self._archives: dict[str, int | None] = {}
        """By source: the open archive, or None for a folder. Asked for every image, so nothing is asked of the disk."""
        self._opening = threading.Lock()

    def read(self, image: IndexedImage) -> bytes:
        """Return the bytes of the image file as its source holds them, inflated where the archive deflated them.

        Raises ArtifactError when the source is gone or no longer holds that many bytes there; whether they are the
        same bytes is for the caller to compare (`sha256`).
        """
        try:
            data = self._stored_bytes(image)
            if image.compression == "deflate" and len(data) == image.length:
                data = inflate(data, image.size)
        except (OSError, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) else error
            raise ArtifactError(self._changed(image, str(why))) from error
        if len(data) != image.size:
            raise ArtifactError(self._changed(image, f"{len(data):,} bytes instead of {image.size:,}"))
        return data

    def _stored_bytes(self, image: IndexedImage) -> bytes:
        archive = self._archive(image.source)
        if archive is None:
            with (self.raw_images / image.source / image.path).open("rb", buffering=0) as file:
                return file.read(image.length + 1)
        return os.pread(archive, image.length, image.offset)

    def _archive(self, source: str) -> int | None:
        if source not in self._archives:
            with self._opening:
                if source not in self._archives:
                    path = self.raw_images / source
                    self._archives[source] = None if path.is_dir() else os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        return self._archives[source]

    def _changed(self, image: IndexedImage, why: str) -> str:
        where = self.raw_images / image.source / image.path
        return f"{where} is no longer what was indexed ({why}); materialise raw_images again"

    def close(self) -> None:
        """Close the archives that reading has opened."""
        for descriptor in self._archives.values():
            if descriptor is not None:
                os.close(descriptor)
        self._archives.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
