"""The entries of `source.images` and `source.labels`: what each is now, and where its files can be read."""

import hashlib
import logging
import os
import shutil
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from msgspec import convert, to_builtins

from pipeline.artifacts import usage
from pipeline.errors import SourceError
from pipeline.files import digests, downloads_folder
from pipeline.files.atomic import sync
from pipeline.files.zip_reading import is_zip
from pipeline.recipe import Recipe
from pipeline.recipe.source_entry import Source, parse
from pipeline.running import locks
from pipeline.sources.walking import SUFFIXES, Role, readable, walk

log = logging.getLogger(__name__)
FETCHED_AT_ONCE = 4
PORTAL = "https://bdd-data.berkeley.edu"
PORTAL_ARCHIVES = {
    "bdd100k_images_100k.zip": ("5.3 GB", "5a0359c86a0b8713adab1eee9a3041cb"),
    "bdd100k_images_10k.zip": ("1.1 GB", "08f26aecceda982568063d3d5873378e"),
    "bdd100k_labels_release.zip": ("107 MB", "e21be3e7d6a07ee439faf61e769667e4"),
    "bdd100k_det_20_labels_trainval.zip": ("53 MB", "b86a3e1b7edbcad421b7dad2b3987c94"),
    "bdd100k_ins_seg_labels_trainval.zip": ("111 MB", "651b41f229d7327d8c4af97772de4390"),
    "bdd100k_drivable_labels_trainval.zip": ("514 MB", "0abc320461200b1d7916f82fdcd64a96"),
}
"""Archives of the BDD100K portal, which needs an account: the size that it shows, and the md5."""

Identities = dict[str, Any]
"""What each source of a stage is now, as JSON, by its number and entry."""


@dataclass(frozen=True)
class Container:
    """A folder, a zip or a single file that can be read now; `recorded` is how the artifact's tables name it."""

    source: Source
    identity: Any
    kind: Literal["folder", "zip", "file"]
    path: Path
    recorded: str


def identities(recipe: Recipe, role: Role) -> Identities:
    """Return what the sources of a role are now; raises SourceError as `identify` does."""
    return identities_of(getattr(recipe.source, role), f"source.{role}", recipe, role)


def identities_of(entries: Sequence[str], key: str, recipe: Recipe, role: Role) -> Identities:
    """Return what the entries of a recipe's `key` are now; raises SourceError as `identify` does."""
    return {_name(at, parse(entry, key)): identify(entry, recipe, role, key) for at, entry in enumerate(entries)}


def _name(at: int, source: Source) -> str:
    return f"{at}: {source.entry}"


def identify(entry: str, recipe: Recipe, role: Role, key: str = "") -> dict[str, Any]:
    """Return what a source is now, as JSON: equal identities mean that it holds the same.

    Of a folder, only the files that the role reads count. `key` names the entry in messages. Raises SourceError where
    it is absent.
    """
    source = parse(entry, key or f"source.{role}")
    match source.kind:
        case "sample":
            from pipeline import sample

            scenes = recipe.source.sample.model_dump()
            return {"kind": "sample", "seed": recipe.seed, **scenes, "generator": sample.GENERATOR_VERSION}
        case "gdrive":
            return {"kind": "gdrive", "id": source.place}
        case "https":
            from pipeline.sources import download

            return {"kind": "https", **to_builtins(download.remote_identity(source.place, source.key))}
        case "path":
            with readable(source):
                return _path_identity(existing(source), role)


def obtain(
    recipe: Recipe, role: Role, out: Path, downloads: Path | None = None, known: Identities | None = None
) -> list[Container]:
    """Return where the files of each source of a role can be read, as `obtain_each` does."""
    known = known or identities(recipe, role)
    sources = [parse(entry, f"source.{role}") for entry in getattr(recipe.source, role)]
    wanted = [(source, known[_name(at, source)]) for at, source in enumerate(sources)]
    return obtain_each(wanted, recipe, role, out, downloads)


def obtain_each(
    wanted: list[tuple[Source, Any]], recipe: Recipe, role: Role, out: Path, downloads: Path | None = None
) -> list[Container]:
    """Return where the files of each source, given with its identity, can be read; a local one needs no identity.

    What is generated or downloaded lies in `downloads` (by default the user's) once, and in `out/files/` as a hard
    link. Raises SourceError.
    """
    files = _fetched(wanted, recipe, role, downloads or downloads_folder())
    return [
        _local(source, identity) if file is None else _linked(source, identity, file, out)
        for (source, identity), file in zip(wanted, files, strict=True)
    ]


def local(source: Source, identity: Any = None) -> Container:
    """Return where a local source is read; raises SourceError where there is nothing, or nothing readable."""
    path = existing(source)
    real = path.resolve()
    refuse_unwritable(str(real))
    if path.is_dir():
        return Container(source, identity, "folder", path, str(real))
    with readable(source):
        return Container(source, identity, "zip" if is_zip(path) else "file", path, str(real))


def existing(source: Source) -> Path:
    """Return the path of a local source; raises SourceError, saying how to get it, where there is nothing."""
    path = source.path
    with readable(source):
        there = path.exists()
    if not there:
        advice = "check the path, or put the file there"
        if path.name in PORTAL_ARCHIVES:
            size, md5 = PORTAL_ARCHIVES[path.name]
            advice = (
                f"get {path.name} ({size}, md5 {md5}) from {PORTAL} (it needs an account), or from anywhere "
                f"a copy of any name with that md5, and put it at {path} or name it here"
            )
        raise SourceError(f"{source.key}: {path} does not exist: {advice}")
    if not (path.is_file() or path.is_dir()):
        raise SourceError(f"{source.key}: {path} is neither a file nor a folder")
    return path


def refuse_unwritable(path: str) -> None:
    """Raise SourceError for a path that no table or JSON file can hold: file systems take any bytes for a name."""
    try:
        path.encode()
    except UnicodeEncodeError:
        raise SourceError(f"{path!r}: this path is not UTF-8; rename the file or folder") from None


def spelled_out(path: str) -> str:
    r"""Return a path as text, with bytes that are no UTF-8 as `\udcff`: file systems take any bytes for a name."""
    return path.encode("utf-8", "backslashreplace").decode()


def _warn_of_difference(path: Path) -> None:
    """Log a warning where a file is not what the portal offers under its name; it is used all the same."""
    if path.name not in PORTAL_ARCHIVES:
        return
    actual, (_, expected) = digests.digest(path, "md5"), PORTAL_ARCHIVES[path.name]
    if actual != expected:
        log.warning("%s has md5 %s, but the portal's has %s; it is used all the same", path, actual, expected)


def _path_identity(path: Path, role: Role) -> dict[str, Any]:
    if path.is_file():
        return {"kind": "file", "path": str(path), "sha256": digests.digest(path)}
    files = list(walk(path, SUFFIXES[role]))
    content = hashlib.sha256()
    for file, sha256 in zip(files, digests.digests(files), strict=True):
        content.update(os.fsencode(file.relative_to(path)) + b"\0" + sha256.encode() + b"\n")
    return {"kind": "folder", "path": str(path), "files": len(files), "sha256": content.hexdigest()}


def _fetched(wanted: list[tuple[Source, Any]], recipe: Recipe, role: Role, downloads: Path) -> list[Path | None]:
    """Fetch or draw the sources that are not local; the first failure (or Ctrl-C) stops the others."""
    if any(source.kind != "path" for source, _ in wanted):
        usage.hold_names(downloads.parent, downloads.name)
    stop = threading.Event()

    def fetch(source: Source, identity: Any) -> Path | None:
        if source.kind == "path":
            return None
        if source.kind == "sample":
            return _sample_archive(recipe, role, downloads)
        from pipeline.sources import download, drive

        if source.kind == "https":
            file = download.fetch(convert(identity, download.RemoteIdentity), source.key, downloads, stop, source.place)
        else:
            file = drive.fetch(source.place, source.key, downloads, stop)
        _warn_of_difference(file)  # mirrors come and go, and not all have what the portal has
        return file

    with ThreadPoolExecutor(FETCHED_AT_ONCE) as pool:
        fetching = [pool.submit(fetch, *each) for each in wanted]
        try:
            for done in as_completed(fetching):
                done.result()
        except BaseException:
            stop.set()
            raise
    return [done.result() for done in fetching]


def _local(source: Source, identity: Any) -> Container:
    container = local(source, identity)
    if container.kind != "folder":
        with readable(source):
            _warn_of_difference(container.path)
    return container


def _linked(source: Source, identity: Any, file: Path, out: Path) -> Container:
    target = out / "files" / file.name
    number = 1
    while target.exists():
        number += 1
        target = target.with_name(f"{file.stem}-{number}{file.suffix}")
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(file, target)
    except OSError as error:  # another file system, or one without links
        log.info("%s can't be linked (%s): copying it", file, error.strerror)
        shutil.copyfile(file, target)
    return Container(source, identity, "zip" if is_zip(target) else "file", target, f"files/{target.name}")


def _sample_archive(recipe: Recipe, role: Role, downloads: Path) -> Path:
    """Return the sample's archive of images or of labels, drawn at the first use by one process at a time.

    A drawing that fails or is killed leaves nothing that is taken for the sample.
    """
    from pipeline import sample

    seed, scenes = recipe.seed, recipe.source.sample
    folder = downloads / f"sample-{seed}-{scenes.train}-{scenes.val}-v{sample.GENERATOR_VERSION}"
    with locks.held(folder.with_name(f"{folder.name}.lock"), f"the sample of {scenes.train + scenes.val} scenes"):
        if not folder.is_dir():
            partial = folder.with_name(f".partial-{folder.name}")
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir(parents=True)
            try:
                sample.generate(partial, seed, scenes.train, scenes.val)
                sync(partial)
                partial.rename(folder)
            except BaseException:
                shutil.rmtree(partial, ignore_errors=True)
                raise
            sync(folder.parent)
    return folder / (sample.IMAGES_ARCHIVE if role == "images" else sample.LABELS_ARCHIVE)
