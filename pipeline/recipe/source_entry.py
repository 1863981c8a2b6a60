"""The entries of `source.images` and `source.labels`: what each is by its form alone."""

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import parse_qs, urlsplit

from pipeline.errors import SourceError
from pipeline.secrets import redacted

Kind = Literal["sample", "path", "https", "gdrive"]

SAMPLE = "sample"
"""The entry of the embedded sample."""

DRIVE_HOSTS = ("drive.google.com", "docs.google.com", "drive.usercontent.google.com")
DRIVE_ID = re.compile(r"[\w-]{10,200}")


@dataclass(frozen=True)
class Source:
    """An entry of the recipe: `place` is a path, an address or a Drive file id, `key` its key in the recipe.

    Of an address, `entry` may be shown and stored, and `place` has its password or token.
    """

    entry: str
    key: str
    kind: Kind
    place: str

    @property
    def path(self) -> Path:
        """The absolute path of a local source, links on the way kept as they are."""
        return Path(os.path.abspath(os.path.expanduser(self.place)))


def parse(entry: str, key: str = "source") -> Source:
    """Return what an entry of the recipe is; raises SourceError for an address of a kind that isn't read."""
    try:
        return Source(redacted(entry.strip()), key, *kind_and_place(entry))
    except ValueError as error:
        raise SourceError(f"{key}: {error}") from None


def kind_and_place(entry: str) -> tuple[Kind, str]:
    """Return an entry's kind and its path, address or Drive file id; raises ValueError where it is of no such form."""
    entry = entry.strip()
    if entry == SAMPLE:
        return "sample", ""
    if entry.startswith("gdrive:"):
        return "gdrive", _drive_id(entry, entry.removeprefix("gdrive:"))
    if entry.lower().startswith(("https:", "http:")):
        try:
            address = urlsplit(entry)
            _ = address.port  # raises ValueError where it is no number
            if not address.hostname:
                raise ValueError("it names no host")
        except ValueError as error:
            raise ValueError(f"{entry!r} is no address ({error}); check its host") from None
        if address.hostname in DRIVE_HOSTS:
            return "gdrive", _drive_id(entry, _id_in_share_link(address.path, address.query))
        return "https", entry
    if "://" in entry or "\0" in entry or not entry:
        raise ValueError(
            f"{entry!r} is no source that we read: give sample, a file, folder or zip, https://… or gdrive:<id>"
        )
    return "path", entry


def _id_in_share_link(path: str, query: str) -> str:
    """Return the file id of `/file/d/<id>/view`, `/open?id=<id>` or `/uc?id=<id>`; empty where there is none."""
    in_path = re.search(r"/d/([\w-]+)", path)
    return in_path.group(1) if in_path else parse_qs(query).get("id", [""])[0]


def _drive_id(entry: str, file_id: str) -> str:
    if not DRIVE_ID.fullmatch(file_id):
        raise ValueError(f"{entry!r} names no Drive file: share a single file and give its link, or gdrive:<id>")
    return file_id
