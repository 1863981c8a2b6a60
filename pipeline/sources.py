"""The entries of `source.images` and `source.labels`: what each is, its identity now, and where its files can be read.

What is inside (images, labels) is read by `pipeline.raw_images` and `pipeline.raw_labels`; fetching is
`pipeline.download`'s.
"""

import hashlib
import os
import re
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import SplitResult, parse_qs, urlsplit

from pipeline import hashes, portal
from pipeline.archives import is_zip
from pipeline.download_cache import link_or_copy
from pipeline.errors import SourceError
from pipeline.recipe import Recipe
from pipeline.recipe_sections import SAMPLE

Role = Literal["images", "labels"]
Kind = Literal["sample", "path", "https", "gdrive"]

DRIVE_HOSTS = ("drive.google.com", "docs.google.com")
DRIVE_ID = re.compile(r"[\w-]{10,200}")
SUFFIXES: dict[Role, tuple[str, ...]] = {"images": (".jpg", ".jpeg", ".png"), "labels": (".json", ".png")}
FETCHED_AT_ONCE = 4


@dataclass(frozen=True)
class Source:
    """An entry of the recipe: `place` is a path, an address or a Drive file id; `key` is where the recipe has it."""

    entry: str
    key: str
    kind: Kind
    place: str

    @property
    def path(self) -> Path:
        """The absolute path of a local source, links on the way kept as they are."""
        return Path(os.path.abspath(os.path.expanduser(self.place)))


@dataclass(frozen=True)
class Container:
    """A folder, a zip or a single file that can be read now; `recorded` is how the artifact's tables name it."""

    source: Source
    kind: Literal["folder", "zip", "file"]
    path: Path
    recorded: str


def parse(entry: str, key: str = "source") -> Source:
    """Return what an entry of the recipe is; raises SourceError for an address of a kind that we don't read."""
    entry = entry.strip()
    if entry == SAMPLE:
        return Source(entry, key, "sample", "")
    if entry.startswith("gdrive:"):
        return Source(entry, key, "gdrive", _drive_id(entry, key, entry.removeprefix("gdrive:")))
    address = _address(entry, key)
    if address.scheme in ("https", "http"):
        if address.hostname in DRIVE_HOSTS:
            return Source(entry, key, "gdrive", _drive_id(entry, key, _id_in_share_link(address.path, address.query)))
        return Source(entry, key, "https", entry)
    if "://" in entry or not entry:
        raise SourceError(
            f"{key}: {entry!r} is no source that we read: give sample, a file, folder or zip, https://… or gdrive:<id>"
        )
    return Source(entry, key, "path", entry)


def identify(entry: str, recipe: Recipe, role: Role | None = None) -> dict[str, Any]:
    """Return what a source is now, as JSON: equal identities mean that it holds the same.

    A file or zip: its place and SHA-256 (remembered); a folder: its place and a digest over the paths and SHA-256 of
    its files, with `role` only of those that the role reads; an address: ETag, time of change and size; a Drive file:
    its id; the sample: seed, counts and the generator's version. Raises SourceError where it is absent.
    """
    source = parse(entry, _key(entry, recipe, role))
    match source.kind:
        case "sample":
            return {"kind": "sample", **_sample_identity(recipe)}
        case "gdrive":
            return {"kind": "gdrive", "id": source.place}
        case "https":
            from pipeline import download

            return {"kind": "https", **download.remote_identity(source.place, source.key)}
        case "path":
            return _path_identity(source, role)


def obtain(recipe: Recipe, role: Role, out: Path, downloads: Path) -> list[Container]:
    """Return where the files of each source can be read, in the recipe's order; fetched at most four at once.

    What is generated or downloaded lies in `downloads` once, and in `out/files/` as a hard link (a copy where the
    file system can't). Raises SourceError naming the source and its recipe key.
    """
    entries = recipe.source.images if role == "images" else recipe.source.labels
    key = f"source.{role}"
    wanted = [parse(entry, key) for entry in dict.fromkeys(entries)]
    for source in wanted:
        if source.kind == "path":
            existing(source)
    files = _fetched(wanted, recipe, role, downloads)
    return [
        _local(source) if file is None else _linked(source, file, out)
        for source, file in zip(wanted, files, strict=True)
    ]


def existing(source: Source) -> Path:
    """Return the path of a local source; raises SourceError, saying how to get it, where there is nothing."""
    path = source.path
    if not path.exists():
        raise SourceError(f"{source.key}: {path} does not exist: {portal.how_to_get(path)}")
    return path


def walk(folder: Path, suffixes: tuple[str, ...]) -> Iterator[Path]:
    """Yield the files in `folder`, at any depth, whose suffix is one of `suffixes` in any case, sorted by path.

    Hidden files and `__MACOSX` are passed over. Raises SourceError for a link that leads out of the folder; one to a
    folder inside it is passed over, since that is walked anyway.
    """
    inside = folder.resolve()
    for parent, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not is_hidden(name))
        wanted = sorted(name for name in files if name.lower().endswith(suffixes) and not is_hidden(name))
        for path in (Path(parent, name) for name in (*folders, *wanted)):
            if path.is_symlink() and not path.resolve().is_relative_to(inside):
                raise SourceError(f"{path} is a link that leads out of {folder}; name {path.resolve()} as a source")
        yield from (Path(parent, name) for name in wanted if Path(parent, name).is_file())


def is_hidden(name: str) -> bool:
    """Tell whether a file or folder name is of the kind that programs leave and people don't mean."""
    return name.startswith(".") or name == "__MACOSX"


def _key(entry: str, recipe: Recipe, role: Role | None) -> str:
    if role:
        return f"source.{role}"
    return "source.images" if entry in recipe.source.images else "source.labels"


def _address(entry: str, key: str) -> SplitResult:
    """Return the parts of an entry that may be an address; raises SourceError for one that can't be taken apart."""
    try:
        return urlsplit(entry)
    except ValueError as error:
        if "://" not in entry:
            return SplitResult("", "", entry, "", "")  # a path such as //[old]/data
        raise SourceError(f"{key}: {entry!r} is no address ({error}); check its host") from None


def _id_in_share_link(path: str, query: str) -> str:
    """Return the file id of `/file/d/<id>/view`, `/open?id=<id>` or `/uc?id=<id>`; empty where there is none."""
    in_path = re.search(r"/d/([\w-]+)", path)
    return in_path.group(1) if in_path else parse_qs(query).get("id", [""])[0]


def _drive_id(entry: str, key: str, file_id: str) -> str:
    if not DRIVE_ID.fullmatch(file_id):
        raise SourceError(f"{key}: {entry} names no Drive file: share a single file and give its link, or gdrive:<id>")
    return file_id


def _sample_identity(recipe: Recipe) -> dict[str, Any]:
    from pipeline import sample

    scenes = recipe.source.sample
    return {"seed": recipe.seed, "train": scenes.train, "val": scenes.val, "generator": sample.GENERATOR_VERSION}


def _path_identity(source: Source, role: Role | None) -> dict[str, Any]:
    path = existing(source)
    if path.is_file():
        return {"kind": "file", "path": str(path), "sha256": hashes.digest(path)}
    files = list(walk(path, SUFFIXES[role] if role else (*SUFFIXES["images"], *SUFFIXES["labels"])))
    content = hashlib.sha256()
    for file, sha256 in zip(files, hashes.digests(files), strict=True):
        content.update(os.fsencode(file.relative_to(path)) + b"\0" + sha256.encode() + b"\n")
    return {"kind": "folder", "path": str(path), "files": len(files), "sha256": content.hexdigest()}


def _fetched(wanted: list[Source], recipe: Recipe, role: Role, downloads: Path) -> list[Path | None]:
    """Fetch or generate the sources that are not local; the first failure (or Ctrl-C) stops the others."""
    stop = threading.Event()
    with ThreadPoolExecutor(FETCHED_AT_ONCE) as pool:
        fetching = [pool.submit(_file_of, source, recipe, role, downloads, stop) for source in wanted]
        try:
            for done in as_completed(fetching):
                done.result()
        except BaseException:
            stop.set()
            raise
    return [done.result() for done in fetching]


def _file_of(source: Source, recipe: Recipe, role: Role, downloads: Path, stop: threading.Event) -> Path | None:
    """Return the file that a source not local became, fetched or generated at most once; None for a local one."""
    if source.kind == "path":
        return None
    if source.kind == "sample":
        from pipeline.sample_files import sample_archive

        return sample_archive(recipe, role, downloads)
    from pipeline import download, drive

    fetch = download.fetch if source.kind == "https" else drive.fetch
    file = fetch(source.place, source.key, downloads, stop)
    portal.warn_of_difference(file)  # mirrors come and go, and not all have what the portal has
    return file


def _local(source: Source) -> Container:
    path = existing(source)
    real = path.resolve()
    if path.is_dir():
        return Container(source, "folder", path, str(real))
    portal.warn_of_difference(path)
    return Container(source, "zip" if is_zip(path) else "file", path, str(real))


def _linked(source: Source, file: Path, out: Path) -> Container:
    target = out / "files" / file.name
    number = 1
    while target.exists():
        number += 1
        target = target.with_name(f"{file.stem}-{number}{file.suffix}")
    link_or_copy(file, target)
    return Container(source, "zip" if is_zip(target) else "file", target, f"files/{target.name}")
