"""Whether a file that came over the network is whole, as far as its own bytes tell.

What becomes of one that isn't is `pipeline.sources.download`'s and `pipeline.sources.drive`'s business.
"""

import codecs
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from pipeline.errors import ArchiveError, SourceError
from pipeline.files.image_header import JPEG_START, PNG_START, BadImageError, read_header
from pipeline.files.zip_reading import is_zip, read_archive, refuse_truncated

READ_AT_ONCE = 1 << 22
MOST_IMAGE_BYTES = 256 << 20
"""`raw_images` sets larger ones aside, so that they need not be judged here."""

HDF5_START = b"\x89HDF\r\n\x1a\n"
SUPERBLOCKS = {0: (13, 24), 1: (13, 28), 2: (9, 12), 3: (9, 12)}
"""Where a superblock of each version says how wide its addresses are, and where they begin (HDF5 File Format, II.A)."""
LONGEST_START = 64
"""Bytes that hold any superblock up to its third address; no HDF5 file is as small."""

HALF_A_CHARACTER = "\N{REPLACEMENT CHARACTER}"


def refuse_cut_off(file: Path, name: str, what: str) -> None:
    """Raise SourceError, beginning with `what`, when a file that came is empty or lacks its end; see `is_whole`."""
    gave = f"{what} gave {file.stat().st_size:,} bytes that"
    try:
        whole = is_whole(file, name)
    except (ArchiveError, BadImageError) as error:
        raise SourceError(f"{gave} can't be used: {str(error).replace(str(file), name)}") from error
    if not whole:
        raise SourceError(f"{gave} are not a whole file")


def usable(file: Path, what: str) -> Path:
    """Return a file that came whole; raises SourceError where it is an archive that can't be read, and stays."""
    if is_zip(file):
        try:
            read_archive(file)
        except ArchiveError as error:
            advice = "name what you make of it in place of the address"
            raise SourceError(f"{what} can't be used, though it came whole: {error}; {advice}") from error
    return file


def is_whole(file: Path, name: str) -> bool:
    """Say whether a file has the end that its beginning asks for: a zip, JSON, a JPEG, a PNG or HDF5.

    Its content tells which of them it is, since an address need not; a `name` that ends in .zip or .json binds it to
    be that. Any other content can't be judged by its own bytes: it is whole as the server announced it, if not empty.
    Raises ArchiveError for a zip that is cut off, and BadImageError for an image that is or can't be read at all.
    """
    size = file.stat().st_size
    with file.open("rb") as content:
        start = content.read(LONGEST_START)
    if name.lower().endswith(".zip") or (start and is_zip(file)):
        refuse_truncated(file)
    elif start.startswith((JPEG_START, PNG_START)) and size <= MOST_IMAGE_BYTES:
        read_header(file.read_bytes())
    elif start.startswith(HDF5_START):
        return size >= end_of_hdf5(start)
    elif name.lower().endswith(".json") or begins_as_json(file):
        return closes_what_it_opens(file)
    return size > 0


def end_of_hdf5(start: bytes) -> int:
    """Return how long an HDF5 file that starts so has to be: its superblock's third address; 0 of a later version."""
    if len(start) < LONGEST_START:
        return LONGEST_START
    width_at, addresses_at = SUPERBLOCKS.get(start[len(HDF5_START)], (0, 0))
    width = start[width_at] if width_at else 0
    end_at = addresses_at + 2 * width
    return int.from_bytes(start[end_at : end_at + width], "little")


def begins_as_json(file: Path) -> bool:
    """Say whether a file's first character, behind any white space, is an opening bracket or brace."""
    for piece in _text(file, LONGEST_START):
        if text := piece.lstrip():
            return text[0] in "[{"
    return False


def closes_what_it_opens(file: Path) -> bool:
    """Say whether a JSON file has as many closing brackets and braces as opening ones, some, outside its strings.

    A server that announces no size, or too small a one, may drop the connection behind a brace in the middle.
    """
    found: Counter[str] = Counter()
    in_string, rest, piece = False, "", ""
    for piece in _text(file, READ_AT_ONCE):
        text = (rest + piece).replace("\\\\", "")
        rest = "\\" if text.endswith("\\") else ""  # what it escapes is in the next piece
        parts = text.removesuffix("\\").replace('\\"', "").split('"')
        outside = "".join(parts[in_string::2])
        in_string ^= len(parts) % 2 == 0
        found.update({bracket: outside.count(bracket) for bracket in "[]{}"})
    balanced = found["["] == found["]"] and found["{"] == found["}"] and found.total() > 0
    return balanced and not in_string and not piece.endswith(HALF_A_CHARACTER)


def _text(file: Path, at_once: int) -> Iterator[str]:
    """Yield a file as text, without its byte order mark; bytes that are none become replacement characters."""
    with file.open("rb") as content:
        wide = content.read(2) in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
    with file.open(encoding="utf-16" if wide else "utf-8-sig", errors="replace", newline="") as text:
        while piece := text.read(at_once):
            yield piece
