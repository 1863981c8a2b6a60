"""The archives of the BDD100K portal, which needs an account: their names, sizes and md5, and messages about them."""

import logging
from dataclasses import dataclass
from pathlib import Path

from pipeline.files import digests

PAGE = "https://bdd-data.berkeley.edu"
SIZE_TOLERANCE = 0.1
"""The portal gives sizes with two or three digits, in powers of 1000 or 1024."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class PortalArchive:
    """An archive that the portal offers: `size` as shown there, `bytes` the same as a number."""

    name: str
    size: str
    bytes: float
    md5: str


ARCHIVES = {
    archive.name: archive
    for archive in (
        PortalArchive("bdd100k_images_100k.zip", "5.3 GB", 5.3e9, "5a0359c86a0b8713adab1eee9a3041cb"),
        PortalArchive("bdd100k_images_10k.zip", "1.1 GB", 1.1e9, "08f26aecceda982568063d3d5873378e"),
        PortalArchive("bdd100k_labels_release.zip", "107 MB", 107e6, "e21be3e7d6a07ee439faf61e769667e4"),
        PortalArchive("bdd100k_det_20_labels_trainval.zip", "53 MB", 53e6, "b86a3e1b7edbcad421b7dad2b3987c94"),
        PortalArchive("bdd100k_ins_seg_labels_trainval.zip", "111 MB", 111e6, "651b41f229d7327d8c4af97772de4390"),
        PortalArchive("bdd100k_drivable_labels_trainval.zip", "514 MB", 514e6, "0abc320461200b1d7916f82fdcd64a96"),
    )
}


def how_to_get(path: Path) -> str:
    """Return what to do about the absent file `path`: where it is had, how large it is and where to put it."""
    archive = ARCHIVES.get(path.name)
    if archive is None:
        return "check the path, or put the file there"
    return (
        f"get {archive.name} ({archive.size}, md5 {archive.md5}) from {PAGE} (it needs an account), or from anywhere "
        f"a copy of any name with that md5, and put it at {path} or name it here"
    )


def warn_of_difference(path: Path) -> None:
    """Log a warning where the file is not what the portal offers under its name; it is used all the same.

    A size far off is reported without reading the file; its md5 is computed once.
    """
    archive = ARCHIVES.get(path.name)
    if archive is None:
        return
    size, expected = path.stat().st_size, archive.size
    actual = f"{size:,} bytes"
    if abs(size - archive.bytes) <= SIZE_TOLERANCE * archive.bytes:
        actual, expected = f"md5 {digests.digest(path, 'md5')}", f"md5 {archive.md5}"
    if actual != expected:
        log.warning("%s has %s, but the portal's %s has %s; it is used all the same", path, actual, path.name, expected)
