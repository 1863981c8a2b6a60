"""Whether a file that came over the network is whole, as far as its own bytes tell.

What becomes of one that isn't is `pipeline.download`'s and `pipeline.drive`'s business.
"""

import re
from pathlib import Path

from pipeline.archives import is_zip, read_archive
from pipeline.errors import ArchiveError, SourceError

STRING = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)
BYTES_AT_ONCE = 1 << 22


def refuse_cut_off(file: Path, name: str, what: str) -> None:
    """Raise SourceError, beginning with `what`, when a file that came is empty, or a zip or JSON without its end."""
    size = file.stat().st_size
    if name.lower().endswith(".zip") or (size and is_zip(file)):
        try:
            read_archive(file)
        except ArchiveError as error:
            why = str(error).replace(str(file), name)
            raise SourceError(f"{what} gave {size:,} bytes that can't be used: {why}") from error
    if not size or (name.lower().endswith(".json") and not closes_what_it_opens(file)):
        raise SourceError(f"{what} gave {size:,} bytes that are not a whole file")


def closes_what_it_opens(file: Path) -> bool:
    """Say whether a JSON file has as many closing brackets and braces as opening ones, some, outside its strings.

    A server that announces no size, and drops the connection, may do so behind a brace in the middle.
    """
    opened = dict.fromkeys((b"[]", b"{}"), 0)
    seen, rest = False, b""
    with file.open("rb") as content:
        while piece := content.read(BYTES_AT_ONCE):
            text = rest + piece
            plain = STRING.sub(b"", text)
            start = plain.find(b'"')  # of a string that goes on in the next piece
            rest = b"" if start < 0 else text[len(text) - (len(plain) - start) :]
            plain = plain if start < 0 else plain[:start]
            for pair in opened:
                opened[pair] += plain.count(pair[:1]) - plain.count(pair[1:])
                seen |= pair[:1] in plain
    return seen and not rest and not any(opened.values())
