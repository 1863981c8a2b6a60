"""The sources of images and labels: what each holds now, and where its files can be read.

What an entry of the recipe is by its form is said in `pipeline.source_entries`; what is inside (images, labels) is
read by `pipeline.raw_images` and `pipeline.raw_labels`; fetching is `pipeline.download`'s.
"""

import errno
import hashlib
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pipeline import hashes, portal
from pipeline.archives import is_zip
from pipeline.download_cache import link_or_copy
from pipeline.errors import SourceError
from pipeline.recipe import Recipe
from pipeline.source_entries import Source, parse

Role = Literal["images", "labels"]

SUFFIXES: dict[Role, tuple[str, ...]] = {"images": (".jpg", ".jpeg", ".png"), "labels": (".json", ".png")}
PACKED = (".gz", ".tgz", ".tar", ".bz2", ".xz", ".7z", ".rar")
"""Endings of what is not unpacked here."""
FETCHED_AT_ONCE = 4
OF_SYSTEMS = {"__MACOSX", "lost+found", "System Volume Information", "$RECYCLE.BIN"}
"""Folders that no person made."""
REFUSALS = {errno.EACCES, errno.EPERM, errno.EIO, errno.ELOOP, errno.ENAMETOOLONG, errno.ESTALE}
"""What the system says of a file that may be there and can't be read."""


@dataclass(frozen=True)
class Container:
    """A folder, a zip or a single file that can be read now; `recorded` is how the artifact's tables name it."""

    source: Source
    kind: Literal["folder", "zip", "file"]
    path: Path
    recorded: str


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
    # An entry that comes twice counts where it comes last: there its labels override those of all before it.
    wanted = [parse(entry, key) for entry in reversed(dict.fromkeys(reversed(entries)))]
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
    with readable(source):
        there = path.exists()
    if not there:
        raise SourceError(f"{source.key}: {path} does not exist: {portal.how_to_get(path)}")
    return path


@contextmanager
def readable(source: Source) -> Iterator[None]:
    """Turn the system's refusal to read a file of `source` in this block into a SourceError that names the file."""
    try:
        yield
    except OSError as error:
        if error.errno not in REFUSALS:
            raise
        refused = os.fsdecode(error.filename or source.path)
        raise SourceError(f"{source.key}: {refused} can't be read: {_refusal(error)}") from None


def walk(folder: Path, suffixes: tuple[str, ...]) -> Iterator[Path]:
    """Yield the files in `folder`, at any depth, whose suffix is one of `suffixes` in any case, sorted by path.

    Hidden files and `__MACOSX` are passed over. Raises SourceError for a folder in it that can't be read, and for a
    link that leads out of it; one to a folder inside it is passed over, since that is walked anyway.
    """
    yield from (Path(entry.path) for entry in _scan(folder, suffixes))


def advice_on_archives(container: Container) -> str:
    """Return what to do about a source that holds nothing to be read, but archives; empty where it holds none."""
    if container.kind == "file":
        is_packed = container.path.name.lower().endswith(PACKED)
        return ": unpack it and name the folder, or give a zip" if is_packed else ""
    if container.kind == "zip":
        return ""
    found = [path.relative_to(container.path).as_posix() for path in walk(container.path, (".zip", *PACKED))]
    shown = f"{', '.join(found[:3])}{' …' if len(found) > 3 else ''}"
    return f", but {shown}: name each zip in {container.source.key}, and unpack other archives" if found else ""


def refuse_unwritable(path: str) -> None:
    """Raise SourceError for a path that no table or JSON file can hold: file systems take any bytes for a name."""
    try:
        path.encode()
    except UnicodeEncodeError:
        raise SourceError(f"{path!r}: this path is not UTF-8; rename the file or folder") from None


def spelled_out(path: str) -> str:
    r"""Return a path as text: what isn't UTF-8 in it, since file systems take any bytes for a name, as `\udcff`."""
    return path.encode("utf-8", "backslashreplace").decode()


def stamp(source: Source, role: Role) -> str | None:
    """Return a digest of how a local source's files look from outside, none of them read; None where it is not here.

    Of a file its size and time of change, of a folder also the names of those that the role reads. A folder of
    100,000 files takes about a second. Raises SourceError as `walk` does.
    """
    with readable(source):
        if source.kind != "path" or not source.path.exists():
            return None
        seen = hashlib.sha256(_look(source.path.stat()) if source.path.is_file() else b"folder")
        if source.path.is_dir():
            for entry in _scan(source.path, SUFFIXES[role]):
                with suppress(FileNotFoundError):  # gone since it was listed
                    seen.update(os.fsencode(entry.path) + b"\0" + _look(entry.stat()))
    return seen.hexdigest()


def _look(facts: os.stat_result) -> bytes:
    return f"{facts.st_size} {facts.st_mtime_ns}\n".encode()


def _scan(folder: Path, suffixes: tuple[str, ...]) -> Iterator[os.DirEntry[str]]:
    """Yield what `walk` does, as the system lists it: a file more costs no question more."""
    inside = folder.resolve()
    waiting = [os.fspath(folder)]
    while waiting:
        folders, files = _listed(waiting.pop())
        wanted = [entry for entry in files if entry.name.lower().endswith(suffixes)]
        for entry in (*folders, *wanted):
            if entry.is_symlink():
                _refuse_to_leave(entry, folder, inside)
        yield from (entry for entry in wanted if _is(entry.is_file))
        waiting += [entry.path for entry in reversed(folders) if not entry.is_symlink()]


def _listed(folder: str) -> tuple[list[os.DirEntry[str]], list[os.DirEntry[str]]]:
    """Return the folders and the files in `folder` that are not hidden, each sorted by name."""
    folders: list[os.DirEntry[str]] = []
    files: list[os.DirEntry[str]] = []
    try:
        with os.scandir(folder) as entries:
            for entry in sorted(entries, key=lambda entry: entry.name):
                if not is_hidden(entry.name):
                    (folders if _is(entry.is_dir) else files).append(entry)
    except OSError as error:
        raise SourceError(f"{folder} can't be read: {_refusal(error)}") from None
    return folders, files


def _refusal(error: OSError) -> str:
    return f"{error.strerror}; mend that, or name another source"


def _is(kind: Callable[[], bool]) -> bool:
    """Ask an entry what it is; a link that leads in a circle is nothing."""
    try:
        return kind()
    except OSError:
        return False


def _refuse_to_leave(link: os.DirEntry[str], folder: Path, inside: Path) -> None:
    target = Path(os.path.realpath(link.path))
    if target.is_relative_to(inside):
        return
    if not target.exists():
        raise SourceError(f"{link.path} is a link to {target}, where there is nothing; mend it, or take it away")
    where = target if target.is_dir() else target.parent
    raise SourceError(
        f"{link.path} is a link that leads out of {folder}: copy what links lead to, or name {where} as a source"
    )


def is_hidden(name: str) -> bool:
    """Tell whether a file or folder name is of the kind that programs leave and people don't mean."""
    return name.startswith(".") or name in OF_SYSTEMS


def _key(entry: str, recipe: Recipe, role: Role | None) -> str:
    if role:
        return f"source.{role}"
    return "source.images" if entry in recipe.source.images else "source.labels"


def _sample_identity(recipe: Recipe) -> dict[str, Any]:
    from pipeline import sample

    scenes = recipe.source.sample
    return {"seed": recipe.seed, "train": scenes.train, "val": scenes.val, "generator": sample.GENERATOR_VERSION}


def _path_identity(source: Source, role: Role | None) -> dict[str, Any]:
    path = existing(source)
    with readable(source):
        if path.is_file():
            return {"kind": "file", "path": str(path), "sha256": hashes.digest(path)}
        files = list(walk(path, SUFFIXES[role] if role else (*SUFFIXES["images"], *SUFFIXES["labels"])))
        digests = hashes.digests(files)
    content = hashlib.sha256()
    for file, sha256 in zip(files, digests, strict=True):
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
    refuse_unwritable(str(real))
    if path.is_dir():
        return Container(source, "folder", path, str(real))
    with readable(source):
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
