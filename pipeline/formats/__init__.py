"""Label files of every format to `LabelledImage`s: `read` tells the format apart by content and streams the images.

Each format has a module of its own; matching images, clipping, and filters that need the image come after.
"""

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.errors import LabelFileError
from pipeline.formats import bitmasks
from pipeline.formats.bdd import block, frames, per_image
from pipeline.formats.block_workers import BlockWorkers
from pipeline.formats.coco import files
from pipeline.formats.detect import Format, detect
from pipeline.formats.json_stream import JsonStream
from pipeline.formats.opening import display_name, mapped, opened, size_of
from pipeline.formats.options import ReadOptions
from pipeline.formats.via import reading, reading_via3
from pipeline.instances.label_block import LabelBlock
from pipeline.instances.records import LabelledImage

__all__ = ["BlockWorkers", "Format", "ReadOptions", "format_of", "read", "read_blocks", "size_of"]


READERS_IN_ONE_PASS = {
    Format.FRAMES: frames.read_list,
    Format.WRAPPED_FRAMES: frames.read_wrapped,
    Format.FRAME: frames.read_single,
    Format.PER_IMAGE: per_image.read,
    Format.VIA3_PROJECT: reading_via3.read,
    Format.COCO: files.read,
}


def read(
    path: Path,
    member: str | None,
    options: ReadOptions,
    archive: zipfile.ZipFile | None = None,
    name: str | None = None,
) -> Iterator[LabelledImage]:
    """Yield what a label file says of each image, in the file's order and bounded memory.

    `member` is the path inside the zip `path`, which may be given as an open `archive` to spare opening it for each
    file; `name` is how messages and tables call the file, by default without the folders that it lies in. An image
    whose name is missing comes with the name "" and nothing but rejected labels. A fault of one label is never raised.
    Raises LabelFileError for a file that is cut short, not JSON, or COCO where `options` don't say that COCO is read;
    NotLabelsError for JSON that holds no labels; and ArchiveError for a damaged zip.
    """
    called = name or display_name(path, member)

    @contextmanager
    def stream() -> Iterator[JsonStream]:
        with opened(path, member, archive, called) as more:
            yield JsonStream(more, called)

    with stream() as start:
        found = detect(start)
    if found is Format.COCO and not options.coco:
        raise LabelFileError(
            f"{called}: is a COCO file, which is read only where the recipe says that it is meant: "
            "set labels.coco: true"
        )
    if found in (Format.VIA_METADATA, Format.VIA_PROJECT):
        yield from reading.read(stream, options, project=found is Format.VIA_PROJECT)
        return
    if found is Format.BITMASK:
        with opened(path, member, archive, called) as more:
            yield bitmasks.read(more, path, member, options, called)
        return
    with stream() as whole:
        yield from READERS_IN_ONE_PASS[found](whole, options)
        whole.end()


def read_blocks(
    path: Path,
    member: str | None,
    options: ReadOptions,
    archive: zipfile.ZipFile | None = None,
    workers: BlockWorkers | None = None,
    name: str | None = None,
) -> Iterator[LabelBlock | LabelledImage]:
    """Yield what `read` does, many images at a time where the format allows it, decoded by `workers` if given.

    Raises what `read` raises.
    """
    called = name or display_name(path, member)
    with opened(path, member, archive, called) as more:
        found = detect(JsonStream(more, called))
    if found not in (Format.FRAMES, Format.WRAPPED_FRAMES):
        yield from read(path, member, options, archive, called)
        return
    with opened(path, member, archive, called) as more:
        memory = mapped(path) if workers and member is None else None
        stream = JsonStream(more, called, memory)
        spread = workers.spread(stream.name, options, path) if workers else None
        yield from block.read_lists(stream, options, found is Format.WRAPPED_FRAMES, spread)
        stream.end()


def format_of(path: Path, member: str | None = None, archive: zipfile.ZipFile | None = None) -> Format:
    """Return the format of a label file; raises what `read` raises."""
    with opened(path, member, archive) as more:
        return detect(JsonStream(more, display_name(path, member)))
