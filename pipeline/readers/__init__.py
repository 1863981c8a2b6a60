"""Label files of every format to `LabelledImage`s: `read` tells the format apart by content and streams the images.

Each format has a module of its own; matching images, clipping, and filters that need the image come after.
"""

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.instances import LabelledImage
from pipeline.readers import bdd_frames, bdd_per_image, bitmasks, coco_files, via3, via_files
from pipeline.readers.detect import Format, detect
from pipeline.readers.json_stream import JsonStream
from pipeline.readers.label_file import display_name, opened
from pipeline.readers.options import ReadOptions

__all__ = ["Format", "ReadOptions", "format_of", "read"]


def read(
    path: Path, member: str | None, options: ReadOptions, archive: zipfile.ZipFile | None = None
) -> Iterator[LabelledImage]:
    """Yield what a label file says of each image, in the file's order and bounded memory.

    `member` is the path inside the zip `path`, which may be given as an open `archive` to spare opening it for each
    file. An image whose name is missing comes with the name "" and nothing but rejected labels. A fault of one label is
    never raised. Raises LabelFileError for a file that is cut short or not JSON, NotLabelsError for JSON that
    holds no labels, and ArchiveError for a damaged zip.
    """

    @contextmanager
    def stream() -> Iterator[JsonStream]:
        with opened(path, member, archive) as more:
            yield JsonStream(more, display_name(path, member))

    with stream() as start:
        found = detect(start)
    if found in (Format.VIA_METADATA, Format.VIA_PROJECT):
        yield from via_files.read(stream, options, project=found is Format.VIA_PROJECT)
        return
    if found is Format.BITMASK:
        with opened(path, member, archive) as more:
            yield bitmasks.read(more, path, member, options)
        return
    readers = {
        Format.FRAMES: bdd_frames.read_list,
        Format.WRAPPED_FRAMES: bdd_frames.read_wrapped,
        Format.FRAME: bdd_frames.read_single,
        Format.PER_IMAGE: bdd_per_image.read,
        Format.VIA3_PROJECT: via3.read,
        Format.COCO: coco_files.read,
    }
    with stream() as whole:
        yield from readers[found](whole, options)
        whole.end()


def format_of(path: Path, member: str | None = None, archive: zipfile.ZipFile | None = None) -> Format:
    """Return the format of a label file; raises what `read` raises."""
    with opened(path, member, archive) as more:
        return detect(JsonStream(more, display_name(path, member)))
