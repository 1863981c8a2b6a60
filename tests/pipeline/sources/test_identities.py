"""The identity of a recipe's entry: it changes with what is read in it, and with nothing else."""

import os

from pipeline import sample
from pipeline.files import digests
from pipeline.sources.resolve import identify
from tests.pipeline.file_server import Behaviour, serving
from tests.pipeline.small_sources import folder_of, jpeg, recipe_of, zip_of


def test_a_file_s_identity_changes_with_its_content_only(tmp_path):
    path = zip_of(tmp_path / "a.zip", {"1.jpg": jpeg()})
    first = identify(str(path), recipe_of(path))
    os.utime(path, ns=(1, 1))
    assert identify(str(path), recipe_of(path)) == first
    path.write_bytes(path.read_bytes() + b" ")
    assert identify(str(path), recipe_of(path)) != first


def test_a_folder_s_identity_is_that_of_what_is_read_in_it(tmp_path):
    folder = folder_of(tmp_path / "set", {"1.jpg": jpeg(), "via_region_data.json": b"{}", "notes.txt": b""})
    recipe = recipe_of(folder)

    def both():
        return [identify(str(folder), recipe, role)["sha256"] for role in ("images", "labels")]

    images, labels = both()
    folder_of(folder, {"notes.txt": b"changed", ".hidden.json": b"{}"})
    assert both() == [images, labels]
    folder_of(folder, {"via_region_data.json": b'{"corrected": 1}'})
    assert both()[0] == images
    assert both()[1] != labels
    (folder / "1.jpg").rename(folder / "2.jpg")
    assert both()[0] != images


def test_an_unchanged_file_is_hashed_once(tmp_path, monkeypatch):
    folder = folder_of(tmp_path / "set", {f"{n}.jpg": jpeg(grey=n) for n in range(3)})
    for path in folder.iterdir():
        os.utime(path, ns=(10**18, 10**18))
    first = identify(str(folder), recipe_of(folder))
    read = []
    real = digests._read
    monkeypatch.setattr(digests, "_read", lambda path, *rest: read.append(path.name) or real(path, *rest))
    assert identify(str(folder), recipe_of(folder)) == first
    assert read == []
    (folder / "1.jpg").write_bytes(jpeg(grey=99))
    assert identify(str(folder), recipe_of(folder)) != first
    assert read == ["1.jpg"]


def test_a_file_changed_a_moment_ago_is_not_trusted_to_stay(tmp_path):
    path = folder_of(tmp_path, {"a.json": b"[1]"}) / "a.json"
    first = digests.digest(path)
    stamp = path.stat().st_mtime_ns
    path.write_bytes(b"[2]")
    os.utime(path, ns=(stamp, stamp))
    assert digests.digest(path) != first


def test_the_sample_s_identity_is_what_it_is_drawn_from(monkeypatch):
    first = identify("sample", recipe_of("sample", seed=1))
    assert first == {"kind": "sample", "seed": 1, "train": 2, "val": 1, "generator": sample.GENERATOR_VERSION}
    assert identify("sample", recipe_of("sample", seed=2)) != first


def test_an_address_s_identity_is_what_the_server_says_of_it():
    with serving(Behaviour(content=b"12345")) as server:
        address = f"{server}/a.zip"
        identity = identify(address, recipe_of(address))
    assert identity == {"kind": "https", "address": address, "etag": '"one"', "last_modified": None, "size": 5}
